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

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

#include "experiments/options/backends.hpp"
#include "experiments/training/trainer.hpp"
#include "host/data/load_dataset.hpp"
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

/// A run and where it is killed.
struct Case {
  StudyOptions options;
  int first = 0, second = 0;  // before the first's pass, and before that pass of what was left
};

/// Options, each drawn by itself.
StudyOptions draw_options(std::mt19937& random) {
  const auto one_of = [&](std::size_t count) { return random() % count; };
  const std::string schedules[] = {"onecycle", "cosine", "step", "constant"};
  StudyOptions o;
  o.experiment = "resume_anywhere_test";
  o.device = "cpu";
  o.net = "plain:4";
  o.epochs = 2;
  o.batch_size = 33;
  o.diagnose = static_cast<int>(one_of(3));
  o.optimizer = one_of(3) == 0 ? "adamw" : "sgd";
  o.nesterov = one_of(2) == 0;
  o.schedule = schedules[one_of(4)];
  o.augment = one_of(2) == 0;
  o.micro_batch = one_of(3) == 0 ? 8 : 0;
  o.clip = one_of(3) == 0 ? 1 : 0;
  o.val = 20;
  o.keep = 1 + static_cast<int>(one_of(3));
  o.durable = one_of(3) == 0;
  o.checkpoint_every = static_cast<int>(one_of(5));
  o.precision = one_of(3) == 0 ? "bf16" : "fp32";
  return o;
}

std::vector<std::string> norms() {
  std::vector<std::string> all{"none", "bn", "ln", "gn:4", "in"};
  if (kills_of_each_norm() > 2) all.insert(all.end(), {"ln-elementwise", "rms"});
  return all;
}

std::vector<Case> cases_of(const std::string& norm, unsigned seed) {
  const std::vector<std::string> all = norms();
  const auto place = static_cast<unsigned>(std::find(all.begin(), all.end(), norm) - all.begin());
  std::mt19937 random(seed + place);
  std::vector<Case> cases;
  for (int i = 0; i < kills_of_each_norm(); ++i) {
    Case c{draw_options(random)};
    c.options.norms = norm;
    c.first = 1 + static_cast<int>(random() % kSteps);
    c.second = 1 + static_cast<int>(random() % kSteps);
    cases.push_back(std::move(c));
  }
  return cases;
}

constexpr unsigned kSeed = 164;  // one with which few cases cover everything: see below

/// What two cases of each norm try, in words.
std::set<std::string> tried(unsigned seed) {
  std::set<std::string> seen;
  for (const std::string& norm : norms()) {
    for (const Case& c : cases_of(norm, seed)) {
      const StudyOptions& o = c.options;
      const bool is_sgd = *o.optimizer == OptimizerOptions::Kind::sgd;
      seen.insert({is_sgd ? (o.nesterov ? "nesterov" : "sgd") : "adamw",
                   (is_sgd ? "sgd " : "adamw ") + o.schedule.text(), o.precision.text(),
                   o.augment ? "augment" : "", o.micro_batch > 0 ? "micro-batch" : "",
                   o.clip > 0 ? "clip" : "", o.durable ? "durable" : "",
                   fmt::format("diagnose {}", o.diagnose), fmt::format("keep {}", o.keep),
                   fmt::format("checkpoint-every {}", o.checkpoint_every)});
    }
  }
  return seen;
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
      const RunSpec spec = run_of(options, options.norms->front(), 0);
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
          train({*backend, options, spec, images(), processors, RunDirectory(path), progress, 0});
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

class ResumeAnywhere : public ::testing::TestWithParam<std::string> {};

TEST_P(ResumeAnywhere, EndsBitForBitAsIfNothingHadHappened) {
  for (Case& c : cases_of(GetParam(), kSeed)) {
    if (!make_backend("cpu", 1)->why_not(DataType::bf16).empty()) c.options.precision = "fp32";
    const StudyOptions& options = c.options;
    SCOPED_TRACE(fmt::format(
        "{}: killed before step {}, and before step {} of what was left; {} {} {} checkpoint-every {}",
        GetParam(), c.first, c.second, options.optimizer.text(), options.schedule.text(),
        options.precision.text(), options.checkpoint_every));
    const TemporaryDirectory directory;
    for (const char* name : {"whole", "killed"}) std::filesystem::create_directory(directory / name);
    ASSERT_EQ(train_apart(options, 2, directory / "whole", 0), 0);
    ASSERT_EQ(train_apart(options, 1, directory / "killed", c.first), 128 + SIGKILL);
    const int again = train_apart(options, 2, directory / "killed", c.second);
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

/// Each value of each option, and each schedule with both kinds of optimizer.
TEST(ResumeAnywhereCases, CoverEveryOption) {
  const std::set<std::string> seen = tried(kSeed);
  for (const char* what : {"sgd",
                           "nesterov",
                           "adamw",
                           "sgd onecycle",
                           "sgd cosine",
                           "sgd step",
                           "sgd constant",
                           "adamw onecycle",
                           "adamw cosine",
                           "bf16",
                           "fp32",
                           "augment",
                           "micro-batch",
                           "clip",
                           "durable",
                           "diagnose 0",
                           "diagnose 1",
                           "diagnose 2",
                           "keep 1",
                           "keep 2",
                           "keep 3",
                           "checkpoint-every 0",
                           "checkpoint-every 1",
                           "checkpoint-every 2",
                           "checkpoint-every 3",
                           "checkpoint-every 4"})
    EXPECT_EQ(seen.count(what), 1U) << what;
}

INSTANTIATE_TEST_SUITE_P(Norms, ResumeAnywhere, ::testing::ValuesIn(norms()), [](const auto& info) {
  std::string name = info.param;
  std::erase_if(name, [](char c) { return c == ':' || c == '-'; });
  return name;
});

}  // namespace
}  // namespace normlab
