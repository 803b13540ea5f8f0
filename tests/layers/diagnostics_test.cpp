// Every figure that a diagnosis records against an independent computation in double: the plain functions on
// designed values, each device's reductions against those, a whole probe on a small network.

#include "layers/diagnostics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "experiments/measure/diagnostics.hpp"
#include "experiments/measure/probe.hpp"
#include "experiments/options/backends.hpp"
#include "host/cpu/gram.hpp"
#include "host/record/diagnostic_channels.hpp"
#include "layers/kernels/diagnostics.hpp"
#include "tests/support/norm_names.hpp"
#include "tests/support/small_network.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using reference::Values;
using test::draw;
using test::SmallNetwork;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();

TEST(Moments, AreThoseOfAllValues) {
  for (const double mean : {0.0, 1e4}) {
    const std::vector<float> values = draw(3 * 5 * 7 * 2, 1, mean);
    long double sum = 0, squares = 0;
    for (const float value : values) sum += value;
    const long double expected = sum / values.size();
    for (const float value : values) squares += (value - expected) * (value - expected);
    const Moments found = moments(values, {3, 5, 7, 2});
    EXPECT_NEAR(found.mean, static_cast<double>(expected), 1e-12 * (1 + mean));
    EXPECT_NEAR(found.variance, static_cast<double>(squares / values.size()), 1e-9);
    EXPECT_EQ(found.dead_fraction, 0);
  }
  EXPECT_THROW(static_cast<void>(moments(std::vector<float>(7), {1, 2, 2, 2})), Error);
}

/// A channel is dead if no pixel of no sample passes; one that lives in the last sample alone lives.
TEST(Moments, DeadIsAChannelThatNoSamplePasses) {
  std::vector<float> values(2 * 4 * 3, 0.0F);  // (2, 4, 3, 1)
  values[0] = 1;                               // channel 0, first pixel
  values[4 * 3 + 2 * 3 + 2] = 1;               // sample 1, channel 2, last pixel
  EXPECT_EQ(moments(values, {2, 4, 3, 1}).dead_fraction, 0.5);
}

TEST(Outlier, DwarfsMostOthers) {
  std::vector<float> values = draw(1000, 1);
  EXPECT_FALSE(find_outlier(values, 1e4));
  values[7] = -1e6F;
  const std::optional<Outlier> found = find_outlier(values, 1e4);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->largest, 1e6);
  EXPECT_NEAR(found->deviation, 1, 0.1);
  values[3] = kInfinity;
  values[4] = kNan;
  EXPECT_EQ(find_outlier(values, 1e4)->largest, 1e6);  // of what is finite
  EXPECT_FALSE(find_outlier(values, 1e7));
  std::vector<float> zeros(1000, 0.0F);
  EXPECT_FALSE(find_outlier(zeros, 1e4));
  zeros[5] = 1e6F;  // the others are dead, not small
  EXPECT_FALSE(find_outlier(zeros, 1e4));
  for (std::size_t i = 0; i < 600; ++i) values[i] = 1e6F;
  EXPECT_FALSE(find_outlier(values, 1e4)) << "most are as large";
}

/// A diagnosed run says so once, and only where another way to convolve would help.
TEST(Outlier, WarnsOnceOfALayerStepAndRemedy) {
  for (const std::string conv : {"auto", "direct"}) {
    SmallNetwork small("cpu_blocked", "none", true);
    StudyOptions options;
    options.conv = conv;
    options.net = "plain:3";
    options.diagnose_steps = "1,2";
    const std::vector<std::uint32_t> indices(SmallNetwork::kSamples);  // its values are given
    Batch batch = small.batch();
    batch.indices = indices.data();
    Diagnostics diagnostics(options, {.net = "plain:3", .norm = Norm::parse("none"), .width = 0.25},
                            *small.graph, batch, 10);
    const test::TemporaryDirectory directory;
    LogWriter log(directory / "metrics.nlog", diagnostics.channels());
    std::vector<std::string> warnings;
    diagnostics.start(log, false, [&](const std::string& text) { warnings.push_back(text); });
    EXPECT_TRUE(warnings.empty()) << warnings.front();
    for (const int step : {1, 2}) {
      small.graph->forward_backward(small.batch());
      diagnostics.before_update(1, step, 0.1, [] { return 0.0; });
      small.graph->values()[0] = 1e8F;  // one tap of the first layer
      diagnostics.after_update(1, step);
    }
    ASSERT_EQ(warnings.size(), conv == "auto" ? 1U : 0U);
    if (conv == "direct") continue;
    for (const char* part : {"b1.relu at step 1: the largest activation, ", "1e+04 times", "--conv direct"})
      EXPECT_HAS(warnings.front(), part);
  }
}

