#include "host/data/synthetic.hpp"

#include <algorithm>
#include <array>

#include "host/data/cifar.hpp"
#include "host/data/fixed_point.hpp"
#include "host/data/shapes.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"
#include "layers/philox.hpp"

// Everything here is integer arithmetic on purpose, see fixed_point.hpp. Draws from the generator stand in
// statements of their own: the order in which a compiler evaluates the arguments of a call is its own affair.

namespace normlab {
namespace {

constexpr int side = 32;   // pixels
constexpr int grain = 16;  // positions and lengths are counted in 1/16 of a pixel
constexpr int level = 16;  // colour levels are counted in 1/16 while an image is drawn
constexpr std::uint32_t train_split = 0;
constexpr std::uint32_t test_split = 1;
constexpr std::uint32_t label_split = 16;  // split + 16: the stream that orders the labels

// What the hardest image suffers; an image of hardship h (in 256ths) suffers h / 256 of each.
constexpr int lost_contrast = 170;  // of 256
constexpr int most_noise = 24;      // colour levels
constexpr int most_clutter = 24;    // pieces behind the figure
constexpr int most_cover = 14;      // pieces in front of it
constexpr int lost_radius = 10 * grain;

using Colour = std::array<int, 3>;                // 0 to 255 each
using Canvas = std::array<int, 3 * side * side>;  // planes R, G, B in 1/level

int between(Philox& random, int low, int high) {  // both ends included
  return low + static_cast<int>(random.below(static_cast<std::uint32_t>(high - low + 1)));
}

Colour any_colour(Philox& random) {
  Colour colour{};
  for (int& c : colour) c = between(random, 0, 255);
  return colour;
}

/// A colour from the dark or the bright end.
Colour shade(Philox& random, bool bright) {
  constexpr int range = 80;  // of 256: how much of the scale each end has
  Colour colour = any_colour(random);
  for (int& c : colour) c = c * range / 256 + (bright ? 255 - 255 * range / 256 : 0);
  return colour;
}

/// Where a pixel of a canvas is.
std::size_t at(std::size_t channel, int row, int column) {
  return (channel * side + as_size(row)) * side + as_size(column);
}

struct Placement {
  Figure figure;
  int variant;
  int x, y;    // centre, 1/grain pixels
  int radius;  // 1/grain pixels
  int angle;   // 1/fixed::turn turns
};

/// Lays `colour` over the canvas where the figure is; 4x4 points per pixel give its edges 17 levels.
void paint(Canvas& canvas, const Placement& place, const Colour& colour) {
  const int cosine = fixed::cosine(place.angle) * figure_radius / place.radius;
  const int sine = fixed::sine(place.angle) * figure_radius / place.radius;
  const int left = std::max((place.x - place.radius) / grain, 0);
  const int right = std::min((place.x + place.radius) / grain, side - 1);
  const int top = std::max((place.y - place.radius) / grain, 0);
  const int bottom = std::min((place.y + place.radius) / grain, side - 1);
  for (int row = top; row <= bottom; ++row) {
    for (int column = left; column <= right; ++column) {
      Coordinates u, v;
      for (std::size_t point = 0; point < u.size(); ++point) {
        const int dx = column * grain + 2 + static_cast<int>(point) % 4 * 4 - place.x;
        const int dy = row * grain + 2 + static_cast<int>(point) / 4 * 4 - place.y;
        u[point] = (dx * cosine + dy * sine) / fixed::one;
        v[point] = (dy * cosine - dx * sine) / fixed::one;
      }
      const int covered = points_inside(place.figure, place.variant, u, v);
      if (covered == 0) continue;
      for (std::size_t c = 0; c < 3; ++c) {
        int& value = canvas[at(c, row, column)];
        value += (colour[c] * level - value) * covered / 16;
      }
    }
  }
}

/// A ground that wanders between two colours: random weights on a 5x5 grid, interpolated.
void paint_ground(Canvas& canvas, Philox& random, const Colour& a, const Colour& b) {
  constexpr int cell = side / 4;
  std::array<std::array<int, 5>, 5> weight{};
  for (auto& row : weight) {
    for (int& w : row) w = between(random, 0, 256);
  }
  for (int row = 0; row < side; ++row) {
    for (int column = 0; column < side; ++column) {
      const auto i = as_size(row / cell);
      const auto j = as_size(column / cell);
      const int down = row % cell;
      const int across = column % cell;
      const int above = weight[i][j] * (cell - across) + weight[i][j + 1] * across;
      const int below = weight[i + 1][j] * (cell - across) + weight[i + 1][j + 1] * across;
      const int mixed = (above * (cell - down) + below * down) / (cell * cell);  // 0 to 256
      for (std::size_t c = 0; c < 3; ++c) {
        canvas[at(c, row, column)] = a[c] * level + (b[c] - a[c]) * mixed * level / 256;
      }
    }
  }
}

/// Small bars and dots; some share the figure's colour, so that colour alone does not find the figure.
void paint_clutter(Canvas& canvas, Philox& random, int pieces, const Colour& figure_colour) {
  for (int piece = 0; piece < pieces; ++piece) {
    Placement place{};
    place.figure = between(random, 0, 2) == 0 ? Figure::disc : Figure::bar;
    place.variant = 0;
    place.x = between(random, 0, side * grain);
    place.y = between(random, 0, side * grain);
    place.radius = between(random, grain * 5 / 4, place.figure == Figure::disc ? 2 * grain : 5 * grain);
    place.angle = between(random, 0, fixed::turn - 1);
    const Colour other = any_colour(random);
    const bool same = between(random, 0, 2) == 0;
    paint(canvas, place, same ? figure_colour : other);
  }
}

/// The camera: contrast, brightness and noise of this image, then 8 bits.
void develop(const Canvas& canvas, Philox& random, int hardship, std::uint8_t* pixels) {
  const int contrast = 272 - between(random, 0, 40) - lost_contrast * hardship / 256;  // 1/256
  const int reach = 128 - std::min(contrast, 256) / 2;
  const int brightness = 128 + between(random, -reach, reach) * 15 / 100;
  const int noise = 4 + most_noise * hardship / 256;  // largest deviation
  for (std::size_t i = 0; i < side * side; ++i) {
    const std::uint32_t bits = random.next();
    for (std::size_t c = 0; c < 3; ++c) {
      const int speck = (static_cast<int>(bits >> (8 * c) & 255) - 128) * noise / 128;
      const int value = brightness + (canvas[c * side * side + i] / level - 128) * contrast / 256 + speck;
      pixels[c * side * side + i] = static_cast<std::uint8_t>(std::clamp(value, 0, 255));
    }
  }
}

/// How hard an image is to read, in [0, 256): most are easy, a few hopeless. That way accuracy grows steadily
/// with what a network has learned, and no network reaches 100 %.
int draw_hardship(Philox& random) {
  const int uniform = between(random, 0, 256);
  return uniform * uniform / 256;
}

void draw(Philox random, int label, std::uint8_t* pixels) {
  const int hardship = draw_hardship(random);
  // A bright figure on a dark ground that wanders between two colours.
  Canvas canvas;
  const Colour ground = shade(random, false);
  Colour other_ground = shade(random, false);
  for (std::size_t c = 0; c < 3; ++c) other_ground[c] = (ground[c] + other_ground[c]) / 2;
  const Colour colour = shade(random, true);
  paint_ground(canvas, random, ground, other_ground);
  const int behind = between(random, 0, most_clutter * hardship / 256);
  paint_clutter(canvas, random, behind, colour);

  Placement place{};
  place.figure = static_cast<Figure>(label);
  place.variant = between(random, 0, 3);
  const int largest = 14 * grain - lost_radius * hardship / 256;
  place.radius = between(random, largest - 2 * grain, largest);
  place.x = between(random, place.radius - grain, side * grain - place.radius + grain);
  place.y = between(random, place.radius - grain, side * grain - place.radius + grain);
  place.angle = between(random, 0, fixed::turn - 1);
  paint(canvas, place, colour);

  const int in_front = between(random, 0, most_cover * hardship / 256);
  paint_clutter(canvas, random, in_front, ground);
  develop(canvas, random, hardship, pixels);
}

/// The labels of images [first, first + 10) of a split: each class once.
std::array<std::uint8_t, figure_classes> ten_labels(std::uint64_t seed, std::uint32_t split, int first) {
  Philox random(seed, Purpose::synthetic, split + label_split, static_cast<std::uint32_t>(first));
  std::array<std::uint8_t, figure_classes> labels{};
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::size_t j = random.below(static_cast<std::uint32_t>(i + 1));
    labels[i] = labels[j];
    labels[j] = static_cast<std::uint8_t>(i);
  }
  return labels;
}

Images draw_split(std::uint64_t seed, std::uint32_t split, int count) {
  Images images;
  images.count = count;
  images.labels.resize(as_size(count));
  images.pixels.resize(as_size(count) * images.image_bytes());
  std::array<std::uint8_t, figure_classes> labels{};
  for (int i = 0; i < count; ++i) {
    const int place = i % figure_classes;
    if (place == 0) labels = ten_labels(seed, split, i);
    const std::uint8_t label = labels[as_size(place)];
    const Philox random(seed, Purpose::synthetic, split, static_cast<std::uint32_t>(i));
    const auto index = as_size(i);
    images.labels[index] = label;
    draw(random, label, images.pixels.data() + index * images.image_bytes());
  }
  return images;
}

}  // namespace

Dataset make_synthetic(std::uint64_t seed, int train_images, int test_images) {
  if (train_images < 1 || test_images < 1) {
    throw UsageError("the synthetic set needs at least 1 training and 1 test image, not {} and {}",
                     train_images, test_images);
  }
  Dataset dataset;
  dataset.name = "synthetic";
  dataset.source = fmt::format("synthetic seed {}", seed);
  dataset.class_names.assign(figure_names.begin(), figure_names.end());
  dataset.train = draw_split(seed, train_split, train_images);
  dataset.test = draw_split(seed, test_split, test_images);
  dataset.digest = cifar::dataset_digest(dataset);
  return dataset;
}

}  // namespace normlab
