#include "tests/simt/memory.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>

#ifdef NORMLAB_SIMT_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes)
#endif

namespace simt {

Memory& memory = *new Memory;  // never destroyed: what is static may free until the very end

namespace {

constexpr std::size_t kRange = std::size_t{1} << 36;  // addresses, never used twice
constexpr std::byte kGuard{0xA7};

const std::size_t kPage = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

std::byte* pointer(std::uintptr_t at) {
  return reinterpret_cast<std::byte*>(at);
}

std::string describe(const Allocation& allocation) {
  return fmt::format("{} {} ({} bytes at 0x{:x})",
                     allocation.pinned ? "pinned allocation" : "device allocation", allocation.number,
                     allocation.bytes, allocation.begin);
}

#if !defined(NORMLAB_SIMT_ASAN) && !defined(NORMLAB_SIMT_TSAN)
std::uintptr_t range_begin = 0;

void on_fault(int, siginfo_t* info, void*) {
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (at >= range_begin && at < range_begin + kRange) {
    static const char kText[] =
        "simt: device memory was touched by code of the host, or outside of any allocation by a kernel\n";
    (void)!write(STDERR_FILENO, kText, sizeof kText - 1);
  }
  signal(SIGSEGV, SIG_DFL);  // the instruction is executed again
}
#endif

}  // namespace

void* Memory::allocate(std::size_t bytes) {
  if (bytes == 0 || bytes > kDeviceBytes - used_) return nullptr;
  if (range_ == 0) {
    void* range = mmap(nullptr, kRange, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return nullptr;
    range_ = next_ = reinterpret_cast<std::uintptr_t>(range);
#if !defined(NORMLAB_SIMT_ASAN) && !defined(NORMLAB_SIMT_TSAN)
    range_begin = range_;
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
#endif
  }
  Allocation made;
  const std::size_t padded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  made.bytes = bytes;
  made.page_bytes = (padded + kAlignment + kPage - 1) / kPage * kPage;
  made.pages = next_ + kPage;
  made.begin = made.pages + made.page_bytes - padded;
  made.number = ++count_;
  if (made.pages + made.page_bytes + kPage > range_ + kRange) return nullptr;
  next_ = made.pages + made.page_bytes;
  protect(made, true);
  std::memset(pointer(made.pages), static_cast<int>(kGuard), made.begin - made.pages);
  std::memset(pointer(made.begin), 0xFF, bytes);
  std::memset(pointer(made.begin + bytes), static_cast<int>(kGuard), padded - bytes);
  ASAN_POISON_MEMORY_REGION(pointer(made.pages), made.begin - made.pages);
  ASAN_POISON_MEMORY_REGION(pointer(made.begin + bytes), padded - bytes);
  if (open_ == 0) protect(made, false);
  used_ += bytes;
  live_.emplace(made.begin, made);
  return pointer(made.begin);
}

void* Memory::allocate_pinned(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  void* data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (!data) return nullptr;
  std::memset(data, 0xFF, bytes);
  Allocation made;
  made.begin = reinterpret_cast<std::uintptr_t>(data);
  made.bytes = bytes;
  made.number = ++count_;
  made.pinned = true;
  live_.emplace(made.begin, made);
  return data;
}

bool Memory::release(void* data, bool pinned) {
  const auto found = live_.find(reinterpret_cast<std::uintptr_t>(data));
  if (found == live_.end() || found->second.pinned != pinned) return false;
  const Allocation gone = found->second;
  live_.erase(found);
  if (pinned) {
    std::free(data);
    return true;
  }
  used_ -= gone.bytes;
  ASAN_UNPOISON_MEMORY_REGION(pointer(gone.pages), gone.page_bytes);
  // Gives the memory back and keeps the addresses: whoever touches them later is caught.
  mmap(pointer(gone.pages), gone.page_bytes, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  return true;
}

const Allocation* Memory::find(const void* at) const {
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  auto after = live_.upper_bound(address);
  if (after == live_.begin()) return nullptr;
  const Allocation& candidate = (--after)->second;
  return address <= candidate.begin + candidate.bytes ? &candidate : nullptr;
}

bool Memory::on_device(const void* at) const {
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  return range_ != 0 && address >= range_ && address < range_ + kRange;
}

std::string Memory::why_not_device(const void* at, std::size_t bytes) const {
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  if (const Allocation* found = find(at)) {
    if (address + bytes <= found->begin + found->bytes) return "";
    return fmt::format("{} bytes at {} go beyond the end of {}", bytes, at, describe(*found));
  }
  if (!at) return "a null pointer";
  if (on_device(at)) return fmt::format("{} lies in no allocation of the device: freed, or never there", at);
  return fmt::format("{} is a pointer of the host", at);
}

std::string Memory::why_not_host(const void* at, std::size_t bytes) const {
  if (!at) return "a null pointer";
  if (on_device(at)) return fmt::format("{} is a pointer of the device", at);
  const Allocation* found = find(at);
  if (found && reinterpret_cast<std::uintptr_t>(at) + bytes > found->begin + found->bytes &&
      reinterpret_cast<std::uintptr_t>(at) < found->begin + found->bytes)
    return fmt::format("{} bytes at {} go beyond the end of {}", bytes, at, describe(*found));
  return "";
}

std::string Memory::check(const Allocation& allocation) const {
  if (allocation.pinned) return "";
#ifdef NORMLAB_SIMT_ASAN
  return "";  // it looks at every access
#else
  const auto damaged = [](std::uintptr_t from, std::uintptr_t to) {
    const std::byte* found =
        std::find_if(pointer(from), pointer(to), [](std::byte b) { return b != kGuard; });
    return found == pointer(to) ? nullptr : found;
  };
  if (open_ == 0) protect(allocation, true);
  const std::uintptr_t end = allocation.begin + allocation.bytes;
  const std::byte* before =
      damaged(std::max(allocation.pages, allocation.begin - kAlignment), allocation.begin);
  const std::byte* after = damaged(end, allocation.pages + allocation.page_bytes);
  if (open_ == 0) protect(allocation, false);
  if (!before && !after) return "";
  const std::byte* at = after ? after : before;
  return fmt::format("wrote {} bytes {} {}", after ? at - pointer(end) : pointer(allocation.begin) - at,
                     after ? "after the end of" : "before the begin of", describe(allocation));
#endif
}

std::string Memory::check_all() const {
  for (const auto& [begin, allocation] : live_)
    if (std::string problem = check(allocation); !problem.empty()) return problem;
  return "";
}

void Memory::protect(const Allocation& allocation, bool open) const {
  mprotect(pointer(allocation.pages), allocation.page_bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void Memory::open() {
  if (open_++ > 0) return;
  for (const auto& [begin, allocation] : live_)
    if (!allocation.pinned) protect(allocation, true);
}

void Memory::close() {
  if (--open_ > 0) return;
  for (const auto& [begin, allocation] : live_)
    if (!allocation.pinned) protect(allocation, false);
}

}  // namespace simt
