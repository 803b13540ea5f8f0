#pragma once

#include "tools/bench/device.hpp"

namespace normlab::bench {

/// A training step and an epoch of the plan's network; with plan.layers each layer of the step, too.
void measure_training(const DevicePlan& plan, const Cell& cell, const MakeDevice& make,
                      DeviceResults& results);

}  // namespace normlab::bench
