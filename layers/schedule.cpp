#include "layers/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "layers/error.hpp"

namespace normlab {

namespace {

/// From `start` to `end` along half a cosine, as `part` goes from 0 to 1.
double half_cosine(double start, double end, double part) {
  return end + (start - end) * (1 + std::cos(std::numbers::pi * part)) / 2;
}

Rates one_cycle(double peak, std::int64_t steps, std::int64_t t) {
  const double start = peak / 25, end = start / 1e4;
  const auto step = static_cast<double>(t);
  const double up = 0.3 * static_cast<double>(steps) - 1;  // the step of the peak
  const double last = static_cast<double>(steps) - 1;
  if (step <= up) {
    const double part = up > 0 ? step / up : 1;
    return {half_cosine(start, peak, part), half_cosine(0.95, 0.85, part)};
  }
  const double part = last > up ? std::min(1.0, (step - up) / (last - up)) : 1;
  return {half_cosine(peak, end, part), half_cosine(0.85, 0.95, part)};
}

}  // namespace

Rates Schedule::at(std::int64_t t) const {
  const double part = static_cast<double>(t) / static_cast<double>(std::max<std::int64_t>(1, steps));
  switch (kind) {
    case Kind::constant:
      return {lr, momentum};
    case Kind::step:
      return {part < 0.5 ? lr : part < 0.75 ? lr / 10 : lr / 100, momentum};
    case Kind::cosine:
      return {half_cosine(lr, 0, part), momentum};
    case Kind::onecycle:
      return one_cycle(lr, steps, t);
  }
  return {};
}

Schedule::Kind parse_schedule(const std::string& text) {
  if (text == "constant") return Schedule::Kind::constant;
  if (text == "step") return Schedule::Kind::step;
  if (text == "cosine") return Schedule::Kind::cosine;
  if (text == "onecycle") return Schedule::Kind::onecycle;
  throw UsageError("unknown schedule '{}'; choose from constant, step, cosine, onecycle", text);
}

}  // namespace normlab
