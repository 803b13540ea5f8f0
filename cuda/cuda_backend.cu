#include "cuda/cuda_backend.hpp"

#include <algorithm>
#include <cstring>

#include "cuda/device.hpp"
#include "layers/kernels/all.hpp"

namespace normlab::NORMLAB_PLATFORM {

namespace {

/// bf16 arithmetic, 16-byte copies and 48 KiB of shared memory and more came with Ampere.
constexpr int kOldestMajor = 8;
/// Enough for the small products here; a workspace of its own keeps cuBLAS deterministic.
constexpr std::size_t kCublasWorkspace = std::size_t{8} << 20;
/// What is read in one go, without the driver's own detour: results, not parameters.
constexpr std::size_t kLandingBytes = std::size_t{64} << 10;

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  NORMLAB_CHECK(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

constexpr const char* kChoiceSeparator = "; ";

/// "3x32x32-16k3s1p1 1/1/1; ...": what is convolved, then by which algorithms.
std::map<std::string, std::string> parse_choices(const std::string& text) {
  std::map<std::string, std::string> choices;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(kChoiceSeparator, at), text.size());
    const std::string one = text.substr(at, end - at);
    const std::size_t blank = one.find(' ');
    if (blank == std::string::npos) throw Error("'{}' names no algorithms for what it says", one);
    choices[one.substr(0, blank)] = one.substr(blank + 1);
    at = end + 2;
  }
  return choices;
}

}  // namespace

std::string why_no_device(const CudaOptions& options) {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    return fmt::format("no NVIDIA GPU can be used here: {}", cudaGetErrorString(status));
  }
  if (options.device >= count) {
    return fmt::format("there is no GPU number {}; this machine has {}", options.device, count);
  }
  int major = 0;
  if (const cudaError_t status =
          cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, options.device);
      status != cudaSuccess) {
    return fmt::format("GPU {} does not answer: {}", options.device, cudaGetErrorString(status));
  }
  if (major < kOldestMajor) {
    return fmt::format("GPU {} has compute capability {}, Normlab needs {} (Ampere) or later", options.device,
                       major, kOldestMajor);
  }
  return {};
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  if (const std::string missing = why_no_device(options); !missing.empty()) throw Error("{}", missing);
  return std::make_unique<CudaBackend>(options);
}

CudaBackend::CudaBackend(const CudaOptions& options) : options_(options) {
  NORMLAB_CHECK(cudaSetDevice(options.device));
  cudaDeviceProp properties{};
  NORMLAB_CHECK(cudaGetDeviceProperties(&properties, options.device));
  model_ = properties.name;
  memory_ = properties.totalGlobalMem;
  major_ = properties.major;
  minor_ = properties.minor;
  shared_bytes_ =
      static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, options.device));
  given_ = parse_choices(options.choices);
  stream_ = Stream::make();
  landing_ = PinnedBytes::make(kLandingBytes);
  cudnn_ = Cudnn::make();
  NORMLAB_CHECK(cudnnSetStream(cudnn(), stream()));
  AllKernels::each([this]<typename Family>() { add(make_cuda_kernels<Family>(*this)); });
}

cublasHandle_t CudaBackend::cublas() {
  if (cublas_.empty()) {
    cublas_workspace_ = DeviceBytes::make(kCublasWorkspace);
    cublas_ = Cublas::make();
    NORMLAB_CHECK(cublasSetStream(cublas_.get(), stream()));
    NORMLAB_CHECK(cublasSetWorkspace(cublas_.get(), cublas_workspace_.get(), kCublasWorkspace));
  }
  return cublas_.get();
}

CudaBackend::~CudaBackend() {
  NORMLAB_REPORT(cudaStreamSynchronize(stream()));
}

std::string CudaBackend::description() const {
  return fmt::format("{}, {:.0f} GB, {}", model_, static_cast<double>(memory_) / 1e9, isa());
}

std::string CudaBackend::isa() const {
  return fmt::format("sm_{}{}, cuDNN {}", major_, minor_, cudnnGetVersion());
}

std::string CudaBackend::why_not(DataType) const {
  return {};
}

std::byte* CudaBackend::allocate(std::size_t bytes) {
  void* data = nullptr;
  const std::size_t size = bytes > 0 ? bytes : 1;
  const cudaError_t status = cudaMalloc(&data, size);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it was heard
    throw Error(
        "out of GPU memory: {:.1f} MB could not be allocated on {}; use a smaller --batch-size or --width",
        static_cast<double>(bytes) / 1e6, model_);
  }
  NORMLAB_CHECK(status);
  NORMLAB_CHECK(cudaMemsetAsync(data, 0, size, stream()));
  return static_cast<std::byte*>(data);
}

void CudaBackend::release(std::byte* data) noexcept {
  NORMLAB_REPORT(cudaStreamSynchronize(stream()));
  NORMLAB_REPORT(cudaFree(data));
}

std::size_t CudaBackend::bytes(Shape shape, DataType type, Layout layout) const {
  return vectors({nullptr, shape, type, layout}) * sizeof(Raw);
}

void CudaBackend::to_device(const void* from, void* to, std::size_t bytes) {
  if (bytes == 0) return;
  NORMLAB_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream()));
  NORMLAB_CHECK(cudaStreamSynchronize(stream()));  // `from` is the caller's again
}

void CudaBackend::to_host(const void* from, void* to, std::size_t bytes) {
  if (bytes == 0) return;
  void* landing = bytes <= kLandingBytes ? landing_.get() : to;
  NORMLAB_CHECK(cudaMemcpyAsync(landing, from, bytes, cudaMemcpyDeviceToHost, stream()));
  NORMLAB_CHECK(cudaStreamSynchronize(stream()));
  if (landing != to) std::memcpy(to, landing, bytes);
}

void CudaBackend::copy_bytes(const void* from, void* to, std::size_t bytes) {
  if (bytes > 0) NORMLAB_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()));
}

void CudaBackend::clear(void* data, std::size_t bytes) {
  if (bytes > 0) NORMLAB_CHECK(cudaMemsetAsync(data, 0, bytes, stream()));
}

void CudaBackend::run(int tasks, const std::function<void(int task, int worker)>& work) {
  for (int task = 0; task < tasks; ++task) work(task, 0);
}

std::string CudaBackend::choices() const {
  std::string text;
  for (const auto& [operation, algorithms] : chosen_) {
    text += fmt::format("{}{} {}", text.empty() ? "" : kChoiceSeparator, operation, algorithms);
  }
  return text;
}

std::string CudaBackend::algorithms_for(const std::string& operation,
                                        const std::function<std::string()>& choose) {
  const auto given = given_.find(operation);
  return chosen_[operation] = given != given_.end() ? given->second : choose();
}

void* CudaBackend::workspace(std::size_t bytes) {
  if (bytes > workspace_bytes_) {
    workspace_bytes_ = bytes > 2 * workspace_bytes_ ? bytes : 2 * workspace_bytes_;
    workspaces_.push_back(DeviceBytes::make(workspace_bytes_));
  }
  return workspaces_.empty() ? nullptr : workspaces_.back().get();
}

}  // namespace normlab::NORMLAB_PLATFORM
