#pragma once
// Images as a device keeps them.

#include <cstdint>

namespace normlab {

/// Where random crop and flip put a sample: keyed by (seed, epoch, sample), equal on every backend.
struct Augmentation {
  bool enabled = false;  ///< pad 4, random crop, horizontal flip
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
};

/// Images that were stored on the device as bytes, channel planes (count, c, h, w), with their labels.
struct ImageSet {
  const std::uint8_t* pixels = nullptr;
  const std::uint8_t* labels = nullptr;
  int count = 0, c = 0, h = 0, w = 0;
};

}  // namespace normlab
