// Every parser on the committed corpus, and on each file of it cut short and with bytes changed: no fuzzer is
// needed for that. `tests/fuzz/run` lets libFuzzer look for more.

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "tests/fuzz/targets.hpp"
#include "tests/support/places.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

std::vector<std::uint8_t> bytes_of_file(const std::filesystem::path& path) {
  const std::string text = test::read_text(path);
  return {text.begin(), text.end()};
}

class Fuzz : public ::testing::TestWithParam<fuzz::Target> {};

TEST_P(Fuzz, TheCorpusIsHarmless) {
  const auto corpus = std::filesystem::path(test::source_dir()) / "tests/fuzz/corpus" / GetParam().name;
  std::mt19937 random(1);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    SCOPED_TRACE(entry.path());
    ++files;
    const auto bytes = bytes_of_file(entry.path());
    GetParam().run(bytes);
    for (int i = 0; i < 200; ++i) {
      auto changed = bytes;
      if (!changed.empty() && i % 4 == 0) changed.resize(random() % changed.size());
      for (std::size_t k = 0; !changed.empty() && k < 1 + random() % 4; ++k)
        changed[random() % changed.size()] = static_cast<std::uint8_t>(random());
      GetParam().run(changed);
    }
  }
  EXPECT_GE(files, 3);
}

INSTANTIATE_TEST_SUITE_P(Parsers, Fuzz, ::testing::ValuesIn(fuzz::targets().begin(), fuzz::targets().end()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace normlab
