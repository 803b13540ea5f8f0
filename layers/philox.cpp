#include "layers/philox.hpp"

#include <cmath>
#include <numbers>

namespace normlab {

double Philox::normal() {
  const double radius = std::sqrt(-2.0 * std::log(uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

}  // namespace normlab
