// Compiled without sanitizers. Shared memory of a block: dynamic bytes first, then each static array when its
// place in the source is reached for the first time, with guard words between them. Everything is 0xFF for
// each block.

#include <cstdint>

#include "simt/device.hpp"
#include "tests/simt/machine.hpp"
#include "tests/simt/scheduler.hpp"

#ifdef NORMLAB_SIMT_ASAN
extern "C" void __asan_poison_memory_region(const volatile void* from, std::size_t bytes);
extern "C" void __asan_unpoison_memory_region(const volatile void* from, std::size_t bytes);
#endif

namespace simt {
namespace {

constexpr std::size_t kGuard = 64, kArrays = 64;
constexpr std::size_t kArena = shared::kOptInLimit + shared::kDefaultLimit + kArrays * 2 * kGuard;

struct Array {
  std::size_t offset, bytes;
};

alignas(128) std::byte arenas[kArenas][kArena];
std::byte* arena = arenas[0];
Array arrays[kArrays];  // the first one is the dynamic memory
std::size_t array_count = 0, used = 0, asked = 0, limit = 0;
std::uint64_t launch = 0;

// Not memset: the sanitizers would look at what it does. (Nor does the compiler make one of it: see
// CMakeLists.txt.)
void fill(std::size_t from, std::size_t to) {
  for (std::byte* at = arena + from; at != arena + to; ++at) *at = std::byte{0xFF};
}

Array& add(std::size_t bytes) {
  if (array_count == kArrays) fail("more than %zu arrays in shared memory", kArrays);
  Array& array = arrays[array_count++];
  array = {used, bytes};
  used = (used + bytes + kGuard + 127) / 128 * 128;
  fill(array.offset, used);
#ifdef NORMLAB_SIMT_ASAN
  __asan_unpoison_memory_region(arena + array.offset, array.bytes);
#endif
  return array;
}

}  // namespace

void* static_shared(SharedTag& tag, std::size_t bytes, std::size_t alignment) {
  if (tag.launch != launch) {
    asked += bytes;
    if (alignment > 128) fail("shared array %s wants alignment %zu", tag.name, alignment);
    if (asked > limit)
      fail("shared array %s: with it the block takes %zu bytes, %zu are allowed", tag.name, asked, limit);
    tag.offset = add(bytes).offset;
    tag.launch = launch;
  }
  return arena + tag.offset;
}

void* dynamic_shared() {
  if (arrays[0].bytes == 0) fail("dynamic shared memory, but the launch asked for none");
  return arena;
}

namespace shared {

void begin_grid(std::size_t dynamic, std::size_t allowed) {
  ++launch;
  array_count = used = 0;
  asked = dynamic;
  limit = allowed;
  arena = arenas[0];
#ifdef NORMLAB_SIMT_ASAN
  __asan_poison_memory_region(arena, kArena);
#endif
  add(dynamic);
}

void begin_block(std::uint64_t number) {
  arena = arenas[number % kArenas];
  if (kArenas > 1) {
    fill(0, used);
  } else {
    for (std::size_t i = 0; i < array_count; ++i) fill(arrays[i].offset, arrays[i].offset + arrays[i].bytes);
  }
}

bool end_block() {
  for (std::size_t i = 0; i < array_count; ++i) {
    const std::size_t end = arrays[i].offset + arrays[i].bytes;
    const std::size_t next = i + 1 < array_count ? arrays[i + 1].offset : used;
    for (std::size_t at = end; at < next; ++at)
      if (arena[at] != std::byte{0xFF}) return false;
  }
  return true;
}

}  // namespace shared
}  // namespace simt
