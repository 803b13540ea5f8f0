#pragma once
/// The namespace of everything in cuda/, so that one program can hold the real and the emulated platform. The
/// include path chooses this header or the one of tests/simt/include.
#define NORMLAB_PLATFORM cuda
