#include "tests/support/kernel_sources.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace normlab::test {

std::string KernelSource::bytes() const {
  const std::size_t at = comment.find("Bytes: ");
  if (at == std::string::npos) return "";
  return comment.substr(at + 7, comment.find_first_of(";.", at) - at - 7);
}

bool KernelSource::takes_only_activations(bool input) const {
  return std::all_of(parameters.begin(), parameters.end(), [input](const KernelParameter& p) {
    return !p.pointer || p.input != input || p.type == "T";
  });
}

bool KernelSource::says(const char* word) const {
  return std::regex_search(bytes(), std::regex(std::string("\\b") + word + "\\b"));
}

std::map<std::string, int> constants_of(const std::string& text) {
  static const std::regex pattern(R"(constexpr\s+(?:int|unsigned|auto)\s+(k\w+)\s*=\s*(\d+)U?;)");
  std::map<std::string, int> found;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
    found[(*it)[1]] = std::stoi((*it)[2]);
  }
  return found;
}

KernelParameter parameter_of(std::string text) {
  KernelParameter p;
  p.pointer = text.find('*') != std::string::npos;
  p.input = text.find("const ") != std::string::npos;
  text = std::regex_replace(text, std::regex(R"(\bconst\b|\b__restrict__\b|\*)"), " ");
  std::stringstream(text) >> p.type;
  return p;
}

std::vector<KernelSource> kernels_in_sources(const std::filesystem::path& folder) {
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

std::set<std::string> names_of(const std::vector<KernelSource>& kernels) {
  std::set<std::string> names;
  for (const KernelSource& kernel : kernels) names.insert(kernel.name);
  return names;
}

}  // namespace normlab::test
