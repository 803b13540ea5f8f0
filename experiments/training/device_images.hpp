#pragma once

#include <array>
#include <span>
#include <vector>

#include "host/data/dataset.hpp"
#include "layers/layer.hpp"

namespace normlab {

/// Of CIFAR-10's training set, as PyTorch recipes have them; used for every data set.
inline constexpr std::array<float, 3> kImageMean{0.4914F, 0.4822F, 0.4465F};
inline constexpr std::array<float, 3> kImageStd{0.247F, 0.2435F, 0.2616F};

/// Images on the device, from which batches are taken by index; the CPU reads them where they are. `images`
/// must outlive this.
class DeviceImages {
 public:
  DeviceImages(Backend& backend, const Images& images)
      : images_(images), set_{nullptr, nullptr, images.count, images.channels, images.height, images.width} {
    if (backend.reads_host_memory()) {
      set_.pixels = images.pixels.data();
      set_.labels = images.labels.data();
    } else {
      buffer_ = Buffer(backend, images.pixels.size() + images.labels.size());
      backend.to_device(images.pixels.data(), buffer_.data(), images.pixels.size());
      backend.to_device(images.labels.data(), buffer_.data() + images.pixels.size(), images.labels.size());
      set_.pixels = reinterpret_cast<const std::uint8_t*>(buffer_.data());
      set_.labels = set_.pixels + images.pixels.size();
    }
  }

  [[nodiscard]] int count() const { return images_.count; }
  [[nodiscard]] const Images& on_host() const { return images_; }

  /// An empty batch with what all batches of these images share: the images, mean and deviation.
  [[nodiscard]] Batch like() const {
    Batch batch;
    batch.images = &set_;
    batch.mean = kImageMean;
    batch.std = kImageStd;
    return batch;
  }

  /// The images of these indices; it and they live until the next call.
  [[nodiscard]] Batch batch(std::span<const std::uint32_t> indices) {
    labels_.resize(indices.size());
    for (std::size_t i = 0; i < indices.size(); ++i) labels_[i] = images_.labels[indices[i]];
    Batch batch = like();
    batch.count = static_cast<int>(indices.size());
    batch.indices = indices.data();
    batch.labels = labels_.data();
    return batch;
  }

 private:
  const Images& images_;
  Buffer buffer_;
  ImageSet set_;
  std::vector<std::int32_t> labels_;  ///< of the last batch
};

}  // namespace normlab
