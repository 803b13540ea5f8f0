#pragma once
// All pictures of a designed study, drawn or not.

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "host/report/pictures.hpp"
#include "tests/report/designed_studies.hpp"
#include "tests/support/program.hpp"

namespace normlab::test {

class PicturesTest : public StudyTest {
 protected:
  std::vector<Picture> pictures;
  std::vector<std::string> notes;

  void make() {
    const StudyView study = view();
    notes = study.notes;
    for (TopicPicture& made : make_pictures(study, notes)) pictures.push_back(std::move(made.picture));
  }
  [[nodiscard]] const Picture& picture(const std::string& name) const {
    for (const Picture& one : pictures)
      if (one.name == name) return one;
    throw std::runtime_error("no picture " + name);
  }
  [[nodiscard]] bool has(const std::string& name) const {
    return std::any_of(pictures.begin(), pictures.end(), [&](const Picture& p) { return p.name == name; });
  }
  /// Draws everything and looks at the files.
  void expect_all_drawn() {
    for (const auto& file : write_pictures(pictures, directory / "plots")) {
      const std::string bytes = read_text(file);
      if (file.extension() == ".png")
        EXPECT_TRUE(bytes.starts_with("\x89PNG\r\n\x1a\n") && bytes.find("IEND") == bytes.size() - 8) << file;
      else
        EXPECT_TRUE(bytes.starts_with("<?xml") && is_well_formed(bytes)) << file;
    }
  }
};

}  // namespace normlab::test
