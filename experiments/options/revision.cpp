#include "experiments/options/revision.hpp"

#include <fmt/format.h>

#include "host/cpu/isa.hpp"
#include "normlab_revision.hpp"  // written by cmake/revision.cmake at each build

namespace normlab {

std::string revision() {
  return NORMLAB_REVISION;
}

std::string build_description() {
#ifdef __clang__
  const std::string compiler = fmt::format("clang {}.{}", __clang_major__, __clang_minor__);
#else
  const std::string compiler = fmt::format("gcc {}.{}", __GNUC__, __GNUC_MINOR__);
#endif
  return fmt::format("{}, {}", compiler, NORMLAB_BUILD_TYPE);
}

std::string kernels_description() {
  return fmt::format("kernels for {} (this CPU: {}), {}", compiled_isas(), isa_name(best_isa()),
                     NORMLAB_CUDA_KERNELS);
}

}  // namespace normlab