TEST(Histogram, CountsEachFiniteValueOnce) {
  EXPECT_EQ(histogram(std::vector<float>{0, 1, 2, 3, 4, 4, 2, -kInfinity, kNan}, 4),
            (std::vector<float>{0, 4, 1, 1, 2, 3}));  // 2 lies above its boundary, 4 in the last part
  EXPECT_EQ(histogram(std::vector<float>{-1, -1, -1}, 3), (std::vector<float>{-1, -1, 3, 0, 0}));
  EXPECT_EQ(histogram(std::vector<float>{kNan, kInfinity}, 2), (std::vector<float>{0, 0, 0, 0}));
  EXPECT_EQ(histogram(std::vector<float>{-3e38F, 3e38F}, 2), (std::vector<float>{-3e38F, 3e38F, 1, 1}));
}

class GramIsa : public ::testing::TestWithParam<std::string> {};

TEST_P(GramIsa, AgreesWithDouble) {
  const auto backend = test::make_test_backend(GetParam());  // forces its instruction set
  for (const auto& [samples, size] :
       std::vector<std::pair<std::size_t, std::size_t>>{{1, 1}, {2, 3}, {5, 1000}, {7, 2049}, {64, 333}}) {
    const std::vector<float> rows = draw(samples * size, samples, 0.5);
    const std::vector<double> k = gram(rows, static_cast<int>(samples));
    for (std::size_t i = 0; i < samples; ++i) {
      for (std::size_t j = 0; j < samples; ++j) {
        double sum = 0, sizes = 0;
        for (std::size_t e = 0; e < size; ++e) {
          const double product =
              static_cast<double>(rows[i * size + e]) * static_cast<double>(rows[j * size + e]);
          sum += product;
          sizes += std::abs(product);
        }
        EXPECT_NEAR(k[i * samples + j], sum, 1e-6 * sizes) << samples << " samples: " << i << ", " << j;
      }
    }
  }
  EXPECT_THROW(static_cast<void>(gram(std::vector<float>(7), 2)), Error);
}

INSTANTIATE_TEST_SUITE_P(Isas, GramIsa, ::testing::ValuesIn(test::backend_names(DataType::f32)),
                         [](const auto& info) { return info.param; });

class DeviceFigures : public ::testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] Buffer on_device(const std::vector<float>& values) {
    Buffer buffer(*backend_, values.size() * sizeof(float));
    backend_->to_device(values.data(), buffer.data(), buffer.bytes());
    return buffer;
  }
  const test::TestBackend backend_{GetParam(), 2};
};

TEST_P(DeviceFigures, UnpackedValuesAreTheActivations) {
  for (const Shape shape : {Shape{1, 1, 1, 1}, Shape{3, 5, 7, 2}, Shape{2, 24, 3, 3}}) {
    std::vector<float> values = draw(shape.count(), 2), found(values.size());
    if (backend_.precision == DataType::bf16) {
      for (float& value : values) value = static_cast<float>(Bf16(value));
    }
    const Buffer x(*backend_, backend_->bytes(shape, backend_.precision, Layout::native)),
        plain(*backend_, values.size() * sizeof(float));
    const Tensor tensor{x.data(), shape, backend_.precision};
    backend_->upload(values.data(), tensor);
    backend_->unpack(tensor, plain.floats());
    backend_->to_host(plain.data(), found.data(), plain.bytes());
    EXPECT_EQ(found, values) << shape.str();
  }
}

/// More samples than share a block, more values than one round of all threads, channels that live in one
/// sample alone.
TEST_P(DeviceFigures, MomentsAreThoseOfThePlainFunction) {
  for (const Shape shape :
       {Shape{1, 1, 1, 1}, Shape{3, 5, 7, 2}, Shape{400, 6, 3, 3}, Shape{2, 1100, 1, 1}}) {
    std::vector<float> values = draw(shape.count(), 3, 10);
    const auto per_sample = shape.per_sample(), pixels = static_cast<std::size_t>(shape.pixels());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t channel = i % per_sample / pixels;
      const bool is_last = i + per_sample >= values.size();
      if (channel % 3 == 1 && (channel % 2 == 0 || !is_last)) values[i] = 0;
    }
    const Buffer buffer = on_device(values);
    const Moments found = backend_->get<DiagnosticKernels>().moments(buffer.floats(), shape),
                  expected = moments(values, shape);
    EXPECT_NEAR(found.mean, expected.mean, 1e-13 * std::abs(expected.mean)) << shape.str();
    EXPECT_NEAR(found.variance, expected.variance, 1e-12 * expected.variance) << shape.str();
    EXPECT_EQ(found.dead_fraction, expected.dead_fraction) << shape.str();
  }
}

