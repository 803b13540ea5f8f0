// Activations before and after the norm: ridge plots, layer by layer, early and late in training.

#include <algorithm>

#include <fmt/format.h>

#include "host/report/layer_channels.hpp"
#include "host/report/ridges.hpp"
#include "host/report/sweep.hpp"

namespace normlab {

namespace {

constexpr std::size_t most_ridges = 12;

RidgePlot plot_of(const RunView& run, const ArmView& arm, const std::string& prefix) {
  RidgePlot plot;
  plot.color = arm.color;
  plot.x_label = "value";
  for (const ChannelView& channel : run.channels) {
    if (!channel.name.starts_with(prefix)) continue;
    Ridge ridge{short_name(channel.name.substr(prefix.size())), {}, Histogram::of(channel.rows.back())};
    if (channel.rows.size() > 1) ridge.early = Histogram::of(channel.rows.front());
    if (!ridge.early.empty() || !ridge.late.empty()) plot.ridges.push_back(std::move(ridge));
  }
  plot.ridges = evenly(plot.ridges, most_ridges);
  return plot;
}

/// "early" and "late" in the words of the rows that are drawn.
std::vector<LegendEntry> moments_of(const RunView& run, const ArmView& arm) {
  for (const ChannelView& channel : run.channels) {
    if (!channel.name.starts_with("before.")) continue;
    std::vector<LegendEntry> entries{{"filled: " + moment_of(run, channel.rows.back()), arm.color}};
    if (channel.rows.size() > 1)
      entries.push_back({"dashed: " + moment_of(run, channel.rows.front()), std::string(ink_color)});
    return entries;
  }
  return {};
}

}  // namespace

void make_distributions(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  for (const ArmView* arm : representative(study).arms) {
    const auto runs = shown_runs(*arm);
    const auto found = std::find_if(runs.begin(), runs.end(), [&](const RunView* run) {
      return !plot_of(*run, *arm, "before.").ridges.empty();
    });
    if (found == runs.end()) continue;
    RidgePlot before = plot_of(**found, *arm, "before."), after = plot_of(**found, *arm, "after.");
    Picture picture{.name = "ridges-" + arm->slug,
                    .title = arm->name + ": what enters each norm, and what leaves it",
                    .subtitle = fmt::format("{} · here seed {}", described(study), (*found)->results.seed)};
    add_legend(picture, moments_of(**found, *arm));
    picture.alt =
        fmt::format("{}: distributions of the values before and after the norm, by layer.", arm->name);
    picture.height = std::max(300, 150 + 32 * static_cast<int>(before.ridges.size()));
    before.heading = "before the norm";
    after.heading = "after it, before the ReLU";
    if (after.ridges.empty()) {
      picture.title = arm->name + ": what enters each ReLU";
      before.heading = "after the convolution";
    } else {
      before.place.right = after.place.left = 0.5;
    }
    const bool any = add_ridges(picture, before);
    if (!after.ridges.empty()) add_ridges(picture, after);
    if (any) pictures.push_back({Topic::activations, std::move(picture)});
  }
}

}  // namespace normlab
