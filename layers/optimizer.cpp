#include "layers/optimizer.hpp"

#include <cmath>

#include "layers/kernels/optimizer.hpp"
#include "layers/range.hpp"

namespace normlab {

namespace {

constexpr float kBeta2 = 0.999F, kAdamEpsilon = 1e-8F;

}  // namespace

OptimizerOptions::Kind parse_optimizer(const std::string& text) {
  if (text == "sgd") return OptimizerOptions::Kind::sgd;
  if (text == "adamw") return OptimizerOptions::Kind::adamw;
  throw UsageError("unknown optimizer '{}'; choose sgd or adamw", text);
}

Optimizer::Optimizer(Graph& graph, OptimizerOptions options) : graph_(graph), options_(options) {
  const std::size_t bytes = graph.parameter_count() * sizeof(float);
  first_moment_ = Buffer(graph.backend(), bytes);
  if (options.kind == OptimizerOptions::Kind::adamw) second_moment_ = Buffer(graph.backend(), bytes);
  rates_ = Buffer(graph.backend(), sizeof(StepRates));
  squared_norm_ = Buffer(graph.backend(), sizeof(double));
}

double Optimizer::step(Rates rates) {
  Backend& backend = graph_.backend();
  const StepRates now = rates_of(rates, ++steps_);
  backend.to_device(&now, rates_.data(), sizeof now);
  auto* squared_norm = reinterpret_cast<double*>(squared_norm_.data());
  update(reinterpret_cast<const StepRates*>(rates_.data()), squared_norm);
  double found = 0;
  backend.to_host(squared_norm, &found, sizeof found);
  return std::sqrt(found);
}

void Optimizer::update(const StepRates* rates, double* squared_norm) {
  Profile* profile = graph_.profile();
  const Profile::Wall wall(profile);
  if (profile != nullptr) profile->start(0);
  Backend& backend = graph_.backend();
  const Range range(backend, "optimizer");
  const std::size_t count = graph_.parameter_count();
  backend.get<OptimizerKernels>().sum_of_squares(graph_.gradients(), count, squared_norm);
  const auto weight_decay = static_cast<float>(options_.weight_decay);
  if (options_.kind == OptimizerOptions::Kind::sgd) {
    backend.get<OptimizerKernels>().sgd({graph_.values(), graph_.gradients(), first_moment_.floats(), count,
                                         rates, squared_norm, options_.clip, weight_decay,
                                         options_.nesterov});
  } else {
    backend.get<OptimizerKernels>().adamw({graph_.values(), graph_.gradients(), first_moment_.floats(),
                                           second_moment_.floats(), count, rates, squared_norm, options_.clip,
                                           kBeta2, kAdamEpsilon, weight_decay});
  }
  if (profile != nullptr) profile->lap(0, Profile::kStep, Phase::optimizer);
}

StepRates Optimizer::rates_of(Rates rates, std::int64_t step) const {
  StepRates now;
  now.lr = static_cast<float>(rates.lr);
  now.momentum = static_cast<float>(rates.momentum);
  now.keep = step == 1 ? 0 : now.momentum;
  if (options_.kind == OptimizerOptions::Kind::adamw) {
    const auto t = static_cast<double>(step);
    const double first = 1 - std::pow(static_cast<double>(now.momentum), t);
    const double second = 1 - std::pow(static_cast<double>(kBeta2), t);
    now.step_size = static_cast<float>(static_cast<double>(now.lr) / first);
    now.second_scale = static_cast<float>(1 / std::sqrt(second));
  }
  return now;
}

}  // namespace normlab
