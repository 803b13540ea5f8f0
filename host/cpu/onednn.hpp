#pragma once
// The one place that knows oneDNN's versions (2.6 and 3.x make descriptors differently) and its threads.

#include <dnnl.hpp>
#include <mutex>
#include <string>

#include "host/cpu/isa.hpp"
#include "layers/data_type.hpp"

namespace normlab::onednn {

/// The CPU engine of the process.
[[nodiscard]] const dnnl::engine& engine();

/// The calling thread's stream. Its first use tells OpenMP that this thread works alone: a primitive that was
/// made for several threads waits for ever when one of our workers runs it.
[[nodiscard]] dnnl::stream& stream();

/// Primitives are made one at a time; concurrent creation is a race inside the library.
[[nodiscard]] std::mutex& creation_mutex();

/// "avx512_core_bf16", "avx2", ... as the library sees this CPU.
[[nodiscard]] std::string isa_name();
/// Keeps the library to an instruction set; it heeds only the first call, made before any primitive.
void limit_isa(Isa isa);
/// Whether there are instructions that multiply bf16: AVX512-BF16 or AMX.
[[nodiscard]] bool has_bf16();
/// Whether some of them are AMX's.
[[nodiscard]] bool has_amx();
/// Whether 16-channel blocks are this CPU's fast layout. With AMX it is NHWC.
[[nodiscard]] bool prefers_blocks(DataType type);

struct ConvDescs {
  dnnl::memory::desc x, weights, bias, y;  ///< bias may be empty
  dnnl::memory::dims strides, padding;
};

/// The library has no implementation of that number.
struct NoImplementation {};

/// implementation: how many of the library's choices are passed over.
[[nodiscard]] dnnl::convolution_forward::primitive_desc forward(const ConvDescs& descs, int implementation);
[[nodiscard]] dnnl::convolution_backward_data::primitive_desc backward_data(
    const ConvDescs& descs, const dnnl::convolution_forward::primitive_desc& hint, int implementation);
[[nodiscard]] dnnl::convolution_backward_weights::primitive_desc backward_weights(
    const ConvDescs& descs, const dnnl::convolution_forward::primitive_desc& hint, int implementation);

}  // namespace normlab::onednn
