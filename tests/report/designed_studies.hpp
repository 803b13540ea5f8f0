#pragma once
// Studies whose verdict and pictures are known beforehand.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "host/report/study_view.hpp"
#include "tests/record/sample_study.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab::test {

/// bn far above ln, none between them; three seeds.
inline std::vector<SampleRun> clear_winner() {
  return {{"none", 0, {0.40, 0.66}}, {"none", 1, {0.42, 0.65}}, {"none", 2, {0.41, 0.66}},
          {"bn", 0, {0.50, 0.91}},   {"bn", 1, {0.72, 0.92}},   {"bn", 2, {0.55, 0.90}},
          {"ln", 0, {0.30, 0.50}},   {"ln", 1, {0.31, 0.52}},   {"ln", 2, {0.33, 0.51}}};
}

class StudyTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory;
  std::filesystem::path path = directory / "study";

  /// Writes the study; may be called once in a test.
  void write(const std::vector<SampleRun>& samples) {
    const auto study = StudyDirectory::create("x", path);
    for (const SampleRun& sample : samples) write_run(study, sample);
  }
  [[nodiscard]] StudyView view() const { return view_study({{path}}); }
};

/// The block `index` of a data file as numbers; text and colours become NaN.
inline std::vector<std::vector<double>> block_of(const std::string& data, int index) {
  std::vector<std::vector<double>> rows;
  std::istringstream lines(data);
  int block = 0, empty = 0;
  for (std::string line; std::getline(lines, line);) {
    empty = line.empty() ? empty + 1 : 0;
    if (empty == 2) ++block;
    if (line.empty() || line.front() == '#' || block != index) continue;
    std::istringstream words(line);
    std::vector<double>& row = rows.emplace_back();
    for (std::string word; words >> word;) {
      char* end = nullptr;
      const double value = std::strtod(word.c_str(), &end);
      row.push_back(*end == '\0' ? value : NAN);
    }
  }
  return rows;
}

/// Whether tags, in the order they open and close, match: enough to see that a text cannot have broken out.
inline bool is_well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (std::size_t at = 0; (at = xml.find('<', at)) != std::string::npos;) {
    const std::size_t end = xml.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = xml.substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag.empty() || tag.find('<') != std::string::npos) return false;
    if (tag.front() == '?' || tag.front() == '!' || tag.back() == '/') continue;
    const std::string name = tag.substr(tag.front() == '/' ? 1 : 0, tag.find_first_of(" \n\t") - 0);
    if (tag.front() != '/')
      open.push_back(name);
    else if (open.empty() || open.back() != tag.substr(1))
      return false;
    else
      open.pop_back();
  }
  return open.empty() && !xml.empty();
}

}  // namespace normlab::test
