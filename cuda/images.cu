// Augmentation and normalization of images that lie on the device as bytes: a thread for each pixel, which
// gathers the channels from their planes. Where crop and flip put a
// sample comes from the same counter-based numbers as on the host.

#include "cuda/device.hpp"
#include "layers/augmentation.hpp"
#include "layers/kernels/images.hpp"

namespace normlab::NORMLAB_PLATFORM {

/// Augmentation as a kernel takes it.
struct ImageDraw {
  std::uint64_t seed;
  const std::uint32_t* epoch_there;  ///< null: the one here
  std::uint32_t epoch, enabled;
};

struct ImageShape {
  int channels, h, w, stride;
  float mean[3], std[3];
};

/// Bytes: one padded pixel out, for c bytes that are gathered.
template <typename T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    load_images_kernel(ImageShape s, const std::uint8_t* images, const std::uint32_t* indices, ImageDraw draw,
                       unsigned count, T* x) {
  constexpr int kChannels = kWidth<T>;
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const auto pixels = static_cast<unsigned>(s.h * s.w);
  const std::uint32_t index = indices[i / pixels];
  const int p = static_cast<int>(i % pixels);
  const int row = p / s.w, column = p % s.w;
  const std::uint32_t epoch = draw.epoch_there != nullptr ? *draw.epoch_there : draw.epoch;
  const Placement placement = place({draw.enabled != 0, draw.seed, epoch}, index);
  const int from_row = row + placement.down;
  const int from_column = (placement.flip ? s.w - 1 - column : column) + placement.right;
  const bool inside = from_row >= 0 && from_row < s.h && from_column >= 0 && from_column < s.w;
  const std::uint8_t* image =
      images + static_cast<std::size_t>(index) * static_cast<std::size_t>(s.channels) * pixels;
  T* to = x + static_cast<std::size_t>(i) * static_cast<std::size_t>(s.stride);
  for (int first = 0; first < s.stride; first += kChannels) {
    float v[kChannels] = {};
    NORMLAB_UNROLL
    for (int c = 0; c < 3; ++c) {
      if (first == 0 && c < s.channels) {
        const int byte = inside ? image[static_cast<unsigned>(c) * pixels +
                                        static_cast<unsigned>(from_row * s.w + from_column)]
                                : 0;
        v[c] = (static_cast<float>(byte) / 255.0F - s.mean[c]) / s.std[c];
      }
    }
    store_raw(to + first, narrow(v));
  }
}

namespace {

class CudaImages final : public CudaKernels<ImageKernels> {
 public:
  using CudaKernels::CudaKernels;
  void load(const LoadImages& args) override;
};

}  // namespace

void CudaImages::load(const LoadImages& args) {
  const ImageSet& images = *args.images;
  if (images.c > 3) throw Error("images of {} channels; the GPU loads 1 to 3", images.c);
  ImageShape shape{images.c, images.h, images.w, channel_stride(args.x), {}, {}};
  for (std::size_t c = 0; c < 3; ++c) {
    shape.mean[c] = args.mean[c];
    shape.std[c] = args.std[c];
  }
  const ImageDraw draw{args.augmentation.seed, args.epoch, args.augmentation.epoch,
                       args.augmentation.enabled ? 1U : 0U};
  const unsigned count =
      index_count(static_cast<std::size_t>(args.x.shape.n) * static_cast<std::size_t>(args.x.shape.pixels()));
  with_elements(args.x.type, [&](auto zero) {
    using T = decltype(zero);
    launch(load_images_kernel<T>, blocks_for(count, kMapThreads), kMapThreads, 0, stream(), shape,
           images.pixels, args.indices, draw, count, elements<T>(args.x));
  });
}

template <>
std::unique_ptr<ImageKernels> make_cuda_kernels<ImageKernels>(CudaBackend& backend) {
  return std::make_unique<CudaImages>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
