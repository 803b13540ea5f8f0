#pragma once
// Backend: every primitive a device offers, on one page. A primitive that one backend lacks does not compile.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "layers/diagnostics.hpp"
#include "layers/operations.hpp"

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

/// A prepared convolution: descriptors, algorithms and packed formats are fixed when it is made. It may be
/// executed by several workers at once, each with a scratch of its own, for any n up to the spec's.
class Conv2dPlan {
 public:
  virtual ~Conv2dPlan() = default;
  /// Floats of the weights (and bias) in the formats that the device wants, and of their gradients.
  [[nodiscard]] virtual std::size_t packed_values() const = 0;
  [[nodiscard]] virtual std::size_t packed_gradients() const = 0;
  [[nodiscard]] virtual std::size_t scratch_bytes() const = 0;
  /// From PyTorch's layout (out, in, kernel, kernel) into `packed`, once a step. bias may be null.
  virtual void pack(const float* weight, const float* bias, float* packed) = 0;
  /// From accumulated packed gradients back (overwrites).
  virtual void unpack(const float* packed_gradients, float* dweight, float* dbias) = 0;

  virtual void forward(Tensor x, const float* packed, Tensor y, void* scratch, int worker) = 0;
  /// Overwrites dx.
  virtual void backward_data(Tensor dy, const float* packed, Tensor dx, void* scratch, int worker) = 0;
  /// Accumulates into packed_gradients.
  virtual void backward_weights(Tensor x, Tensor dy, float* packed_gradients, void* scratch, int worker) = 0;
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

/// Batch norm by a library that takes a whole batch in one call: the statistics stay in the library's own
/// form from the training pass to its backward pass.
class BatchNormPlan {
 public:
  virtual ~BatchNormPlan() = default;
  /// Normalizes by the batch's statistics and updates the running ones.
  virtual void forward(Tensor x, const BatchNormParameters& parameters, Tensor y) = 0;
  /// Normalizes by the running statistics.
  virtual void evaluate(Tensor x, const BatchNormParameters& parameters, Tensor y) = 0;
  /// Of the last forward(). Overwrites dx, if it is wanted; dgamma and dbeta accumulate.
  virtual void backward(Tensor x, const BatchNormParameters& parameters, Tensor dy, Tensor dx, float* dgamma,
                        float* dbeta) = 0;
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

  // Operations with prepared state.
  /// Throws Error where there cannot be such a convolution.
  [[nodiscard]] virtual std::unique_ptr<Conv2dPlan> conv2d(const Conv2dSpec& spec) = 0;
  /// What plans chose where the library left a choice, as text that the backend of a resumed run is made
  /// with; empty: there was none.
  [[nodiscard]] virtual std::string choices() const = 0;
  /// What people should know of the plans made so far: a line for each thing that was out of the ordinary.
  [[nodiscard]] virtual std::vector<std::string> notes() const { return {}; }
  /// Null where batch norm is computed in the parts below, which is the default everywhere. Throws Error
  /// where the library cannot take the shape.
  [[nodiscard]] virtual std::unique_ptr<BatchNormPlan> batch_norm(const BatchNormSpec& spec) = 0;

