#include "host/record/csv.hpp"
#include "host/record/csv_text.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/record/run_results.hpp"
#include "tests/record/sample_study.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::read_text;

std::vector<std::filesystem::path> runs_in(const std::filesystem::path& study) {
  return find_runs({{study}});
}

TEST(Csv, FieldsAreQuotedWhereNeeded) {
  EXPECT_EQ(csv_field("gn:4"), "gn:4");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("say \"x\""), "\"say \"\"x\"\"\"");
  EXPECT_EQ(csv_field("two\nlines"), "\"two\nlines\"");
}

TEST(Csv, Numbers) {
  EXPECT_EQ(csv_number(0.1), "0.1");
  EXPECT_EQ(csv_number(1.0 / 3), "0.333333333");
  EXPECT_EQ(csv_number(1e-20), "1e-20");
  EXPECT_EQ(csv_number(123456789), "123456789");
  EXPECT_EQ(csv_number(std::nan("")), "nan");
  EXPECT_EQ(csv_number(-std::nan("")), "nan");
  EXPECT_EQ(csv_number(INFINITY), "inf");
  EXPECT_EQ(csv_number(-INFINITY), "-inf");
}

TEST(Csv, FilesAndColumns) {
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  test::write_run(study, {"gn:4", 1, {0.5, 0.75}});
  test::write_run(study, {"bn", 0, {0.25, std::nan("")}, RunStatus::diverged});
  const CsvExport done = export_csv(runs_in(study.path()), directory / "csv/deep");
  EXPECT_TRUE(done.problems.empty());
  ASSERT_EQ(done.files.size(), 3U);  // no layers.csv without such channels
  EXPECT_FALSE(std::filesystem::exists(directory / "csv/deep/layers.csv"));
  EXPECT_EQ(read_text(directory / "csv/deep/epochs.csv"),
            "run,norm,seed,epoch,step,split,loss,accuracy,seconds\n"
            "bn-seed0,bn,0,1,2,train,1.5,0.26,0.5\n"
            "bn-seed0,bn,0,1,2,test,1.25,0.25,0.125\n"
            "bn-seed0,bn,0,2,4,train,1.5,nan,0.5\n"
            "bn-seed0,bn,0,2,4,test,1.25,nan,0.125\n"
            "gn4-seed1,gn:4,1,1,2,train,1.5,0.51,0.5\n"
            "gn4-seed1,gn:4,1,1,2,test,1.25,0.5,0.125\n"
            "gn4-seed1,gn:4,1,2,4,train,1.5,0.76,0.5\n"
            "gn4-seed1,gn:4,1,2,4,test,1.25,0.75,0.125\n");
  const std::string steps = read_text(directory / "csv/deep/steps.csv");
  EXPECT_TRUE(
      steps.starts_with("run,norm,seed,epoch,step,loss,lr,grad_norm\n"
                        "bn-seed0,bn,0,1,1,2,0.1,0.333333333\n"
                        "bn-seed0,bn,0,1,2,1,0.1,0.333333333\n"))
      << steps;
  EXPECT_EQ(std::count(steps.begin(), steps.end(), '\n'), 9);
  EXPECT_EQ(
      read_text(directory / "csv/deep/runs.csv"),
      "run,status,parameters,epochs_done,steps_done,final_train_loss,final_train_accuracy,final_val_loss,"
      "final_val_accuracy,final_test_loss,final_test_accuracy,best_test_accuracy,best_test_epoch,"
      "train_seconds,experiment,norm,seed,data,train_images,epochs,batch_size,lr,device\n"
      "bn-seed0,diverged,46010,2,4,1.5,nan,,,1.25,nan,0.25,1,1,compare_norms,bn,0,synthetic,1000,2,500,0.1,"
      "cpu\n"
      "gn4-seed1,done,46010,2,4,1.5,0.76,,,1.25,0.75,0.75,2,1,compare_norms,gn:4,1,synthetic,1000,2,500,0.1,"
      "cpu\n");
}

