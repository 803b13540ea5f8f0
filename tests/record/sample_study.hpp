#pragma once
// A small study on disk, with known numbers, for the tests of what reads studies.

#include <filesystem>
#include <string>
#include <vector>

#include "host/record/log_reader.hpp"
#include "host/record/metric_log.hpp"
#include "host/record/run_directory.hpp"

namespace normlab::test {

/// A channel with rows of its own, appended after everything else.
struct SampleChannel {
  struct Row {
    int epoch;
    std::int64_t step;
    std::vector<double> values;
  };
  Channel channel;
  std::vector<Row> rows;
};

struct SampleRun {
  std::string norm;
  int seed = 0;
  std::vector<double> test_accuracies;  // one for each epoch
  RunStatus status = RunStatus::done;
  bool has_layers = false;
  std::vector<Prediction> predictions = {};                      // for the test images, at the end
  std::vector<std::pair<std::string, std::string>> config = {};  // more of it
  std::vector<SampleChannel> more = {};
  std::vector<std::pair<std::string, double>> numbers = {};  // of the configuration
};

std::vector<Channel> sample_channels(bool has_layers);

/// Two steps an epoch, 1,000 training images in half a second.
std::filesystem::path write_run(const StudyDirectory& study, const SampleRun& sample);

}  // namespace normlab::test
