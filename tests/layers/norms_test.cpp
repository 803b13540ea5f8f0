// The table of norms: what it says of each is so.

#include "layers/norms.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "tests/support/norm_names.hpp"
#include "tests/support/places.hpp"
#include "tests/support/small_network.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

TEST(Norms, AreWhatTheyAreCalled) {
  std::set<std::string> names;
  for (const std::string& name : test::norm_names()) {
    EXPECT_EQ(Norm::parse(name).str(), name);
    names.insert(name);
  }
  EXPECT_EQ(names.size(), norm_kinds().size());
  EXPECT_TRUE(Norm::parse("none").is_none());
  EXPECT_EQ(Norm::parse("none"), Norm());
  EXPECT_EQ(Norm::parse("gn:16").groups(), 16);
  EXPECT_NE(Norm::parse("gn:16"), Norm::parse("gn:4"));
  EXPECT_FALSE(Norm::parse("gn:3").divides(16));
  EXPECT_TRUE(Norm::parse("in").divides(7));
}

TEST(Norms, OthersAreRefusedWithAList) {
  for (const char* name :
       {"", "gn", "gn:", "gn:0", "gn:-4", "gn:4x", "gn:4:4", "bn:2", "BN", "batch", "ln ", "gn:9999999999"}) {
    const std::string message = test::message_of([&] { static_cast<void>(Norm::parse(name)); });
    EXPECT_NE(message.find(fmt::format("unknown norm '{}'", name)), std::string::npos) << message;
    for (const NormKind& kind : norm_kinds())
      EXPECT_NE(message.find(kind.spelling()), std::string::npos) << message;
  }
}

class EachNorm : public ::testing::TestWithParam<std::string> {};

/// Whether the first image's result depends on the others.
TEST_P(EachNorm, CouplesSamplesAsTheTableSays) {
  test::SmallNetwork network("cpu_nhwc", GetParam(), true);
  network.graph->forward(network.batch());
  const float before = network.graph->confidence().front();
  const std::size_t image = network.input.size() / test::SmallNetwork::kSamples;
  for (std::size_t i = image; i < network.input.size(); ++i)
    network.input[i] += 1 + static_cast<float>(i % 3);
  network.graph->forward(network.batch());
  EXPECT_EQ(network.graph->confidence().front() != before, Norm::parse(GetParam()).kind().couples_samples);
}

TEST_P(EachNorm, HasParametersAsTheTableSays) {
  const NormKind& kind = Norm::parse(GetParam()).kind();
  test::SmallNetwork network("cpu_nhwc", GetParam(), true);
  const Shape map{1, 8, test::SmallNetwork::kSize, test::SmallNetwork::kSize};
  const std::size_t each = kind.per_element ? map.per_sample() : static_cast<std::size_t>(map.c);
  std::size_t found = 0;
  for (const Parameter* p : network.graph->parameters()) {
    if (!p->name.starts_with("b1.norm.")) continue;
    EXPECT_EQ(p->count, each) << p->name;
    ++found;
  }
  const bool scales = kind.formula.find("gamma") != std::string_view::npos;
  const bool shifts = kind.formula.find("beta") != std::string_view::npos;
  EXPECT_EQ(found, static_cast<std::size_t>(scales) + static_cast<std::size_t>(shifts));
}

INSTANTIATE_TEST_SUITE_P(Norms, EachNorm, ::testing::ValuesIn(test::norm_names(2)), [](const auto& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == ':' || c == '-'; }, '_');
  return name;
});

/// docs/experiments.md has the table's rows.
TEST(Norms, StandOnThePage) {
  const std::string page = test::read_text(fs::path(test::source_dir()) / "docs/experiments.md");
  for (const NormKind& kind : norm_kinds()) {
    const std::string row = fmt::format("| `{}` | {} | {} | `{}` | {} |\n", kind.spelling(), kind.title,
                                        kind.over, kind.formula, kind.lr);
    EXPECT_NE(page.find(row), std::string::npos) << row;
  }
}

}  // namespace
}  // namespace normlab