/// A run that ends within an epoch has made steps that no epoch tells of.
TEST(Csv, StepsDoneAreThoseOfUnfinishedEpochsToo) {
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  for (const int epochs : {0, 2}) {
    const RunDirectory run = study.create_run(fmt::format("bn-seed{}", epochs));
    run.write_config({});
    LogWriter log(run.metrics(), test::sample_channels(false));
    for (int step = 1; step <= 10 * epochs + 6; ++step)
      log.append(log.channel("step.loss"), 1 + (step - 1) / 10, step, 2.0);
    for (int epoch = 1; epoch <= epochs; ++epoch)
      log.append(log.channel("train.loss"), epoch, 10 * epoch, 2.0);
    log.close(epochs == 0 ? RunStatus::diverged : RunStatus::interrupted);
  }
  export_csv(runs_in(study.path()), directory / "csv");
  const std::string text = read_text(directory / "csv/runs.csv");
  EXPECT_HAS(text, "\nbn-seed0,diverged,,0,6,");
  EXPECT_HAS(text, "\nbn-seed2,interrupted,,2,26,");
}

TEST(Csv, LayersAppearWithTheirLabels) {
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  test::write_run(study, {"none", 0, {0.5}});
  test::write_run(study, {"bn", 0, {0.5}, RunStatus::done, true});
  EXPECT_EQ(export_csv(runs_in(study.path()), directory / "csv").files.size(), 4U);
  EXPECT_EQ(read_text(directory / "csv/layers.csv"),
            "run,norm,seed,epoch,step,layer,block,metric,value\n"
            "bn-seed0,bn,0,1,2,c1,c1,grad_norm,0.5\n"
            "bn-seed0,bn,0,1,2,\"c2, again\",\"c2, again\",grad_norm,0.25\n");
}

TEST(Csv, KeysOfAllRunsAreColumns) {
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  test::write_run(study, {"bn", 0, {0.5}});
  test::write_run(study, {"bn",
                          0,
                          {0.5},
                          RunStatus::done,
                          false,
                          {},
                          {{"swept", "batch_size"}, {"batch_size", "2"}, {"clip", "2"}}});
  export_csv(runs_in(study.path()), directory / "csv");
  const std::string text = read_text(directory / "csv/runs.csv");
  EXPECT_HAS(text, ",device,swept,clip\n");
  EXPECT_HAS(text, ",cpu,,\n");
  EXPECT_HAS(text, ",cpu,batch_size,2\n");
}

/// Runs of two studies with equal names are told apart.
TEST(Csv, EqualNamesCarryTheirStudy) {
  const test::TemporaryDirectory directory;
  for (const char* name : {"a", "b"})
    test::write_run(StudyDirectory::create("x", directory / name), {"bn", 0, {0.5}});
  export_csv(find_runs({{directory / "a", directory / "b"}}), directory / "csv");
  EXPECT_HAS(read_text(directory / "csv/runs.csv"), "\na/bn-seed0,");
  EXPECT_HAS(read_text(directory / "csv/epochs.csv"), "\nb/bn-seed0,");
}

TEST(Csv, DamageIsReadAroundAndSaid) {
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  const auto run = test::write_run(study, {"bn", 0, std::vector<double>(2000, 0.5)});
  std::string log = read_text(run / "metrics.nlog");
  ASSERT_GT(log.size(), 3 * 32768U);
  log[40'000] = static_cast<char>(log[40'000] ^ 1);
  test::write_text(run / "metrics.nlog", log);
  std::filesystem::remove(run / "config.toml");
  const CsvExport done = export_csv(runs_in(study.path()), directory / "csv");
  ASSERT_EQ(done.problems.size(), 3U);
  EXPECT_HAS(done.problems[0], "config.toml");
  EXPECT_HAS(done.problems[1], "a record is damaged");
  EXPECT_HAS(done.problems[2], "rows are lost");
  EXPECT_HAS(read_text(directory / "csv/epochs.csv"), "bn-seed0,,0,2000,4000,test,1.25,0.5,0.125\n");
}

