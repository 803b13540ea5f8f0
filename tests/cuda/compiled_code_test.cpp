// What nvcc made of cuda/: no spills, 16 bytes at a time where memory is the limit, and registers and shared
// memory that let as many blocks onto a multiprocessor as stand in __launch_bounds__. The machine code is
// read with cuobjdump and nvdisasm; where they are not (`tools/setup` says how to get them), PTX, which knows
// no registers.

#include <cxxabi.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <regex>
#include <sstream>
#include <thread>
#include <utility>

#include "tests/support/kernel_sources.hpp"
#include "tests/support/places.hpp"
#include "tests/support/program.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::KernelSource;

const fs::path kRoot = test::source_dir();

const std::vector<KernelSource>& sources() {
  static const std::vector<KernelSource> kernels = test::kernels_in_sources(kRoot / "cuda");
  return kernels;
}

TEST(KernelSources, SayTheirBytesAndTheirOccupancy) {
  EXPECT_GT(sources().size(), 35U);
  for (const KernelSource& kernel : sources()) {
    SCOPED_TRACE(kernel.file + ": " + kernel.name);
    if (kernel.is_template) {
      EXPECT_FALSE(kernel.bytes().empty())
          << "the comment lacks 'Bytes: ... in, ... out.', or 'Bytes: few.' where memory is no limit";
    }
    if (!kernel.is_memory_bound()) continue;
    EXPECT_GT(kernel.blocks, 0) << "write __launch_bounds__(threads, blocks that an SM shall hold)";
    EXPECT_GE(kernel.threads * kernel.blocks, 512) << "too few threads to keep memory busy";
    EXPECT_LE(kernel.threads * kernel.blocks, 2048);
  }
}

#ifdef NORMLAB_CUDA_LIBRARY

/// One instance of a kernel, for one architecture.
struct Compiled {
  std::string architecture, name, instance;
  int registers = 0, stack = 0, shared = 0;
  int wide_loads = 0, narrow_loads = 0, wide_stores = 0, narrow_stores = 0, local = 0;
};

/// The kernel's name and, for people, its template arguments.
std::pair<std::string, std::string> demangled(const std::string& symbol) {
  int status = 0;
  char* text = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  std::string name = status == 0 ? text : symbol;
  std::free(text);
  name = name.substr(0, name.find('('));
  name = std::regex_replace(name, std::regex("^void |normlab::cuda::"), "");
  return {name.substr(0, name.find('<')), name};
}

std::optional<fs::path> disassembler() {
  const auto usable = [](const fs::path& folder) {
    return access((folder / "cuobjdump").c_str(), X_OK) == 0 &&
           access((folder / "nvdisasm").c_str(), X_OK) == 0;
  };
  std::vector<fs::path> folders{fs::path(NORMLAB_NVCC).parent_path()};
  const fs::path own = kRoot / "build" / "disassembler" / "nvidia";
  if (fs::exists(own)) {
    for (const auto& entry : fs::directory_iterator(own)) folders.push_back(entry.path() / "bin");
  }
  const char* path = std::getenv("PATH");
  std::stringstream list(path == nullptr ? "" : path);
  for (std::string folder; std::getline(list, folder, ':');) folders.emplace_back(folder);
  const auto found = std::find_if(folders.begin(), folders.end(), usable);
  return found == folders.end() ? std::nullopt : std::optional(*found);
}

std::string output_of(const std::string& line) {
  const test::ProgramResult result = test::run_command(line);
  EXPECT_EQ(result.status, 0) << line << "\n" << result.output.substr(0, 2000);
  return result.output;
}

/// Registers, stack and shared memory of all kernels, in the library's own order.
std::vector<Compiled> resources(const fs::path& tools) {
  std::vector<Compiled> all;
  Compiled next;
  std::stringstream lines(output_of(
      fmt::format("\"{}\" -res-usage \"{}\"", (tools / "cuobjdump").string(), NORMLAB_CUDA_LIBRARY)));
  static const std::regex architecture(R"(^arch = (\S+))"), function(R"(Function (\S+):)"),
      figures(R"(REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+))");
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_search(line, match, architecture)) next.architecture = match[1];
    if (std::regex_search(line, match, function)) std::tie(next.name, next.instance) = demangled(match[1]);
    if (!std::regex_search(line, match, figures)) continue;
    next.registers = std::stoi(match[1]);
    next.stack = std::stoi(match[2]);
    next.shared = std::stoi(match[3]);
    next.local = std::stoi(match[4]);
    all.push_back(next);
  }
  return all;
}