TEST_P(DeviceFigures, HistogramsAreThoseOfThePlainFunction) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{255}, std::size_t{270'000}}) {
    std::vector<float> values = draw(count, 4);
    for (const int bins : {1, 4, 512}) {
      const Buffer buffer = on_device(values);
      EXPECT_EQ(backend_->get<DiagnosticKernels>().histogram(buffer.floats(), count, bins),
                histogram(values, bins))
          << count;
    }
    values.front() = kNan;
    values.back() = -kInfinity;
    const Buffer buffer = on_device(values);
    EXPECT_EQ(backend_->get<DiagnosticKernels>().histogram(buffer.floats(), count, 8), histogram(values, 8))
        << count;
  }
}

TEST_P(DeviceFigures, NormsAndProductsOfRowsAgreeWithDouble) {
  for (const auto& [rows, size] : std::vector<std::pair<std::size_t, std::size_t>>{
           {1, 1}, {2, 3}, {5, 1000}, {33, 40}, {7, 2049}, {70, 95}}) {
    const std::vector<float> values = draw(rows * size, rows, 0.5);
    const Buffer buffer = on_device(values);
    const std::vector<double> norms = backend_->get<DiagnosticKernels>().row_norms(
                                  buffer.floats(), static_cast<int>(rows), size),
                              k = backend_->get<DiagnosticKernels>().gram(buffer.floats(),
                                                                          static_cast<int>(rows), size);
    ASSERT_EQ(norms.size(), rows);
    ASSERT_EQ(k.size(), rows * rows);
    for (std::size_t i = 0; i < rows; ++i) {
      const auto row = [&](std::size_t which) { return std::span(values).subspan(which * size, size); };
      EXPECT_NEAR(norms[i], l2_norm(row(i)), 1e-13 * norms[i]);
      for (std::size_t j = 0; j < rows; ++j) {
        double sum = 0, sizes = 0;
        for (std::size_t e = 0; e < size; ++e) {
          const double product = static_cast<double>(row(i)[e]) * static_cast<double>(row(j)[e]);
          sum += product;
          sizes += std::abs(product);
        }
        EXPECT_NEAR(k[i * rows + j], sum, 1e-6 * sizes) << rows << " rows: " << i << ", " << j;
        EXPECT_EQ(k[i * rows + j], k[j * rows + i]);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceFigures, ::testing::ValuesIn(test::backend_names()),
                         [](const auto& info) { return info.param; });

double dead_fraction_in_double(const reference::Tensor& y) {
  std::vector<bool> lives(static_cast<std::size_t>(y.c));
  reference::for_each(y, [&](int, int c, int, int, std::size_t i) {
    if (y.v[i] > 0) lives[static_cast<std::size_t>(c)] = true;
  });
  return static_cast<double>(std::count(lives.begin(), lives.end(), false)) / y.c;
}

/// Mean cosine of pairs, and tr(K) / ||K|| by the power method, straight from the definitions.
std::pair<double, double> similarity_in_double(const reference::Tensor& y) {
  const auto n = static_cast<std::size_t>(y.n);
  std::vector<Values> k(n, Values(n));
  double cosines = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double ij = 0, ii = 0, jj = 0;
      for (std::size_t e = 0; e < y.per_sample(); ++e) {
        const double a = y.v[i * y.per_sample() + e], b = y.v[j * y.per_sample() + e];
        ij += a * b;
        ii += a * a;
        jj += b * b;
      }
      k[i][j] = ij / std::sqrt(ii * jj);
      if (i < j) cosines += k[i][j];
    }
  }
  Values v(n, 1.0);  // all entries of K are positive after a ReLU, so is its first eigenvector
  double eigenvalue = 0;
  for (int round = 0; round < 5000; ++round) {
    Values kv(n, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) kv[i] += k[i][j] * v[j];
    }
    eigenvalue = reference::l2_norm(kv);
    for (std::size_t i = 0; i < n; ++i) v[i] = kv[i] / eigenvalue;
  }
  return {cosines / (static_cast<double>(n * (n - 1)) / 2), static_cast<double>(n) / eigenvalue};
}