TEST(Csv, AFailureLeavesTheOldFiles) {
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  const auto first = test::write_run(study, {"bn", 0, {0.5}});
  export_csv(runs_in(study.path()), directory / "csv");
  const std::string before = read_text(directory / "csv/epochs.csv");
  const auto second = test::write_run(study, {"ln", 0, {0.5}});
  test::write_text(first / "metrics.nlog", "this is no log");
  test::write_text(second / "metrics.nlog", "this is no log");
  EXPECT_HAS(test::message_of([&] { export_csv(runs_in(study.path()), directory / "csv"); }),
             "not a metric log");
  EXPECT_EQ(read_text(directory / "csv/epochs.csv"), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory / "csv"), {}), 3);
  test::write_text(directory / "file", "");
  EXPECT_HAS(test::message_of([&] { export_csv(runs_in(study.path()), directory / "file"); }),
             "cannot create");
}

/// What directories are called says nothing: the order is that of their configurations.
TEST(FindRuns, OrderOfTheTables) {
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  struct Run {
    const char* norm;
    int seed;
    int batch_size = 0;  // swept, if positive
  };
  const std::vector<Run> runs{{"none", 0},           {"bn", 0},     {"bn", 2}, {"bn", 10},
                              {"bn", 0, 2},          {"bn", 0, 16}, {"ln", 0}, {"ln-elementwise", 0},
                              {"gn:2", 0},           {"gn:16", 0},  {"in", 0}, {"rms", 0},
                              {"rms-elementwise", 0}};
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    RunConfig config;
    config.set("norm", runs[i].norm);
    config.set("seed", runs[i].seed);
    if (runs[i].batch_size > 0) config.set("swept", "batch_size");
    if (runs[i].batch_size > 0) config.set("batch_size", runs[i].batch_size);
    expected.push_back(fmt::format("{}", static_cast<char>('z' - i)));
    study.create_run(expected.back()).write_config(config);
  }
  for (const char* without_a_norm : {"bn-seed2", "bn-seed10", "mine-seed0"}) {
    expected.emplace_back(without_a_norm);
    study.create_run(without_a_norm).write_config({});
  }
  std::filesystem::create_directory(study.path() / "csv");
  std::vector<std::string> found;
  for (const auto& run : runs_in(study.path())) found.push_back(run.filename().string());
  EXPECT_EQ(found, expected);
  // A run, its log and its study name the same runs, each once; so does a path that ends in a slash or a dot.
  EXPECT_EQ(find_runs({{study.path() / "z/", study.path() / "z/config.toml"}}).size(), 1U);
  EXPECT_EQ(find_runs({{study.path() / ".", study.path()}}).size(), expected.size());
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(study.path() / "z");
  for (const char* here : {"config.toml", ".", "./", "../z"})
    EXPECT_EQ(find_runs({{std::filesystem::path(here)}}).at(0).filename(), "z") << here;
  EXPECT_EQ(find_runs({{std::filesystem::path("..")}}).size(), expected.size());
  std::filesystem::current_path(before);
  EXPECT_HAS(test::message_of([&] { (void)find_runs({{directory / "none"}}); }), "does not exist");
  EXPECT_HAS(test::message_of([&] { (void)find_runs({{study.path() / "csv"}}); }), "holds no run");
}

TEST(Csv, OneRunThatCannotBeReadIsLeftOut) {
  const test::TemporaryDirectory directory;
  const auto study = StudyDirectory::create("x", directory / "study");
  test::write_run(study, {"bn", 0, {0.5}, RunStatus::done, true});
  const auto ln = test::write_run(study, {"ln", 0, {0.5}});
  EXPECT_EQ(export_csv(runs_in(study.path()), directory / "csv").files.size(), 4U);
  test::write_text(ln / "metrics.nlog", "this is no log");
  const CsvExport done = export_csv(runs_in(study.path()), directory / "csv");
  ASSERT_EQ(done.left_out.size(), 1U);
  EXPECT_HAS(done.left_out[0], "ln-seed0 is left out: ");
  const std::string runs = read_text(directory / "csv/runs.csv");
  EXPECT_HAS(runs, "\nbn-seed0,done");
  EXPECT_EQ(runs.find("ln-seed0"), std::string::npos);
  // Of runs that looked at no layers there is no table of layers, though an earlier export left one.
  const auto other = StudyDirectory::create("x", directory / "other");
  test::write_run(other, {"none", 0, {0.5}});
  export_csv(runs_in(other.path()), directory / "csv");
  EXPECT_FALSE(std::filesystem::exists(directory / "csv/layers.csv"));
}

}  // namespace
}  // namespace normlab
