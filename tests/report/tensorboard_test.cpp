// Event files against a reader of our own that knows nothing of the writer. tests/interop/ asks TensorBoard.

#include "host/report/tensorboard.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "host/record/event_file.hpp"
#include "tests/record/sample_study.hpp"
#include "tests/support/event_reader.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::read_events;
using test::read_text;
using test::ReadEvent;
using test::TemporaryDirectory;

std::vector<ReadEvent> with_tag(const std::vector<ReadEvent>& events, const std::string& tag) {
  std::vector<ReadEvent> found;
  for (const ReadEvent& event : events) {
    if (event.tag == tag) found.push_back(event);
  }
  return found;
}

TEST(EventFile, SaysWhatWasWritten) {
  const TemporaryDirectory directory;
  const fs::path path = directory / "events.out.tfevents.1";
  EventFile file(path, 1e9);
  file.scalar(1e9 + 0.25, 300, "loss/test", 0.125);
  file.scalar(1e9 + 0.5, std::int64_t{1} << 40, "loss/test", NAN);
  const std::vector<double> counts{1, 0, 3, 4};
  file.histogram(1e9 + 1, 7, "before/c1.norm", {-1, 3, counts});
  file.image(1e9 + 2, 8, "grid", 640, 480, std::string("\x89PNG\0...", 8));
  file.commit();
  const std::vector<ReadEvent> events = read_events(read_text(path));
  ASSERT_EQ(events.size(), 5U);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_EQ(events[0].wall, 1e9);
  EXPECT_EQ(events[1].wall, 1e9 + 0.25);
  EXPECT_EQ(events[1].step, 300);
  EXPECT_EQ(events[1].tag, "loss/test");
  EXPECT_TRUE(events[1].is_scalar);
  EXPECT_EQ(events[1].scalar, 0.125F);
  EXPECT_EQ(events[2].step, std::int64_t{1} << 40);
  EXPECT_TRUE(std::isnan(events[2].scalar));
  EXPECT_EQ(events[3].histogram.at(1), -1);
  EXPECT_EQ(events[3].histogram.at(2), 3);
  EXPECT_EQ(events[3].histogram.at(3), 8);
  EXPECT_EQ(events[3].histogram.at(4), -0.5 + 3 * 1.5 + 4 * 2.5);
  EXPECT_EQ(events[3].histogram.at(5), 0.25 + 3 * 2.25 + 4 * 6.25);
  EXPECT_EQ(events[3].limits, (std::vector<double>{0, 1, 2, 3}));
  EXPECT_EQ(events[3].counts, counts);
  EXPECT_EQ(events[4].width, 640);
  EXPECT_EQ(events[4].height, 480);
  EXPECT_EQ(events[4].colorspace, 3);
  EXPECT_EQ(events[4].png, std::string("\x89PNG\0...", 8));
}