  // Stateless operations.
  /// Throws Error where the group norm of such samples cannot be computed.
  virtual void check_group_norm(const GroupNormSpec& spec, Shape x, DataType /*type*/) const {
    spec.check(x.c);
  }
  virtual void load_images(const LoadImages& args) = 0;
  virtual void group_norm_forward(const GroupNormForward& args) = 0;
  virtual void group_norm_backward(const GroupNormBackward& args) = 0;
  /// Per-element parameters: from PyTorch's (c, h, w) into the layout of activations that are stored as
  /// `type`, and gradients back. They themselves are floats.
  virtual void pack_elementwise(const float* values, Shape shape, DataType type, float* packed) = 0;
  virtual void unpack_elementwise(const float* packed, Shape shape, DataType type, float* values) = 0;
  virtual void batch_norm_partial(Tensor x, BatchNormPartial* partial) = 0;
  virtual void batch_norm_reduce(const BatchNormReduce& args) = 0;
  virtual void batch_norm_forward(const BatchNormArgs& args, Tensor y) = 0;
  virtual void batch_norm_gradient_partial(const BatchNormArgs& args, Tensor dy,
                                           BatchNormGradientPartial* partial) = 0;
  virtual void batch_norm_gradient_reduce(const BatchNormGradientReduce& args) = 0;
  virtual void batch_norm_backward(const BatchNormArgs& args, const BatchNormGradientPartial* means,
                                   Tensor dy, Tensor dx) = 0;
  /// Statistics of evaluation, from the running mean and variance of c channels.
  virtual void batch_norm_running(const float* mean, const float* var, int c, Statistics* statistics) = 0;
  virtual void relu_forward(Tensor x, Tensor y) = 0;
  virtual void relu_backward(Tensor y, Tensor dy, Tensor dx) = 0;
  /// 2x2 windows, stride 2; the first maximum in row order wins, forward and backward.
  virtual void max_pool_forward(Tensor x, Tensor y) = 0;
  virtual void max_pool_backward(Tensor x, Tensor dy, Tensor dx) = 0;
  virtual void global_avg_pool_forward(Tensor x, Tensor y) = 0;
  virtual void global_avg_pool_backward(Tensor dy, Tensor dx) = 0;
  /// One pixel of wrap-around on each side.
  virtual void circular_pad_forward(Tensor x, Tensor y) = 0;
  virtual void circular_pad_backward(Tensor dy, Tensor dx) = 0;
  /// y may be a or b.
  virtual void add_forward(Tensor a, Tensor b, Tensor y) = 0;
  virtual void copy(Tensor from, Tensor to) = 0;
  /// Copies what is not read again soon, past the caches.
  virtual void stash(Tensor from, Tensor to) = 0;
  virtual void linear_forward(const LinearForward& args) = 0;
  virtual void linear_backward(const LinearBackward& args) = 0;
  virtual void softmax_cross_entropy(const SoftmaxCrossEntropy& args) = 0;

  // Flat buffers.
  /// lanes[0] += lanes[1] + ... + lanes[count - 1], each of `size` floats, `stride` apart, in a fixed tree.
  virtual void add_lanes(float* lanes, std::size_t stride, std::size_t size, int count) = 0;
  /// *sum, on the device, = the sum of squares.
  virtual void sum_of_squares(const float* values, std::size_t count, double* sum) = 0;
  virtual void sgd(const SgdStep& args) = 0;
  virtual void adamw(const AdamWStep& args) = 0;

  // Around a step: what it takes comes from tables on the device, what it found goes to one.
  virtual void take_samples(const TakeSamples& args) = 0;
  virtual void add_results(const AddResults& args) = 0;
  virtual void end_step(const EndStep& args) = 0;

  // Diagnostics: what stands in values (n, c, h, w) that unpack() left as plain floats in the device's
  // memory, as layers/diagnostics.hpp defines it. What returns a figure waits for the device.
  virtual void unpack(Tensor from, float* values) = 0;
  [[nodiscard]] virtual Moments moments(const float* values, Shape shape) = 0;
  [[nodiscard]] virtual std::vector<float> histogram(const float* values, std::size_t count, int bins) = 0;
  /// Of rows of `size` values, one behind the other: the length of each, ||row||_2, and K = X X^T, (rows,
  /// rows), whose products are added in float over stretches of 1,024 elements, and those in double.
  [[nodiscard]] virtual std::vector<double> row_norms(const float* values, int rows, std::size_t size) = 0;
  [[nodiscard]] virtual std::vector<double> gram(const float* values, int rows, std::size_t size) = 0;
};

}  // namespace normlab
