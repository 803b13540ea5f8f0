#pragma once
// CudaBackend: the GPU. Each family of kernels has a file of its own in this folder, with the name that it
// has everywhere.
//
// Activations are NHWC with channels padded to 8 (an image's to 16 bytes a pixel); padding is zero, and every
// operation writes it. All work goes to one stream, in order: host calls return at once, only to_host(),
// to_device(), upload() and download() wait. A batch is one shard.

#include <functional>
#include <map>
#include <memory>
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
  void copy(Tensor from, Tensor to) override;
  void stash(Tensor from, Tensor to) override { copy(from, to); }
  void unpack(Tensor from, float* values) override;
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

  [[nodiscard]] std::string choices() const override;

  // For the kernels.
  [[nodiscard]] cudaStream_t stream() const { return stream_.get(); }
  [[nodiscard]] cudnnHandle_t cudnn() const { return cudnn_.get(); }
  /// Made when it is first asked for: most networks do without.
  [[nodiscard]] cublasHandle_t cublas();
  [[nodiscard]] bool tf32() const { return options_.tf32; }
  [[nodiscard]] bool cudnn_batch_norm() const { return options_.cudnn_batch_norm; }
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

/// Kernels of a family, for a backend that outlives them.
template <typename Family>
class CudaKernels : public Family {
 public:
  explicit CudaKernels(CudaBackend& backend) : backend_(backend) {}

 protected:
  [[nodiscard]] cudaStream_t stream() const { return backend_.stream(); }
  [[nodiscard]] void* workspace(std::size_t bytes) { return backend_.workspace(bytes); }

  CudaBackend& backend_;
};

/// Makes the kernels of a family for the backend: each family's file has its own.
template <typename Family>
[[nodiscard]] std::unique_ptr<Family> make_cuda_kernels(CudaBackend& backend);

/// Plain NCHW floats on the device to native activations, and back.
void to_native(CudaBackend& backend, const float* values, const Tensor& to);
void from_native(CudaBackend& backend, const Tensor& from, float* values);

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
