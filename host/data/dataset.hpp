#pragma once
// Sets of labelled images in memory; load_dataset.hpp gets them there.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "layers/as_size.hpp"

namespace normlab {

/// Labelled images: `count` x `channels` x `height` x `width` bytes, planes in the order red, green, blue.
struct Images {
  int count = 0;
  int channels = 3;
  int height = 32;
  int width = 32;
  std::vector<std::uint8_t> pixels;  ///< count * image_bytes()
  std::vector<std::uint8_t> labels;  ///< count

  /// Bytes of one image.
  [[nodiscard]] std::size_t image_bytes() const {
    return as_size(channels) * as_size(height) * as_size(width);
  }
  /// The bytes of image i, i in [0, count).
  [[nodiscard]] std::span<const std::uint8_t> image(int i) const {
    return std::span(pixels).subspan(as_size(i) * image_bytes(), image_bytes());
  }
};

/// A training and a test set over the same classes.
struct Dataset {
  std::string name;                      ///< "synthetic", "cifar10" or "cifar100"
  std::string source;                    ///< the path read, or "synthetic seed 0"
  std::vector<std::string> class_names;  ///< the label is the index
  std::string note;                      ///< of a directory's note.txt: what stands beside every figure
  Images train;
  Images test;
  std::string digest;  ///< SHA-256 (hex) of all files: `cat data_batch_?.bin test_batch.bin | sha256sum`
};

/// The first `count` images; all of them when there are fewer. `count` below 1 is a UsageError.
Images take(const Images& images, int count);

/// Mean and standard deviation of each channel, as fractions of 255.
struct ChannelStatistics {
  std::array<double, 3> mean{};
  std::array<double, 3> deviation{};
};
ChannelStatistics channel_statistics(const Images& images);

}  // namespace normlab