TEST(EventFile, WithoutCommitNothingRemains) {
  const TemporaryDirectory directory;
  { EventFile file(directory / "events", 0); }
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

TEST(Tensorboard, EveryRowOfARunIsExported) {
  const TemporaryDirectory directory;
  const StudyDirectory study = StudyDirectory::create("compare_norms", directory / "study");
  std::vector<Prediction> predictions;
  for (std::uint32_t i = 0; i < 40; ++i)
    predictions.push_back({i, static_cast<std::uint16_t>(i % 10), static_cast<std::uint16_t>(i % 7), 0.5F});
  test::write_run(study, {.norm = "bn",
                          .seed = 0,
                          .test_accuracies = {0.5, 0.75},
                          .has_layers = true,
                          .predictions = predictions});
  test::write_run(study,
                  {.norm = "none", .seed = 0, .test_accuracies = {0.25}, .status = RunStatus::diverged});
  const std::vector<fs::path> paths{study.path()};
  const TensorboardExport done = export_tensorboard(paths, directory / "out");
  ASSERT_EQ(done.files.size(), 2U);
  EXPECT_TRUE(done.problems.empty());
  EXPECT_EQ(done.files[1].parent_path(), directory / "out" / "bn-seed0");
  const std::vector<ReadEvent> events = read_events(read_text(done.files[1]));

  const std::vector<ReadEvent> accuracy = with_tag(events, "accuracy/test");
  ASSERT_EQ(accuracy.size(), 2U);
  EXPECT_EQ(accuracy[0].step, 2);
  EXPECT_EQ(accuracy[0].scalar, 0.5F);
  EXPECT_EQ(accuracy[1].step, 4);
  EXPECT_EQ(accuracy[1].scalar, 0.75F);
  for (const char* tag : {"loss/train", "loss/test", "accuracy/train", "seconds/train"})
    EXPECT_EQ(with_tag(events, tag).size(), 2U) << tag;
  const std::vector<ReadEvent> loss = with_tag(events, "step/loss");
  ASSERT_EQ(loss.size(), 4U);
  EXPECT_EQ(loss[3].step, 4);
  EXPECT_EQ(loss[3].scalar, 0.5F);
  EXPECT_EQ(with_tag(events, "step/lr").size(), 4U);
  EXPECT_EQ(with_tag(events, "step/grad_norm").size(), 4U);
  EXPECT_EQ(with_tag(events, "layer.grad_norm/c1").at(1).scalar, 0.5F);
  EXPECT_EQ(with_tag(events, "layer.grad_norm/c2, again").at(1).scalar, 0.25F);

  const std::vector<ReadEvent> image = with_tag(events, "misclassified");
  ASSERT_EQ(image.size(), 1U);
  EXPECT_EQ(image[0].step, 4);
  EXPECT_EQ(image[0].png.substr(0, 8), "\x89PNG\r\n\x1a\n");
  const auto big_endian = [&](std::size_t at) {
    int value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(image[0].png[at + i]);
    return value;
  };
  EXPECT_EQ(big_endian(16), image[0].width);  // IHDR
  EXPECT_EQ(big_endian(20), image[0].height);

  for (std::size_t i = 1; i < events.size(); ++i) EXPECT_GE(events[i].wall, events[i - 1].wall);
  EXPECT_TRUE(with_tag(read_events(read_text(done.files[0])), "misclassified").empty());
}

TEST(Tensorboard, HistogramsKeepTheirCounts) {
  const TemporaryDirectory directory;
  const StudyDirectory study = StudyDirectory::create("gradient_flow", directory / "study");
  const RunDirectory run = study.create_run("bn-seed0");
  RunConfig config;
  config.set("norm", "bn");
  run.write_config(config);
  LogWriter log(run.metrics(), {{"before.c1.norm", ChannelKind::histogram, "", {5}, {}}});
  log.append(0, 0, 0, std::vector<double>{-2, 1, 10, 20, 30});
  log.append(0, 1, 9, std::vector<double>{NAN, NAN, 0, 0, 0});  // nothing finite: nothing to show
  log.close(RunStatus::done);
  const std::vector<fs::path> paths{run.path()};
  const TensorboardExport done = export_tensorboard(paths, directory / "out");
  ASSERT_EQ(done.files.size(), 1U);
  const std::vector<ReadEvent> events = read_events(read_text(done.files[0]));
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1].tag, "before/c1.norm");
  EXPECT_EQ(events[1].limits, (std::vector<double>{-1, 0, 1}));
  EXPECT_EQ(events[1].counts, (std::vector<double>{10, 20, 30}));
}

TEST(Tensorboard, WhatIsNewGoesToANewFile) {
  const TemporaryDirectory directory;
  const StudyDirectory study = StudyDirectory::create("compare_norms", directory / "study");
  const RunDirectory run = study.create_run("bn-seed0");
  RunConfig config;
  config.set("norm", "bn");
  run.write_config(config);
  LogWriter log(run.metrics(), {{"step.loss", ChannelKind::scalar, "", {}, {}}});
  const std::vector<fs::path> paths{study.path()};
  const auto export_now = [&] {
    log.flush();
    return export_tensorboard(paths, directory / "out").files;
  };
  EXPECT_TRUE(export_now().empty());  // nothing yet
  for (int step = 1; step <= 3; ++step) log.append(0, 1, step, step);
  const std::vector<fs::path> first = export_now();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_TRUE(export_now().empty());
  for (int step = 4; step <= 8; ++step) log.append(0, 1, step, step);
  const std::vector<fs::path> second = export_now();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_LT(first[0].filename(), second[0].filename());  // TensorBoard reads them in this order
  const std::vector<ReadEvent> events = read_events(read_text(second[0]));
  ASSERT_EQ(events.size(), 6U);
  EXPECT_EQ(events[1].step, 4);
  EXPECT_EQ(events[5].step, 8);
  EXPECT_EQ(read_events(read_text(first[0])).size(), 4U);
}

/// The tags and values of all event files in a directory, one line each.
std::string exported(const fs::path& directory) {
  std::string text;
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.is_regular_file())
      for (const ReadEvent& event : read_events(read_text(entry.path())))
        text += fmt::format("{} {} {}\n", event.tag, event.step, event.scalar);
  return text;
}

