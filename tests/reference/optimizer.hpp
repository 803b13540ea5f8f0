#pragma once
// What moves the parameters: SGD, AdamW, clipping and the learning-rate schedules, by PyTorch's definitions.

#include <algorithm>
#include <map>
#include <numbers>

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

  void step(Named& parameters, const Named& gradients, double lr, double momentum) {
    for (auto& [name, w] : parameters) {
      Values& v = velocity[name];
      v.resize(w.size(), 0.0);
      const Values& dw = gradients.at(name);
      for (std::size_t i = 0; i < w.size(); ++i) {
        const double g = dw[i] + weight_decay * w[i];
        v[i] = momentum * v[i] + g;
        w[i] -= lr * (nesterov ? g + momentum * v[i] : v[i]);
      }
    }
  }
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

  void step(Named& parameters, const Named& gradients, double lr) {
    ++t;
    const double correction1 = 1.0 - std::pow(beta1, t);
    const double correction2 = 1.0 - std::pow(beta2, t);
    for (auto& [name, w] : parameters) {
      Values& first = m[name];
      Values& second = s[name];
      first.resize(w.size(), 0.0);
      second.resize(w.size(), 0.0);
      const Values& g = gradients.at(name);
      for (std::size_t i = 0; i < w.size(); ++i) {
        w[i] *= 1.0 - lr * weight_decay;
        first[i] = beta1 * first[i] + (1.0 - beta1) * g[i];
        second[i] = beta2 * second[i] + (1.0 - beta2) * g[i] * g[i];
        w[i] -= lr * (first[i] / correction1) / (std::sqrt(second[i] / correction2) + eps);
      }
    }
  }
};

inline double global_norm(const Named& gradients) {
  double sum = 0;
  for (const auto& [name, g] : gradients) sum += l2_norm(g) * l2_norm(g);
  return std::sqrt(sum);
}

/// Scales all gradients by min(1, max_norm / (norm + 1e-6)); returns the norm before.
inline double clip_by_global_norm(Named& gradients, double max_norm) {
  const double norm = global_norm(gradients);
  const double scale = std::min(1.0, max_norm / (norm + 1e-6));
  for (auto& [name, g] : gradients) {
    for (double& value : g) value *= scale;
  }
  return norm;
}

struct Rates {
  double lr;
  double momentum;
};

/// Half a cosine from `from` (part 0) to `to` (part 1).
inline double cosine_between(double from, double to, double part) {
  return to + (from - to) * 0.5 * (1.0 + std::cos(std::numbers::pi * part));
}

/// PyTorch's OneCycleLR with its defaults. Steps count from 0, and both phases end one step early: the peak
/// is at step 0.3 * total - 1 (which need not be whole), the end at step total - 1.
inline Rates one_cycle(double step, double total, double peak, double warmup = 0.3,
                       double divide_start = 25.0, double divide_end = 1e4, double low = 0.85,
                       double high = 0.95) {
  const double start = peak / divide_start;
  const double end = start / divide_end;
  const double top = warmup * total - 1.0;
  if (step <= top) return {cosine_between(start, peak, step / top), cosine_between(high, low, step / top)};
  const double part = (step - top) / (total - 1.0 - top);
  return {cosine_between(peak, end, part), cosine_between(low, high, part)};
}

/// CosineAnnealingLR: from lr at step 0 to `end` at step total.
inline double cosine(double step, double total, double lr, double end = 0) {
  return cosine_between(lr, end, step / total);
}

/// StepLR: lr * factor^(step / size, rounded down).
inline double step_decay(int step, int size, double factor, double lr) {
  return lr * std::pow(factor, step / size);
}

}  // namespace normlab::reference
