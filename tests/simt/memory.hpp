#pragma once
// Device memory: an address range of its own, which the host cannot touch but in an `Open`. Each allocation
// ends (nearly) at a page that nobody may touch, with guard words on both sides.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace simt {

struct Allocation {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  std::uintptr_t pages = 0;  // the pages that hold it
  std::size_t page_bytes = 0;
  std::uint64_t number = 0;  // counts calls of cudaMalloc
  bool pinned = false;       // memory of the host that the device may use, too
};

class Memory {
 public:
  static constexpr std::size_t kDeviceBytes = std::size_t{16} << 30;  // what the device says it has
  static constexpr std::uintptr_t kAlignment = 256;

  /// Null: there is not so much. Filled with 0xFF, which is NaN.
  [[nodiscard]] void* allocate(std::size_t bytes);
  [[nodiscard]] void* allocate_pinned(std::size_t bytes);
  /// False: not allocated, or not of that kind.
  [[nodiscard]] bool release(void* data, bool pinned);

  /// Whose inside or end `at` is; null: nobody's.
  [[nodiscard]] const Allocation* find(const void* at) const;
  /// In the address range of the device, allocated or not.
  [[nodiscard]] bool on_device(const void* at) const;
  /// Empty if the device may use all of these bytes, else what is wrong with them.
  [[nodiscard]] std::string why_not_device(const void* at, std::size_t bytes) const;
  /// Empty if the host may use them.
  [[nodiscard]] std::string why_not_host(const void* at, std::size_t bytes) const;

  /// Empty, or which words around it were written.
  [[nodiscard]] std::string check(const Allocation& allocation) const;
  [[nodiscard]] std::string check_all() const;

  [[nodiscard]] std::size_t used() const { return used_; }
  [[nodiscard]] std::size_t live() const { return live_.size(); }

  void open();
  void close();

 private:
  void protect(const Allocation& allocation, bool open) const;

  std::uintptr_t range_ = 0, next_ = 0;
  std::map<std::uintptr_t, Allocation> live_;  // by begin
  std::size_t used_ = 0;
  std::uint64_t count_ = 0;
  int open_ = 0;
};
extern Memory& memory;

/// While it lives, what runs is the device.
class Open {
 public:
  Open() { memory.open(); }
  ~Open() { memory.close(); }
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
};

}  // namespace simt
