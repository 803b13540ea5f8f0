// Convolution of designed inputs: a NaN, an infinity or an outlier in each place stays where the definition
// puts it, and by Winograd's algorithm within the tiles that hold it.

#include "tests/support/conv_plan.hpp"
#include "tests/support/conv_tolerance.hpp"

namespace normlab {
namespace {

using reference::Values;
using test::Definition;
using test::expect_as_defined;
using test::PlanRun;
using test::PlanRunner;
using test::run_plan;

/// The places of a map that share a 4x4 tile, after its 6x6 inputs, with one input.
std::vector<bool> tiles_with(const reference::Tensor& map, int padding, int n, int row, int column) {
  std::vector<bool> touched(map.size());
  reference::for_each(map, [&](int in, int, int h, int w, std::size_t i) {
    const auto reaches = [&](int place, int at) {
      const int first = place / 4 * 4 - padding;
      return at >= first && at < first + 6;
    };
    touched[i] = in == n && reaches(h, row) && reaches(w, column);
  });
  return touched;
}

struct DesignedCase {
  int c, out, kernel, stride, padding;
  Layout layout = Layout::native;
};

class DesignedInputs : public ::testing::TestWithParam<std::string> {
 protected:
  static constexpr int kHeight = 7, kWidth = 6;

  /// Puts `special` at each place of x, of dy and of the weights in turn.
  static void check(const std::string& name, const DesignedCase& shape, double value) {
    const DataType type = test::precision_of(name);
    Values rounded{value};
    test::round_to(type, rounded);
    const double special = rounded.front();
    const auto backend = test::make_test_backend(name);
    if (const std::string missing = backend->why_not(type); !missing.empty()) GTEST_SKIP() << missing;
    const auto& [c, out, kernel, stride, padding, layout] = shape;
    SCOPED_TRACE(fmt::format("{} to {} channels, kernel {}, stride {}, padding {}, {}: {}", c, out, kernel,
                             stride, padding, layout == Layout::image ? "image" : "map", special));
    const bool is_image = layout == Layout::image;
    const Conv2dSpec spec{.x = {2, c, kHeight, kWidth},
                          .out_channels = out,
                          .kernel = kernel,
                          .stride = stride,
                          .padding = padding,
                          .bias = true,
                          .x_layout = layout,
                          .needs_dx = !is_image,
                          .type = type};
    const bool is_direct = test::has_part(name, "direct");
    const bool by_tiles =
        !is_direct && !test::has_part(name, "library") && kernel == 3 && stride == 1 && !is_image;
    // The library's bf16 products come in pairs of pixels, one of which may be multiplied by a zero.
    const bool by_kernels = by_tiles || (!is_direct && type == DataType::bf16);
    reference::Draw draw(11);
    reference::Tensor x = draw.tensor(2, c, kHeight, kWidth),
                      dy = draw.tensor(2, out, spec.y().h, spec.y().w);
    Values weight = draw.normals(static_cast<std::size_t>(out * c * kernel * kernel));
    Values offset = draw.normals(static_cast<std::size_t>(out));
    for (Values* values : {&x.v, &dy.v, &weight, &offset}) test::round_to(type, *values);
    test::round_to(DataType::f32, offset);
    PlanRunner run(*backend, spec);
    // A value in each place; its channel changes from place to place.
    const auto expect_all = [&](int x_place, int dy_place, std::size_t tap) {
      const Definition expected(spec, x, weight, offset, dy);
      const PlanRun found = run(x, weight, offset, dy);
      std::vector<bool> y_apart(found.y.size()), dx_apart(x.size()), dweight_apart(weight.size());
      const auto kernels = static_cast<std::size_t>(kernel * kernel);
      for (std::size_t i = 0; i < weight.size() && by_kernels; ++i) {
        const int o = static_cast<int>(i / kernels) / c, in = static_cast<int>(i / kernels) % c;
        dweight_apart[i] = (x_place >= 0 && in == x_place % c) || (dy_place >= 0 && o == dy_place % out);
      }
      // And so may be a pixel beside the kernel where it reads images.
      if (by_kernels && is_image && x_place >= 0) {
        reference::for_each(dy, [&](int n, int, int, int, std::size_t i) { y_apart[i] = n == x_place % 2; });
      }
      if (by_tiles) {
        if (x_place >= 0) y_apart = tiles_with(dy, padding, x_place % 2, x_place / kWidth, x_place % kWidth);
        if (dy_place >= 0)
          dx_apart = tiles_with(x, 2 - padding, dy_place % 2, dy_place / dy.w, dy_place % dy.w);
        if (tap < weight.size()) {
          const int o = static_cast<int>(tap / kernels) / c, in = static_cast<int>(tap / kernels) % c;
          reference::for_each(dy, [&](int, int oc, int, int, std::size_t i) { y_apart[i] = oc == o; });
          reference::for_each(x, [&](int, int ic, int, int, std::size_t i) { dx_apart[i] = ic == in; });
        }
      }
      const double relative = is_direct ? 1e-6 : 1e-5;
      expect_as_defined(type, found.y, expected.y, expected.y_size, expected.y_open, "y", relative, y_apart);
      if (!is_image)
        expect_as_defined(type, found.dx, expected.dx, expected.dx_size, expected.dx_open, "dx", relative,
                          dx_apart);
      expect_as_defined(DataType::f32, found.dweight, expected.dweight, expected.dweight_size,
                        expected.dweight_open, "dweight", relative, dweight_apart);
    };
    const auto with = [&](double& place, const auto& body) {
      const double before = std::exchange(place, special);
      body();
      place = before;
    };
    for (int p = 0; p < kHeight * kWidth; ++p) {
      with(x.at(p % 2, p % c, p / kWidth, p % kWidth), [&] { expect_all(p, -1, weight.size()); });
      if (::testing::Test::HasFatalFailure()) FAIL() << "x's place " << p;
    }
    for (int p = 0; p < dy.h * dy.w; ++p) {
      with(dy.at(p % 2, p % out, p / dy.w, p % dy.w), [&] { expect_all(-1, p, weight.size()); });
      if (::testing::Test::HasFatalFailure()) FAIL() << "dy's place " << p;
    }
    for (std::size_t tap = 0; tap < weight.size(); tap += 1 + weight.size() / 20) {
      with(weight[tap], [&] { expect_all(-1, -1, tap); });
      if (::testing::Test::HasFatalFailure()) FAIL() << "the weight's place " << tap;
    }
  }
};

const std::vector<DesignedCase> kDesigned{{5, 18, 3, 1, 1},
                                          {18, 5, 3, 1, 0},
                                          {18, 5, 3, 2, 1},
                                          {5, 18, 1, 1, 0},
                                          {18, 5, 1, 2, 0},
                                          {5, 3, 5, 3, 2},
                                          {3, 18, 3, 1, 1, Layout::image},
                                          {3, 5, 3, 2, 1, Layout::image}};

TEST_P(DesignedInputs, NanAndInfinityStayWhereTheyBelong) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const DesignedCase& shape : kDesigned) {
    for (const double special : {std::nan(""), kInfinity, -kInfinity}) {
      ASSERT_NO_FATAL_FAILURE(check(GetParam(), shape, special));
    }
  }
}

