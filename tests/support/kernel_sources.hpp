#pragma once
// The kernels of cuda/ as its sources have them: what the emulator must have run, and what the compiled code
// is held against.

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace normlab::testing {

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
  [[nodiscard]] std::string bytes() const {
    const std::size_t at = comment.find("Bytes: ");
    if (at == std::string::npos) return "";
    return comment.substr(at + 7, comment.find_first_of(";.", at) - at - 7);
  }
  [[nodiscard]] bool reads_memory() const { return says("in"); }
  [[nodiscard]] bool writes_memory() const { return says("out"); }
  /// Some values are read alone, too, a group's first for instance.
  [[nodiscard]] bool reads_few_alone() const { return says("few"); }
  [[nodiscard]] bool is_memory_bound() const { return reads_memory() || writes_memory(); }
  /// Whether all that comes in (or goes out) are activations, whose elements are T.
  [[nodiscard]] bool takes_only_activations(bool input) const {
    return std::all_of(parameters.begin(), parameters.end(), [input](const KernelParameter& p) {
      return !p.pointer || p.input != input || p.type == "T";
    });
  }

 private:
  [[nodiscard]] bool says(const char* word) const {
    return std::regex_search(bytes(), std::regex(std::string("\\b") + word + "\\b"));
  }
};

/// `constexpr ... kName = 256;` of all of cuda/.
inline std::map<std::string, int> constants_of(const std::string& text) {
  static const std::regex pattern(R"(constexpr\s+(?:int|unsigned|auto)\s+(k\w+)\s*=\s*(\d+)U?;)");
  std::map<std::string, int> found;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
    found[(*it)[1]] = std::stoi((*it)[2]);
  }
  return found;
}

inline KernelParameter parameter_of(std::string text) {
  KernelParameter p;
  p.pointer = text.find('*') != std::string::npos;
  p.input = text.find("const ") != std::string::npos;
  text = std::regex_replace(text, std::regex(R"(\bconst\b|\b__restrict__\b|\*)"), " ");
  std::stringstream(text) >> p.type;
  return p;
}

/// Every __global__ function that stands in `folder`. Throws where one has a form that is not understood.
inline std::vector<KernelSource> kernels_in_sources(const std::filesystem::path& folder) {
  static const std::regex pattern(
      R"(((?:[ \t]*///[^\n]*\n)*)[ \t]*(template\s*<[^\n]*>\s*)?__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\(([^)]*)\)\s*)?(?:void\s+)?(\w+)\s*\(([^)]*)\))");
  std::map<std::string, std::string> texts;
  std::map<std::string, int> constants;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    texts[entry.path().filename().string()] = text.str();
    constants.merge(constants_of(text.str()));
  }
  std::vector<KernelSource> kernels;
  for (const auto& [file, text] : texts) {
    const std::map<std::string, int> own = constants_of(text);  // a file's own come first
    const auto number = [&](std::string word) {
      word = std::regex_replace(word, std::regex(R"(\s)"), "");
      int value = 0;
      if (std::from_chars(word.data(), word.data() + word.size(), value).ec == std::errc{}) return value;
      if (const auto it = own.find(word); it != own.end()) return it->second;
      if (const auto it = constants.find(word); it != constants.end()) return it->second;
      throw std::runtime_error(file + ": __launch_bounds__ with " + word + ", which is no constant of cuda/");
    };
    std::size_t qualifiers = 0, found = 0;
    for (std::size_t at = 0; (at = text.find("__global__", at)) != std::string::npos; ++at) ++qualifiers;
    for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it, ++found) {
      KernelSource kernel;
      kernel.file = file;
      kernel.name = (*it)[4];
      kernel.is_template = (*it)[2].matched && (*it)[2].length() > 0;
      kernel.comment = std::regex_replace((*it)[1].str(), std::regex(R"(\s*///\s*)"), " ");
      const std::string bounds = (*it)[3], parameters = (*it)[5];
      if (const std::size_t comma = bounds.find(','); comma != std::string::npos) {
        kernel.blocks = number(bounds.substr(comma + 1));
      }
      if (!bounds.empty()) kernel.threads = number(bounds.substr(0, bounds.find(',')));
      std::stringstream list(parameters);
      for (std::string one; std::getline(list, one, ',');) kernel.parameters.push_back(parameter_of(one));
      kernels.push_back(std::move(kernel));
    }
    if (found != qualifiers)
      throw std::runtime_error(file + ": __global__ stands where no kernel was recognized");
  }
  return kernels;
}

inline std::set<std::string> names_of(const std::vector<KernelSource>& kernels) {
  std::set<std::string> names;
  for (const KernelSource& kernel : kernels) names.insert(kernel.name);
  return names;
}

}  // namespace normlab::testing
