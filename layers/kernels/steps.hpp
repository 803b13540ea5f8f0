#pragma once
// Around a step: what it takes comes from tables on the device, what it found goes to one.

#include <cstdint>

#include "layers/kernels/kernels.hpp"
#include "layers/kernels/step_rates.hpp"

namespace normlab {

/// What a step takes that the one before did not: a row of a table on the device.
struct StepInput {
  std::uint32_t first = 0;  ///< of its samples, in the order of the epoch
  std::uint32_t epoch = 0;  ///< for the augmentation
  StepRates rates;
};

/// What a step found: a row of another.
struct StepSums {
  double loss_sum = 0;      ///< over its samples
  double squared_norm = 0;  ///< of the gradient
  std::int64_t correct = 0;
};

/// *input = inputs[*next], and of its samples those from `offset` on: indices[i] = order[first + offset + i],
/// labels[i] = all_labels[indices[i]].
struct TakeSamples {
  const StepInput* inputs = nullptr;
  const std::uint32_t* next = nullptr;  ///< the row of the step that runs
  StepInput* input = nullptr;
  const std::uint32_t* order = nullptr;
  const std::uint8_t* all_labels = nullptr;  ///< of the image set
  int offset = 0, count = 0;
  std::uint32_t* indices = nullptr;
  std::int32_t* labels = nullptr;
};

/// sum->loss_sum and sum->correct: those of `count` samples, on top of what stands there unless it `begins`.
struct AddResults {
  const float* loss = nullptr;
  const std::int32_t* predicted = nullptr;
  const std::int32_t* labels = nullptr;
  int count = 0;
  bool begins = true;
  StepSums* sum = nullptr;
};

/// results[*next] = *result; ++*next.
struct EndStep {
  const StepSums* result = nullptr;
  StepSums* results = nullptr;
  std::uint32_t* next = nullptr;
};

class StepKernels : public Kernels {
 public:
  virtual void take_samples(const TakeSamples& args) = 0;
  virtual void add_results(const AddResults& args) = 0;
  virtual void end_step(const EndStep& args) = 0;
};

}  // namespace normlab
