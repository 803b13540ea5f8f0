#include "host/report/ridges.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace normlab {

namespace {

constexpr double overlap = 1.5;  // height of a ridge in rows

std::string block_of(const std::string& name, const Histogram& histogram) {
  std::string text = fmt::format("# {}: value density\n", gnuplot_string(name));
  if (histogram.empty()) return text + "NaN NaN\n\n\n";
  const double most = *std::max_element(histogram.counts.begin(), histogram.counts.end());
  for (std::size_t bin = 0; bin < histogram.counts.size(); ++bin)
    text += fmt::format("{} {}\n",
                        number(histogram.low + (static_cast<double>(bin) + 0.5) * histogram.bin_width()),
                        number(histogram.counts[bin] / most));
  return text + "\n\n";
}

}  // namespace

bool add_ridges(Picture& picture, const RidgePlot& plot) {
  Range x;
  for (const Ridge& ridge : plot.ridges)
    for (const Histogram* histogram : {&ridge.early, &ridge.late})
      if (!histogram->empty()) {
        x.add(histogram->quantile(0.005));
        x.add(histogram->quantile(0.995));
      }
  if (x.empty()) return false;
  x = x.padded(-1e300, 1e300);
  const std::size_t rows = plot.ridges.size();
  double names_width = 0;
  std::string tics;
  for (std::size_t i = 0; i < rows; ++i) {
    names_width = std::max(names_width, text_width(plot.ridges[i].name, 12));
    tics += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_string(plot.ridges[i].name), rows - 1 - i);
  }
  const AxesBox frame(picture, plot.place, names_width + 14, 12, 40, 54);
  std::string& script = picture.script;
  script += frame.margins();
  script += fmt::format("set xrange [{}:{}]; set yrange [-0.1:{}]\n", number(x.low), number(x.high),
                        number(static_cast<double>(rows) - 0.85 + overlap));
  script += "unset logscale x; unset logscale y; set border 1; set xtics autofreq\n";
  script += fmt::format("set ytics ({}) scale 0 font small_font\n", tics);
  script += fmt::format("set xlabel {} offset 0, 0.5 textcolor rgb '{}'\n", gnuplot_string(plot.x_label),
                        ink_color);
  script += fmt::format("set label 3 {} at graph 0, graph {:.4f} left textcolor rgb '{}'\n",
                        gnuplot_string(plot.heading), 1 + 14 / frame.height(picture), ink_color);
  int block = next_block(picture);
  const std::string file = gnuplot_string(picture.name + ".dat");
  std::string plots;
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t base = rows - 1 - i;
    const std::string late = fmt::format("{} index {} using 1:({} + {} * $2)", file, block, base, overlap);
    const std::string early =
        fmt::format("{} index {} using 1:({} + {} * $2)", file, block + 1, base, overlap);
    plots += fmt::format(
        "{0}{1} index {2} using 1:({3}):({3} + {4} * $2) with filledcurves fillstyle transparent solid 0.35 "
        "noborder linecolor rgb '{5}', \\\n  {6} with lines linewidth 1.5 linecolor rgb '{5}', \\\n  {7} "
        "with "
        "lines linewidth 1 dashtype 2 linecolor rgb '{8}'",
        i == 0 ? "" : ", \\\n  ", file, block, base, overlap, plot.color, late, early, ink_color);
    block += 2;
    picture.data += block_of(plot.ridges[i].name + ", late", plot.ridges[i].late);
    picture.data += block_of(plot.ridges[i].name + ", early", plot.ridges[i].early);
  }
  script += fmt::format("plot {}\nunset label\n", plots);
  return true;
}

}  // namespace normlab
