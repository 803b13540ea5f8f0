#include "experiments/options/backends.hpp"

#ifdef NORMLAB_HAS_CUDA
#include "cuda/cuda_backend.hpp"
#endif
#include "host/cpu/host_backend.hpp"
#include "layers/error.hpp"

namespace normlab {

#ifdef NORMLAB_HAS_CUDA
std::string why_no_cuda() {
  return cuda::why_no_device();
}
static std::unique_ptr<Backend> make_cuda(const DeviceChoices& choices) {
  return cuda::make_cuda_backend({0, choices.tf32, choices.cudnn_batch_norm, choices.algorithms});
}
#else
std::string why_no_cuda() {
  return "this build is without CUDA: " NORMLAB_NO_CUDA;
}
static std::unique_ptr<Backend> make_cuda(const DeviceChoices&) {
  throw Error("{}", why_no_cuda());
}
#endif

std::unique_ptr<Backend> make_backend(const std::string& device, int threads, const DeviceChoices& choices) {
  if (device != "auto" && device != "cpu" && device != "cuda") {
    throw UsageError("unknown device '{}'; choose auto, cpu or cuda", device);
  }
  if (device == "cuda") {
    if (choices.direct_convolutions) {
      throw Error("--conv direct: on a GPU cuDNN chooses how it convolves; use --device cpu, or --conv auto");
    }
    if (const std::string missing = why_no_cuda(); !missing.empty()) {
      throw Error("--device cuda: {}; use --device cpu", missing);
    }
    return make_cuda(choices);
  }
  if (choices.tf32) {
    throw Error(
        "--precision tf32: the CPU multiplies fp32 numbers in full; use --device cuda, or --precision fp32");
  }
  if (choices.cudnn_batch_norm) throw Error("--bn cudnn: cuDNN needs a GPU; use --device cuda, or --bn own");
  auto host = std::make_unique<HostBackend>(threads);
  if (choices.direct_convolutions) host->set_convolutions(HostBackend::Convolutions::direct);
  return host;
}

std::string cpu_model() {
  return HostBackend::cpu_model();
}

}  // namespace normlab
