#include "host/host_backend.hpp"
#include "layers/augmentation.hpp"

namespace normlab {

void HostBackend::load_images(const LoadImages& args) {
  const ImageSet& images = *args.images;
  const int h = images.h, w = images.w, pixels = h * w;
  const bool planes = args.x.layout == Layout::image && blocked_;
  const HostLayout at = layout(args.x);
  const auto position = [&](int n, int c, int p) -> std::ptrdiff_t {
    if (planes) return (static_cast<std::ptrdiff_t>(n) * images.c + c) * pixels + p;
    if (args.x.layout == Layout::image) return (static_cast<std::ptrdiff_t>(n) * pixels + p) * images.c + c;
    return at.at(n, c, p);
  };
  for (int c = 0; c < images.c; ++c) {
    const auto channel = static_cast<std::size_t>(c);
    float value[256];
    for (int byte = 0; byte < 256; ++byte) {
      value[byte] = (static_cast<float>(byte) / 255.0F - args.mean[channel]) / args.std[channel];
    }
    for (int n = 0; n < args.x.shape.n; ++n) {
      const std::uint32_t index = args.indices[n];
      const Placement placement = place(args.augmentation, index);
      const std::uint8_t* plane =
          images.pixels + (static_cast<std::size_t>(index) * static_cast<std::size_t>(images.c) + channel) *
                              static_cast<std::size_t>(pixels);
      for (int row = 0; row < h; ++row) {
        const int from_row = row + placement.down;
        for (int column = 0; column < w; ++column) {
          const int from_column = (placement.flip ? w - 1 - column : column) + placement.right;
          const bool inside = from_row >= 0 && from_row < h && from_column >= 0 && from_column < w;
          args.x.data[position(n, c, row * w + column)] =
              value[inside ? plane[from_row * w + from_column] : 0];
        }
      }
    }
  }
  if (args.x.layout == Layout::image) return;
  for (int n = 0; n < args.x.shape.n; ++n) {  // a native input has padding channels
    for (int c = images.c; c < at.padded_channels(); ++c) {
      for (int p = 0; p < pixels; ++p) args.x.data[at.at(n, c, p)] = 0.0F;
    }
  }
}

}  // namespace normlab
