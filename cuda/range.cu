// Ranges for Nsight: NVTX, domain "normlab". Without a profiler a call is a load and a branch.

#include <cuda_profiler_api.h>
#include <nvtx3/nvToolsExt.h>

#include "cuda/device.hpp"

namespace normlab::NORMLAB_PLATFORM {

namespace {

nvtxDomainHandle_t domain() {
  static const nvtxDomainHandle_t handle = nvtxDomainCreateA("normlab");  // lives as long as the program
  return handle;
}

}  // namespace

void CudaBackend::begin_range(const std::string& name) {
  auto [entry, is_new] = range_names_.try_emplace(name, nullptr);
  if (is_new) entry->second = nvtxDomainRegisterStringA(domain(), name.c_str());
  nvtxEventAttributes_t attributes{};
  attributes.version = NVTX_VERSION;
  attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  attributes.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
  attributes.message.registered = static_cast<nvtxStringHandle_t>(entry->second);
  nvtxDomainRangePushEx(domain(), &attributes);
}

void CudaBackend::end_range() noexcept {
  nvtxDomainRangePop(domain());
}

void CudaBackend::set_profiling(bool on) {
  NORMLAB_CHECK(
      cudaStreamSynchronize(stream()));  // what was given before is not in it, what is in it has run
  NORMLAB_CHECK(on ? cudaProfilerStart() : cudaProfilerStop());
}

}  // namespace normlab::NORMLAB_PLATFORM
