#pragma once
// What the bits of a run depend on beside its settings.

#include <string>

#include "host/record/run_config.hpp"
#include "layers/backend.hpp"

namespace normlab {

/// Device, instruction set, processor, revision and build, by the keys of config.toml.
[[nodiscard]] RunConfig machine_of(const Backend& backend);

/// What of it stands otherwise in the configuration of a run: "isa avx512, here avx2; build ...". Empty: bits
/// are promised to be the same here.
[[nodiscard]] std::string other_machine(const RunConfig& run, const RunConfig& here);

/// Marks a run that goes on here though it was begun elsewhere: config.toml has the machine it goes on with,
/// and under earlier_machine those before, each with the steps it did.
void mark_other_machine(RunConfig& run, const RunConfig& here, std::int64_t steps);

}  // namespace normlab
