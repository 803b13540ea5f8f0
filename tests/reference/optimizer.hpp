#pragma once
// What moves the parameters: SGD, AdamW, clipping and the learning-rate schedules, by PyTorch's definitions.

#include <map>

#include "tests/reference/tensor.hpp"

namespace normlab::reference {

/// Parameters, gradients or state by name.
using Named = std::map<std::string, Values>;

/// g += weight_decay * w;  v = momentum * v + g (v starts at 0);  w -= lr * v, or lr * (g + momentum * v)
/// with Nesterov. Momentum is an argument of the step, because one-cycle moves it.
struct Sgd {
  double weight_decay = 0;
  bool nesterov = false;
  Named velocity;

  void step(Named& parameters, const Named& gradients, double lr, double momentum);
};

/// w *= 1 - lr * weight_decay;  m, s = running means of g and g^2;  w -= lr * mhat / (sqrt(shat) + eps), the
/// hats dividing by 1 - beta^t.
struct AdamW {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  int t = 0;
  Named m;
  Named s;

  void step(Named& parameters, const Named& gradients, double lr);
};

double global_norm(const Named& gradients);

/// Scales all gradients by min(1, max_norm / (norm + 1e-6)); returns the norm before.
double clip_by_global_norm(Named& gradients, double max_norm);

struct Rates {
  double lr;
  double momentum;
};

/// Half a cosine from `from` (part 0) to `to` (part 1).
double cosine_between(double from, double to, double part);

/// PyTorch's OneCycleLR with its defaults. Steps count from 0, and both phases end one step early: the peak
/// is at step 0.3 * total - 1 (which need not be whole), the end at step total - 1.
Rates one_cycle(double step, double total, double peak, double warmup = 0.3, double divide_start = 25.0,
                double divide_end = 1e4, double low = 0.85, double high = 0.95);

/// CosineAnnealingLR: from lr at step 0 to `end` at step total.
double cosine(double step, double total, double lr, double end = 0);

/// StepLR: lr * factor^(step / size, rounded down).
double step_decay(int step, int size, double factor, double lr);

}  // namespace normlab::reference
