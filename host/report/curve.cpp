#include "host/report/curve.hpp"

#include <algorithm>
#include <cmath>

namespace normlab {

CurvePoint curve_point(double x, const std::vector<double>& values) {
  std::vector<double> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite),
               [](double value) { return std::isfinite(value); });
  CurvePoint point{x, estimate(finite), NAN, NAN};
  if (!finite.empty()) {
    const auto [low, high] = std::minmax_element(finite.begin(), finite.end());
    point.low = *low;
    point.high = *high;
  }
  return point;
}

}  // namespace normlab
