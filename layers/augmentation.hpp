#pragma once

#include "layers/image_set.hpp"
#include "layers/philox.hpp"

namespace normlab {

/// Output pixel (row, column) shows input pixel (row + down, column' + right), column' mirrored when flipped;
/// pixels outside are byte 0.
struct Placement {
  int down = 0, right = 0;
  bool flip = false;
};

/// Pad by 4, crop at random, flip with probability 1/2; keyed by (seed, epoch, sample).
constexpr Placement place(const Augmentation& augmentation, std::uint32_t sample) {
  if (!augmentation.enabled) return {};
  Philox random(augmentation.seed, Purpose::augmentation, augmentation.epoch, sample);
  const int down = static_cast<int>(random.below(9)) - 4;
  const int right = static_cast<int>(random.below(9)) - 4;
  return {down, right, random.below(2) == 1};
}

}  // namespace normlab