TEST(Tensorboard, ARunIsKnownByWhatItIs) {
  const TemporaryDirectory directory;
  const auto make = [&](const std::string& name, int shift, int epochs) {
    const StudyDirectory study = StudyDirectory::create("compare_norms", directory / name);
    std::vector<double> accuracies;
    for (int epoch = 1; epoch <= epochs; ++epoch) accuracies.push_back(0.01 * (shift + epoch));
    test::write_run(study, {.norm = "bn", .seed = 0, .test_accuracies = accuracies});
    return study.path();
  };
  const fs::path a = make("A", 0, 3), longer = make("B", 50, 6), same_length = make("C", 70, 3);
  const fs::path again = make("again/A", 0, 3);  // the same settings and rows
  const auto export_to_tb = [&](const fs::path& study) {
    return export_tensorboard(std::vector<fs::path>{study}, directory / "tb");
  };
  ASSERT_EQ(export_to_tb(a).files.size(), 1U);
  const std::string of_a = exported(directory / "tb/bn-seed0");
  EXPECT_TRUE(export_to_tb(again).files.empty());
  for (const auto& [study, name] : {std::pair{same_length, "C"}, {longer, "B"}}) {
    const TensorboardExport done = export_to_tb(study);
    ASSERT_EQ(done.files.size(), 1U) << name;
    EXPECT_EQ(done.files[0].parent_path(), directory / "tb" / name / "bn-seed0");
    EXPECT_HAS(done.notes.at(0), "curves of another run");
    EXPECT_TRUE(export_to_tb(study).files.empty()) << name;
    EXPECT_EQ(exported(done.files[0].parent_path()).size() > of_a.size() + 50, study == longer);
  }
  EXPECT_EQ(exported(directory / "tb/bn-seed0"), of_a);
  // Another study of the same name.
  EXPECT_EQ(export_to_tb(make("elsewhere/C", 80, 3)).files.at(0).parent_path(),
            directory / "tb/C-2/bn-seed0");
  // Two of one name at once, and what was there already stays there.
  const std::vector<fs::path> both{make("p/S", 10, 2), make("q/S", 20, 2)};
  const TensorboardExport two = export_tensorboard(both, directory / "two");
  ASSERT_EQ(two.files.size(), 2U);
  EXPECT_NE(two.files[0].parent_path(), two.files[1].parent_path());
  EXPECT_TRUE(export_tensorboard(both, directory / "two").files.empty());
  const std::vector<fs::path> more{a, longer};
  EXPECT_TRUE(export_tensorboard(more, directory / "tb").files.empty());
  // One that an older version exported, which does not say of which run it is.
  fs::create_directory(directory / "tb/ln-seed0");
  test::write_text(directory / "tb/ln-seed0/events.out.tfevents.0000000000-0000000114.normlab", "");
  const StudyDirectory d = StudyDirectory::create("compare_norms", directory / "D");
  test::write_run(d, {.norm = "ln", .seed = 0, .test_accuracies = {0.5}});
  const TensorboardExport unknown = export_to_tb(d.path());
  EXPECT_EQ(unknown.files.at(0).parent_path(), directory / "tb/D/ln-seed0");
  EXPECT_HAS(unknown.notes.at(0), "an older version exported");
}

TEST(Tensorboard, TimesAndShorterLogsMakeNoOtherRun) {
  const TemporaryDirectory directory;
  const StudyDirectory study = StudyDirectory::create("compare_norms", directory / "study");
  const std::vector<fs::path> paths{study.path()};
  const std::vector<Channel> channels{{"step.loss", ChannelKind::scalar, "", {}, {}},
                                      {"train.seconds", ChannelKind::time, "s", {}, {}}};
  const auto log_rows = [&](int steps, double seconds) {
    fs::remove_all(study.path() / "bn-seed0");
    const RunDirectory run = study.create_run("bn-seed0");
    RunConfig config;
    config.set("norm", "bn");
    run.write_config(config);
    LogWriter log(run.metrics(), channels);
    for (int step = 1; step <= steps; ++step) {
      log.append(0, 1, step, 1.0 / step);
      log.append(1, 1, step, seconds);
    }
    log.close(RunStatus::interrupted);
    return export_tensorboard(paths, directory / "out");
  };
  EXPECT_EQ(log_rows(5, 1).files.size(), 1U);
  const TensorboardExport shorter = log_rows(3, 2);  // as after going on from a checkpoint
  EXPECT_TRUE(shorter.files.empty());
  EXPECT_HAS(shorter.notes.at(0), "has 10 rows of");
  const TensorboardExport later = log_rows(8, 3);
  ASSERT_EQ(later.files.size(), 1U);
  EXPECT_EQ(later.files[0].parent_path(), directory / "out/bn-seed0");
  EXPECT_EQ(read_events(read_text(later.files[0])).size(), 7U);
}

TEST(TensorboardCommand, SaysWhereItLies) {
  const TemporaryDirectory directory;
  const StudyDirectory study = StudyDirectory::create("compare_norms", directory / "study");
  test::write_run(study, {.norm = "bn", .seed = 0, .test_accuracies = {0.5}});
  const std::string command = "normlog tensorboard " + study.path().string();
  const auto first = test::run_program(command);
  EXPECT_EQ(first.status, 0) << first.output;
  EXPECT_HAS(first.output, (study.path() / "tensorboard" / "bn-seed0").string());
  EXPECT_HAS(first.output, "tensorboard --logdir");
  const auto second = test::run_program(command);
  EXPECT_EQ(second.status, 0) << second.output;
  EXPECT_HAS(second.output, "nothing new");
  EXPECT_EQ(test::run_program("normlog tensorboard /nowhere").status, 1);
}

}  // namespace
}  // namespace normlab
