#include "experiments/options/step_range.hpp"

#include <charconv>
#include <string_view>

#include "layers/error.hpp"

namespace normlab {

StepRange StepRange::parse(const std::string& text) {
  const auto number = [&](std::string_view part) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc{} && end == part.data() + part.size() ? value : -1;
  };
  if (text.empty()) return {};
  const std::size_t colon = text.find(':');
  StepRange range;
  if (colon != std::string::npos) {
    range.first = number(std::string_view(text).substr(0, colon));
    range.last = number(std::string_view(text).substr(colon + 1));
  }
  if (range.first < 1 || range.last < range.first) {
    throw UsageError("--profile-steps: '{}' is no window of steps; from the first, 1, on, such as 100:102",
                     text);
  }
  return range;
}

}  // namespace normlab
