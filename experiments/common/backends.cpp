#include "experiments/common/backends.hpp"

#include "host/host_backend.hpp"
#include "layers/error.hpp"

namespace normlab {

std::unique_ptr<Backend> make_backend(const std::string& device, int threads) {
  if (device == "cuda") {
    throw Error("--device cuda: this build has no CUDA backend; use --device cpu");
  }
  if (device != "auto" && device != "cpu") {
    throw UsageError("unknown device '{}'; choose auto, cpu or cuda", device);
  }
  return std::make_unique<HostBackend>(threads);
}

std::string cpu_model() {
  return HostBackend::cpu_model();
}

}  // namespace normlab
