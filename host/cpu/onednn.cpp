#include "host/cpu/onednn.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>

extern "C" __attribute__((weak)) void omp_set_num_threads(
    int threads);  // libdnnl may be built without OpenMP

namespace normlab::onednn {

namespace {

void work_alone() {
  thread_local bool done = false;
  if (done) return;
  done = true;
  if (omp_set_num_threads != nullptr) omp_set_num_threads(1);
}

dnnl::primitive_attr attributes() {
  work_alone();
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

/// The library's values are sets of bits: a greater instruction set contains the lesser ones.
bool contains(dnnl::cpu_isa isa) {
  const auto bits = static_cast<unsigned>(isa);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bits) == bits;
}

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

/// The descriptor of a later implementation; the library's last one, its definition in plain loops, counts as
/// none, for ours is some fifty times as fast. While what the descriptor was made from is alive: oneDNN 2.6
/// keeps a pointer to it. By name, for it also offers again what its cache of primitives has.
template <typename Descriptor>
Descriptor passing_over(int implementations, Descriptor descriptor) {
  for (; implementations > 0; --implementations) {
    const std::string passed = descriptor.impl_info_str();
    do {
      if (!descriptor.next_impl()) throw NoImplementation();
    } while (descriptor.impl_info_str() == passed);
  }
  if (std::string_view(descriptor.impl_info_str()).starts_with("ref")) throw NoImplementation();
  return descriptor;
}

}  // namespace

const dnnl::engine& engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& stream() {
  work_alone();
  thread_local dnnl::stream stream(engine());
  return stream;
}

std::mutex& creation_mutex() {
  static std::mutex mutex;
  return mutex;
}

std::string isa_name() {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  switch (isa) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    default:
      return fmt::format("isa-{:#x}", static_cast<unsigned>(isa));  // newer than this code, or no x86
  }
}

void limit_isa(Isa isa) {
  if (isa == Isa::avx512) return;
  (void)dnnl::set_max_cpu_isa(isa == Isa::avx2 ? dnnl::cpu_isa::avx2 : dnnl::cpu_isa::sse41);
}

bool has_bf16() {
  return contains(dnnl::cpu_isa::avx512_core_bf16);  // every CPU with AMX has it, too
}

bool has_amx() {
  return contains(dnnl::cpu_isa::avx512_core_amx);
}

bool prefers_blocks(DataType type) {
  if (type == DataType::bf16 && has_amx()) return false;
  return contains(dnnl::cpu_isa::avx512_core);
}

dnnl::convolution_forward::primitive_desc forward(const ConvDescs& d, int implementation) {
#if DNNL_VERSION_MAJOR >= 3
  return passing_over(implementation,
                      dnnl::convolution_forward::primitive_desc(
                          engine(), dnnl::prop_kind::forward_training, kDirect, d.x, d.weights, d.bias, d.y,
                          d.strides, d.padding, d.padding, attributes()));
#else
  const dnnl::convolution_forward::desc desc(dnnl::prop_kind::forward_training, kDirect, d.x, d.weights,
                                             d.bias, d.y, d.strides, d.padding, d.padding);
  return passing_over(implementation,
                      dnnl::convolution_forward::primitive_desc(desc, attributes(), engine()));
#endif
}

dnnl::convolution_backward_data::primitive_desc backward_data(
    const ConvDescs& d, const dnnl::convolution_forward::primitive_desc& hint, int implementation) {
#if DNNL_VERSION_MAJOR >= 3
  return passing_over(implementation, dnnl::convolution_backward_data::primitive_desc(
                                          engine(), kDirect, d.x, d.weights, d.y, d.strides, d.padding,
                                          d.padding, hint, attributes()));
#else
  const dnnl::convolution_backward_data::desc desc(kDirect, d.x, d.weights, d.y, d.strides, d.padding,
                                                   d.padding);
  return passing_over(implementation,
                      dnnl::convolution_backward_data::primitive_desc(desc, attributes(), engine(), hint));
#endif
}

dnnl::convolution_backward_weights::primitive_desc backward_weights(
    const ConvDescs& d, const dnnl::convolution_forward::primitive_desc& hint, int implementation) {
#if DNNL_VERSION_MAJOR >= 3
  return passing_over(implementation, dnnl::convolution_backward_weights::primitive_desc(
                                          engine(), kDirect, d.x, d.weights, d.bias, d.y, d.strides,
                                          d.padding, d.padding, hint, attributes()));
#else
  const dnnl::convolution_backward_weights::desc desc(kDirect, d.x, d.weights, d.bias, d.y, d.strides,
                                                      d.padding, d.padding);
  return passing_over(implementation,
                      dnnl::convolution_backward_weights::primitive_desc(desc, attributes(), engine(), hint));
#endif
}

}  // namespace normlab::onednn
