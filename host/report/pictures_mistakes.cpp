// Test images that a network got wrong and was sure of, in a grid of 5x2.

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <set>

#include "host/report/pictures.hpp"
#include "host/report/sweep.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

constexpr int columns = 5, rows = 2;

/// At most as many wrong predictions as the grid has places: the surest of each true class, then the surest
/// of what is left; in the order of the classes.
std::vector<Prediction> surest_mistakes(const RunView& run, const Images& images) {
  std::vector<Prediction> wrong;
  for (const Prediction& p : run.predictions)
    if (p.predicted != p.label && p.image < static_cast<std::uint32_t>(images.count)) wrong.push_back(p);
  std::stable_sort(wrong.begin(), wrong.end(),
                   [](const Prediction& a, const Prediction& b) { return a.confidence > b.confidence; });
  std::set<std::uint16_t> seen;
  std::vector<Prediction> chosen, others;
  for (const Prediction& p : wrong) (seen.insert(p.label).second ? chosen : others).push_back(p);
  chosen.insert(chosen.end(), others.begin(), others.end());
  chosen.resize(std::min<std::size_t>(chosen.size(), columns * rows));
  std::stable_sort(chosen.begin(), chosen.end(),
                   [](const Prediction& a, const Prediction& b) { return a.label < b.label; });
  return chosen;
}

/// A block of the data file: the pixels of an image, y from the top.
std::string pixels_of(const Images& images, const Prediction& mistake) {
  const auto bytes = images.image(static_cast<int>(mistake.image));
  const auto width = as_size(images.width), height = as_size(images.height);
  const std::size_t plane = width * height;
  std::string text;
  for (std::size_t y = 0; y < height; ++y)
    for (std::size_t x = 0; x < width; ++x) {
      const std::size_t at = y * width + x;
      text += fmt::format("{} {} {} {} {}\n", x, y, bytes[at], bytes[plane + at], bytes[2 * plane + at]);
    }
  return text + "\n\n";
}

}  // namespace

std::optional<Picture> misclassified_picture(const StudyView& study, const ArmView& arm, const RunView& run,
                                             const std::string& name) {
  if (!study.test_images || study.test_images->channels != 3) return std::nullopt;
  const Images& images = *study.test_images;
  const std::vector<Prediction> mistakes = surest_mistakes(run, images);
  if (mistakes.empty()) return std::nullopt;

  Picture picture{.name = name,
                  .title = arm.label() + ": the error it was surest of in each class",
                  .subtitle = fmt::format("{} · here seed {}; true class, then what it said",
                                          study.description(), run.results.seed)};
  picture.alt = fmt::format(
      "Test images that {} got wrong with the highest confidence, with their true and predicted class.",
      arm.label());
  picture.height = 360;
  picture.script = "unset border; unset tics; unset grid; unset xlabel; set size ratio 1\n";
  picture.script +=
      fmt::format("set xrange [-0.5:{}.5]; set yrange [{}.5:-0.5]\n", images.width - 1, images.height - 1);
  // A plot of its own for each image; its caption below it, in two lines.
  constexpr double place = 0.96 / columns, gap = 0.012;
  for (std::size_t i = 0; i < mistakes.size(); ++i) {
    const Prediction& mistake = mistakes[i];
    const double left = 0.02 + place * static_cast<double>(i % columns) + gap;
    const double top = 0.84 - 0.415 * static_cast<double>(i / columns);
    const double right = left + place - 2 * gap;
    const double bottom = top - (right - left) * picture.width / picture.height;
    picture.data +=
        fmt::format("# test image {}: x y red green blue\n", mistake.image) + pixels_of(images, mistake);
    picture.script += fmt::format(
        "set lmargin at screen {:.4f}; set rmargin at screen {:.4f}\n"
        "set tmargin at screen {:.4f}; set bmargin at screen {:.4f}\n",
        left, right, top, bottom);
    const auto caption = [&](const std::string& text, double below, std::string_view color) {
      return fmt::format(
          "set label {} at screen {:.4f}, screen {:.4f} center font small_font textcolor rgb '{}'\n",
          gnuplot_string(shortened(text, 18)), (left + right) / 2, bottom - below / picture.height, color);
    };
    picture.script += caption(study.classes[mistake.label], 11, muted_color);
    picture.script += caption(
        fmt::format("{} {:.0f} %", shortened(study.classes[mistake.predicted], 11), 100 * mistake.confidence),
        26, ink_color);
    picture.script += fmt::format("plot {} index {} using 1:2:3:4:5 with rgbimage\nunset label\n",
                                  gnuplot_string(picture.name + ".dat"), i);
  }
  return picture;
}

void make_misclassified(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  for (const ArmView* shown : representative(study).arms) {
    const ArmView& arm = *shown;
    const auto runs = arm.finished();
    const auto run = std::find_if(runs.begin(), runs.end(),
                                  [](const RunView* candidate) { return !candidate->predictions.empty(); });
    if (run == runs.end()) continue;
    if (auto picture = misclassified_picture(study, arm, **run, "misclassified-" + arm.slug))
      pictures.push_back({Topic::mistakes, std::move(*picture)});
  }
}

}  // namespace normlab
