#include "layers/steps.hpp"

#include <algorithm>

#include "layers/as_size.hpp"
#include "layers/kernels/steps.hpp"
#include "layers/range.hpp"
#include "layers/recording.hpp"

namespace normlab {

namespace {

template <typename T>
Buffer table(Backend& backend, int rows) {
  return Buffer(backend, as_size(rows) * sizeof(T));
}

int steps_of(int samples, int batch) {
  return samples / batch + (samples % batch > 0 ? 1 : 0);
}

}  // namespace

Steps::Steps(Backend& backend, const Batch& like, int samples, int batch, Work work)
    : backend_(backend),
      like_(like),
      work_(std::move(work)),
      order_(table<std::uint32_t>(backend, samples)),
      inputs_(table<StepInput>(backend, steps_of(samples, batch))),
      results_(table<StepSums>(backend, steps_of(samples, batch))),
      next_(table<std::uint32_t>(backend, 1)),
      input_(table<StepInput>(backend, 1)),
      result_(table<StepSums>(backend, 1)),
      indices_(table<std::uint32_t>(backend, std::min(batch, samples))),
      labels_(table<std::int32_t>(backend, std::min(batch, samples))) {
  if (samples > 0 && (like.images == nullptr || like.images->labels == nullptr))
    throw Error("Steps: there are no images with labels to take batches from");
}

void Steps::load(std::span<const std::uint32_t> order, std::span<const StepInput> rows) {
  if (order.size_bytes() > order_.bytes() || rows.size_bytes() > inputs_.bytes()) {
    throw Error("Steps: {} samples in {} steps, but memory was booked for {} in {}", order.size(),
                rows.size(), order_.bytes() / sizeof order[0], inputs_.bytes() / sizeof rows[0]);
  }
  sizes_.clear();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t end = i + 1 < rows.size() ? rows[i + 1].first : order.size();
    const std::size_t size = end - rows[i].first;
    if (end <= rows[i].first || size * sizeof(std::uint32_t) > indices_.bytes())
      throw Error("Steps: step {} takes samples {} to {}", i, rows[i].first, end);
    sizes_.push_back(static_cast<int>(size));
  }
  backend_.to_device(order.data(), order_.data(), order.size_bytes());
  backend_.to_device(rows.data(), inputs_.data(), rows.size_bytes());
  rewind();
}

void Steps::rewind() {
  backend_.clear(next_.data(), next_.bytes());
  done_ = 0;
}

void Steps::run(int steps) {
  for (int i = 0; i < steps; ++i, ++done_) {
    const Range range(backend_, "step");  // replayed, it encloses no kernels
    const int size = samples(done_);
    Recording& recording = recordings_[size];
    if (!recording.was_done) {
      recording.was_done = true;
      enqueue(work_, size);
      continue;
    }
    if (recording.replay == nullptr)
      recording.replay = backend_.record([this, size] {
        const RecordingScope scope;
        enqueue(work_, size);
      });
    recording.replay->launch();
  }
}

void Steps::step(const Work& work) {
  const Range range(backend_, "step");
  enqueue(work, samples(done_));
  ++done_;
}

void Steps::enqueue(const Work& work, int samples) {
  work(samples);
  const Range range(backend_, "results");
  backend_.get<StepKernels>().end_step({result(), reinterpret_cast<StepSums*>(results_.data()), next()});
}

Batch Steps::take(int offset, int count, int whole) {
  const Range range(backend_, "batch");
  const auto index = as_size(offset);
  auto* indices = reinterpret_cast<std::uint32_t*>(indices_.data()) + index;
  auto* labels = reinterpret_cast<std::int32_t*>(labels_.data()) + index;
  backend_.get<StepKernels>().take_samples({reinterpret_cast<const StepInput*>(inputs_.data()), next(),
                                            input(), reinterpret_cast<const std::uint32_t*>(order_.data()),
                                            like_.images->labels, offset, count, indices, labels});
  Batch batch = like_;
  batch.count = count;
  batch.whole = whole;
  batch.first_part = offset;
  batch.indices = indices;
  batch.labels = labels;
  batch.is_staged = true;
  batch.epoch = &input()->epoch;
  return batch;
}

void Steps::add(const Graph& graph, const Batch& batch) {
  const Range range(backend_, "results");
  const SampleResults found = graph.results();
  backend_.get<StepKernels>().add_results(
      {found.loss, found.predicted, batch.labels, batch.count, batch.begins(), result()});
}

std::vector<StepSums> Steps::results(int first, int count) const {
  std::vector<StepSums> rows(as_size(count));
  const auto* table = reinterpret_cast<const StepSums*>(results_.data());
  backend_.to_host(table + first, rows.data(), rows.size() * sizeof rows[0]);
  return rows;
}

}  // namespace normlab
