// Launches: limits, arguments, names and guard words around the execution of a kernel.

#include <cxxabi.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "simt/runtime.hpp"
#include "tests/simt/machine.hpp"
#include "tests/simt/memory.hpp"
#include "tests/simt/queue.hpp"
#include "tests/simt/ranges.hpp"
#include "tests/simt/scheduler.hpp"

namespace simt {
namespace {

struct Function {
  std::string name;
  std::size_t shared_limit = 0;  // of dynamic shared memory, where it was set
  std::uint64_t launches = 0;
};

std::map<const void*, Function>& functions() {
  static auto& all = *new std::map<const void*, Function>;
  return all;
}

// "normlab::relu_forward" of "void normlab::relu_forward<float>(float const*, int)".
std::string short_name(std::string name) {
  std::string plain;
  int depth = 0;
  for (const char c : name) {
    if (c == '<') ++depth;
    if (depth == 0 && c == '(') break;
    if (depth == 0) plain += c;
    if (c == '>') --depth;
  }
  const std::size_t space = plain.find_last_of(' ');
  return space == std::string::npos ? plain : plain.substr(space + 1);
}

Function& function_of(const void* kernel) {
  Function& function = functions()[kernel];
  if (function.name.empty()) {
    Dl_info info = {};
    if (dladdr(kernel, &info) && info.dli_sname && info.dli_saddr == kernel) {
      int status = 0;
      char* text = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
      function.name = short_name(status == 0 ? text : info.dli_sname);
      std::free(text);
    } else {  // in an anonymous namespace, or static
      function.name = fmt::format("unnamed kernel {}", kernel);
    }
  }
  return function;
}

// Programs, heaps and stacks lie above; below, the sanitizers map terabytes that two small integers may point
// into.
constexpr std::uintptr_t kLowestOfHost = 0x500000000000;

bool is_mapped(std::uintptr_t address) {
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char resident = 0;
  return mincore(reinterpret_cast<void*>(address / page * page), 1, &resident) == 0;
}

// Looks at an argument, or at each word of a structure, for pointers that the device cannot use. Those it can
// go to `used`.
std::string check_argument(std::size_t number, const Argument& argument, std::set<const Allocation*>& used) {
  for (std::size_t at = 0; at + sizeof(void*) <= argument.bytes; at += sizeof(void*)) {
    std::uintptr_t word = 0;
    std::memcpy(&word, static_cast<const std::byte*>(argument.data) + at, sizeof word);
    const auto* pointer = reinterpret_cast<const void*>(word);
    if (const Allocation* allocation = memory.find(pointer)) {
      used.insert(allocation);
    } else if (argument.pointer ? word != 0
                                : memory.on_device(pointer) ||
                                      (word >= kLowestOfHost && word >> 47 == 0 && is_mapped(word))) {
      return fmt::format("argument {}{}: {}", number,
                         argument.pointer ? "" : fmt::format(" (byte {} of it)", at),
                         memory.why_not_device(pointer, 0));
    }
  }
  return "";
}

Problem execute(const Kernel& kernel, const Grid& grid) {
  Function& function = function_of(kernel.function);
  std::set<const Allocation*> used;
  const std::vector<Argument> arguments = kernel.arguments();
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (const std::string problem = check_argument(i, arguments[i], used); !problem.empty())
      return {cudaErrorIllegalAddress, fmt::format("{}: {}", function.name, problem)};
  }
  ++function.launches;
  ++mutable_counters().launches;
  if (std::string problem = run_grid(function.name, grid, kernel.thread); !problem.empty())
    return {cudaErrorLaunchFailure, problem};
  for (const Allocation* allocation : used) {
    if (const std::string problem = memory.check(*allocation); !problem.empty())
      return {cudaErrorIllegalAddress, fmt::format("{}: {}", function.name, problem)};
  }
  return {};
}

std::string check_limits(const dim3& grid, const dim3& block, std::size_t shared, std::size_t limit) {
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (block.x > 1024 || block.y > 1024 || block.z > 64 || threads > kThreads || threads == 0)
    return fmt::format("a block of {} x {} x {} threads: at most 1024 x 1024 x 64, and 1024 in all", block.x,
                       block.y, block.z);
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535)
    return fmt::format("a grid of {} x {} x {} blocks: 1 to 2147483647 x 65535 x 65535", grid.x, grid.y,
                       grid.z);
  if (shared > limit)
    return fmt::format("{} bytes of shared memory: {} are allowed (more by cudaFuncSetAttribute, up to {})",
                       shared, limit, shared::kOptInLimit);
  return "";
}

}  // namespace

cudaError_t launch(Kernel kernel, dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (!kernel.function) return error(cudaErrorInvalidDeviceFunction, "a launch of no kernel");
  const Function& function = function_of(kernel.function);
  const std::size_t limit = std::max(shared::kDefaultLimit, function.shared_limit);
  if (const std::string problem = check_limits(grid, block, shared, limit); !problem.empty())
    return error(cudaErrorInvalidConfiguration, fmt::format("{}: {}", function.name, problem));
  const cudaStream_t found = find_stream(stream);
  if (found && !found->capture) {
    ++mutable_counters().direct_launches;
    count_launch();
  }
  return submit(stream, [kernel = std::move(kernel), grid = Grid{grid, block, shared, limit}] {
    return execute(kernel, grid);
  });
}

std::map<std::string, std::uint64_t> kernels() {
  const Lock lock(device.mutex);
  std::map<std::string, std::uint64_t> all;
  for (const auto& [address, function] : functions())
    if (function.launches > 0) all[function.name] += function.launches;
  return all;
}

}  // namespace simt

using namespace simt;

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (!kernel) return error(cudaErrorInvalidDeviceFunction);
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<std::size_t>(value) > shared::kOptInLimit)
    return error(cudaErrorInvalidValue,
                 fmt::format("cudaFuncSetAttribute: {} bytes of shared memory, at most {}", value,
                             shared::kOptInLimit));
  function_of(kernel).shared_limit = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  const Lock lock(device.mutex);
  if (!attributes || !kernel) return error(cudaErrorInvalidValue);
  *attributes = {};
  attributes->maxThreadsPerBlock = static_cast<int>(kThreads);
  attributes->numRegs = 32;
  attributes->ptxVersion = attributes->binaryVersion = 90;
  attributes->maxDynamicSharedSizeBytes =
      static_cast<int>(std::max(shared::kDefaultLimit, function_of(kernel).shared_limit));
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int threads,
                                                          std::size_t shared) {
  const Lock lock(device.mutex);
  if (!blocks || !kernel || threads < 1 || threads > static_cast<int>(kThreads))
    return error(cudaErrorInvalidValue);
  const int by_shared = shared == 0 ? 32 : static_cast<int>((228 << 10) / (shared + 1024));
  *blocks = std::min({2048 / ((threads + 31) / 32 * 32), by_shared, 32});
  return cudaSuccess;
}
