#include "layers/kernels/images.hpp"
#include "host/cpu/host_kernels.hpp"
#include "layers/as_size.hpp"
#include "layers/augmentation.hpp"

namespace normlab {

namespace {

class HostImages final : public HostKernels<ImageKernels> {
 public:
  using HostKernels::HostKernels;
  void load(const LoadImages& args) override;
};

}  // namespace

void HostImages::load(const LoadImages& args) {
  const ImageSet& images = *args.images;
  const int h = images.h, w = images.w, pixels = h * w;
  Augmentation augmentation = args.augmentation;
  if (args.epoch != nullptr) augmentation.epoch = *args.epoch;
  with_storage(args.x.type, [&]<typename T>(Stored<T>) {
    for (int c = 0; c < images.c; ++c) {
      const auto channel = as_size(c);
      T value[256];
      for (int byte = 0; byte < 256; ++byte) {
        value[byte] =
            static_cast<T>((static_cast<float>(byte) / 255.0F - args.mean[channel]) / args.std[channel]);
      }
      for (int n = 0; n < args.x.shape.n; ++n) {
        const std::uint32_t index = args.indices[n];
        const Placement placement = place(augmentation, index);
        const std::uint8_t* pixels_of =
            images.pixels + (as_size(index) * as_size(images.c) + channel) * as_size(pixels);
        const auto [first, step] = host_.plane(args.x, n, c);
        T* x = args.x.as<T>() + first;
        for (int row = 0; row < h; ++row) {
          const int from_row = row + placement.down;
          for (int column = 0; column < w; ++column) {
            const int from_column = (placement.flip ? w - 1 - column : column) + placement.right;
            const bool inside = from_row >= 0 && from_row < h && from_column >= 0 && from_column < w;
            x[(row * w + column) * step] = value[inside ? pixels_of[from_row * w + from_column] : 0];
          }
        }
      }
    }
    if (args.x.layout == Layout::image) return;
    for (int n = 0; n < args.x.shape.n; ++n) {  // a native input has padding channels
      for (int c = images.c; c < layout(args.x).padded_channels(); ++c) {
        const auto [first, step] = host_.plane(args.x, n, c);
        for (int p = 0; p < pixels; ++p) args.x.as<T>()[first + p * step] = T(0.0F);
      }
    }
  });
}

template <>
std::unique_ptr<ImageKernels> make_host_kernels<ImageKernels>(HostBackend& host) {
  return std::make_unique<HostImages>(host);
}

}  // namespace normlab
