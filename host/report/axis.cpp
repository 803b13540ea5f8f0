#include "host/report/axis.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace normlab {

void Range::add(double value) {
  if (!std::isfinite(value) || (log && value <= 0)) return;
  low = std::min(low, value);
  high = std::max(high, value);
}

double Range::share(double value) const {
  const double s = log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  return std::isfinite(s) ? std::clamp(s, 0.0, 1.0) : 0.5;
}

Range Range::padded(double floor, double ceiling) const {
  if (log) {
    Range wide = *this;
    if (high <= low * 1.5) wide = {low / 1.3, high * 1.3, true};
    const double margin = std::pow(wide.high / wide.low, 0.04);
    return {wide.low / margin, wide.high * margin, true};
  }
  double size = high - low;
  if (size <= 1e-3 * std::abs(high) || size == 0)  // a flat line lies in the middle
    size = high == 0 ? 1 : 4 * std::abs(high);
  const double least = std::max(floor, low - 0.05 * size);
  const double most = std::min(ceiling, high + 0.05 * size);
  return least < most ? Range{least, most, false} : Range{least, least + size, false};
}

double tic_distance(double high, double most) {
  double distance = 1;
  while (high / distance > most)
    for (const double factor : {2.0, 2.5, 2.0}) {
      distance *= factor;
      if (high / distance <= most) break;
    }
  return distance;
}

std::vector<Tic> log_tics(const Range& range, std::size_t most) {
  const double decades = std::log10(range.high / range.low);
  std::vector<double> factors{1};
  if (decades < 2.5) factors = {1, 2, 5};
  if (decades < 0.7) factors = {1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8};
  const int each = std::max(1, static_cast<int>(std::ceil(decades / static_cast<double>(most))));
  std::vector<Tic> tics;
  for (int power = static_cast<int>(std::floor(std::log10(range.low))); power <= std::log10(range.high);
       ++power)
    for (const double factor : factors) {
      const double at = factor * std::pow(10, power);
      if (at >= range.low && at <= range.high && power % each == 0)
        tics.push_back({at, fmt::format("{:.6g}", at)});
    }
  return tics;
}

std::vector<Tic> thinned(const std::vector<Tic>& tics, const Range& range, double pixels) {
  constexpr double tic_font = 14, gap = 8;
  for (std::size_t each = 1;; ++each) {
    std::vector<Tic> chosen;
    double end = -INFINITY;
    bool fits = true;
    for (std::size_t i = 0; i < tics.size(); i += each) {
      const double middle = range.share(tics[i].at) * pixels;
      const double half = text_width(tics[i].text, tic_font) / 2;
      fits &= middle - half >= end;
      end = middle + half + gap;
      chosen.push_back(tics[i]);
    }
    if (fits || chosen.size() <= 1) return chosen;
  }
}

std::string tic_list(const std::vector<Tic>& tics) {
  std::string text;
  for (const Tic& tic : tics)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", gnuplot_string(tic.text), number(tic.at));
  return fmt::format("({})", text);
}

AxesBox::AxesBox(const Picture& picture, const Place& place, double left_px, double right_px, double top_px,
                 double bottom_px) {
  const double area = picture.height - picture.header;
  const double width = picture.width, height = picture.height;
  left = place.left + left_px / width;
  right = std::max(left + 0.05, place.right - right_px / width);
  top = 1 - (picture.header + place.top * area + top_px) / height;
  bottom = std::min(top - 0.05, 1 - (picture.header + place.bottom * area - bottom_px) / height);
}

std::string AxesBox::margins() const {
  return fmt::format(
      "set lmargin at screen {:.4f}; set rmargin at screen {:.4f}\n"
      "set bmargin at screen {:.4f}; set tmargin at screen {:.4f}\n",
      left, right, bottom, top);
}

std::vector<Place> panel_places(Picture& picture, std::size_t count, int row_height) {
  if (count <= 1) return std::vector<Place>(count);
  const std::size_t rows = (count + 1) / 2;
  if (rows == 1) row_height += 50;
  picture.height = picture.header + static_cast<int>(rows) * row_height;
  std::vector<Place> places;
  for (std::size_t i = 0; i < count; ++i) {
    const double half = i % 2 == 0 ? 0 : 0.5;
    const auto row = static_cast<double>(i / 2), all = static_cast<double>(rows);
    places.push_back({half, half + 0.5, row / all, (row + 1) / all});
  }
  return places;
}

void add_legend(Picture& picture, const std::vector<LegendEntry>& entries) {
  constexpr double font = 14, margin = 14, line = 20;
  double x = margin;
  int lines = 1;
  for (const LegendEntry& entry : entries) {
    const double width = text_width(entry.text, font);
    if (x > margin && x + width > picture.width - margin) {
      x = margin;
      ++lines;
    }
    picture.legend.push_back({entry.text, entry.color, x, picture.header + line * (lines - 1) + 18});
    x += width + 16;
  }
  picture.header += static_cast<int>(line) * lines;
}

int next_block(const Picture& picture) {
  int block = 0;
  for (std::size_t at = 0; (at = picture.data.find("\n\n\n", at)) != std::string::npos; at += 3) ++block;
  return block;
}

}  // namespace normlab
