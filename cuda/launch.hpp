#pragma once
// The one way to start a kernel: arguments are converted to the kernel's parameters, and the launch is
// checked.

#include <tuple>
#include <type_traits>

#include "cuda/check.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// More dynamic shared memory than this must be asked for.
inline constexpr std::size_t kDefaultSharedBytes = 48 * 1024;

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, Arguments... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments),
                "the kernel takes another number of arguments");
  static_assert((!std::is_reference_v<Parameters> && ...), "a kernel cannot take references to host values");
  std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
  if (shared_bytes > kDefaultSharedBytes) {
    NORMLAB_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       static_cast<int>(shared_bytes)));
  }
  std::apply(
      [&](auto&... value) {
        void* pointers[] = {static_cast<void*>(&value)...};
        NORMLAB_CHECK(cudaLaunchKernel(kernel, grid, block, pointers, shared_bytes, stream));
      },
      values);
}

}  // namespace normlab::NORMLAB_PLATFORM
