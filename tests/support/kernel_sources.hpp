#pragma once
// The kernels of cuda/ as its sources have them: what the emulator must have run, and what the compiled code
// is held against.

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace normlab::test {

struct KernelParameter {
  std::string type;  ///< without const, * and __restrict__
  bool pointer = false, input = false;
};

struct KernelSource {
  std::string name, file;
  std::string comment;  ///< its lines of ///, joined by blanks
  bool is_template = false;
  int threads = 0,
      blocks = 0;  ///< of __launch_bounds__; blocks: that an SM must be able to hold; 0: not given
  std::vector<KernelParameter> parameters;

  /// What follows "Bytes:" in the comment, up to the semicolon or full stop; empty: nothing does.
  [[nodiscard]] std::string bytes() const;
  [[nodiscard]] bool reads_memory() const { return says("in"); }
  [[nodiscard]] bool writes_memory() const { return says("out"); }
  /// Some values are read alone, too, a group's first for instance.
  [[nodiscard]] bool reads_few_alone() const { return says("few"); }
  [[nodiscard]] bool is_memory_bound() const { return reads_memory() || writes_memory(); }
  /// Whether all that comes in (or goes out) are activations, whose elements are T.
  [[nodiscard]] bool takes_only_activations(bool input) const;

 private:
  [[nodiscard]] bool says(const char* word) const;
};

/// `constexpr ... kName = 256;` of all of cuda/.
std::map<std::string, int> constants_of(const std::string& text);

KernelParameter parameter_of(std::string text);

/// Every __global__ function that stands in `folder`. Throws where one has a form that is not understood.
std::vector<KernelSource> kernels_in_sources(const std::filesystem::path& folder);

std::set<std::string> names_of(const std::vector<KernelSource>& kernels);

}  // namespace normlab::test
