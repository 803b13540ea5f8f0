#include "host/record/metric_log.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>
#include <utility>

#include "host/record/log_reader.hpp"
#include "layers/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using test::message_of;
using test::TemporaryDirectory;

std::vector<Channel> channels() {
  return {{"step.loss", ChannelKind::scalar, "", {}, {}},
          {"train.seconds", ChannelKind::time, "s", {}, {}},
          {"layer.grad_norm", ChannelKind::vector, "", {3}, {"c1", "c2", "c3"}},
          {"layer.histogram", ChannelKind::histogram, "images", {2, 4}, {}},
          {"test.predictions", ChannelKind::prediction, "", {10'000}, {}}};
}

std::vector<Prediction> predictions(std::uint32_t count) {
  std::vector<Prediction> all;
  for (std::uint32_t image = 0; image < count; ++image)
    all.push_back({image, static_cast<std::uint16_t>(image % 7), static_cast<std::uint16_t>(image % 10),
                   1 / static_cast<float>(image + 1)});
  return all;
}

TEST(MetricLog, WhatIsWrittenIsRead) {
  const TemporaryDirectory directory;
  const auto path = directory / "metrics.nlog";
  const double awkward[] = {0.1, -0.0, std::nan(""), INFINITY, -INFINITY, 5e-324, 1e308, 1.0 / 3};
  const double vector[] = {1.5, -2, 1e-30};
  const float histogram[] = {0, 1, 2, 3, 4, 5, 6, 7};
  {
    LogWriter writer(path, channels());
    EXPECT_EQ(writer.channel("layer.histogram"), 3U);
    for (int i = 0; i < 8; ++i) writer.append(0, 1, i, awkward[i]);
    writer.append(1, 1, 8, 2.25);
    writer.append(2, 1, 8, vector);
    writer.append(3, 1, 8, histogram);
    writer.append(4, 2, 16, predictions(10'000));
    writer.close(RunStatus::diverged, "loss is nan at step 16");
    writer.close(RunStatus::done);  // the first one counts
  }
  const Log log = read_log(path);
  EXPECT_EQ(log.version, 1U);
  EXPECT_EQ(log.channels, channels());
  EXPECT_TRUE(log.damage.empty());
  EXPECT_EQ(log.torn_bytes + log.lost_rows, 0U);
  EXPECT_EQ(log.bytes, std::filesystem::file_size(path));
  ASSERT_TRUE(log.outcome.has_value());
  EXPECT_EQ(log.outcome->status, RunStatus::diverged);
  EXPECT_EQ(log.outcome->message, "loss is nan at step 16");
  ASSERT_GE(log.rows.size(), 12U);
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(log.rows[i].step, static_cast<int>(i));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(log.values_of(log.rows[i])[0]),
              std::bit_cast<std::uint64_t>(awkward[i]));
  }
  EXPECT_EQ(log.values_of(log.rows[8])[0], 2.25);
  EXPECT_EQ(log.values_of(log.rows[9])[2], static_cast<double>(1e-30F));
  EXPECT_EQ(log.values_of(log.rows[10])[7], 7);
  EXPECT_EQ(log.last_predictions("test.predictions"), predictions(10'000));
  EXPECT_TRUE(log.last_predictions("step.loss").empty());
}

TEST(MetricLog, LastPredictionsAreThoseOfTheLastStep) {
  const TemporaryDirectory directory;
  {
    LogWriter writer(directory / "log", channels());
    writer.append(4, 1, 10, predictions(50));
    writer.append(4, 2, 20, predictions(30));
    writer.close(RunStatus::done);
  }
  EXPECT_EQ(read_log(directory / "log").last_predictions("test.predictions"), predictions(30));
}

TEST(MetricLog, FlushedRowsAreInTheFile) {
  const TemporaryDirectory directory;
  LogWriter writer(directory / "log", channels());
  for (int step = 0; step < 5000; ++step) {
    writer.append(0, 1, step, 0.5 * step);
    if (step % 777 != 0) continue;
    writer.flush();
    const Log log = read_log(directory / "log");
    ASSERT_EQ(log.rows.size(), static_cast<std::size_t>(step) + 1);
    EXPECT_EQ(log.values_of(log.rows.back())[0], 0.5 * step);
    EXPECT_FALSE(log.outcome.has_value());
    EXPECT_TRUE(log.damage.empty());
  }
}

/// The bytes depend on the rows, not on when they were written or how large the queue is.
TEST(MetricLog, BytesDoNotDependOnTiming) {
  const TemporaryDirectory directory;
  const auto write = [&](const char* name, std::size_t queue, int flush_every) {
    LogWriter writer(directory / name, channels(), queue);
    for (int step = 0; step < 20'000; ++step) {
      writer.append(0, 1, step, 1.0 / (step + 1));
      if (step % flush_every == 0) writer.flush();
    }
    writer.close(RunStatus::done);
    return test::read_bytes(directory / name);
  };
  const auto expected = write("a", 1 << 20, 1 << 30);
  EXPECT_GT(expected.size(), 600'000U);
  EXPECT_EQ(write("b", 1, 1 << 30), expected);
  EXPECT_EQ(write("c", 100, 991), expected);
  EXPECT_EQ(write("d", 1 << 16, 37), expected);
}

/// A log continued at any row, with whatever had been written after it, has the bytes of one never left.
TEST(MetricLog, AContinuedLogHasTheBytesOfOneNeverLeft) {
  const TemporaryDirectory directory;
  constexpr int kSteps = 12'000;
  const auto append = [](LogWriter& writer, int from, int to) {
    const float vector[] = {1, 2, 3};
    for (int step = from; step < to; ++step) {
      if (step % 5 == 0) writer.append(2, 1, step, vector);
      writer.append(0, 1, step, 1.0 / (step + 1));
    }
  };
  {
    LogWriter writer(directory / "whole", channels());
    append(writer, 0, kSteps);
    writer.close(RunStatus::done);
  }
  const auto expected = test::read_bytes(directory / "whole");
  for (const int stop : {0, 1, 2, 700, 813, 814, 815, 816, 817, 1640, 4999, 11'999, 12'000}) {
    const auto path = directory / fmt::format("at-{}", stop);
    LogPosition position;
    {
      LogWriter writer(path, channels());
      append(writer, 0, stop);
      position = stop % 2 == 0 ? writer.flush() : writer.sync();
      EXPECT_EQ(position.bytes, std::filesystem::file_size(path));
      EXPECT_EQ(position.rows, read_log(path).rows.size());
      append(writer, stop, std::min(kSteps, stop + 3000));  // lost
      if (stop == 700) writer.close(RunStatus::interrupted);
    }
    LogWriter writer(path, channels(), position, 1000);
    append(writer, stop, kSteps);
    writer.close(RunStatus::done);
    EXPECT_EQ(test::read_bytes(path), expected) << "stopped at step " << stop;
  }
}

TEST(MetricLog, OnlyTheSameLogIsContinued) {
  const TemporaryDirectory directory;
  LogPosition position;
  {
    LogWriter writer(directory / "log", channels());
    writer.append(0, 1, 1, 1.0);
    position = writer.flush();
  }
  const auto before = test::read_bytes(directory / "log");
  auto others = channels();
  others[0].name = "step.lr";
  EXPECT_NE(
      message_of([&] { LogWriter(directory / "log", others, position); }).find("it holds other channels"),
      std::string::npos);
  position.bytes = before.size() + 1;
  EXPECT_NE(message_of([&] {
              LogWriter(directory / "log", channels(), position);
            }).find("it was damaged or replaced"),
            std::string::npos);
  EXPECT_NE(message_of([&] { LogWriter(directory / "none", channels(), position); }).find("cannot open"),
            std::string::npos);
  EXPECT_EQ(test::read_bytes(directory / "log"), before);
}

TEST(MetricLog, ManyThreadsMayAppend) {
  const TemporaryDirectory directory;
  {
    LogWriter writer(directory / "log", channels(), 4096);
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int epoch = 0; epoch < 4; ++epoch)
      threads.emplace_back([&writer, epoch] {
        for (int step = 0; step < 3000; ++step) writer.append(0, epoch, step, epoch + 4.0 * step);
        writer.flush();
      });
    for (std::thread& thread : threads) thread.join();
    writer.close(RunStatus::done);
  }
  const Log log = read_log(directory / "log");
  ASSERT_EQ(log.rows.size(), 12'000U);
  std::vector<std::int64_t> next(4);
  for (const Row& row : log.rows) {
    EXPECT_EQ(row.step, next[static_cast<std::size_t>(row.epoch)]++);
    EXPECT_EQ(log.values_of(row)[0], row.epoch + 4.0 * static_cast<double>(row.step));
  }
}

/// A pipe that nobody reads is a disk that has stopped: appending goes on until the queue is full, then waits
/// and loses nothing.
TEST(MetricLog, OnlyAFullQueueMakesAppendWait) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  File reader(ends[0], "pipe");
  const auto capacity = static_cast<std::size_t>(::fcntl(ends[1], F_GETPIPE_SZ));
  constexpr std::size_t queue_bytes = 128 * 1024;
  constexpr std::int64_t total = 40'000;

  LogWriter writer(File(ends[1], "pipe"), channels(), queue_bytes);
  std::atomic<std::int64_t> appended{0};
  std::thread training([&] {
    for (std::int64_t step = 0; step < total; ++step) {
      writer.append(0, 1, step, static_cast<double>(step));
      ++appended;
    }
    writer.close(RunStatus::done);
  });
  std::int64_t stopped_at = -1;
  while (appended != stopped_at || stopped_at < 1000) {
    stopped_at = appended;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  // At least the queue went in without waiting; at most the pipe, the queue and the batch in the writer's
  // hands.
  EXPECT_GE(stopped_at * 32, static_cast<std::int64_t>(queue_bytes));
  EXPECT_LE(stopped_at * 32, static_cast<std::int64_t>(capacity + 2 * queue_bytes + 64 * 1024));
  EXPECT_LT(stopped_at, total);

  std::vector<std::byte> bytes, part(1 << 16);
  for (ssize_t got = 0; (got = ::read(ends[0], part.data(), part.size())) > 0;)
    bytes.insert(bytes.end(), part.begin(), part.begin() + got);
  training.join();
  const Log log = read_log(bytes, "pipe");
  EXPECT_EQ(log.rows.size(), static_cast<std::size_t>(total));
  EXPECT_TRUE(log.damage.empty());
}

TEST(MetricLog, AFullDiskIsSaidAtOnce) {
  const int full = ::open("/dev/full", O_WRONLY);
  if (full < 0) GTEST_SKIP() << "no /dev/full here";
  const std::string message = message_of([&] { LogWriter writer(File(full, "/dev/full"), channels()); });
  EXPECT_HAS(message, "'/dev/full'");
  EXPECT_HAS(message, "No space left on device");
  EXPECT_HAS(message, "free some space");
}

/// The device that is always full takes the place of the file while the run goes on.
TEST(MetricLog, ADiskThatFillsUpIsSaidByTheNextCall) {
  const TemporaryDirectory directory;
  const int log_file = ::open((directory / "log").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_GE(log_file, 0);
  LogWriter writer(File(log_file, directory / "log"), channels());
  for (int step = 1; step <= 10; ++step) writer.append(0, 1, step, 1);
  writer.flush();
  const int full = ::open("/dev/full", O_WRONLY);
  if (full < 0) GTEST_SKIP() << "no /dev/full here";
  ASSERT_EQ(::dup2(full, log_file), log_file);
  ::close(full);

  writer.append(0, 1, 11, 1);
  const std::string message = message_of([&] { writer.flush(); });
  EXPECT_HAS(message, "No space left on device");
  EXPECT_HAS(message, (directory / "log").string());
  EXPECT_HAS(message, "rows up to step 10 are readable");
  EXPECT_EQ(message_of([&] { writer.append(0, 1, 12, 1); }), message);
  EXPECT_EQ(message_of([&] { writer.close(RunStatus::done); }), message);
  EXPECT_EQ(read_log(directory / "log").rows.size(), 10U);
}

TEST(MetricLog, AnAppendThatWaitsLearnsOfTheError) {
  const TemporaryDirectory directory;
  const int log_file = ::open((directory / "log").c_str(), O_RDWR | O_CREAT, 0644);
  LogWriter writer(File(log_file, directory / "log"), channels(), 64);
  const int full = ::open("/dev/full", O_WRONLY);
  if (full < 0) GTEST_SKIP() << "no /dev/full here";
  ASSERT_EQ(::dup2(full, log_file), log_file);
  ::close(full);
  EXPECT_HAS(message_of([&] {
               for (int step = 0; step < 1'000'000; ++step) writer.append(0, 1, step, 1);
             }),
             "No space left on device");
}

TEST(MetricLog, NothingIsOverwritten) {
  const TemporaryDirectory directory;
  test::write_text(directory / "log", "precious");
  EXPECT_HAS(message_of([&] { LogWriter writer(directory / "log", channels()); }), "already exists");
  EXPECT_EQ(test::read_text(directory / "log"), "precious");
  EXPECT_HAS(message_of([&] { LogWriter writer(directory / "none" / "log", channels()); }), "check the path");
}

TEST(MetricLog, MistakesAreRefused) {
  const TemporaryDirectory directory;
  int number = 0;
  const auto refusal = [&](std::vector<Channel> bad) {
    const auto path = directory / std::to_string(number++);
    std::string message = message_of([&] { LogWriter writer(path, std::move(bad)); });
    EXPECT_FALSE(std::filesystem::exists(path));
    return message;
  };
  EXPECT_HAS(refusal({{"", ChannelKind::scalar, "", {}, {}}}), "no name");
  EXPECT_HAS(refusal({{"a", ChannelKind::scalar, "", {}, {}}, {"a", ChannelKind::time, "", {}, {}}}),
             "two of");
  EXPECT_HAS(refusal({{"a", ChannelKind::scalar, "", {2}, {}}}), "has no shape");
  EXPECT_HAS(refusal({{"a", ChannelKind::vector, "", {}, {}}}), "needs a shape");
  EXPECT_HAS(refusal({{"a", ChannelKind::vector, "", {0}, {}}}), "below 1");
  EXPECT_HAS(refusal({{"a", ChannelKind::vector, "", {100, 100}, {}}}), "several channels");
  EXPECT_HAS(refusal({{"a", ChannelKind::vector, "", {2}, {"x"}}}), "1 labels");
  EXPECT_HAS(refusal({{"a", ChannelKind::vector, "", {1}, {std::string(40'000, 'x')}}}),
             "labels are too long");
  EXPECT_HAS(refusal({{std::string(300, 'x'), ChannelKind::scalar, "", {}, {}}}), "longer than 255");
  EXPECT_HAS(refusal({{"a", ChannelKind::scalar, std::string(300, 'x'), {}, {}}}), "longer than 255");
  EXPECT_HAS(refusal({{"a", ChannelKind::vector, "", {1, 1, 1, 1, 1}, {}}}), "more than 4 axes");
  EXPECT_HAS(refusal({{"a", ChannelKind::scalar, "", {}, {"x"}}}), "1 labels");

  LogWriter writer(directory / "log", channels());
  EXPECT_HAS(message_of([&] { (void)writer.channel("step.lost"); }), "no channel 'step.lost'");
  EXPECT_HAS(message_of([&] { writer.append(9, 1, 1, 1.0); }), "no channel 9");
  EXPECT_HAS(message_of([&] { writer.append(2, 1, 1, 1.0); }), "of kind vector");
  EXPECT_HAS(message_of([&] { writer.append(2, 1, 1, std::vector<double>(4)); }), "has 3 elements, not 4");
  EXPECT_HAS(message_of([&] { writer.append(0, 1, 1, predictions(1)); }), "of kind scalar");
  writer.close(RunStatus::done);
  EXPECT_HAS(message_of([&] { writer.append(0, 1, 1, 1.0); }), "is closed");
  EXPECT_HAS(message_of([&] { writer.flush(); }), "is closed");
}

/// A writer that is destroyed without close(), as when an exception passes, still writes its rows.
TEST(MetricLog, DestroyedWithoutCloseHasNoOutcome) {
  const TemporaryDirectory directory;
  {
    LogWriter writer(directory / "log", channels());
    writer.append(0, 1, 1, 1.0);
  }
  const Log log = read_log(directory / "log");
  EXPECT_EQ(log.rows.size(), 1U);
  EXPECT_FALSE(log.outcome.has_value());
  EXPECT_EQ(log.torn_bytes, 0U);
}

TEST(MetricLog, DifferencesAreFoundTimesAreNotCompared) {
  const TemporaryDirectory directory;
  const auto log_of = [&](const char* name, double loss, double seconds, int last_step) {
    LogWriter writer(directory / name, channels());
    writer.append(0, 1, 1, loss);
    writer.append(1, 1, 1, seconds);
    writer.append(4, 1, last_step, predictions(3));
    writer.close(RunStatus::done);
    return read_log(directory / name);
  };
  const Log log = log_of("a", 0.5, 1, 2);
  EXPECT_EQ(first_difference(log, log_of("b", 0.5, 7, 2)), "");
  EXPECT_HAS(first_difference(log, log_of("c", std::nextafter(0.5, 1), 1, 2)),
             "'step.loss', epoch 1, step 1: 0.5");
  EXPECT_HAS(first_difference(log, log_of("d", 0.5, 1, 3)), "another row");

  const auto changed = [&](auto change) {
    Log other = log;
    change(other);
    return first_difference(log, other);
  };
  EXPECT_EQ(changed([](Log& other) { other.channels[0].unit = "nats"; }), "the channels differ");
  EXPECT_HAS(changed([](Log& other) { other.rows[0].channel = 1; }), "another row");
  EXPECT_HAS(changed([](Log& other) { other.rows[0].epoch = 2; }), "another row");
  EXPECT_HAS(changed([](Log& other) { other.rows[2].count = 2; }), "another row");
  EXPECT_HAS(changed([](Log& other) { other.predictions[1].predicted ^= 1; }), "predictions differ");
  EXPECT_EQ(changed([](Log& other) { other.rows.pop_back(); }), "3 rows and 2 rows");
  EXPECT_EQ(changed([](Log& other) { other.outcome.reset(); }), "only one of the two has an end");
  EXPECT_EQ(changed([](Log& other) { other.outcome->status = RunStatus::failed; }),
            "one is done, the other failed");
  Log stopped = log;
  stopped.outcome.reset();
  EXPECT_EQ(first_difference(stopped, stopped), "");
}

TEST(MetricLog, AsksForWhatIsNotThere) {
  const TemporaryDirectory directory;
  {
    LogWriter writer(directory / "log", channels());
    writer.append(0, 1, 1, 0.5);
    writer.append(4, 1, 1, predictions(3));
    writer.close(RunStatus::done);
  }
  const Log log = read_log(directory / "log");
  EXPECT_EQ(log.find("no such channel"), std::nullopt);
  EXPECT_TRUE(log.last_predictions("no such channel").empty());
  EXPECT_TRUE(log.last_predictions("step.loss").empty());
  ASSERT_EQ(log.rows.size(), 2U);
  EXPECT_TRUE(log.predictions_of(log.rows[0]).empty());
  EXPECT_TRUE(log.values_of(log.rows[1]).empty());
}

TEST(MetricLog, NamesOfKindsAndEndings) {
  const auto all = [](auto first, int count) {
    std::string names;
    for (int i = 0; i < count; ++i)
      names += fmt::format("{} ", name_of(static_cast<decltype(first)>(static_cast<int>(first) + i)));
    return names;
  };
  EXPECT_EQ(all(ChannelKind::scalar, 6), "scalar vector histogram prediction time unknown ");
  EXPECT_EQ(all(RunStatus::done, 5), "done diverged interrupted failed unknown ");
}

}  // namespace
}  // namespace normlab
