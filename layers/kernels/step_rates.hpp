#pragma once

namespace normlab {

/// The rates of one optimizer step as kernels want them. They change from step to step and are read from the
/// device's memory.
struct StepRates {
  float lr = 0;
  float momentum = 0;      ///< AdamW: beta1
  float keep = 0;          ///< SGD: of the velocity; momentum, but 0 on the first step
  float step_size = 0;     ///< AdamW: lr / (1 - beta1^t)
  float second_scale = 0;  ///< AdamW: 1 / sqrt(1 - beta2^t)
};

}  // namespace normlab