/// By the definition neighbours of an outlier keep their digits.
TEST_P(DesignedInputs, OutliersHurtNobodyElse) {
  for (const DesignedCase& shape : kDesigned) {
    for (const double special : {1e3, -1e6}) ASSERT_NO_FATAL_FAILURE(check(GetParam(), shape, special));
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, DesignedInputs, ::testing::ValuesIn([] {
                           std::vector<std::string> names = test::backend_names();
                           std::erase_if(
                               names, [](const std::string& name) { return test::has_part(name, "cuda"); });
                           return names;
                         }()),
                         [](const auto& info) { return info.param; });

/// What docs/performance.md says of Winograd's algorithm: an outlier's neighbours within three pixels are off
/// by up to 2e-6 of the largest sum there.
TEST(Conv2d, AutoRoundsByTheLargestSumNearby) {
  for (const std::string name : {"cpu_blocked", "cpu_nhwc_avx2", "cpu_blocked_portable"}) {
    if (test::forced_isa_of(name).value_or(Isa::portable) > best_isa()) continue;
    for (const double outlier : {1e3, 1e6}) {
      SCOPED_TRACE(fmt::format("{}, outlier {}", name, outlier));
      const auto backend = test::make_test_backend(name);
      const Conv2dSpec spec{.x = {1, 16, 16, 16}, .out_channels = 16};
      reference::Draw draw(3);
      reference::Tensor x = draw.tensor(1, 16, 16, 16), dy = draw.tensor(1, 16, 16, 16);
      Values weight = draw.normals(16 * 16 * 9);
      x.at(0, 3, 6, 7) = outlier;
      dy.at(0, 5, 9, 0) = outlier;
      for (Values* values : {&x.v, &dy.v, &weight}) test::round_to_float(*values);
      const PlanRun found = run_plan(*backend, spec, x, weight, {}, dy, 1);
      const Definition expected(spec, x, weight, {}, dy);
      const auto sized = [&](const Values& size) { return reference::Tensor(1, 16, 16, 16, size); };
      test::expect_within(found.y, expected.y, test::scaled(test::conv_tolerance(sized(expected.y_size)), 2),
                          "y");
      test::expect_within(found.dx, expected.dx,
                          test::scaled(test::conv_tolerance(sized(expected.dx_size)), 2), "dx");
    }
  }
}

}  // namespace
}  // namespace normlab
