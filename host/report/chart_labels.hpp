#pragma once
// The names of curves, where their lines end or are highest.

#include <span>
#include <string>
#include <vector>

#include "host/report/axis.hpp"
#include "host/report/curve.hpp"

namespace normlab {

inline constexpr double label_font = 14;              // pixels
inline constexpr std::size_t longest_end_label = 24;  // bytes

/// The last point of a curve that can be drawn; nullptr if none can.
[[nodiscard]] const CurvePoint* end_of(const Curve& curve);

/// Names at the ends of the lines, moved apart where lines end close together; a thin line then leads from
/// one to the other. `height` is that of the axes in pixels.
[[nodiscard]] std::string end_labels(std::span<const Curve> curves, const Range& y, double height);

/// Names above the highest points of the lines, for curves that all end in the same place.
[[nodiscard]] std::string peak_labels(std::span<const Curve> curves, const Range& y, double height);

/// Moves positions apart until neighbours are at least `distance` from each other, within [low, high] if
/// there is room, as little as possible, keeping their order.
[[nodiscard]] std::vector<double> spread(const std::vector<double>& positions, double distance, double low,
                                         double high);

}  // namespace normlab