/// The same numbers in the same bins, up to a few that rounding moves over a boundary.
void expect_histogram(const std::vector<float>& row, const reference::Tensor& x, int samples,
                      const std::string& what) {
  const Values values(x.v.begin(),
                      x.v.begin() + static_cast<std::ptrdiff_t>(samples * static_cast<int>(x.per_sample())));
  ASSERT_EQ(row.size(), 2U + kHistogramBins) << what;
  const double lo = *std::min_element(values.begin(), values.end()),
               hi = *std::max_element(values.begin(), values.end());
  EXPECT_NEAR(row[0], lo, 1e-5 * (hi - lo)) << what;
  EXPECT_NEAR(row[1], hi, 1e-5 * (hi - lo)) << what;
  std::vector<int> counts(kHistogramBins);
  for (const double value : values) {
    const auto bin = static_cast<int>(std::floor((value - lo) / (hi - lo) * kHistogramBins));
    ++counts[static_cast<std::size_t>(std::min(bin, kHistogramBins - 1))];
  }
  double total = 0, moved = 0;
  for (std::size_t bin = 0; bin < counts.size(); ++bin) {
    total += static_cast<double>(row[2 + bin]);
    moved += std::abs(static_cast<double>(row[2 + bin]) - counts[bin]);
  }
  EXPECT_EQ(total, static_cast<double>(values.size())) << what;
  EXPECT_LE(moved, 4) << what;
}

class ProbeNorms : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(ProbeNorms, FiguresAgreeWithDouble) {
  const auto& [backend_name, norm] = GetParam();
  SmallNetwork small(backend_name, norm, false);
  constexpr int kHeads = 5;  // not a whole number of shards
  Probe probe(*small.graph);
  const std::string output = norm == "none" ? ".relu" : ".norm";
  ASSERT_EQ(probe.outputs(), (std::vector<std::string>{"b1" + output, "b2" + output, "b3" + output}));
  ASSERT_EQ(probe.histogram_blocks(), (std::vector<std::string>{"b1", "b2", "b3"}));
  const ProbeFigures found = probe.measure(small.batch(), kHeads);
  const reference::Pass expected = small.pass(small.parameters);
  EXPECT_NEAR(found.loss, expected.loss.loss, 1e-5);
  const std::vector<std::string> blocks = probe.histogram_blocks();
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::string& block = blocks[i];
    const reference::Tensor& y = expected.activations.at(block + ".relu");
    double mean = 0, variance = 0;
    for (const double value : y.v) mean += value / static_cast<double>(y.size());
    for (const double value : y.v)
      variance += (value - mean) * (value - mean) / static_cast<double>(y.size());
    EXPECT_NEAR(found.activation_mean[i], mean, 1e-5 * mean) << block;
    EXPECT_NEAR(found.activation_variance[i], variance, 1e-5 * variance) << block;
    EXPECT_EQ(found.dead_fraction[i], dead_fraction_in_double(y)) << block;
    if (block == "b2" && (norm == "none" || reference::Norm::parse(norm).has_beta())) {
      EXPECT_GE(found.dead_fraction[i], 1.0 / 8);
    }
    const double gradient = reference::l2_norm(expected.activation_gradients.at(block + ".relu").v);
    EXPECT_NEAR(found.output_grad_norm[i], gradient, 2e-5 * gradient) << block;
    const auto [cosine, stable_rank] = similarity_in_double(y);
    EXPECT_NEAR(found.cosine[i], cosine, 1e-5) << block;
    EXPECT_NEAR(found.stable_rank[i], stable_rank, 1e-4) << block;
    expect_histogram(found.before[i], expected.activations.at(block + ".conv"), kHeads, block + " before");
    if (norm == "none") continue;
    expect_histogram(found.after[i], expected.activations.at(block + ".norm"), kHeads, block + " after");
  }
  EXPECT_EQ(found.after.size(), norm == "none" ? 0U : 3U);
}

std::vector<std::string> probed_backends() {
  std::vector<std::string> names{"cpu_blocked", "cpu_nhwc", "cuda_emulated"};
  if (why_no_cuda().empty()) names.emplace_back("cuda");
  return names;
}

