// A run that is killed at any step, gone on with by another number of threads, killed again and gone on with,
// ends with the parameters and the log of one that nothing disturbed, bit for bit: for every norm, optimizer,
// schedule and precision, with augmentation, micro-batches, held-out images and gradient clipping.
//
// NORMLAB_RESUME_STEPS=20 kills each norm at so many steps instead of two, and takes all seven norms, not
// five.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

#include "experiments/common/backends.hpp"
#include "experiments/common/trainer.hpp"
#include "host/data/synthetic.hpp"
#include "host/record/log_reader.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::TemporaryDirectory;

int kills_of_each_norm() {
  const char* wanted = std::getenv("NORMLAB_RESUME_STEPS");
  return wanted == nullptr ? 2 : std::atoi(wanted);
}

constexpr int kSteps = 14;  // 2 epochs of 7, the last batch of each smaller

const Dataset& images() {
  static const Dataset data = [] {
    Dataset all = load_dataset("synthetic");
    all.train = take(all.train, 220);
    all.test = take(all.test, 50);
    return all;
  }();
  return data;
}

/// Something else each time, as the number says.
StudyOptions options_of(const std::string& norm, int number) {
  StudyOptions o;
  o.experiment = "resume_anywhere_test";
  o.device = "cpu";
  o.norms = norm;
  o.net = "plain:4";
  o.epochs = 2;
  o.batch_size = 33;
  o.diagnose = number % 3;
  o.optimizer = number % 4 == 3 ? "adamw" : "sgd";
  o.nesterov = number % 5 == 4;
  o.schedule = std::vector<std::string>{"onecycle", "cosine", "step",
                                        "constant"}[static_cast<std::size_t>(number) % 4];
  o.augment = number % 2 == 1;
  o.micro_batch = number % 6 == 5 ? 8 : 0;
  o.clip = number % 7 == 6 ? 1 : 0;
  o.val = 20;
  o.keep = 1 + number % 3;
  o.durable = number % 5 == 2;
  o.checkpoint_every = number % 5;
  if (number % 3 == 2 && make_backend("cpu", 1)->why_not(DataType::bf16).empty()) o.precision = "bf16";
  return o;
}

/// Trains in a process of its own, with so many threads; it is killed before its pass number `kill_at` (from
/// 1), if that is positive. Returns the exit status, 128 + signal when killed.
int train_apart(StudyOptions options, int threads, const std::filesystem::path& path, int kill_at) {
  static_cast<void>(images());  // before the process is cut in two
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    int status = 1;
    try {
      options.threads = threads;
      const RunSpec spec = run_of(options, options.norm_list().front(), 0);
      StudyPlan plan;
      plan.processors = threads;
      plan.jobs = 1;
      plan.kinds.push_back({1000, threads});
      plan.runs.push_back({spec.name(), 0, 1000, options.epochs});
      if (freopen("/dev/null", "w", stdout) == nullptr) _exit(1);
      Progress progress(plan);
      int passes = -1;  // the first question comes before training
      const std::function<int()> processors = [&] {
        if (++passes == kill_at && kill_at > 0) raise(SIGKILL);
        return threads;
      };
      const std::unique_ptr<Backend> backend = make_backend(options.device, threads);
      const RunOutcome outcome =
          train(*backend, options, spec, images(), processors, RunDirectory(path), progress, 0);
      status = outcome.status == RunOutcome::Status::done ? 0 : 1;
    } catch (const std::exception& error) {
      fmt::print(stderr, "{}\n", error.what());
    }
    _exit(status);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class ResumeAnywhere : public ::testing::TestWithParam<const char*> {};

TEST_P(ResumeAnywhere, EndsBitForBitAsIfNothingHadHappened) {
  const std::string norm = GetParam();
  std::mt19937 random(static_cast<unsigned>(std::hash<std::string>()(norm)));
  for (int number = 0; number < kills_of_each_norm(); ++number) {
    const StudyOptions options = options_of(norm, static_cast<int>(random() % 420));
    const int first = 1 + static_cast<int>(random() % kSteps),
              second = 1 + static_cast<int>(random() % kSteps);
    SCOPED_TRACE(fmt::format(
        "{}: killed before step {}, and before step {} of what was left; {} {} {} checkpoint-every {}", norm,
        first, second, options.optimizer, options.schedule, options.precision, options.checkpoint_every));
    const TemporaryDirectory directory;
    for (const char* name : {"whole", "killed"}) std::filesystem::create_directory(directory / name);
    ASSERT_EQ(train_apart(options, 2, directory / "whole", 0), 0);
    ASSERT_EQ(train_apart(options, 1, directory / "killed", first), 128 + SIGKILL);
    const int again = train_apart(options, 2, directory / "killed", second);
    ASSERT_TRUE(again == 128 + SIGKILL || again == 0) << again;
    if (again != 0) {
      ASSERT_EQ(train_apart(options, 1, directory / "killed", 0), 0);
    }
    EXPECT_EQ(first_difference(read_log(directory / "whole" / "metrics.nlog"),
                               read_log(directory / "killed" / "metrics.nlog")),
              "");
    EXPECT_TRUE(test::read_bytes(directory / "whole" / "final.safetensors") ==
                test::read_bytes(directory / "killed" / "final.safetensors"));
  }
}

std::vector<const char*> norms() {
  std::vector<const char*> all{"none", "bn", "ln", "gn:4", "in"};
  if (kills_of_each_norm() > 2) all.insert(all.end(), {"ln-elementwise", "rms"});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Norms, ResumeAnywhere, ::testing::ValuesIn(norms()), [](const auto& info) {
  std::string name = info.param;
  std::erase_if(name, [](char c) { return c == ':' || c == '-'; });
  return name;
});

}  // namespace
}  // namespace normlab
