#pragma once
// Studies with the channels of the laboratory, whose numbers are known beforehand.

#include <string>
#include <vector>

#include "tests/record/sample_study.hpp"

namespace normlab::test {

inline const std::vector<std::string> sample_blocks{"c1", "c2", "c4", "c5"};

/// layer.<metric> over blocks: value = base x ratio^depth x decay^epoch, at initialization and each epoch.
SampleChannel layer_sample(const std::string& metric, const std::string& suffix, double base, double ratio,
                           double decay, int epochs, const std::vector<std::string>& blocks = sample_blocks);

/// A triangle over [low, high] in 64 bins, at epoch 0, and half as wide at the last epoch.
SampleChannel histogram_sample(const std::string& name, double low, double high, int epochs);

SampleChannel scalar_sample(const std::string& name, int epoch, std::int64_t step, double value);

/// A run with everything that --diagnose records. The norm decides how steep the gradients are.
SampleRun diagnosed_run(const std::string& norm, int seed, double ratio,
                        const std::vector<std::string>& blocks = sample_blocks, int epochs = 3);

/// bn falls below gn:4 at batch 4 and 2, and none diverges at 512; the other modes of bn are recorded.
std::vector<SampleRun> batch_study(int seeds = 3);

}  // namespace normlab::test
