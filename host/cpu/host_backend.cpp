#include "host/cpu/host_backend.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <new>

#include "host/cpu/limits.hpp"
#include "host/cpu/onednn.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"
#include "layers/kernels/all.hpp"

namespace normlab {

namespace {

constexpr std::size_t kAlignment = 128;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
/// A shard's activations should stay in one core's second-level cache.
constexpr std::size_t kShardBytes = std::size_t{3} << 19;
constexpr int kMaxShardSamples = 8;

}  // namespace

namespace {

/// NORMLAB_ISA limits our kernels and the library's alike, before either is used.
bool heed_environment() {
  if (const std::optional<Isa> wanted = isa_from_environment()) {
    force_isa(*wanted);
    onednn::limit_isa(*wanted);
  }
  return true;
}

}  // namespace

HostBackend::HostBackend(int threads, Blocks blocks)
    : heeded_(heed_environment()),
      f32_blocked_(blocks == Blocks::automatic ? onednn::prefers_blocks(DataType::f32)
                                               : blocks == Blocks::blocked),
      bf16_blocked_(blocks == Blocks::automatic ? onednn::prefers_blocks(DataType::bf16)
                                                : blocks == Blocks::blocked),
      pool_(std::clamp(threads, 1, kBatchLanes)) {
  AllKernels::each([this]<typename Family>() { add(make_host_kernels<Family>(*this)); });
}

void HostBackend::add_note(std::string note) {
  if (std::ranges::find(notes_, note) == notes_.end()) notes_.push_back(std::move(note));
}

std::string HostBackend::cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

std::string HostBackend::description() const {
  return fmt::format("{}, {} thread{}, {}", cpu_model(), active_workers(), active_workers() == 1 ? "" : "s",
                     isa());
}

std::string HostBackend::isa() const {
  return onednn::isa_name();
}

std::string HostBackend::why_not(DataType type) const {
  if (type == DataType::f32 || onednn::has_bf16()) return {};
  return fmt::format("this CPU ({}, {}) has neither AVX512-BF16 nor AMX", cpu_model(), isa());
}

std::byte* HostBackend::allocate(std::size_t bytes) {
  // Batch norm walks through its arena segment by segment: huge pages spare most of the address translation.
  const bool is_large = bytes >= 2 * kHugePage;
  const std::size_t alignment = is_large ? kHugePage : kAlignment;
  const std::size_t rounded = std::max(alignment, (bytes + alignment - 1) / alignment * alignment);
  // The kernel hands out more memory than there is and kills later: ask for what is left.
  const bool fits = !is_large || rounded < available_memory();
  auto* data = fits ? static_cast<std::byte*>(std::aligned_alloc(alignment, rounded)) : nullptr;
  if (data == nullptr) {
    throw Error(
        "out of memory: {:.1f} MB could not be allocated; use a smaller --batch-size or --width, fewer "
        "--jobs, or "
        "raise the limit (ulimit -v)",
        static_cast<double>(bytes) / 1e6);
  }
  if (is_large) madvise(data, rounded, MADV_HUGEPAGE);  // a wish; nothing depends on it
  std::memset(data, 0, rounded);
  return data;
}

void HostBackend::release(std::byte* data) noexcept {
  std::free(data);
}

std::size_t HostBackend::bytes(Shape shape, DataType type, Layout layout) const {
  if (layout == Layout::image) return shape.count() * element_bytes(type);
  return as_size(HostLayout(shape, blocked(type)).sample) * as_size(shape.n) * element_bytes(type);
}

void HostBackend::upload(const float* values, Tensor to) {
  const int channels = to.shape.c, pixels = to.shape.pixels();
  const int written = to.layout == Layout::image ? channels : layout(to).padded_channels();
  with_storage(to.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < to.shape.n; ++n) {
      for (int c = 0; c < written; ++c) {
        const auto [first, step] = plane(to, n, c);
        T* at = to.as<T>() + first;
        for (int p = 0; p < pixels; ++p) at[p * step] = static_cast<T>(c < channels ? *values++ : 0.0F);
      }
    }
  });
}

void HostBackend::download(Tensor from, float* values) {
  const int pixels = from.shape.pixels();
  with_storage(from.type, [&]<typename T>(Stored<T>) {
    for (int n = 0; n < from.shape.n; ++n) {
      for (int c = 0; c < from.shape.c; ++c) {
        const auto [first, step] = plane(from, n, c);
        const T* at = from.as<T>() + first;
        for (int p = 0; p < pixels; ++p) *values++ = static_cast<float>(at[p * step]);
      }
    }
  });
}

void HostBackend::to_device(const void* from, void* to, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);  // of an empty buffer not even the address may be passed
}
void HostBackend::to_host(const void* from, void* to, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}
void HostBackend::clear(void* data, std::size_t bytes) {
  std::memset(data, 0, bytes);
}

int HostBackend::shard_samples(std::size_t bytes_per_sample, int batch) const {
  int samples = 1;
  while (samples * 2 <= std::min(kMaxShardSamples, batch) &&
         as_size(samples) * 2 * bytes_per_sample <= kShardBytes) {
    samples *= 2;
  }
  return samples;
}

}  // namespace normlab
