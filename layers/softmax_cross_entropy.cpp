#include "layers/softmax_cross_entropy.hpp"

#include "layers/as_size.hpp"
#include "layers/kernels/softmax_cross_entropy.hpp"

namespace normlab {

Shape SoftmaxCrossEntropyLoss::do_infer(std::span<const Shape> x) const {
  if (x[0].pixels() != 1) throw Error("wants one pixel, got {}x{}; pool first", x[0].h, x[0].w);
  if (!(label_smoothing_ >= 0 && label_smoothing_ < 1)) {
    throw Error("label smoothing {}; choose at least 0 and less than 1", label_smoothing_);
  }
  return x[0];
}

void SoftmaxCrossEntropyLoss::do_forward(Frame& frame) {
  const int first = frame.first_sample;
  if (frame.batch->labels == nullptr) throw Error("{}: the batch has no labels", where());
  backend().get<SoftmaxCrossEntropyKernels>().forward(
      {frame.x[0], frame.batch->labels + first, label_smoothing_,
       1.0F / static_cast<float>(frame.batch->mean_over()), frame.dx[0], frame.results.loss + first,
       frame.results.predicted + first, frame.results.confidence + first});
}

void ProbeLoss::do_forward(Frame& frame) {
  if (frame.dx[0].empty()) return;
  if (frame.batch->output_weights == nullptr) throw Error("{}: the batch has no output weights", where());
  backend().upload(frame.batch->output_weights + as_size(frame.first_sample) * frame.x[0].shape.per_sample(),
                   frame.dx[0]);
}

}  // namespace normlab
