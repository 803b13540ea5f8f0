// The synthetic set: the same bytes everywhere, balanced, varied, and made of the figures it names.

#include "host/data/synthetic.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <string>

#include "host/data/fixed_point.hpp"
#include "host/data/load_dataset.hpp"
#include "host/data/shapes.hpp"
#include "layers/error.hpp"

namespace normlab {
namespace {

// Results on the synthetic set can be compared only while these bytes stay as they are.
TEST(Synthetic, BytesAreTheSameEverywhere) {
  EXPECT_EQ(make_synthetic(0, 200, 100).digest,
            "f0c85ce0422cc06d778d4148eea373031133db429ca4e14e29f6beed32553718");
  EXPECT_EQ(make_synthetic(7, 200, 100).digest,
            "76e2b5de104a97df8730681fb6c366868ff45146347b6b7c5785f08e53c91772");
}

TEST(Synthetic, TheDefaultSetIsTheSameEverywhere) {
  const Dataset set = load_dataset("synthetic");
  EXPECT_EQ(set.train.count, 10'000);
  EXPECT_EQ(set.test.count, 2'000);
  EXPECT_EQ(set.source, "synthetic seed 0");
  EXPECT_EQ(set.digest, "9f32fc3848352d0e576d7a6e757a1d0aa1c1a833f73d7be4a7d1e5cca672900c");
}

TEST(Synthetic, ASmallerSetIsTheBeginningOfALargerOne) {
  const Dataset small = make_synthetic(2, 15, 10);
  const Dataset large = make_synthetic(2, 40, 30);
  EXPECT_TRUE(std::equal(small.train.pixels.begin(), small.train.pixels.end(), large.train.pixels.begin()));
  EXPECT_TRUE(std::equal(small.train.labels.begin(), small.train.labels.end(), large.train.labels.begin()));
  EXPECT_TRUE(std::equal(small.test.pixels.begin(), small.test.pixels.end(), large.test.pixels.begin()));
}

TEST(Synthetic, ClassesAreBalancedInMixedOrder) {
  const Dataset set = make_synthetic(1, 500, 100);
  std::set<std::string> orders;
  for (const Images* images : {&set.train, &set.test}) {
    for (std::size_t i = 0; i < images->labels.size(); i += 10) {
      std::string ten;
      for (std::size_t k = i; k < i + 10; ++k) ten += static_cast<char>('0' + images->labels[k]);
      orders.insert(ten);
      std::sort(ten.begin(), ten.end());
      EXPECT_EQ(ten, "0123456789");
    }
  }
  EXPECT_EQ(orders.size(), 60U);  // 60 draws out of 10! orders
}

TEST(Synthetic, SeedsAndSplitsShareNoImage) {
  std::set<std::string> seen;
  for (const std::uint64_t seed : {0, 1}) {
    const Dataset set = make_synthetic(seed, 50, 50);
    for (const Images* images : {&set.train, &set.test}) {
      for (int i = 0; i < images->count; ++i) {
        const auto image = images->image(i);
        EXPECT_TRUE(seen.emplace(image.begin(), image.end()).second);
      }
    }
  }
}

TEST(Synthetic, ContrastAndBrightnessVaryFromImageToImage) {
  const Images images = make_synthetic(0, 500, 10).train;
  std::vector<double> deviations;
  std::vector<double> means;
  for (int i = 0; i < images.count; ++i) {
    Images one;
    one.count = 1;
    one.labels = {0};
    one.pixels.assign(images.image(i).begin(), images.image(i).end());
    const ChannelStatistics s = channel_statistics(one);
    deviations.push_back(s.deviation[1]);
    means.push_back(s.mean[1]);
  }
  std::sort(deviations.begin(), deviations.end());
  std::sort(means.begin(), means.end());
  EXPECT_GT(deviations[450], 2 * deviations[50]);
  EXPECT_GT(means[450] - means[50], 0.1);
}

// No class may be told by its colours alone: the mean colour of a class stays near that of all.
TEST(Synthetic, EveryColourGoesWithEveryFigure) {
  const Images images = make_synthetic(0, 2000, 10).train;
  for (int label = 0; label < 10; ++label) {
    double hue[3] = {};  // red, green, blue, less their mean
    int count = 0;
    for (int i = 0; i < images.count; ++i) {
      if (images.labels[static_cast<std::size_t>(i)] != label) continue;
      ++count;
      const auto image = images.image(i);
      double sums[3] = {};
      for (std::size_t k = 0; k < image.size(); ++k) sums[k / 1024] += image[k] / 1024.0;
      const double mean = (sums[0] + sums[1] + sums[2]) / 3;
      for (int c = 0; c < 3; ++c) hue[c] += sums[c] - mean;
    }
    for (const double sum : hue)
      EXPECT_NEAR(sum / count, 0, 4) << figure_names[static_cast<std::size_t>(label)];
  }
}

TEST(Synthetic, WrongCountsAreUsageErrors) {
  EXPECT_THROW(make_synthetic(0, 0, 10), UsageError);
  EXPECT_THROW(make_synthetic(0, 10, -1), UsageError);
}

TEST(Synthetic, SeedsInASpecAreReadStrictly) {
  for (const char* bad : {"synthetic:", "synthetic:x", "synthetic:-1", "synthetic:1 ", "synthetic:1e3",
                          "synthetic:99999999999999999999999"}) {
    EXPECT_THROW(load_dataset(bad), UsageError) << bad;
  }
}

TEST(FixedPoint, SineIsRoundedRight) {
  for (int angle = -2000; angle <= 2000; ++angle) {
    const double exact = std::sin(angle * 2 * std::numbers::pi / fixed::turn) * fixed::one;
    ASSERT_LE(std::abs(fixed::sine(angle) - exact), 0.5001) << angle;
    ASSERT_EQ(fixed::cosine(angle), fixed::sine(angle + 256)) << angle;
  }
}

bool inside(Figure figure, int variant, int u, int v) {
  Coordinates all_u, all_v;
  all_u.fill(u);
  all_v.fill(v);
  return points_inside(figure, variant, all_u, all_v) == point_count;
}

/// The part of the circle around it that a figure fills.
double filled(Figure figure, int variant) {
  int points = 0;
  for (int v = -1024; v <= 1024; v += 8) {
    for (int u = -1024; u <= 1024; u += 8) points += inside(figure, variant, u, v);
  }
  return points * 64.0 / (std::numbers::pi * 1024 * 1024);
}

TEST(Figures, AreasAreThoseOfGeometry) {
  EXPECT_NEAR(filled(Figure::disc, 0), 1, 0.01);
  EXPECT_NEAR(filled(Figure::ring, 0), 0.75, 0.01);  // inner radius 1/2
  EXPECT_NEAR(filled(Figure::square, 0), 1.375 * 1.375 / std::numbers::pi, 0.01);
  EXPECT_NEAR(filled(Figure::triangle, 0), 3 * std::sqrt(3) / 4 / std::numbers::pi, 0.01);
  EXPECT_NEAR(filled(Figure::stripes, 0), 0.5, 0.12);
  EXPECT_NEAR(filled(Figure::checks, 0), 0.5, 0.05);
}

TEST(Figures, StayInTheirCircleAndDiffer) {
  std::set<std::string> masks;
  for (int figure = 0; figure < figure_classes; ++figure) {
    for (int variant = 0; variant < 4; ++variant) {
      std::string mask;
      int outside = 0;
      for (int v = -2048; v <= 2048; v += 64) {
        for (int u = -2048; u <= 2048; u += 64) {
          const bool in = inside(static_cast<Figure>(figure), variant, u, v);
          outside += in && u * u + v * v > figure_radius * figure_radius;
          mask += in ? '#' : '.';
        }
      }
      const char* const name = figure_names[static_cast<std::size_t>(figure)];
      EXPECT_EQ(outside, 0) << name << " " << variant;
      const bool is_new = masks.insert(mask).second;
      EXPECT_TRUE(is_new || variant > 0) << name;
    }
  }
}

}  // namespace
}  // namespace normlab
