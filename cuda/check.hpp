#pragma once
// One throwing check for each library, with the call, the place and the library's own words; and a no-throw
// twin for destructors.

#include <cublas_v2.h>
#include <cudnn.h>

#include "device_language.hpp"

namespace normlab::NORMLAB_PLATFORM {

void check(cudaError_t status, const char* call, const char* file, int line);
void check(cudnnStatus_t status, const char* call, const char* file, int line);
void check(cublasStatus_t status, const char* call, const char* file, int line);

/// Prints what went wrong while something was destroyed; nobody could catch it.
void report(cudaError_t status, const char* call) noexcept;
void report(cudnnStatus_t status, const char* call) noexcept;
void report(cublasStatus_t status, const char* call) noexcept;

}  // namespace normlab::NORMLAB_PLATFORM

#define NORMLAB_CHECK(call) ::normlab::NORMLAB_PLATFORM::check((call), #call, __FILE__, __LINE__)
#define NORMLAB_REPORT(call) ::normlab::NORMLAB_PLATFORM::report((call), #call)