/// Counts one machine instruction or line of PTX; both name global memory, the width and local memory.
void count_access(Compiled& kernel, bool is_load, bool is_wide) {
  (is_load   ? is_wide ? kernel.wide_loads : kernel.narrow_loads
   : is_wide ? kernel.wide_stores
             : kernel.narrow_stores)++;
}

/// Memory accesses in the machine code for one architecture, by instance.
std::map<std::string, Compiled> accesses(const fs::path& tools, const std::string& architecture) {
  const std::string text =
      output_of(fmt::format("PATH=\"{0}:$PATH\" cuobjdump -sass -arch {1} \"{2}\" | grep -E 'Function "
                            ":|LDG|STG|LDL|STL| LD\\.| ST\\.'",
                            tools.string(), architecture, NORMLAB_CUDA_LIBRARY));
  std::map<std::string, Compiled> kernels;
  Compiled* kernel = nullptr;
  static const std::regex function(R"(Function : (\S+))"),
      access(R"(\b(LDG|STG|LD|ST|LDL|STL)\.([A-Z0-9.]+))");
  std::smatch match;
  std::stringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_search(line, match, function)) {
      const auto [name, instance] = demangled(match[1]);
      kernel = &kernels[instance];
      *kernel = {architecture, name, instance};
    } else if (kernel != nullptr && std::regex_search(line, match, access)) {
      const std::string operation = match[1], modifiers = match[2];
      if (operation.back() == 'L') {
        ++kernel->local;
      } else {
        const bool wide =
            modifiers.find("128") != std::string::npos || modifiers.find("256") != std::string::npos;
        count_access(*kernel, operation.starts_with("LD"), wide);
      }
    }
  }
  return kernels;
}

/// The same from PTX, for the files that have memory-bound kernels.
std::map<std::string, Compiled> accesses_in_ptx() {
  std::set<std::string> files;
  for (const KernelSource& kernel : sources()) {
    if (kernel.is_memory_bound()) files.insert(kernel.file);
  }
  const std::vector<std::string> list(files.begin(), files.end());
  std::vector<std::string> texts(list.size());
  const auto work = [&](std::size_t first, std::size_t step) {
    for (std::size_t i = first; i < list.size(); i += step) {
      texts[i] = output_of(fmt::format("{} -ptx -arch=compute_80 -o - \"{}\"", NORMLAB_NVCC_LINE,
                                       (kRoot / "cuda" / list[i]).string()));
    }
  };
  {
    std::vector<std::jthread> others;
    const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
    for (std::size_t i = 0; i < threads; ++i) others.emplace_back(work, i, threads);
  }
  std::map<std::string, Compiled> kernels;
  static const std::regex entry(R"(\.entry (\w+))"), access(R"(\b(ld|st)\.(global|local)([.a-z0-9]*))");
  std::smatch match;
  for (const std::string& text : texts) {
    Compiled* kernel = nullptr;
    std::stringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (std::regex_search(line, match, entry)) {
        const auto [name, instance] = demangled(match[1]);
        kernel = &kernels[instance];
        *kernel = {"PTX", name, instance};
      } else if (kernel != nullptr && std::regex_search(line, match, access)) {
        const std::string modifiers = match[3];
        const bool wide =
            modifiers.find(".v4.") != std::string::npos && modifiers.find("16") == std::string::npos;
        if (match[2] == "local") {
          ++kernel->local;
        } else {
          count_access(*kernel, match[1] == "ld", wide);
        }
      }
    }
  }
  return kernels;
}

