#include "host/record/figure_text.hpp"

#include <fmt/format.h>

namespace normlab {

std::string figure_text(const Estimate& figure, const FigureStyle& style) {
  const auto text = [&](double value) {
    return style.sign ? fmt::format("{:+.{}f}", style.scale * value, style.digits)
                      : fmt::format("{:.{}f}", style.scale * value, style.digits);
  };
  if (figure.n == 0) return "-";
  if (figure.n == 1) return text(figure.mean);
  if (!figure.has_interval()) return fmt::format("{}, {}", text(figure.lowest), text(figure.highest));
  if (const Interval interval = figure.interval(style.bounds); interval.is_cut) {
    const auto end = [&](double value, double bound) {
      return value == bound ? fmt::format("{:.0f}", style.scale * value) : text(value);
    };
    return fmt::format("{} [{}, {}]", text(figure.mean), end(interval.low, style.bounds.low),
                       end(interval.high, style.bounds.high));
  }
  return fmt::format("{} ± {:>{}.{}f}", text(figure.mean), style.scale * figure.half_width, style.half_digits,
                     style.digits);
}

}  // namespace normlab
