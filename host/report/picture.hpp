#pragma once
// A picture is a data file and a gnuplot script; both stay beside it, so that people can restyle it.

#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace normlab {

/// Values that the page shows beside the pointer: lines over one x axis.
struct HoverChart {
  struct Point {
    double x = 0, y = 0, low = 0, high = 0;  // low and high are NaN where there is no spread
  };
  struct Line {
    std::string name, color;
    std::vector<Point> points;
  };
  double left = 0, right = 1, top = 0, bottom = 1;  // the axes, as shares of the picture from its top left
  double x_low = 0, x_high = 1;
  bool log_x = false;
  std::string x_name;
  std::vector<Line> lines;
};

/// A name in its colour, in pixels from the picture's top left.
struct LegendLabel {
  std::string text, color;
  double x = 0, y = 0;
};

/// One picture before it is drawn. The script draws from `<name>.dat`, for any terminal; what comes before
/// and after (terminal, output, title, and the fonts small_font and tiny_font) is added by write_pictures.
struct Picture {
  std::string name;               // of its files: test-accuracy
  std::string title;              // what is shown
  std::string subtitle;           // of what, and how it is meant
  std::string alt = {};           // what it shows, in a sentence for those who do not see it
  int width = 560, height = 380;  // pixels of the SVG; the PNG has twice as many
  std::string data = {};
  std::string script = {};
  int header = 46;  // pixels at the top, for title, subtitle and legend
  std::vector<LegendLabel> legend = {};
  std::vector<HoverChart> hover = {};
};

// What is drawn in these colours is ink and paper, not data: the report adapts them to a dark screen.
inline constexpr std::string_view ink_color = "#303236";
inline constexpr std::string_view muted_color = "#6b6f76";
inline constexpr std::string_view grid_color = "#e2e4e8";
inline constexpr std::string_view paper_color = "#ffffff";

/// A text as a gnuplot string: nothing in it is interpreted, control characters become spaces.
[[nodiscard]] std::string gnuplot_string(std::string_view text);
/// A number for scripts and data files: "%.9g", NaN for what is missing (gnuplot leaves it out).
[[nodiscard]] std::string number(double value);
/// A text cut to `most` bytes (never within a character), with an ellipsis if something is missing.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t most);
/// About how many pixels a text takes at a font size in pixels.
[[nodiscard]] double text_width(std::string_view text, double font);

inline const std::set<std::string> all_formats{"svg", "png"};

/// Writes data, script and, through gnuplot, each format (svg, png) of every picture into `out`, which is
/// made if need be. Returns the pictures' paths, in order. Throws Error if gnuplot is missing (naming the
/// package) or fails (with its own words), UsageError for another format.
std::vector<std::filesystem::path> write_pictures(std::span<const Picture> pictures,
                                                  const std::filesystem::path& out,
                                                  const std::set<std::string>& formats = all_formats);

}  // namespace normlab