/// Every memory-bound kernel of the sources against what was made of it.
void check_accesses(const std::map<std::string, Compiled>& kernels) {
  for (const KernelSource& source : sources()) {
    int instances = 0;
    for (const auto& [instance, kernel] : kernels) {
      if (kernel.name != source.name) continue;
      ++instances;
      SCOPED_TRACE(kernel.architecture + ": " + instance);
      EXPECT_EQ(kernel.local, 0) << "local memory is touched";
      if (source.reads_memory()) {
        EXPECT_GT(kernel.wide_loads, 0) << "no load of 16 bytes";
        if (source.takes_only_activations(true) && !source.reads_few_alone()) {
          EXPECT_EQ(kernel.narrow_loads, 0) << "activations come in pieces";
        }
      }
      if (source.writes_memory()) {
        EXPECT_GT(kernel.wide_stores, 0) << "no store of 16 bytes";
        if (source.takes_only_activations(false)) {
          EXPECT_EQ(kernel.narrow_stores, 0) << "activations leave in pieces";
        }
      }
    }
    if (source.is_memory_bound()) {
      EXPECT_GT(instances, 0) << source.name << " was not compiled";
    }
  }
}

class CompiledCode : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!tools_) GTEST_SKIP() << "no cuobjdump with nvdisasm beside it: tools/setup says how to get them";
  }
  static const KernelSource& source_of(const Compiled& kernel) {
    const auto found = std::find_if(sources().begin(), sources().end(),
                                    [&](const KernelSource& source) { return source.name == kernel.name; });
    if (found == sources().end()) throw std::runtime_error(kernel.name + " is not in cuda/");
    return *found;
  }
  const std::optional<fs::path> tools_ = disassembler();
};

TEST_F(CompiledCode, IsThatOfEveryKernelForEachArchitecture) {
  std::map<std::string, std::set<std::string>> compiled;
  for (const Compiled& kernel : resources(*tools_)) compiled[kernel.architecture].insert(kernel.name);
  const std::set<std::string> all = test::names_of(sources());
  EXPECT_FALSE(compiled.empty());
  for (const auto& [architecture, names] : compiled) {
    SCOPED_TRACE(architecture);
    EXPECT_EQ(names, all);
  }
}

TEST_F(CompiledCode, HasNoStackAndAllowsTheOccupancyOfItsLaunchBounds) {
  constexpr int kRegisters = 65536, kReserved = 1024;  // shared memory that the driver takes for each block
  for (const Compiled& kernel : resources(*tools_)) {
    SCOPED_TRACE(kernel.architecture + ": " + kernel.instance);
    EXPECT_EQ(kernel.stack, 0) << "registers were spilled";
    EXPECT_EQ(kernel.local, 0);
    const KernelSource& source = source_of(kernel);
    if (source.blocks == 0) continue;
    const int each = (kernel.registers + 7) / 8 * 8, threads = (source.threads + 31) / 32 * 32;
    EXPECT_LE(each * threads * source.blocks, kRegisters) << kernel.registers << " registers";
    const int shared_of_sm = (kernel.architecture == "sm_80" ? 164 : 228) * 1024;
    EXPECT_LE((std::max(kernel.shared, kReserved)) * source.blocks, shared_of_sm);
  }
}

TEST_F(CompiledCode, MovesSixteenBytesAtATimeWhereMemoryIsTheLimit) {
  std::set<std::string> architectures;
  for (const Compiled& kernel : resources(*tools_)) architectures.insert(kernel.architecture);
  std::vector<std::map<std::string, Compiled>> found(architectures.size());
  {
    std::vector<std::jthread> threads;
    for (auto at = architectures.begin(); at != architectures.end(); ++at) {
      auto& to = found[static_cast<std::size_t>(std::distance(architectures.begin(), at))];
      threads.emplace_back(
          [&to, &tools = *tools_, architecture = *at] { to = accesses(tools, architecture); });
    }
  }
  for (const auto& kernels : found) check_accesses(kernels);
}

/// What can be read without a disassembler.
TEST(CompiledPtx, MovesSixteenBytesAtATimeWhereMemoryIsTheLimit) {
  if (disassembler()) GTEST_SKIP() << "the machine code was read, which tells more";
  check_accesses(accesses_in_ptx());
}

#else

TEST(CompiledCode, NoneHere) {
  GTEST_SKIP() << "nothing was compiled for a GPU: " NORMLAB_NO_CUDA;
}

#endif

}  // namespace
}  // namespace normlab
