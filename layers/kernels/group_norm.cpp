#include "layers/kernels/group_norm.hpp"

#include "layers/error.hpp"

namespace normlab {

void GroupNormSpec::check(int channels) const {
  if (groups < 1 || channels % groups != 0) {
    throw Error("{} groups do not divide {} channels; choose a divisor of {}", groups, channels, channels);
  }
}

}  // namespace normlab
