#include "experiments/training/other_scores.hpp"

#include <algorithm>

#include "experiments/measure/batch_statistics.hpp"
#include "experiments/measure/timer.hpp"
#include "layers/as_size.hpp"

namespace normlab {

OtherScores other_scores(RunSteps& run, int size, const std::function<void(int)>& before_pass,
                         const std::function<Score()>& evaluate) {
  const Timer timer;
  Graph& graph = run.graph();
  const std::vector<float> trained = running_statistics(graph);
  const auto batch_of = [&](DeviceImages& images, std::span<const std::uint32_t> indices, int i) {
    const auto samples = as_size(size), first = as_size(i) * samples;
    const Batch batch = images.batch(indices.subspan(first, std::min(samples, indices.size() - first)));
    before_pass(batch.count);
    return batch;
  };
  const auto passes = [size](std::span<const std::uint32_t> indices) {
    return (static_cast<int>(indices.size()) + size - 1) / size;
  };
  OtherScores scores;
  PassResult sum;
  const Splits& splits = run.splits();
  for (int i = 0; i < passes(splits.test); ++i) {
    const PassResult pass = graph.forward(batch_of(run.test_images(), splits.test, i));
    sum.loss_sum += pass.loss_sum;
    sum.correct += pass.correct;
  }
  const auto count = static_cast<double>(splits.test.size());
  scores.of_batches = {sum.loss_sum / count, sum.correct / count, timer.seconds()};
  set_running_statistics(graph, average_statistics(graph, passes(splits.train), [&](int i) {
                           return batch_of(run.train_images(), splits.train, i);
                         }));
  scores.reestimated = evaluate();
  set_running_statistics(graph, trained);
  return scores;
}

}  // namespace normlab
