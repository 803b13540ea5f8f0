// Layer by layer: gradients, activations and weights, as curves and as heat maps.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/record/statistics.hpp"
#include "host/report/heat_map.hpp"
#include "host/report/laws.hpp"
#include "host/report/layer_channels.hpp"
#include "host/report/sweep.hpp"

namespace normlab {

namespace {

const LayerMetric gradient{"layer.grad_norm", "gradient", "Norm of each layer's weight gradient"};
const LayerMetric output_gradient{"layer.output_grad_norm", "output-gradient",
                                  "Loss gradient at each block's output"};
const LayerMetric weight_norm{"layer.weight_norm", "weight-norm", "Norm of all convolution weights"};
const LayerMetric update_ratio{"layer.update_ratio", "update-ratio",
                               "Update ratio |Δw| / |w|, median over layers"};
const LayerMetric dead{
    "layer.dead_fraction", "dead-relu", "Dead channels (0 for every probe image), share", false, 0, 1};
const LayerMetric mean{"layer.activation_mean", "activation-mean", "Mean activation after the ReLU", false,
                       -1e300};
const LayerMetric variance{"layer.activation_variance", "activation-variance", "Variance of the activations"};
const LayerMetric cosine{"layer.cosine", "cosine", "Mean cosine between two samples", false, -1, 1};
const LayerMetric stable_rank{"layer.stable_rank", "stable-rank", "Stable rank of the samples' Gram matrix"};

bool is_recorded(const std::vector<const ArmView*>& arms, const LayerMetric& metric) {
  return std::any_of(arms.begin(), arms.end(),
                     [&](const ArmView* arm) { return run_with(*arm, metric.channel) != nullptr; });
}

Picture picture_of(const StudyView& study, const LayerMetric& metric, std::string_view how,
                   std::string_view what) {
  Picture picture{.name = fmt::format("{}-{}", metric.slug, how),
                  .title = fmt::format("{}, by {}", metric.title, what),
                  .subtitle = described(study)};
  picture.alt = picture.title + ", for each norm.";
  return picture;
}

/// The first measured point and the last beside each other; one of them if there is only one.
void add_by_layer(const StudyView& study, Pictures& pictures, Topic topic, const LayerMetric& metric) {
  const std::vector<const ArmView*> arms = representative(study).arms;
  if (!is_recorded(arms, metric)) return;
  std::vector<Chart> charts{chart_by_layer(arms, metric, false), chart_by_layer(arms, metric, true)};
  if (charts[0].heading == charts[1].heading) charts.pop_back();
  Picture picture = picture_of(study, metric, "by-layer", "layer");
  picture.subtitle += how_drawn;
  add_picture(pictures, topic, std::move(picture), std::move(charts));
}

void add_by_epoch(const StudyView& study, Pictures& pictures, Topic topic, const LayerMetric& metric,
                  const LayerTotal& total) {
  Picture picture = picture_of(study, metric, "by-epoch", "epoch");
  picture.subtitle += how_drawn;
  Chart chart = chart_by_epoch(representative(study).arms, metric, total);
  if (std::any_of(chart.curves.begin(), chart.curves.end(),
                  [](const Curve& c) { return c.points.size() > 1; }))
    add_picture(pictures, topic, std::move(picture), std::move(chart));
}

void add_layer_lines(const StudyView& study, Pictures& pictures, Topic topic, const LayerMetric& metric) {
  std::vector<Chart> charts;
  bool over_time = false;
  for (const ArmView* arm : representative(study).arms) {
    charts.push_back(chart_of_layers(*arm, metric));
    for (const Curve& curve : charts.back().curves) over_time |= curve.points.size() > 1;
  }
  if (!over_time) return;
  Picture picture = picture_of(study, metric, "by-epoch", "epoch");
  picture.subtitle += " · a line for each layer, mean over seeds";
  add_picture(pictures, topic, std::move(picture), std::move(charts));
}

double total_norm(const std::vector<double>& norms) {
  double sum = 0;
  for (const double norm : norms) sum += norm * norm;
  return std::sqrt(sum);
}

double middle(const std::vector<double>& values) {
  return median(values);
}

double average(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

HeatMap heat_map_of(const ArmView& arm, const LayerMetric& metric) {
  HeatMap map{arm.name, {}, {}, {}};
  const RunView* first = run_with(arm, metric.channel);
  if (first == nullptr) return map;
  const ChannelView& channel = *find_channel(first->channels, metric.channel);
  const std::vector<std::size_t> layers = drawn_layers(channel);
  for (const ChannelRow& row : channel.rows) map.columns.push_back(std::to_string(row.step));
  for (const std::size_t layer : layers) {
    map.rows.push_back(short_name(channel.labels[layer]));
    std::vector<double>& cells = map.cells.emplace_back();
    for (std::size_t column = 0; column < channel.rows.size(); ++column) {
      // Logarithms are averaged, as the colour is one: one seed that blows up does not outshine the others.
      double sum = 0;
      int count = 0;
      for (const RunView* run : shown_runs(arm)) {
        const ChannelView* its = find_channel(run->channels, metric.channel);
        if (its == nullptr || column >= its->rows.size() || layer >= its->rows[column].values.size())
          continue;
        const double value = its->rows[column].values[layer];
        if (!std::isfinite(value) || value <= 0) continue;
        sum += std::log(value);
        ++count;
      }
      cells.push_back(count == 0 ? NAN : std::exp(sum / count));
    }
  }
  return map;
}

}  // namespace

void make_layer_curves(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  if (has_laws(study)) return;  // which have pictures of their own
  add_by_layer(study, pictures, Topic::gradients, gradient);
  add_by_layer(study, pictures, Topic::gradients, output_gradient);
  add_layer_lines(study, pictures, Topic::gradients, gradient);
  for (const LayerMetric* metric : {&cosine, &stable_rank, &dead, &variance, &mean})
    add_by_layer(study, pictures, Topic::activations, *metric);
  add_by_epoch(study, pictures, Topic::activations, dead, average);
  add_by_epoch(study, pictures, Topic::weights, weight_norm, total_norm);
  add_by_epoch(study, pictures, Topic::weights, update_ratio, middle);
}

void make_layer_heat_maps(const StudyView& study, Pictures& pictures, std::vector<std::string>& /*notes*/) {
  for (const LayerMetric* metric : {&gradient, &output_gradient}) {
    std::vector<HeatMap> maps;
    std::size_t columns = 0;
    for (const ArmView* arm : representative(study).arms) {
      maps.push_back(heat_map_of(*arm, *metric));
      columns = std::max(columns, maps.back().columns.size());
    }
    if (columns < 2) continue;
    Picture picture = picture_of(study, *metric, "heat", "layer and step");
    picture.subtitle += " · steps not to scale; mean over seeds";
    if (add_heat_maps(picture, std::move(maps), "step", "norm of the gradient") > 0)
      pictures.push_back({Topic::gradients, std::move(picture)});
  }
}

}  // namespace normlab
