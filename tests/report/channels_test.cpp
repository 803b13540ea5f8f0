// What is kept of the channels of a log, and what the pictures of layers make of it.

#include "host/report/channels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "host/report/layer_channels.hpp"
#include "tests/report/designed_studies.hpp"
#include "tests/report/laboratory_studies.hpp"
#include "tests/report/pictures_of_study.hpp"

namespace normlab {
namespace {

using test::SampleChannel;
using test::SampleRun;

using Channels = test::PicturesTest;

TEST_F(Channels, LongOnesAreThinnedAlikeAndKeepTheirEnds) {
  SampleChannel values{{"landscape.beta", ChannelKind::scalar, "", {}, {}}, {}};
  for (int step = 1; step <= 1001; ++step) values.rows.push_back({1, step, {1.0 * step}});
  SampleRun run{"bn", 0, {0.5}};
  run.more = {values, test::histogram_sample("before.c1", -1, 1, 5)};
  run.more.back().rows.insert(run.more.back().rows.begin() + 1, run.more.back().rows.front());
  write({run});
  const StudyView study = view();
  const ChannelView* beta = find_channel(study.runs[0].channels, "landscape.beta");
  ASSERT_NE(beta, nullptr);
  EXPECT_LE(beta->rows.size(), most_channel_rows + 1);
  EXPECT_GE(beta->rows.size(), most_channel_rows / 2);
  EXPECT_EQ(beta->rows.front().step, 1);
  EXPECT_EQ(beta->rows.back().step, 1001);
  for (const ChannelRow& row : beta->rows) EXPECT_EQ(row.values[0], row.step);
  EXPECT_EQ(find_channel(study.runs[0].channels, "before.c1")->rows.size(), 2U);  // the first and the last
  EXPECT_EQ(find_channel(study.runs[0].channels, "test.accuracy"), nullptr);      // epochs have it
  EXPECT_EQ(find_channel(study.runs[0].channels, "layer.cosine"), nullptr);
}

TEST(Histogram, OnlySoundOnesCount) {
  std::vector<float> values(66, 1.0F);
  values[0] = -2;
  values[1] = 6;
  ChannelRow row{0, 0, values};
  const Histogram even = Histogram::of(row);
  ASSERT_FALSE(even.empty());
  EXPECT_DOUBLE_EQ(even.bin_width(), 8.0 / 64);
  EXPECT_NEAR(even.quantile(0.5), 2, 1e-9);
  EXPECT_NEAR(even.quantile(0.25), 0, 1e-9);
  EXPECT_NEAR(even.quantile(1), 6, 1e-9);
  for (const auto& [at, value] :
       std::vector<std::pair<std::size_t, float>>{{0, NAN}, {1, -2}, {1, INFINITY}, {5, -1}, {5, NAN}}) {
    row.values = values;
    row.values[at] = value;
    EXPECT_TRUE(Histogram::of(row).empty()) << at << ' ' << value;
  }
  row.values.assign(66, 0);
  row.values[1] = 1;
  EXPECT_TRUE(Histogram::of(row).empty());  // no counts
  row.values.resize(2);
  EXPECT_TRUE(Histogram::of(row).empty());
}

TEST(LayerChannels, ParametersOfNormsAreOnAnotherScale) {
  const ChannelView gradients{"layer.grad_norm", {"c1.conv", "c1.norm", "c3.conv", "c11.conv"}, {{}}};
  EXPECT_EQ(drawn_layers(gradients), (std::vector<std::size_t>{0, 2, 3}));
  const ChannelView outputs{"layer.cosine", {"c1.norm", "c2.norm", "c3.conv"}, {{}}};
  EXPECT_EQ(drawn_layers(outputs).size(), 3U);
  const ChannelView norms{"layer.grad_norm", {"c1.norm", "c2.norm"}, {{}}};
  EXPECT_EQ(drawn_layers(norms).size(), 2U);
  EXPECT_EQ(short_name("c1.conv"), "c1");
  EXPECT_EQ(short_name("plain"), "plain");
}

TEST_F(Channels, CurvesAndHeatMapsHoldTheMeanOverSeeds) {
  std::vector<SampleRun> runs;
  for (const int seed : {0, 1, 2}) runs.push_back(test::diagnosed_run("bn", seed, 0.5));
  for (const int seed : {0, 1, 2}) runs.push_back(test::diagnosed_run("none", seed, 2));
  write(runs);
  make();
  // By layer, first panel: at initialization; none comes first. Layer 3 of none: base 1, 1.1, 1.2 times 2^2.
  const std::string& data = picture("gradient-by-layer").data;
  const auto none = test::block_of(data, 0), bn = test::block_of(data, 1), later = test::block_of(data, 2);
  ASSERT_EQ(none.size(), 4U);
  EXPECT_EQ(none[2][0], 3);
  EXPECT_NEAR(none[2][1], 4 * 1.1, 1e-5);
  EXPECT_NEAR(none[2][2], 4 * 1.0, 1e-5);
  EXPECT_NEAR(none[2][3], 4 * 1.2, 1e-5);
  EXPECT_EQ(none[2][6], 3);
  EXPECT_NEAR(bn[3][1], 0.125 * 1.1, 1e-6);
  EXPECT_NEAR(later[2][1], 4 * 1.1 * std::pow(0.8, 3), 1e-5);
  EXPECT_HAS(picture("gradient-by-layer").script, "'at initialization'");
  EXPECT_HAS(picture("gradient-by-layer").script, "'after epoch 3'");
  // Heat map: column (step), row (layer), geometric mean.
  const auto cells = test::block_of(picture("gradient-heat").data, 1);
  ASSERT_EQ(cells.size(), 16U);  // 4 layers x 4 measured points, of bn
  EXPECT_EQ(cells[4 * 2 + 1][0], 1);
  EXPECT_EQ(cells[4 * 2 + 1][1], 2);
  EXPECT_NEAR(cells[4 * 2 + 1][2], 0.25 * 0.8 * std::cbrt(1.0 * 1.1 * 1.2), 1e-6);
  // A line for each layer, by epoch.
  const auto layer = test::block_of(picture("gradient-by-epoch").data, 4 + 1);  // c2 of bn
  ASSERT_EQ(layer.size(), 4U);
  EXPECT_NEAR(layer[2][0], 2, 1e-9);
  EXPECT_NEAR(layer[2][1], 0.5 * 0.64 * 1.1, 1e-6);
  // All weights: the root of the sum of squares over layers.
  double squares = 0;
  for (int i = 0; i < 4; ++i) squares += std::pow(5 * std::pow(1.1, i), 2);
  EXPECT_NEAR(test::block_of(picture("weight-norm-by-epoch").data, 0)[0][1], 1.1 * std::sqrt(squares), 1e-4);
  // What enters and leaves: late, then early, of each block.
  const auto late = test::block_of(picture("ridges-bn").data, 0),
             early = test::block_of(picture("ridges-bn").data, 1);
  ASSERT_EQ(late.size(), 64U);
  EXPECT_NEAR(late[0][0], -1 + 1.0 / 64, 1e-6);
  EXPECT_NEAR(early[0][0], -2 + 2.0 / 64, 1e-6);
  EXPECT_NEAR(late[31][1], 1, 1e-6);  // relative to the highest bin
  EXPECT_NEAR(late[0][1], 1.0 / 32, 1e-6);
  EXPECT_HAS(picture("ridges-none").title, "what enters each ReLU");
  for (const char* name :
       {"output-gradient-by-layer", "output-gradient-heat", "cosine-by-layer", "stable-rank-by-layer",
        "dead-relu-by-layer", "dead-relu-by-epoch", "activation-variance-by-layer",
        "activation-mean-by-layer", "update-ratio-by-epoch"})
    EXPECT_TRUE(has(name)) << name;
  expect_all_drawn();
}

TEST_F(Channels, NothingFiniteIsDrawnAndBreaksNothing) {
  std::vector<SampleRun> runs{test::diagnosed_run("bn", 0, 0.5), test::diagnosed_run("none", 0, 2)};
  for (SampleChannel& sample : runs[1].more)
    for (SampleChannel::Row& row : sample.rows) std::fill(row.values.begin(), row.values.end(), NAN);
  runs[1].status = RunStatus::diverged;
  for (SampleChannel& sample : runs[0].more)
    if (sample.channel.name == "layer.grad_norm")
      for (SampleChannel::Row& row : sample.rows) row.values = {0, -1, INFINITY, 3};
  write(runs);
  make();
  expect_all_drawn();
  EXPECT_FALSE(has("ridges-none"));
  const auto cells = test::block_of(picture("gradient-heat").data, 0);
  EXPECT_TRUE(std::isnan(cells[0][2]));  // 0 has no logarithm
}

TEST_F(Channels, OneSeedOneMeasurementOneLayer) {
  SampleRun run{"bn", 0, {0.5}};
  run.more = {test::layer_sample("grad_norm", ".conv", 1, 1, 1, 0, {"c1"})};
  write({run});
  make();
  EXPECT_TRUE(has("gradient-by-layer"));
  EXPECT_FALSE(has("gradient-heat"));  // a single column is no map
  EXPECT_FALSE(has("gradient-by-epoch"));
  expect_all_drawn();
}

TEST_F(Channels, LandscapeBandsGoFromTheMeanLowestToTheMeanHighest) {
  std::vector<SampleRun> runs;
  for (const int seed : {0, 1}) {
    SampleRun run{"bn", seed, {0.5}};
    const auto add = [&](const std::string& name, double first, double second) {
      run.more.push_back(
          {{"landscape." + name, ChannelKind::scalar, "", {}, {}}, {{1, 1, {first}}, {1, 2, {second}}}});
    };
    add("loss_min", 1 + seed, 0.5);
    add("loss_max", 4 + seed, 2);
    add("gradient_min", 0.1, 0.2);
    add("gradient_max", 0.4, 0.8);
    add("beta", 10 + 2 * seed, NAN);
    runs.push_back(std::move(run));
  }
  write(runs);
  make();
  const auto loss = test::block_of(picture("landscape-loss").data, 0);
  ASSERT_EQ(loss.size(), 2U);
  EXPECT_NEAR(loss[0][2], 1.5, 1e-6);
  EXPECT_NEAR(loss[0][3], 4.5, 1e-6);
  EXPECT_NEAR(loss[1][3], 2, 1e-6);
  EXPECT_EQ(loss[0][6], 2);
  EXPECT_NEAR(test::block_of(picture("landscape-beta").data, 0)[0][1], 11, 1e-6);
  EXPECT_NEAR(test::block_of(picture("landscape-gradient").data, 0)[1][3], 0.8, 1e-6);
  EXPECT_FALSE(has("landscape-loss-each"));  // of one norm it would be the same picture
  expect_all_drawn();
}

}  // namespace
}  // namespace normlab
