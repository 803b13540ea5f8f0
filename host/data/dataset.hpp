#pragma once
// Sets of labelled images in memory, and where they come from.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

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
    return static_cast<std::size_t>(channels) * static_cast<std::size_t>(height) *
           static_cast<std::size_t>(width);
  }
  /// The bytes of image i, i in [0, count).
  [[nodiscard]] std::span<const std::uint8_t> image(int i) const {
    return std::span(pixels).subspan(static_cast<std::size_t>(i) * image_bytes(), image_bytes());
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

/// Loads the set that `spec` names:
///   "synthetic" or "synthetic:SEED"  the embedded set, drawn on the spot (10,000 and 2,000 images);
///   a directory                      data_batch_1.bin ... data_batch_5.bin and test_batch.bin, or a
///                                    cifar-10-batches-bin/ that holds them; or train.bin and test.bin of
///                                    CIFAR-100 (its 100 fine classes), or a cifar-100-binary/ with them;
///                                    note.txt beside them says what is special about these images;
///   a file                           cifar-10-binary.tar.gz or cifar-100-binary.tar.gz itself.
/// Throws Error (what, file, record, byte offset, remedy) when data are missing or damaged, UsageError when
/// the spec makes no sense.
Dataset load_dataset(const std::string& spec);

/// The same spec, from wherever it is read: a path from the root.
std::string place_of(const std::string& spec);

/// The first `count` images; all of them when there are fewer. `count` below 1 is a UsageError.
Images take(const Images& images, int count);

/// SHA-256 (hex) of the records (label, pixels) of a set: what Dataset::digest holds but for CIFAR-100, whose
/// files have coarse labels, too.
std::string dataset_digest(const Dataset& dataset);

/// Mean and standard deviation of each channel, as fractions of 255.
struct ChannelStatistics {
  std::array<double, 3> mean{};
  std::array<double, 3> deviation{};
};
ChannelStatistics channel_statistics(const Images& images);

}  // namespace normlab
