#include "experiments/options/machine.hpp"

#include <fmt/format.h>

#include "experiments/options/backends.hpp"
#include "experiments/options/revision.hpp"

namespace normlab {

RunConfig machine_of(const Backend& backend) {
  RunConfig machine;
  machine.set("device", backend.name());
  machine.set("isa", backend.isa());
  machine.set("cpu", cpu_model());
  machine.set("revision", revision());
  machine.set("build", build_description());
  return machine;
}

std::string other_machine(const RunConfig& run, const RunConfig& here) {
  std::string differences;
  for (const ConfigEntry& entry : here.entries()) {
    const std::string there = run.text(entry.key);
    if (there == text_of(entry.value)) continue;
    differences += fmt::format("{}{} '{}', here '{}'", differences.empty() ? "" : "; ", entry.key, there,
                               text_of(entry.value));
  }
  return differences;
}

void mark_other_machine(RunConfig& run, const RunConfig& here, std::int64_t steps) {
  std::string before = run.text("earlier_machine");
  before += fmt::format("{}to step {}:", before.empty() ? "" : "; ", steps);
  for (const ConfigEntry& entry : here.entries()) before += fmt::format(" {}", run.text(entry.key));
  for (const ConfigEntry& entry : here.entries()) run.set(entry.key, entry.value);
  run.set("earlier_machine", before);
}

}  // namespace normlab
