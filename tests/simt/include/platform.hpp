#pragma once
/// The namespace of cuda/ where it is compiled for the emulated platform.
#define NORMLAB_PLATFORM cuda_emulated
