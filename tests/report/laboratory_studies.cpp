#include "tests/report/laboratory_studies.hpp"

#include <cmath>

namespace normlab::test {

SampleChannel layer_sample(const std::string& metric, const std::string& suffix, double base, double ratio,
                           double decay, int epochs, const std::vector<std::string>& blocks) {
  SampleChannel sample;
  sample.channel = {"layer." + metric, ChannelKind::vector, "", {static_cast<int>(blocks.size())}, {}};
  for (const std::string& block : blocks) sample.channel.labels.push_back(block + suffix);
  for (int epoch = 0; epoch <= epochs; ++epoch) {
    SampleChannel::Row row{epoch, 2 * epoch, {}};
    for (std::size_t i = 0; i < blocks.size(); ++i)
      row.values.push_back(base * std::pow(ratio, static_cast<double>(i)) * std::pow(decay, epoch));
    sample.rows.push_back(std::move(row));
  }
  return sample;
}

SampleChannel histogram_sample(const std::string& name, double low, double high, int epochs) {
  SampleChannel sample;
  sample.channel = {name, ChannelKind::histogram, "", {66}, {}};
  for (const int epoch : {0, epochs}) {
    const double narrow = epoch == 0 ? 1 : 0.5;
    SampleChannel::Row row{epoch, 2 * epoch, {low * narrow, high * narrow}};
    for (int bin = 0; bin < 64; ++bin) row.values.push_back(bin < 32 ? bin + 1 : 64 - bin);
    sample.rows.push_back(std::move(row));
  }
  return sample;
}

SampleChannel scalar_sample(const std::string& name, int epoch, std::int64_t step, double value) {
  return {{name, ChannelKind::scalar, "", {}, {}}, {{epoch, step, {value}}}};
}

SampleRun diagnosed_run(const std::string& norm, int seed, double ratio,
                        const std::vector<std::string>& blocks, int epochs) {
  SampleRun run{norm, seed, {}};
  for (int epoch = 1; epoch <= epochs; ++epoch) run.test_accuracies.push_back(0.8 - 0.3 / epoch);
  const double base = 1 + 0.1 * seed;
  const std::string output = norm == "none" ? ".relu" : ".norm";
  const auto add = [&](const std::string& metric, const std::string& suffix, double value, double by_layer,
                       double by_epoch) {
    run.more.push_back(layer_sample(metric, suffix, base * value, by_layer, by_epoch, epochs, blocks));
  };
  add("grad_norm", ".conv", 1, ratio, 0.8);
  add("weight_norm", ".conv", 5, 1.1, 0.98);
  add("update_ratio", ".conv", 0.01, 1, 0.7);
  add("activation_mean", output, 0.4, 0.95, 1.05);
  add("activation_variance", output, 0.3, 1.3 * ratio, 1.1);
  add("dead_fraction", output, 0.01, 1.5, 1.1);
  add("output_grad_norm", output, 0.1, ratio, 0.9);
  add("cosine", output, 0.3, 1.2, 0.95);
  add("stable_rank", output, 8, 0.8, 1.02);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const double width = 1 + 0.3 * static_cast<double>(i);
    run.more.push_back(histogram_sample("before." + blocks[i], -2 * width, 2 * width, epochs));
    if (norm != "none") run.more.push_back(histogram_sample("after." + blocks[i], -3, 3, epochs));
  }
  return run;
}

std::vector<SampleRun> batch_study(int seeds) {
  struct Setting {
    int batch;
    double bn, gn, none;
  };
  std::vector<SampleRun> runs;
  for (const Setting& s : {Setting{2, 0.40, 0.70, 0.6},
                           {4, 0.60, 0.71, 0.62},
                           {8, 0.72, 0.70, 0.61},
                           {32, 0.76, 0.71, 0.6},
                           {128, 0.77, 0.70, 0.58},
                           {512, 0.74, 0.69, 0.1}})
    for (int seed = 0; seed < seeds; ++seed) {
      const std::string batch = std::to_string(s.batch);
      const double noise = 0.002 * (seed - 1);
      for (const auto& [norm, accuracy] :
           {std::pair<std::string, double>{"none", s.none}, {"bn", s.bn}, {"gn:4", s.gn}}) {
        SampleRun run{norm, seed, {accuracy - 0.1 + noise, accuracy + noise}, RunStatus::done};
        if (norm == "none" && s.batch == 512) run.status = RunStatus::diverged;
        const double bytes = (norm == "bn" ? 3e5 : 1e5) * s.batch + 2e6;
        run.config = {{"swept", "batch_size"}, {"batch_size", batch}};
        run.numbers = {{"memory_bytes", bytes}};
        if (norm == "bn") {
          run.more.push_back(scalar_sample("train_mode.loss", 2, 4, 1.1));
          run.more.push_back(scalar_sample("train_mode.accuracy", 2, 4, accuracy + 0.01));
          run.more.push_back(scalar_sample("reestimated.loss", 2, 4, 1.2));
          run.more.push_back(scalar_sample("reestimated.accuracy", 2, 4, accuracy + 0.02));
        }
        runs.push_back(std::move(run));
      }
    }
  return runs;
}

}  // namespace normlab::test
