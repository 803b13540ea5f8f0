#include "layers/optimizer.hpp"

#include <cmath>

#include "layers/range.hpp"

namespace normlab {

OptimizerOptions::Kind parse_optimizer(const std::string& text) {
  if (text == "sgd") return OptimizerOptions::Kind::sgd;
  if (text == "adamw") return OptimizerOptions::Kind::adamw;
  throw UsageError("unknown optimizer '{}'; choose sgd or adamw", text);
}

Optimizer::Optimizer(Graph& graph, OptimizerOptions options) : graph_(graph), options_(options) {
  const std::size_t bytes = graph.parameter_count() * sizeof(float);
  first_moment_ = Buffer(graph.backend(), bytes);
  if (options.kind == OptimizerOptions::Kind::adamw) second_moment_ = Buffer(graph.backend(), bytes);
}

double Optimizer::step(Rates rates) {
  Profile* profile = graph_.profile();
  const Profile::Wall wall(profile);
  if (profile != nullptr) profile->start(0);
  Backend& backend = graph_.backend();
  const Range range(backend, "optimizer");
  const std::size_t count = graph_.parameter_count();
  const double norm = std::sqrt(backend.sum_of_squares(graph_.gradients(), count));
  // As torch.nn.utils.clip_grad_norm_: scale by clip / (norm + 1e-6) where that is below 1.
  const double scale = options_.clip > 0 ? std::min(1.0, options_.clip / (norm + 1e-6)) : 1.0;
  ++steps_;
  const auto f = [](double value) { return static_cast<float>(value); };
  if (options_.kind == OptimizerOptions::Kind::sgd) {
    backend.sgd({graph_.values(), graph_.gradients(), first_moment_.floats(), count, f(rates.lr),
                 f(rates.momentum), f(options_.weight_decay), f(scale), options_.nesterov, steps_ == 1});
  } else {
    backend.adamw({graph_.values(), graph_.gradients(), first_moment_.floats(), second_moment_.floats(),
                   count, steps_, f(rates.lr), f(rates.momentum), 0.999F, 1e-8F, f(options_.weight_decay),
                   f(scale)});
  }
  if (profile != nullptr) profile->lap(0, Profile::kStep, Phase::optimizer);
  return norm;
}

}  // namespace normlab
