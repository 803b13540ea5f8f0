// Whole trainings on the emulated device by the trainer itself: all norms follow the CPU, the host looks in
// only where somebody wants to see something, and a run that stops goes on with the same bits.

#include <gtest/gtest.h>

#include "host/record/log_reader.hpp"
#include "host/record/run_results.hpp"
#include "tests/simt/simt.hpp"
#include "tests/support/norm_names.hpp"
#include "tests/support/small_training.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::kEpochs;
using test::kSteps;
using test::kTest;
using test::small_options;
using test::Stopped;

/// What a run recorded.
struct Found {
  RunResults run;
  Log log;
  std::vector<StepResult> steps;
};

class CudaTraining : public ::testing::Test {
 protected:
  /// Trains in the directory of this name, by as many calls for processors (none: no limit) as it may.
  RunOutcome train_in(const std::string& name, const std::string& backend_name, const StudyOptions& options,
                      const RunSpec& spec, int calls = 1 << 30) {
    return test::train_in(directory_ / name, backend_name, options, spec, data_, calls_, calls);
  }
  [[nodiscard]] Found results(const std::string& name) const {
    Found found;
    found.run = read_run(directory_ / name, &found.log);
    found.steps = step_results(found.log);
    return found;
  }
  [[nodiscard]] std::string parameters(const std::string& name) const {
    return test::read_text(directory_ / name / "final.safetensors");
  }

  test::TemporaryDirectory directory_;
  const Dataset data_ = test::small_dataset();
  int calls_ = 0;  ///< for processors: of the last training
};

class CudaTrainingOf : public CudaTraining, public ::testing::WithParamInterface<std::string> {};

TEST_P(CudaTrainingOf, FollowsTheCpu) {
  StudyOptions options = small_options();
  options.val = 4;
  const RunSpec spec = run_of(options, Norm::parse(GetParam()), 0);
  const RunOutcome gpu = train_in("gpu", "cuda_emulated", options, spec);
  EXPECT_EQ(calls_, 1 + 3 * kEpochs) << "an epoch is one stretch, so is an evaluation";
  (void)train_in("cpu", "cpu_blocked", options, spec);
  EXPECT_EQ(gpu.status, RunOutcome::Status::done);
  const Found on_gpu = results("gpu"), on_cpu = results("cpu");
  ASSERT_EQ(on_gpu.steps.size(), 3U * kEpochs);
  ASSERT_EQ(on_gpu.steps.size(), on_cpu.steps.size());
  for (std::size_t i = 0; i < on_cpu.steps.size(); ++i) {
    const StepResult &a = on_gpu.steps[i], &b = on_cpu.steps[i];
    EXPECT_EQ(a.step, b.step);
    EXPECT_EQ(a.epoch, b.epoch);
    EXPECT_EQ(a.lr, b.lr);
    EXPECT_NEAR(*a.loss, *b.loss, 5e-3 * *b.loss) << "step " << a.step;
    EXPECT_NEAR(*a.grad_norm, *b.grad_norm, 5e-2 * *b.grad_norm) << "step " << a.step;
  }
  ASSERT_EQ(on_gpu.run.epochs.size(), 3U * kEpochs);
  ASSERT_EQ(on_gpu.run.epochs.size(), on_cpu.run.epochs.size());
  for (std::size_t i = 0; i < on_cpu.run.epochs.size(); ++i) {
    EXPECT_EQ(on_gpu.run.epochs[i].split, on_cpu.run.epochs[i].split);
    EXPECT_NEAR(*on_gpu.run.epochs[i].loss, *on_cpu.run.epochs[i].loss, 1e-2 * *on_cpu.run.epochs[i].loss);
  }
  const std::vector<Prediction> predictions = on_gpu.log.last_predictions("test.predictions");
  ASSERT_EQ(predictions.size(), static_cast<std::size_t>(kTest));
  int correct = 0;
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    EXPECT_EQ(predictions[i].image, i);
    EXPECT_EQ(predictions[i].label, data_.test.labels[i]);
    EXPECT_GT(predictions[i].confidence, 0.09F);
    correct += predictions[i].predicted == predictions[i].label ? 1 : 0;
  }
  EXPECT_EQ(gpu.test_accuracy, static_cast<double>(correct) / kTest);
}

INSTANTIATE_TEST_SUITE_P(Norms, CudaTrainingOf, ::testing::ValuesIn(test::norm_names(2)),
                         [](const auto& info) { return test::identifier(info.param); });

