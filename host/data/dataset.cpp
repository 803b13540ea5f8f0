#include "host/data/dataset.hpp"

#include <algorithm>
#include <cmath>

#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {

Images take(const Images& images, int count) {
  if (count < 1) throw UsageError("cannot limit a set to {} images: give 1 or more", count);
  if (count >= images.count) return images;
  Images fewer;
  fewer.count = count;
  fewer.channels = images.channels;
  fewer.height = images.height;
  fewer.width = images.width;
  const auto bytes = as_size(count) * images.image_bytes();
  fewer.pixels.assign(images.pixels.begin(), images.pixels.begin() + static_cast<std::ptrdiff_t>(bytes));
  fewer.labels.assign(images.labels.begin(), images.labels.begin() + count);
  return fewer;
}

ChannelStatistics channel_statistics(const Images& images) {
  ChannelStatistics statistics;
  const std::size_t plane = images.image_bytes() / 3;
  const double n = static_cast<double>(plane) * std::max(images.count, 1);
  for (std::size_t channel = 0; channel < 3; ++channel) {
    // Bytes and their squares add up exactly in 64 bits: no cancellation in the difference below.
    std::uint64_t sum = 0;
    std::uint64_t squares = 0;
    for (int i = 0; i < images.count; ++i) {
      for (const std::uint8_t value : images.image(i).subspan(channel * plane, plane)) {
        sum += value;
        squares += static_cast<std::uint64_t>(value) * value;
      }
    }
    const double mean = static_cast<double>(sum) / n;
    const double variance = static_cast<double>(squares) / n - mean * mean;
    statistics.mean[channel] = mean / 255;
    statistics.deviation[channel] = std::sqrt(std::max(variance, 0.0)) / 255;
  }
  return statistics;
}

}  // namespace normlab
