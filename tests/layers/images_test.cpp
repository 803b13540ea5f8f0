// From bytes to the network's input: normalization, and the augmentation's crop and flip.

#include <algorithm>

#include "layers/augmentation.hpp"
#include "layers/kernels/images.hpp"
#include "tests/support/layer_check.hpp"

namespace normlab {
namespace {

constexpr int kCount = 6, kSize = 8;

struct Fixture {
  std::vector<std::uint8_t> pixels, labels;
  ImageSet set;

  Fixture() : pixels(kCount * 3 * kSize * kSize), labels(kCount) {
    Philox random(1, Purpose::probe);
    for (std::uint8_t& pixel : pixels) pixel = static_cast<std::uint8_t>(random.below(256));
    set = {pixels.data(), labels.data(), kCount, 3, kSize, kSize};
  }
  /// The byte at a place that may lie outside the image.
  [[nodiscard]] int byte(std::uint32_t image, int c, int row, int column) const {
    if (row < 0 || row >= kSize || column < 0 || column >= kSize) return 0;
    return pixels[static_cast<std::size_t>(((static_cast<int>(image) * 3 + c) * kSize + row) * kSize +
                                           column)];
  }
};

class ImagesTest : public ::testing::TestWithParam<std::tuple<std::string, Layout>> {};

TEST_P(ImagesTest, LoadsNormalizesAndAugments) {
  const auto& [backend_name, layout] = GetParam();
  const auto backend = test::make_test_backend(backend_name);
  const Fixture fixture;
  const std::vector<std::uint32_t> indices{4, 0, 5};
  const test::DeviceArray<std::uint8_t> pixels(*backend, fixture.pixels);
  const test::DeviceArray<std::uint32_t> on_device(*backend, indices);
  ImageSet images = fixture.set;
  images.pixels = pixels.data();
  const Shape shape{3, 3, kSize, kSize};
  const Buffer buffer(*backend, backend->bytes(shape, backend.precision, layout));
  const std::array<float, 3> mean{0.49F, 0.48F, 0.44F}, std{0.25F, 0.24F, 0.26F};
  int flips = 0, shifts = 0;
  for (std::uint32_t epoch = 0; epoch < 40; ++epoch) {
    LoadImages args;
    args.images = &images;
    args.indices = on_device.data();
    args.augmentation = {epoch > 0, 9, epoch};
    args.mean = mean;
    args.std = std;
    args.x = {buffer.data(), shape, backend.precision, layout};
    backend->get<ImageKernels>().load(args);
    std::vector<float> x(shape.count());
    backend->download(args.x, x.data());
    std::size_t at = 0;
    for (std::size_t n = 0; n < indices.size(); ++n) {
      const Placement p = place(args.augmentation, indices[n]);
      EXPECT_LE(std::abs(p.down), 4);
      EXPECT_LE(std::abs(p.right), 4);
      flips += p.flip ? 1 : 0;
      shifts += p.down != 0 || p.right != 0 ? 1 : 0;
      for (int c = 0; c < 3; ++c) {
        for (int row = 0; row < kSize; ++row) {
          for (int column = 0; column < kSize; ++column, ++at) {
            const int from = p.flip ? kSize - 1 - column : column;
            const auto channel = static_cast<std::size_t>(c);
            const double expected = (fixture.byte(indices[n], c, row + p.down, from + p.right) / 255.0 -
                                     static_cast<double>(mean[channel])) /
                                    static_cast<double>(std[channel]);
            ASSERT_NEAR(static_cast<double>(x[at]), expected,
                        test::stored(backend.precision, {expected}, 1e-6)[0]);
          }
        }
      }
    }
  }
  EXPECT_GT(flips, 35);  // of 117, half are expected
  EXPECT_LT(flips, 85);
  EXPECT_GT(shifts, 100);  // all but 1 of 81
}

INSTANTIATE_TEST_SUITE_P(Layouts, ImagesTest,
                         ::testing::Combine(::testing::ValuesIn(test::backend_names()),
                                            ::testing::Values(Layout::image, Layout::native)),
                         [](const auto& info) {
                           return std::get<0>(info.param) +
                                  (std::get<1>(info.param) == Layout::image ? "_image" : "_native");
                         });

TEST(Augmentation, IsKeyedBySeedEpochAndSample) {
  const auto differs = [](Augmentation a, std::uint32_t i, Augmentation b, std::uint32_t j) {
    const Placement p = place(a, i), q = place(b, j);
    return p.down != q.down || p.right != q.right || p.flip != q.flip;
  };
  int by_seed = 0, by_epoch = 0, by_sample = 0;
  for (std::uint32_t i = 0; i < 100; ++i) {
    by_seed += differs({true, 1, 1}, i, {true, 2, 1}, i) ? 1 : 0;
    by_epoch += differs({true, 1, 1}, i, {true, 1, 2}, i) ? 1 : 0;
    by_sample += differs({true, 1, 1}, i, {true, 1, 1}, i + 1) ? 1 : 0;
    EXPECT_FALSE(differs({true, 1, 1}, i, {true, 1, 1}, i));
  }
  EXPECT_GT(std::min({by_seed, by_epoch, by_sample}), 95);
}

}  // namespace
}  // namespace normlab
