#pragma once
// Backend: a device, with its memory, its workers and its kernels. kernels/all.hpp lists what it computes.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "layers/kernels/kernels.hpp"

namespace normlab {

class Backend;

/// Owns a block of the backend's memory, zeroed, aligned to 128 bytes. Move-only.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Backend& backend, std::size_t bytes);
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Buffer();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] float* floats() const { return reinterpret_cast<float*>(data_); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  Backend* backend_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// When a device's work passed certain points, by its own clock.
class DeviceClock {
 public:
  virtual ~DeviceClock() = default;
  /// A mark behind all work given to the device so far.
  virtual void mark() = 0;
  /// Waits for the work; the seconds from each mark to the next: one less than there were marks. Then there
  /// are none.
  [[nodiscard]] virtual std::vector<double> intervals() = 0;
};

/// Work that was recorded and can be done again, as often as wanted: at the same addresses, with whatever
/// stands there then.
class Replay {
 public:
  virtual ~Replay() = default;
  virtual void launch() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  /// "cpu" or "cuda", and one line for people: model, threads, instruction set.
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::string description() const = 0;
  /// Instruction set or architecture: bitwise repeats are promised within one.
  [[nodiscard]] virtual std::string isa() const = 0;

  /// Empty where activations can be stored as `type`; else what is missing, for people.
  [[nodiscard]] virtual std::string why_not(DataType type) const = 0;

  /// Whether host pointers can be used as they are: then data need no copy on the device.
  [[nodiscard]] virtual bool reads_host_memory() const = 0;

  // Memory. `bytes` is what an activation takes; upload and download convert from and to plain NCHW floats.
  [[nodiscard]] virtual std::byte* allocate(std::size_t bytes) = 0;
  virtual void release(std::byte* data) noexcept = 0;
  [[nodiscard]] virtual std::size_t bytes(Shape shape, DataType type, Layout layout) const = 0;
  virtual void upload(const float* values, Tensor to) = 0;
  virtual void download(Tensor from, float* values) = 0;
  virtual void copy(Tensor from, Tensor to) = 0;
  /// Copies what is not read again soon, past the caches.
  virtual void stash(Tensor from, Tensor to) = 0;
  /// To plain NCHW floats in the device's memory.
  virtual void unpack(Tensor from, float* values) = 0;
  virtual void to_device(const void* from, void* to, std::size_t bytes) = 0;
  virtual void to_host(const void* from, void* to, std::size_t bytes) = 0;
  /// From one place of the device to another.
  virtual void copy_bytes(const void* from, void* to, std::size_t bytes) = 0;
  virtual void clear(void* data, std::size_t bytes) = 0;

  // Work. A batch is cut into shards of `shard_samples`, dealt to lanes; run() executes each task on some
  // worker and returns when all are done. None of this depends on the number of threads but workers(), the
  // most that memory is booked for, and active_workers(), how many of them work: it may change between two
  // passes.
  [[nodiscard]] virtual int shard_samples(std::size_t bytes_per_sample, int batch) const = 0;
  [[nodiscard]] virtual int lanes() const = 0;
  [[nodiscard]] virtual int workers() const = 0;
  [[nodiscard]] virtual int active_workers() const { return workers(); }
  /// 1 to workers(); results do not depend on it. A device that schedules its own work ignores it.
  virtual void set_active_workers(int /*workers*/) {}
  /// Whether memory bandwidth is short: then only what must cross segments does, the rest is computed again.
  [[nodiscard]] virtual bool spares_memory() const = 0;
  virtual void run(int tasks, const std::function<void(int task, int worker)>& work) = 0;
  /// Whether operations are only enqueued when they return. What reads the device's memory waits for them.
  [[nodiscard]] virtual bool runs_ahead() const = 0;
  /// `work` must have been done before, so that nothing is booked any more, and may not wait for the device.
  [[nodiscard]] virtual std::unique_ptr<Replay> record(const std::function<void()>& work) = 0;

  // For the device's profilers (range.hpp): work given to it from begin_range() to end_range() has that name,
  // and ranges nest. Profilers that wait for a signal record from set_profiling(true) to
  // set_profiling(false).
  virtual void begin_range(const std::string& /*name*/) {}
  virtual void end_range() noexcept {}
  virtual void set_profiling(bool /*on*/) {}
  /// Null where work is done when a call returns: there the host's clock tells.
  [[nodiscard]] virtual std::unique_ptr<DeviceClock> clock() { return nullptr; }

  /// What plans chose where the library left a choice, as text that the backend of a resumed run is made
  /// with; empty: there was none.
  [[nodiscard]] virtual std::string choices() const = 0;
  /// What people should know of the plans made so far: a line for each thing that was out of the ordinary.
  [[nodiscard]] virtual std::vector<std::string> notes() const { return {}; }

  /// The device's kernels of a family, such as get<ReluKernels>().
  template <typename Family>
  [[nodiscard]] Family& get() const {
    return static_cast<Family&>(*kernels_[kernel_family<Family>()]);
  }

 protected:
  template <typename Family>
  void add(std::unique_ptr<Family> kernels) {
    const std::size_t number = kernel_family<Family>();
    if (kernels_.size() <= number) kernels_.resize(number + 1);
    kernels_[number] = std::move(kernels);
  }

 private:
  std::vector<std::unique_ptr<Kernels>> kernels_;  ///< by family
};

}  // namespace normlab
