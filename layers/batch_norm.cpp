#include "layers/batch_norm.hpp"

#include "layers/as_size.hpp"

namespace normlab {

void BatchNorm::do_setup(std::span<const Shape> x, const Setup& setup) {
  x_ = x[0];
  channels_ = x[0].c;
  shard_samples_ = setup.shard_samples;
  const auto c = as_size(channels_);
  const auto shards = as_size(setup.shards());
  add_parameter("weight", Role::gamma, {channels_});
  add_parameter("bias", Role::beta, {channels_});
  add_state("running_mean", c, 0.0F);
  add_state("running_var", c, 1.0F);
  plan_ = setup.backend.get<BatchNormKernels>().plan({x_.with_n(setup.batch), relu_, setup.type});
  if (plan_ != nullptr) {
    if (setup.shards() > 1) {
      throw Error("the library's batch norm takes a batch in one piece, not in shards of {}",
                  setup.shard_samples);
    }
    return;
  }
  partials_ = Buffer(setup.backend, shards * c * sizeof(BatchNormPartial));
  gradient_partials_ = Buffer(setup.backend, shards * c * sizeof(BatchNormGradientPartial));
  statistics_ = Buffer(setup.backend, c * sizeof(Statistics));
  means_ = Buffer(setup.backend, c * sizeof(BatchNormGradientPartial));
}

BatchNormArgs BatchNorm::args(const Frame& frame) const {
  return {frame.x[0], reinterpret_cast<const Statistics*>(statistics_.data()), value(0), value(1), relu_};
}

BatchNormParameters BatchNorm::parameters_of_plan() const {
  return {value(0), value(1), state(0), state(1)};
}

void BatchNorm::do_prepare(bool training) {
  if (!training && plan_ == nullptr) {
    kernels().running(state(0), state(1), channels_, reinterpret_cast<Statistics*>(statistics_.data()));
  }
}

void BatchNorm::forward_partial(Frame& frame) {
  if (plan_ != nullptr) return;
  kernels().partial(frame.x[0], reinterpret_cast<BatchNormPartial*>(partials_.data()) +
                                    static_cast<std::ptrdiff_t>(frame.shard) * channels_);
}

void BatchNorm::forward_reduce(int samples) {
  if (static_cast<std::int64_t>(samples) * x_.pixels() == 1) {
    throw Error(
        "{}: batch norm in training needs more than one value per channel, but the batch has 1 sample and "
        "the map "
        "1 pixel; use a larger batch or --norms in",
        where());
  }
  if (plan_ != nullptr) return;
  const int shards = (samples + shard_samples_ - 1) / shard_samples_;
  kernels().reduce({reinterpret_cast<const BatchNormPartial*>(partials_.data()), shards, shard_samples_,
                    samples, x_, reinterpret_cast<Statistics*>(statistics_.data()), state(0), state(1)});
}

void BatchNorm::do_forward(Frame& frame) {
  if (plan_ != nullptr) {
    if (frame.training) {
      plan_->forward(frame.x[0], parameters_of_plan(), frame.y);
    } else {
      plan_->evaluate(frame.x[0], parameters_of_plan(), frame.y);
    }
    return;
  }
  kernels().forward(args(frame), frame.y);
}

void BatchNorm::backward_partial(Frame& frame) {
  if (plan_ != nullptr) return;
  kernels().gradient_partial(args(frame), frame.dy,
                             reinterpret_cast<BatchNormGradientPartial*>(gradient_partials_.data()) +
                                 static_cast<std::ptrdiff_t>(frame.shard) * channels_);
}

void BatchNorm::backward_reduce(int samples, float* lane_gradients) {
  if (plan_ != nullptr) return;
  const int shards = (samples + shard_samples_ - 1) / shard_samples_;
  kernels().gradient_reduce({reinterpret_cast<const BatchNormGradientPartial*>(gradient_partials_.data()),
                             shards, samples, x_, reinterpret_cast<BatchNormGradientPartial*>(means_.data()),
                             lane_gradients, lane_gradients + channels_});
}

void BatchNorm::do_backward(Frame& frame) {
  if (plan_ != nullptr) {
    plan_->backward(frame.x[0], parameters_of_plan(), frame.dy, frame.dx[0], frame.gradients,
                    frame.gradients + channels_);
    return;
  }
  kernels().backward(args(frame), reinterpret_cast<const BatchNormGradientPartial*>(means_.data()), frame.dy,
                     frame.dx[0]);
}

}  // namespace normlab
