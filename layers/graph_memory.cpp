#include "layers/graph_memory.hpp"

#include <algorithm>

#include "layers/kernels/steps.hpp"

namespace normlab {

GraphMemory::GraphMemory(Backend& backend, const MemoryNeeds& needs)
    : backend_(&backend),
      gradient_offsets_(needs.gradient_offsets),
      lane_floats_(std::max<std::size_t>(needs.lane, 32)),
      worker_bytes_(std::max<std::size_t>(needs.worker, 128)),
      shard_bytes_(needs.shard),
      scratch_bytes_((needs.scratch + 4095) / 4096 * 4096 + 4096) {
  const auto floats = [&](std::size_t count) {
    return Buffer(backend, std::max<std::size_t>(count, 1) * sizeof(float));
  };
  const std::size_t workers = as_size(backend.workers()), samples = as_size(needs.samples);
  values_ = floats(needs.parameters);
  gradients_ = floats(needs.parameters);
  states_ = floats(needs.states);
  packed_ = floats(needs.packed);
  lanes_ = floats(lane_floats_ * as_size(backend.lanes()));
  workers_ = Buffer(backend, worker_bytes_ * workers);
  shards_ = Buffer(backend, shard_bytes_ * as_size(needs.shards));
  scratch_ = Buffer(backend, scratch_bytes_ * workers);
  losses_ = Buffer(backend, samples * sizeof(float));
  predicted_ = Buffer(backend, samples * sizeof(std::int32_t));
  confidence_ = Buffer(backend, samples * sizeof(float));
  if (!backend.reads_host_memory()) {
    indices_ = Buffer(backend, samples * sizeof(std::uint32_t));
    labels_ = Buffer(backend, samples * sizeof(std::int32_t));
  }
  sums_ = Buffer(backend, sizeof(StepSums));
}

SampleResults GraphMemory::results() const {
  return {losses_.floats(), reinterpret_cast<std::int32_t*>(predicted_.data()), confidence_.floats()};
}

Batch GraphMemory::stage(const Batch& batch) const {
  if (batch.is_staged) return batch;
  Batch staged = batch;
  staged.is_staged = true;
  if (backend_->reads_host_memory()) return staged;
  const auto count = as_size(batch.count);
  if (batch.indices != nullptr) {
    backend_->to_device(batch.indices, indices_.data(), count * sizeof(std::uint32_t));
    staged.indices = reinterpret_cast<const std::uint32_t*>(indices_.data());
  }
  if (batch.labels != nullptr) {
    backend_->to_device(batch.labels, labels_.data(), count * sizeof(std::int32_t));
    staged.labels = reinterpret_cast<const std::int32_t*>(labels_.data());
  }
  return staged;
}

std::size_t GraphMemory::bytes() const {
  std::size_t bytes = 0;
  for (const Buffer* buffer : {&values_, &gradients_, &states_, &packed_, &lanes_, &workers_, &shards_,
                               &scratch_, &losses_, &predicted_, &confidence_}) {
    bytes += buffer->bytes();
  }
  return bytes;
}

}  // namespace normlab
