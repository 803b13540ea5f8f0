#include "tests/record/sample_study.hpp"

#include "host/record/run_name.hpp"

namespace normlab::test {

std::vector<Channel> sample_channels(bool has_layers) {
  std::vector<Channel> channels;
  for (const char* name : {"step.loss", "step.lr", "step.grad_norm"})
    channels.push_back({name, ChannelKind::scalar, "", {}, {}});
  for (const std::string split : {"train", "test"}) {
    channels.push_back({split + ".loss", ChannelKind::scalar, "", {}, {}});
    channels.push_back({split + ".accuracy", ChannelKind::scalar, "", {}, {}});
    channels.push_back({split + ".seconds", ChannelKind::time, "s", {}, {}});
  }
  if (has_layers) channels.push_back({"layer.grad_norm", ChannelKind::vector, "", {2}, {"c1", "c2, again"}});
  return channels;
}

std::filesystem::path write_run(const StudyDirectory& study, const SampleRun& sample) {
  RunConfig config;
  config.set("experiment", "compare_norms");
  config.set("norm", sample.norm);
  config.set("seed", sample.seed);
  config.set("parameters", 46'010);
  config.set("data", "synthetic");
  config.set("train_images", 1000);
  config.set("epochs", sample.test_accuracies.size());
  config.set("batch_size", 500);
  config.set("lr", 0.1);
  config.set("device", "cpu");
  for (const auto& [key, value] : sample.config) config.set(key, value);
  for (const auto& [key, value] : sample.numbers) config.set(key, value);
  const auto seed = static_cast<std::uint64_t>(sample.seed);
  const RunDirectory run = study.create_run(run_name(arm_name(config), seed));
  run.write_config(config);

  std::vector<Channel> channels = sample_channels(sample.has_layers);
  if (!sample.predictions.empty())
    channels.push_back({"test.predictions", ChannelKind::prediction, "", {}, {}});
  for (const SampleChannel& one : sample.more) channels.push_back(one.channel);
  LogWriter log(run.metrics(), channels);
  std::int64_t step = 0;
  int epoch = 0;
  for (const double accuracy : sample.test_accuracies) {
    ++epoch;
    for (int i = 0; i < 2; ++i) {
      ++step;
      log.append(log.channel("step.loss"), epoch, step, 2.0 / static_cast<double>(step));
      log.append(log.channel("step.lr"), epoch, step, 0.1);
      log.append(log.channel("step.grad_norm"), epoch, step, 1.0 / 3);
    }
    if (sample.has_layers)
      log.append(log.channel("layer.grad_norm"), epoch, step, std::vector<double>{0.5, 0.25});
    log.append(log.channel("train.loss"), epoch, step, 1.5);
    log.append(log.channel("train.accuracy"), epoch, step, accuracy + 0.01);
    log.append(log.channel("train.seconds"), epoch, step, 0.5);
    log.append(log.channel("test.loss"), epoch, step, 1.25);
    log.append(log.channel("test.accuracy"), epoch, step, accuracy);
    log.append(log.channel("test.seconds"), epoch, step, 0.125);
  }
  if (!sample.predictions.empty())
    log.append(log.channel("test.predictions"), epoch, step, std::span<const Prediction>(sample.predictions));
  for (const SampleChannel& one : sample.more)
    for (const SampleChannel::Row& row : one.rows) {
      const std::uint32_t channel = log.channel(one.channel.name);
      if (one.channel.kind == ChannelKind::scalar)
        log.append(channel, row.epoch, row.step, row.values.at(0));
      else
        log.append(channel, row.epoch, row.step, std::span<const double>(row.values));
    }
  log.close(sample.status);
  return run.path();
}

}  // namespace normlab::test
