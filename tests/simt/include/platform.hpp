#pragma once
/// See cuda/native/platform.hpp.
#define NORMLAB_PLATFORM cuda_emulated
