#pragma once
// A training that the trainer ends within seconds on an emulated device, too.

#include "experiments/training/trainer.hpp"
#include "host/data/synthetic.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab::test {

inline constexpr int kTrain = 22, kTest = 12, kBatch = 6, kEpochs = 2;
inline constexpr int kSteps = (kTrain + kBatch - 1) / kBatch;

/// Every second pixel of every second row: an emulated device takes its time.
inline Images small(const Images& images) {
  Images half = images;
  half.height = images.height / 2;
  half.width = images.width / 2;
  half.pixels.clear();
  for (int plane = 0; plane < images.count * images.channels; ++plane) {
    for (int row = 0; row < half.height; ++row) {
      for (int column = 0; column < half.width; ++column) {
        half.pixels.push_back(images.pixels[static_cast<std::size_t>(
            (plane * images.height + 2 * row) * images.width + 2 * column)]);
      }
    }
  }
  return half;
}

inline Dataset small_dataset() {
  Dataset data = make_synthetic(0, kTrain, kTest);
  data.train = small(data.train);
  data.test = small(data.test);
  return data;
}

inline StudyOptions small_options() {
  StudyOptions options;
  options.experiment = "compare_norms";
  options.width = 0.25;
  options.epochs = kEpochs;
  options.batch_size = kBatch;
  options.augment = true;
  options.diagnose = 0;
  options.lr = "0.02";
  options.clip = 10;
  return options;
}

struct Stopped {};

/// Trains in `directory`, by `most_calls` for processors at most: throws Stopped at the next. `calls`: how
/// many there were.
inline RunOutcome train_in(const std::filesystem::path& directory, const std::string& backend_name,
                           const StudyOptions& options, const RunSpec& spec, const Dataset& data, int& calls,
                           int most_calls = 1 << 30) {
  const auto backend = test::make_test_backend(backend_name);
  StudyPlan plan;
  plan.runs = {{spec.name(), 0, 1.0 * kTrain * kEpochs, kEpochs}};
  plan.kinds = {{100, 1}};
  Progress progress(plan);
  std::filesystem::create_directories(directory);
  calls = 0;
  return train({*backend, options, spec, data,
                [&] {
                  if (++calls > most_calls) throw Stopped();
                  return 1;
                },
                RunDirectory(directory), progress, 0});
}

}  // namespace normlab::test
