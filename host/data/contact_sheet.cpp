#include "host/data/contact_sheet.hpp"

#include <png.h>

#include <algorithm>

#include "host/data/files.hpp"
#include "host/system/paths.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

constexpr int largest_side = 10'000;
constexpr std::uint8_t ground = 24;  // nearly black: colours look as they are

/// An RGB picture, interleaved.
struct Picture {
  int width, height;
  std::vector<std::uint8_t> rgb;
  Picture(int w, int h) : width(w), height(h), rgb(as_size(w) * as_size(h) * 3, ground) {}

  /// Lays image `i` with its upper left corner at (left, top), each pixel a square of `scale`.
  void place(const Images& images, int i, int left, int top, int scale) {
    const auto pixels = images.image(i);
    const std::size_t plane = pixels.size() / 3;
    for (int y = 0; y < images.height * scale; ++y) {
      for (int x = 0; x < images.width * scale; ++x) {
        const std::size_t from = at(y / scale, x / scale, images.width);
        const std::size_t to = at(top + y, left + x, width) * 3;
        for (std::size_t c = 0; c < 3; ++c) rgb[to + c] = pixels[c * plane + from];
      }
    }
  }

  static std::size_t at(int y, int x, int row_length) {
    return as_size(y) * as_size(row_length) + as_size(x);
  }
};

/// The picture as a PNG file in memory, so that the file is written whole or not at all.
std::vector<std::uint8_t> encode(const Picture& picture) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(picture.width);
  header.height = static_cast<png_uint_32>(picture.height);
  header.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  if (png_image_write_get_memory_size(header, size, 0, picture.rgb.data(), 0, nullptr) == 0) {
    throw Error("libpng: {}", static_cast<const char*>(header.message));
  }
  std::vector<std::uint8_t> bytes(size);
  if (png_image_write_to_memory(&header, bytes.data(), &size, 0, picture.rgb.data(), 0, nullptr) == 0) {
    throw Error("libpng: {}", static_cast<const char*>(header.message));
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

void write_contact_sheet(const fs::path& path, const Images& images, int classes,
                         const ContactSheetOptions& options) {
  const int scale = options.magnification;
  const bool sane = options.columns >= 1 && options.columns <= largest_side && scale >= 1 && scale <= 64;
  const int margin = std::max(2 * scale, 2);
  const auto extent = [&](int cells, int length) { return margin + cells * (length * scale + margin); };
  if (!sane || extent(options.columns, images.width) > largest_side ||
      extent(classes, images.height) > largest_side) {
    throw UsageError(
        "a contact sheet of {} columns at magnification {} is no picture of 1 to {} pixels a side",
        options.columns, scale, largest_side);
  }
  if (!options.overwrite && is_there(path)) {
    throw Error("{} exists; name another file, or overwrite it with --force", path.string());
  }
  Picture picture(extent(options.columns, images.width), extent(classes, images.height));
  std::vector<int> filled(as_size(classes), 0);
  for (int i = 0; i < images.count; ++i) {
    const int label = images.labels[as_size(i)];
    if (label >= classes) continue;
    int& column = filled[as_size(label)];
    if (column == options.columns) continue;
    picture.place(images, i, extent(column, images.width), extent(label, images.height), scale);
    ++column;
  }
  write_file(path, encode(picture), options.overwrite);
}

}  // namespace normlab
