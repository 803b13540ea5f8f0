#include "layers/softmax_cross_entropy.hpp"

namespace normlab {

void SoftmaxCrossEntropyLoss::do_forward(Frame& frame) {
  const int first = frame.first_sample;
  if (frame.batch->labels == nullptr) throw Error("{}: the batch has no labels", where());
  backend().softmax_cross_entropy({frame.x[0], frame.batch->labels + first, label_smoothing_,
                                   1.0F / static_cast<float>(frame.batch->mean_over()), frame.dx[0],
                                   frame.results.loss + first, frame.results.predicted + first,
                                   frame.results.confidence + first});
}

void ProbeLoss::do_forward(Frame& frame) {
  if (frame.dx[0].empty()) return;
  if (frame.batch->output_weights == nullptr) throw Error("{}: the batch has no output weights", where());
  backend().upload(frame.batch->output_weights +
                       static_cast<std::size_t>(frame.first_sample) * frame.x[0].shape.per_sample(),
                   frame.dx[0]);
}

}  // namespace normlab
