#pragma once
// CudaBackend: the GPU. Each operation has a file of its own in this folder, with the name it has everywhere.
//
// Activations are NHWC with channels padded to 8 (an image's to 16 bytes a pixel); padding is zero, and every
// operation writes it. All work goes to one stream, in order: host calls return at once, only to_host(),
// to_device(), upload() and download() wait. A batch is one shard.

#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda/cuda_backend.hpp"
#include "cuda/launch.hpp"
#include "cuda/raii.hpp"
#include "cuda/vec.hpp"

namespace normlab::NORMLAB_PLATFORM {

[[nodiscard]] constexpr int padded(int channels) {
  return (channels + 7) / 8 * 8;
}
[[nodiscard]] constexpr int divide_up(int count, int by) {
  return (count + by - 1) / by;
}
[[nodiscard]] constexpr unsigned blocks_for(std::size_t count, std::size_t threads) {
  return static_cast<unsigned>((count + threads - 1) / threads);
}

/// Threads of a block, and blocks that an SM shall hold, of kernels with a thread for each 16 bytes: 32 KiB
/// are asked for at a time, which is what an H200's memory needs to be busy.
inline constexpr unsigned kMapThreads = 256;
inline constexpr unsigned kMapBlocks = 8;

/// A count of threads that a 32-bit index can number.
[[nodiscard]] inline unsigned index_count(std::size_t count) {
  if (count > 0xFFFFFF00U)
    throw Error("a map of {} vectors is too large for one kernel; use a smaller --batch-size", count);
  return static_cast<unsigned>(count);
}

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options);
  ~CudaBackend() override;

  [[nodiscard]] std::string name() const override { return "cuda"; }
  [[nodiscard]] std::string description() const override;
  [[nodiscard]] std::string isa() const override;
  [[nodiscard]] std::string why_not(DataType type) const override;
  [[nodiscard]] bool reads_host_memory() const override { return false; }

  [[nodiscard]] std::byte* allocate(std::size_t bytes) override;
  void release(std::byte* data) noexcept override;
  [[nodiscard]] std::size_t bytes(Shape shape, DataType type, Layout layout) const override;
  void upload(const float* values, Tensor to) override;
  void download(Tensor from, float* values) override;
  void to_device(const void* from, void* to, std::size_t bytes) override;
  void to_host(const void* from, void* to, std::size_t bytes) override;
  void copy_bytes(const void* from, void* to, std::size_t bytes) override;
  void clear(void* data, std::size_t bytes) override;

  [[nodiscard]] int shard_samples(std::size_t, int batch) const override { return batch; }
  [[nodiscard]] int lanes() const override { return 1; }
  [[nodiscard]] int workers() const override { return 1; }
  [[nodiscard]] bool spares_memory() const override { return false; }
  void run(int tasks, const std::function<void(int task, int worker)>& work) override;
  [[nodiscard]] bool runs_ahead() const override { return true; }
  [[nodiscard]] std::unique_ptr<Replay> record(const std::function<void()>& work) override;

  void begin_range(const std::string& name) override;
  void end_range() noexcept override;
  void set_profiling(bool on) override;
  [[nodiscard]] std::unique_ptr<DeviceClock> clock() override;

  [[nodiscard]] std::unique_ptr<Conv2dPlan> conv2d(const Conv2dSpec& spec) override;
  [[nodiscard]] std::string choices() const override;
  [[nodiscard]] std::unique_ptr<BatchNormPlan> batch_norm(const BatchNormSpec& spec) override;

  void load_images(const LoadImages& args) override;
  void check_group_norm(const GroupNormSpec& spec, Shape x, DataType type) const override;
  void group_norm_forward(const GroupNormForward& args) override;
  void group_norm_backward(const GroupNormBackward& args) override;
  void pack_elementwise(const float* values, Shape shape, DataType type, float* packed) override;
  void unpack_elementwise(const float* packed, Shape shape, DataType type, float* values) override;
  void batch_norm_partial(Tensor x, BatchNormPartial* partial) override;
  void batch_norm_reduce(const BatchNormReduce& args) override;
  void batch_norm_forward(const BatchNormArgs& args, Tensor y) override;
  void batch_norm_gradient_partial(const BatchNormArgs& args, Tensor dy,
                                   BatchNormGradientPartial* partial) override;
  void batch_norm_gradient_reduce(const BatchNormGradientReduce& args) override;
  void batch_norm_backward(const BatchNormArgs& args, const BatchNormGradientPartial* means, Tensor dy,
                           Tensor dx) override;
  void batch_norm_running(const float* mean, const float* var, int c, Statistics* statistics) override;
  void relu_forward(Tensor x, Tensor y) override;
  void relu_backward(Tensor y, Tensor dy, Tensor dx) override;
  void max_pool_forward(Tensor x, Tensor y) override;
  void max_pool_backward(Tensor x, Tensor dy, Tensor dx) override;
  void global_avg_pool_forward(Tensor x, Tensor y) override;
  void global_avg_pool_backward(Tensor dy, Tensor dx) override;
  void circular_pad_forward(Tensor x, Tensor y) override;
  void circular_pad_backward(Tensor dy, Tensor dx) override;
  void add_forward(Tensor a, Tensor b, Tensor y) override;
  void copy(Tensor from, Tensor to) override;
  void stash(Tensor from, Tensor to) override { copy(from, to); }
  void linear_forward(const LinearForward& args) override;
  void linear_backward(const LinearBackward& args) override;
  void softmax_cross_entropy(const SoftmaxCrossEntropy& args) override;

  void add_lanes(float* lanes, std::size_t stride, std::size_t size, int count) override;
  void sum_of_squares(const float* values, std::size_t count, double* sum) override;
  void sgd(const SgdStep& args) override;
  void adamw(const AdamWStep& args) override;

  void take_samples(const TakeSamples& args) override;
  void add_results(const AddResults& args) override;
  void end_step(const EndStep& args) override;

  void unpack(Tensor from, float* values) override;
  [[nodiscard]] Moments moments(const float* values, Shape shape) override;
  [[nodiscard]] std::vector<float> histogram(const float* values, std::size_t count, int bins) override;
  [[nodiscard]] std::vector<double> row_norms(const float* values, int rows, std::size_t size) override;
  [[nodiscard]] std::vector<double> gram(const float* values, int rows, std::size_t size) override;

  // For the operations.
  [[nodiscard]] cudaStream_t stream() const { return stream_.get(); }
  [[nodiscard]] cudnnHandle_t cudnn() const { return cudnn_.get(); }
  /// Made when it is first asked for: most networks do without.
  [[nodiscard]] cublasHandle_t cublas();
  [[nodiscard]] bool tf32() const { return options_.tf32; }
  /// Dynamic shared memory that a block may have.
  [[nodiscard]] std::size_t shared_bytes() const { return shared_bytes_; }
  /// Memory for one operation, until the next asks. It grows when it must; what it was before lives on, for
  /// captured work.
  [[nodiscard]] void* workspace(std::size_t bytes);
  /// The algorithms for what `operation` names: those that the options give, else those that choose() finds.
  [[nodiscard]] std::string algorithms_for(const std::string& operation,
                                           const std::function<std::string()>& choose);
  /// sums[c] += the sum over all of x's samples and pixels.
  void add_channel_sums(Tensor x, float* sums);

 private:
  CudaOptions options_;
  std::string model_;
  int major_ = 0, minor_ = 0;
  std::size_t memory_ = 0, shared_bytes_ = 0;
  Stream stream_;
  PinnedBytes landing_;
  Cudnn cudnn_;
  Cublas cublas_;
  DeviceBytes cublas_workspace_;
  std::vector<DeviceBytes> workspaces_;
  std::size_t workspace_bytes_ = 0;
  std::map<std::string, std::string> given_, chosen_;   ///< algorithms by operation
  std::unordered_map<std::string, void*> range_names_;  ///< as NVTX knows them
};

/// Channels from one pixel to the next.
[[nodiscard]] inline int channel_stride(const Tensor& x) {
  if (x.layout == Layout::native) return padded(x.shape.c);
  return 16 / static_cast<int>(element_bytes(x.type));
}
/// Vectors of 16 bytes in all of x.
[[nodiscard]] inline std::size_t vectors(const Tensor& x) {
  return static_cast<std::size_t>(x.shape.n) * static_cast<std::size_t>(x.shape.pixels()) *
         static_cast<std::size_t>(channel_stride(x)) * element_bytes(x.type) / sizeof(Raw);
}
template <typename T>
[[nodiscard]] T* elements(const Tensor& x) {
  return reinterpret_cast<T*>(x.data);
}

/// Calls work(T()) with the elements' type as kernels know it.
template <typename Work>
void with_elements(DataType type, Work&& work) {
  if (type == DataType::bf16) {
    work(__nv_bfloat16());
  } else {
    work(float());
  }
}

/// Calls work(std::true_type()) or work(std::false_type()): a flag for a template.
template <typename Work>
void with_flag(bool flag, Work&& work) {
  if (flag) {
    work(std::true_type());
  } else {
    work(std::false_type());
  }
}

}  // namespace normlab::NORMLAB_PLATFORM
