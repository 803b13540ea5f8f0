#pragma once
// What runs are called: norm, swept values and seed, as they stand in config.toml.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "host/record/run_config.hpp"

namespace normlab {

/// The keys that the run is one value of in its study.
[[nodiscard]] std::vector<std::string> swept_keys(const RunConfig& config);

/// `bn-b2`: the norm, and the values of the swept keys in an order that does not depend on theirs. Characters
/// that have no place in a file name become '_'.
[[nodiscard]] std::string arm_name(std::string_view norm, const std::vector<std::string>& swept,
                                   const std::function<std::string(std::string_view key)>& value_of);
/// The same from what config.toml says; "" where that names no norm.
[[nodiscard]] std::string arm_name(const RunConfig& config);

/// `bn-b2-seed0`.
[[nodiscard]] std::string run_name(std::string_view arm, std::uint64_t seed);

}  // namespace normlab