TEST_F(CudaTraining, StopsWhereSomebodyLooksAndEndsWithTheSameBits) {
  StudyOptions options = small_options();
  const RunSpec spec = run_of(options, Norm::parse("bn"), 0);
  (void)train_in("whole", "cuda_emulated", options, spec);
  EXPECT_EQ(calls_, 1 + 2 * kEpochs);
  options.diagnose_steps = "3";
  (void)train_in("diagnosed", "cuda_emulated", options, spec);
  EXPECT_EQ(calls_, 1 + 2 * kEpochs + 2) << "before step 3, step 3, after it";
  options.diagnose_steps = "";
  options.checkpoint_every = 1;
  (void)train_in("saved", "cuda_emulated", options, spec);
  EXPECT_EQ(calls_, 1 + (kSteps + 1) * kEpochs);
  for (const char* name : {"diagnosed", "saved"}) {
    EXPECT_TRUE(parameters(name) == parameters("whole")) << name;
    const Found there = results(name), whole = results("whole");
    ASSERT_EQ(there.steps.size(), whole.steps.size());
    for (std::size_t i = 0; i < whole.steps.size(); ++i) {
      EXPECT_EQ(there.steps[i].loss, whole.steps[i].loss) << name;
      EXPECT_EQ(there.steps[i].grad_norm, whole.steps[i].grad_norm) << name;
    }
  }
}

TEST_F(CudaTraining, GoesOnFromACheckpointWithTheSameBits) {
  for (const char* optimizer : {"sgd", "adamw"}) {
    SCOPED_TRACE(optimizer);
    StudyOptions options = small_options();
    options.optimizer = optimizer;
    options.precision = "bf16";
    options.checkpoint_every = 3;
    const RunSpec spec = run_of(options, Norm::parse("bn"), 0);
    const std::string whole = std::string("whole-") + optimizer,
                      stopped = std::string("stopped-") + optimizer;
    (void)train_in(whole, "cuda_emulated_bf16", options, spec);
    // Stretches: steps 1 to 3, 4, test, 5 and 6, ...: stopped after step 3, and once more after step 6.
    EXPECT_THROW(train_in(stopped, "cuda_emulated_bf16", options, spec, 2), Stopped);
    EXPECT_THROW(train_in(stopped, "cuda_emulated_bf16", options, spec, 4), Stopped);
    EXPECT_EQ(train_in(stopped, "cuda_emulated_bf16", options, spec).status, RunOutcome::Status::done);
    EXPECT_EQ(first_difference(read_log(directory_ / whole / "metrics.nlog"),
                               read_log(directory_ / stopped / "metrics.nlog")),
              "");
    EXPECT_TRUE(parameters(whole) == parameters(stopped));
  }
}

TEST_F(CudaTraining, EndsAtTheFirstStepThatIsNotFinite) {
  StudyOptions options = small_options();
  options.lr = "1e20";
  options.clip = 0;
  options.schedule = "constant";
  const RunSpec spec = run_of(options, Norm::parse("none"), 0);
  EXPECT_EQ(train_in("gpu", "cuda_emulated", options, spec).status, RunOutcome::Status::diverged);
  const Found diverged = results("gpu");
  ASSERT_FALSE(diverged.steps.empty());
  EXPECT_LT(diverged.steps.size(), static_cast<std::size_t>(kSteps)) << "inside of the first epoch";
  for (std::size_t i = 0; i < diverged.steps.size(); ++i) {
    const bool is_finite =
        std::isfinite(*diverged.steps[i].loss) && std::isfinite(*diverged.steps[i].grad_norm);
    EXPECT_EQ(is_finite, i + 1 < diverged.steps.size()) << "step " << i + 1;
  }
  EXPECT_EQ(diverged.run.status, "diverged");
  EXPECT_NE(diverged.run.status_message.find("diverged at step " + std::to_string(diverged.steps.size())),
            std::string::npos)
      << diverged.run.status_message;
}

TEST_F(CudaTraining, MicroBatchesAreRecordedToo) {
  StudyOptions options = small_options();
  options.micro_batch = 4;
  const RunSpec spec = run_of(options, Norm::parse("gn:2"), 0);
  const simt::Counters before = simt::counters();
  (void)train_in("parts", "cuda_emulated", options, spec);
  // All steps but the first over 6 images and the first over 4, and the second of two evaluations.
  EXPECT_EQ(simt::counters().graph_launches - before.graph_launches, kSteps * kEpochs - 2U);
  for (const StepResult& step : results("parts").steps) EXPECT_TRUE(std::isfinite(*step.loss));
}

/// Steps that a profiler looks at are done kernel by kernel: the same kernels.
TEST_F(CudaTraining, AProfileWindowChangesNoBit) {
  StudyOptions options = small_options();
  const RunSpec spec = run_of(options, Norm::parse("bn"), 0);
  (void)train_in("whole", "cuda_emulated", options, spec);
  options.profile_steps = "2:4";
  ::testing::internal::CaptureStdout();
  (void)train_in("window", "cuda_emulated", options, spec);
  const std::string output = ::testing::internal::GetCapturedStdout();
  EXPECT_HAS(output, "steps 2 to 4, kernel by kernel: ");
  EXPECT_HAS(output, "3 as replayed: ");
  EXPECT_EQ(simt::profiling(), 0);
  EXPECT_EQ(parameters("window"), parameters("whole"));
}

}  // namespace
}  // namespace normlab
