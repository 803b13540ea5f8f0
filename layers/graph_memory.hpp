#pragma once
// The memory of a graph on its device, booked once.

#include <vector>

#include "layers/as_size.hpp"
#include "layers/program.hpp"

namespace normlab {

/// What a graph needs.
struct MemoryNeeds {
  std::size_t parameters = 0, states = 0;     ///< floats
  std::size_t packed = 0;                     ///< floats of all layers' packed values
  std::size_t lane = 0;                       ///< floats of a lane's gradients
  std::vector<std::size_t> gradient_offsets;  ///< of each layer's section in a lane
  std::size_t scratch = 0;                    ///< bytes of a worker's, for one call
  std::size_t worker = 0;                     ///< bytes of a worker's arena: see Slot
  std::size_t shard = 0;                      ///< bytes of a shard's arena
  int shards = 0;                             ///< of the largest training batch
  int samples = 0;                            ///< of the largest batch, in whole shards
};

class GraphMemory {
 public:
  GraphMemory() = default;
  GraphMemory(Backend& backend, const MemoryNeeds& needs);

  /// The flat buffers.
  [[nodiscard]] float* values() const { return values_.floats(); }
  [[nodiscard]] float* gradients() const { return gradients_.floats(); }
  [[nodiscard]] float* states() const { return states_.floats(); }
  [[nodiscard]] float* packed() const { return packed_.floats(); }

  /// A lane's gradients, lane_floats() of them, and a layer's section there.
  [[nodiscard]] std::size_t lane_floats() const { return lane_floats_; }
  [[nodiscard]] float* lane(int lane) const { return lanes_.floats() + as_size(lane) * lane_floats_; }
  [[nodiscard]] float* lane(int lane, int node) const {
    return this->lane(lane) + gradient_offsets_[as_size(node)];
  }

  [[nodiscard]] std::byte* at(const Slot& slot, int shard, int worker) const {
    std::byte* arena = slot.per_shard ? shards_.data() + shard_bytes_ * as_size(shard)
                                      : workers_.data() + worker_bytes_ * as_size(worker);
    return arena + slot.offset;
  }
  [[nodiscard]] std::byte* scratch(int worker) const {
    return scratch_.data() + scratch_bytes_ * as_size(worker);
  }

  /// Where the loss leaves what it finds of each sample.
  [[nodiscard]] SampleResults results() const;
  /// Where what a pass found is added up: a StepSums.
  [[nodiscard]] std::byte* sums() const { return sums_.data(); }
  /// The batch with its indices and labels where the device reads them.
  [[nodiscard]] Batch stage(const Batch& batch) const;

  [[nodiscard]] std::size_t bytes() const;

 private:
  Backend* backend_ = nullptr;
  std::vector<std::size_t> gradient_offsets_;
  std::size_t lane_floats_ = 0, worker_bytes_ = 0, shard_bytes_ = 0, scratch_bytes_ = 0;
  Buffer values_, gradients_, states_, packed_, lanes_, workers_, shards_, scratch_;
  Buffer losses_, predicted_, confidence_, sums_;
  Buffer indices_, labels_;  ///< of a device that does not read host memory
};

}  // namespace normlab