INSTANTIATE_TEST_SUITE_P(Norms, ProbeNorms,
                         ::testing::Combine(::testing::ValuesIn(probed_backends()),
                                            ::testing::ValuesIn(test::norm_names())),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + test::identifier(std::get<1>(info.param));
                         });

TEST(Probe, Bf16IsCloseToDouble) {
  if (const std::string missing = test::why_not_here("cpu_nhwc_bf16"); !missing.empty())
    GTEST_SKIP() << missing;
  for (const char* norm : {"none", "bn", "gn:4"}) {
    SmallNetwork small("cpu_nhwc_bf16", norm, false);
    Probe probe(*small.graph);
    const ProbeFigures found = probe.measure(small.batch(), 12);
    const reference::Pass expected = small.pass(small.parameters);
    for (std::size_t i = 0; i < 3; ++i) {
      const std::string block = probe.histogram_blocks()[i];
      const double gradient = reference::l2_norm(expected.activation_gradients.at(block + ".relu").v);
      EXPECT_NEAR(found.output_grad_norm[i], gradient, 0.1 * gradient) << norm << block;
      EXPECT_NEAR(found.cosine[i], similarity_in_double(expected.activations.at(block + ".relu")).first,
                  0.01);
    }
  }
}

TEST(Probe, EqualBitsForAnyNumberOfThreads) {
  const auto figures = [](int threads) {
    SmallNetwork small("cpu_blocked", "bn", false, threads);
    Probe probe(*small.graph);
    const ProbeFigures f = probe.measure(small.batch(), 8);
    return std::tuple(f.loss, f.activation_mean, f.activation_variance, f.output_grad_norm, f.cosine,
                      f.stable_rank, f.before, f.after);
  };
  const auto one = figures(1);
  for (const int threads : {2, 5}) EXPECT_TRUE(figures(threads) == one) << threads;
}

/// Values that are not finite are figures, too, and stop nothing.
TEST(Probe, ADivergedNetworkCanBeLookedAt) {
  SmallNetwork small("cpu_blocked", "none", false);
  small.graph->values()[0] = kInfinity;
  Probe probe(*small.graph);
  const ProbeFigures found = probe.measure(small.batch(), 12);
  EXPECT_TRUE(std::isnan(found.cosine[0]));
  EXPECT_TRUE(std::isnan(found.stable_rank[0]));
  EXPECT_TRUE(std::isfinite(found.before[0][1]));
}

TEST(Probe, NetworksOfAllKindsHaveTheirBlocks) {
  const auto outputs = [](const char* net, const char* norm) {
    const auto backend = test::make_test_backend("cpu_blocked");
    Graph graph(*backend, {1, 3, 32, 32});
    build_network(graph, {.net = net, .norm = Norm::parse(norm), .fuse = false});
    graph.setup({.batch = 2});
    const Probe probe(graph);
    return std::pair(probe.outputs(), probe.histogram_blocks());
  };
  EXPECT_EQ(outputs("net_a", "gn:4").first,
            (std::vector<std::string>{"c1.norm", "c2.norm", "c4.norm", "c5.norm", "c6.norm", "c8.norm",
                                      "c9.norm", "c10.norm"}));
  EXPECT_EQ(outputs("net_a", "none").second,
            (std::vector<std::string>{"c1", "c2", "c4", "c5", "c6", "c8", "c9", "c10"}));
  EXPECT_EQ(outputs("resnet:20", "bn").first.size(), 19U);
  EXPECT_EQ(outputs("resnet:20", "none").second.size(), 19U);
}

/// Apart or fused, a network is the same to the bit of its parameters' order, and to rounding of its loss.
TEST(Probe, UnfusedNetworksComputeTheSame) {
  for (const std::string& norm : test::norm_names()) {
    SmallNetwork fused("cpu_blocked", norm, true), apart("cpu_blocked", norm, false);
    const double a = fused.graph->forward_backward(fused.batch()).loss_sum;
    EXPECT_NEAR(apart.graph->forward_backward(apart.batch()).loss_sum, a, 1e-6 * a) << norm;
    const std::vector<const Parameter*> of_a = fused.graph->parameters(), of_b = apart.graph->parameters();
    ASSERT_EQ(of_a.size(), of_b.size());
    for (std::size_t i = 0; i < of_a.size(); ++i) {
      EXPECT_EQ(of_a[i]->name, of_b[i]->name);
      EXPECT_EQ(of_a[i]->offset, of_b[i]->offset);
    }
  }
}

}  // namespace
}  // namespace normlab
