#pragma once
// A figure over seeds as it is printed, everywhere in the same way.

#include <string>
#include <string_view>

#include "host/record/statistics.hpp"

namespace normlab {

/// How: times `scale`, with `digits` after the point, a sign before it if it is a difference.
struct FigureStyle {
  double scale = 1;
  int digits = 2;
  Bounds bounds = {};   // which the interval does not leave; before scaling
  bool sign = false;    // + before what is not negative
  int half_digits = 0;  // the least width of what stands behind ±, so that columns line up
};
inline constexpr FigureStyle accuracy_style{100, 2, bounds_of_accuracy};
inline constexpr FigureStyle accuracy_difference_style{100, 2, bounds_of_accuracy_difference, true};

/// "-" for no value; one value, or two ("48.00, 52.00"), as they are; "76.00 ± 2.48", mean and half of the 95
/// % t-interval, for more; "20.00 [0, 45.31]", mean and interval, where that would leave the bounds.
[[nodiscard]] std::string figure_text(const Estimate& figure, const FigureStyle& style);

/// What it means, for the notes below a table of accuracies.
inline constexpr std::string_view figure_note =
    "mean over seeds ± half of its 95 % t-interval, or [it] where it would leave 0 to 100; of one or two "
    "seeds the "
    "values";

}  // namespace normlab
