// What a batch-coupled layer keeps for the whole batch goes to main memory. An ordinary store would first
// read the line that it is about to overwrite; these do not, and leave the caches to the shard at hand.

#include "host/cpu/host_backend.hpp"

#ifdef __SSE2__
#include <emmintrin.h>
#else
#include <algorithm>
#include <cstring>
#endif

namespace normlab {

void HostBackend::copy(Tensor from, Tensor to) {
  with_storage(from.type, [&]<typename T>(Stored<T>) {
    std::copy_n(from.as<T>(), layout(from).sample * from.shape.n, to.as<T>());
  });
}

void HostBackend::stash(Tensor from, Tensor to) {
  const std::size_t size = bytes(from.shape, from.type, from.layout);  // a multiple of 16 channels' storage
#ifdef __SSE2__
  static_assert(kLanes * sizeof(Bf16) % sizeof(__m128i) == 0);
  const auto* x = reinterpret_cast<const __m128i*>(from.data);
  auto* y = reinterpret_cast<__m128i*>(to.data);
  for (std::size_t i = 0; i < size / sizeof(__m128i); ++i) _mm_stream_si128(y + i, _mm_load_si128(x + i));
  _mm_sfence();  // these stores are not ordered with what tells the other workers that the shard is done
#else
  std::memcpy(to.data, from.data, size);
#endif
}

}  // namespace normlab
