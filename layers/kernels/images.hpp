#pragma once
// Bytes to activations.

#include <array>
#include <cstdint>

#include "layers/image_set.hpp"
#include "layers/kernels/kernels.hpp"

namespace normlab {

/// x = (byte / 255 - mean) / std per channel, for samples `indices[0 .. x.shape.n)`; padding has byte 0.
struct LoadImages {
  const ImageSet* images = nullptr;
  const std::uint32_t* indices = nullptr;
  Augmentation augmentation;
  const std::uint32_t* epoch = nullptr;  ///< the augmentation's, on the device; null: as it stands there
  std::array<float, 3> mean{}, std{};
  Tensor x;
};

class ImageKernels : public Kernels {
 public:
  virtual void load(const LoadImages& args) = 0;
};

}  // namespace normlab
