// --profile-steps: the steps in the window are done directly while profilers record, the others replayed as
// before.

#include "experiments/training/profile_window.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/simt/simt.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

/// Nine steps over two samples each, whose work is one kernel.
class Window : public ::testing::Test {
 protected:
  static constexpr int kSteps = 9, kBatch = 2;

  Window() {
    std::vector<std::uint32_t> order(kSteps * kBatch);
    std::iota(order.begin(), order.end(), 0U);
    std::vector<StepInput> rows;
    for (std::uint32_t i = 0; i < kSteps; ++i) rows.push_back({i * kBatch, 1, {}});
    steps_.load(order, rows);
  }

  /// As a run does them.
  void run_all(ProfileWindow& window) {
    simt::clear_ranges();
    while (steps_.done() < steps_.count()) {
      const int number = steps_.done() + 1;
      if (window.contains(number)) {
        window.step(steps_, number, [this](int samples) { work(samples); });
        continue;
      }
      int count = 1;
      while (number + count <= steps_.count() && !window.contains(number + count)) ++count;
      window.run(steps_, count);
    }
  }
  void work(int samples) {
    (void)steps_.take(0, samples, samples);
    profiling_.push_back(simt::profiling());
  }

  test::TestBackend backend_ = test::make_test_backend("cuda_emulated");
  const test::DeviceArray<std::uint8_t> labels_{*backend_, std::size_t{kSteps * kBatch}};
  const ImageSet images_{labels_.data(), labels_.data(), kSteps* kBatch, 1, 1, 1};
  Batch like_ = [this] {
    Batch batch;
    batch.images = &images_;
    return batch;
  }();
  Steps steps_{*backend_, like_, kSteps* kBatch, kBatch, [this](int samples) { work(samples); }};
  std::vector<int> profiling_;  ///< whether profilers recorded, each time that work was asked for
};

TEST_F(Window, StepsAreDoneDirectlyAndRecorded) {
  ProfileWindow window(*backend_, {3, 5});
  run_all(window);
  // Step 1 directly, 2 for the recording, 3 to 5 in the window; 6 to 9 are replayed.
  EXPECT_EQ(profiling_, (std::vector<int>{0, 0, 1, 1, 1}));
  EXPECT_EQ(simt::profiling(), 0);
  int steps = 0, with_kernels = 0;
  for (const simt::Range& range : simt::ranges()) {
    steps += range.name == "step" ? 1 : 0;
    with_kernels += range.name == "batch" && range.launches > 0 ? 1 : 0;
  }
  EXPECT_EQ(steps, kSteps);
  EXPECT_EQ(with_kernels, 4) << "step 1 and the window: ranges that are replayed enclose nothing";
  EXPECT_HAS(window.text(), "steps 3 to 5, kernel by kernel: ");
  EXPECT_HAS(window.text(), "3 as replayed: ");
}

TEST_F(Window, WithoutOneEverythingIsAsBefore) {
  ProfileWindow window(*backend_, {});
  run_all(window);
  EXPECT_EQ(profiling_, (std::vector<int>{0, 0}));
  EXPECT_EQ(window.text(), "");
}

TEST_F(Window, ThatARunDoesNotReachSaysSo) {
  {
    ProfileWindow window(*backend_, {8, 12});
    run_all(window);
    EXPECT_EQ(simt::profiling(), 1);
    EXPECT_HAS(window.text(), "steps 8 to 12 was not finished");
  }
  EXPECT_EQ(simt::profiling(), 0) << "it ends with the run";
}

TEST(ProfileSteps, AreParsed) {
  const StepRange range = StepRange::parse("100:102");
  EXPECT_EQ(range.first, 100);
  EXPECT_EQ(range.last, 102);
  EXPECT_FALSE(range.contains(99) || range.contains(103));
  EXPECT_TRUE(range.contains(100) && range.contains(102));
  EXPECT_TRUE(StepRange::parse("").empty());
  for (const char* wrong : {"5", "0:3", "7:6", "a:b", "1:", ":2", "1:2:3", "1:2x", "-1:2"}) {
    const std::string message = test::message_of([&] { (void)StepRange::parse(wrong); });
    EXPECT_HAS(message, "--profile-steps");
    EXPECT_HAS(message, "100:102");
  }
}

TEST(ProfileSteps, WantAGpuAndOneRun) {
  auto result = test::run_program("compare_norms --profile-steps 3:4 --norms bn --seeds 1");
  EXPECT_EQ(result.status, 2) << result.output;
  EXPECT_HAS(result.output, "--device cuda");
  result = test::run_program("compare_norms --profile-steps 4:3 --device cuda");
  EXPECT_EQ(result.status, 2) << result.output;
  EXPECT_HAS(result.output, "'4:3'");
}

}  // namespace
}  // namespace normlab
