#include "tests/reference/optimizer.hpp"

#include <algorithm>
#include <numbers>

namespace normlab::reference {

void AdamW::step(Named& parameters, const Named& gradients, double lr) {
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

void Sgd::step(Named& parameters, const Named& gradients, double lr, double momentum) {
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

double global_norm(const Named& gradients) {
  double sum = 0;
  for (const auto& [name, g] : gradients) sum += l2_norm(g) * l2_norm(g);
  return std::sqrt(sum);
}

double clip_by_global_norm(Named& gradients, double max_norm) {
  const double norm = global_norm(gradients);
  const double scale = std::min(1.0, max_norm / (norm + 1e-6));
  for (auto& [name, g] : gradients) {
    for (double& value : g) value *= scale;
  }
  return norm;
}

double cosine_between(double from, double to, double part) {
  return to + (from - to) * 0.5 * (1.0 + std::cos(std::numbers::pi * part));
}

Rates one_cycle(double step, double total, double peak, double warmup, double divide_start, double divide_end,
                double low, double high) {
  const double start = peak / divide_start;
  const double end = start / divide_end;
  const double top = warmup * total - 1.0;
  if (step <= top) return {cosine_between(start, peak, step / top), cosine_between(high, low, step / top)};
  const double part = (step - top) / (total - 1.0 - top);
  return {cosine_between(peak, end, part), cosine_between(low, high, part)};
}

double cosine(double step, double total, double lr, double end) {
  return cosine_between(lr, end, step / total);
}

double step_decay(int step, int size, double factor, double lr) {
  return lr * std::pow(factor, step / size);
}

}  // namespace normlab::reference
