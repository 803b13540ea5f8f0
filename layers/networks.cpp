#include "layers/networks.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "layers/add.hpp"
#include "layers/as_size.hpp"
#include "layers/conv2d.hpp"
#include "layers/global_avg_pool.hpp"
#include "layers/linear.hpp"
#include "layers/max_pool.hpp"
#include "layers/relu.hpp"
#include "layers/softmax_cross_entropy.hpp"

namespace normlab {

namespace {

constexpr int kMaxDepth = 1000;

/// The whole of `text` as a positive number, or 0.
int positive(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && number > 0 ? number : 0;
}

int scaled(int channels, double width) {
  return std::max(1, static_cast<int>(std::lround(channels * width)));
}

/// Blocks in each stage of a residual network with `depth` = 6 n + 2 layers of weights, 0 for other depths.
int residual_blocks(int depth) {
  return depth > 2 && depth % 6 == 2 ? depth / 6 : 0;
}

/// A convolution that a norm follows: it has a bias only with `none`.
int add_convolution(Graph& graph, const std::string& name, const NetworkOptions& options,
                    Conv2d::Options convolution, int x) {
  convolution.bias = options.norm.is_none();
  return graph.add(std::make_unique<Conv2d>(name + ".conv", convolution), x);
}

/// "C1": 3x3 convolution, norm, ReLU.
int add_block(Graph& graph, const std::string& name, const NetworkOptions& options, int channels, int x,
              int stride = 1) {
  x = add_convolution(graph, name, options, {channels, 3, stride, 1}, x);
  return add_norm_relu(graph, name, options.norm, channels, x, options.fuse);
}

int add_pointwise(Graph& graph, const std::string& name, int channels, bool bias, int x) {
  return graph.add(std::make_unique<Conv2d>(name + ".conv", Conv2d::Options{channels, 1, 1, 0, bias}), x);
}

int net_a(Graph& graph, const NetworkOptions& options, int) {
  // With per-element gamma and beta the usual widths would need 197,114 parameters; these need 48,982, and
  // 30,550 without beta.
  const std::array<int, 10> base = options.norm.kind().per_element
                                       ? std::array<int, 10>{4, 4, 8, 8, 8, 8, 8, 16, 24, 24}
                                       : std::array<int, 10>{16, 32, 16, 16, 32, 32, 16, 32, 32, 32};
  const bool bias = options.norm.is_none();
  int x = graph.input();
  for (int i = 1; i <= 10; ++i) {
    const int channels = scaled(base[as_size(i - 1)], options.width);
    const std::string name = fmt::format("c{}", i);
    if (i == 3 || i == 7) {
      x = add_pointwise(graph, name, channels, bias, x);
      x = graph.add(std::make_unique<MaxPool>(i == 3 ? "p1" : "p2"), x);
    } else {
      x = add_block(graph, name, options, channels, x);
    }
  }
  x = graph.add(std::make_unique<GlobalAvgPool>("gap"), x);
  return add_pointwise(graph, "c11", options.classes, true, x);
}

int plain(Graph& graph, const NetworkOptions& options, int depth) {
  int x = graph.input();
  for (int i = 1; i <= depth; ++i) {
    x = add_block(graph, fmt::format("b{}", i), options, scaled(32, options.width), x);
    if (i <= 2) x = graph.add(std::make_unique<MaxPool>(fmt::format("p{}", i)), x);
  }
  x = graph.add(std::make_unique<GlobalAvgPool>("gap"), x);
  return graph.add(std::make_unique<Linear>("fc", options.classes), x);
}

/// y = ReLU(norm(conv(block(x))) + shortcut(x)). The shortcut is x itself, or where the shape changes a 1x1
/// convolution with its norm.
int add_residual(Graph& graph, const std::string& name, const NetworkOptions& options, int channels,
                 int stride, int x) {
  int y = add_block(graph, name + ".c1", options, channels, x, stride);
  y = add_convolution(graph, name + ".c2", options, {channels, 3, 1, 1}, y);
  y = add_norm(graph, name + ".c2", options.norm, channels, y, false);
  if (stride > 1) {
    x = add_convolution(graph, name + ".shortcut", options, {channels, 1, stride, 0}, x);
    x = add_norm(graph, name + ".shortcut", options.norm, channels, x, false);
  }
  y = graph.add(std::make_unique<Add>(name + ".add"), y, x);
  return graph.add(std::make_unique<Relu>(name + ".relu"), y);
}

int resnet(Graph& graph, const NetworkOptions& options, int depth) {
  constexpr int kStages = 3, kChannels = 16;
  int x = add_block(graph, "stem", options, scaled(kChannels, options.width), graph.input());
  for (int stage = 1; stage <= kStages; ++stage) {
    const int channels = scaled(kChannels << (stage - 1), options.width);
    for (int block = 1; block <= residual_blocks(depth); ++block) {
      const int stride = stage > 1 && block == 1 ? 2 : 1;
      x = add_residual(graph, fmt::format("s{}.b{}", stage, block), options, channels, stride, x);
    }
  }
  x = graph.add(std::make_unique<GlobalAvgPool>("gap"), x);
  return graph.add(std::make_unique<Linear>("fc", options.classes), x);
}

constexpr std::array<NetworkKind, 3> kNetworks{{
    {"net_a", "", "46,010 parameters with bn", "", nullptr, net_a},
    {"plain", "D", "D blocks, 32 channels", "D from 1 to 1000 (such as plain:10)",
     [](int depth) { return depth <= kMaxDepth; }, plain},
    {"resnet", "D", "residual, D = 20 with 272,474 parameters, 56, or any 6 n + 2",
     "D = 8, 14, 20, ... (6 n + 2, such as resnet:20)",
     [](int depth) { return depth <= kMaxDepth && residual_blocks(depth) > 0; }, resnet},
}};

std::string spelling(const NetworkKind& kind) {
  return kind.parameter.empty() ? std::string(kind.name) : fmt::format("{}:{}", kind.name, kind.parameter);
}

}  // namespace

std::span<const NetworkKind> network_kinds() {
  return kNetworks;
}

std::string network_list_text() {
  std::string text;
  for (const NetworkKind& kind : kNetworks) {
    if (!text.empty()) text += &kind == &kNetworks.back() ? ", or " : ", ";
    text += fmt::format("{} ({})", spelling(kind), kind.title);
  }
  return text;
}

Network Network::parse(const std::string& text) {
  const std::string_view whole = text;
  const std::size_t colon = whole.find(':');
  for (const NetworkKind& kind : kNetworks) {
    if (kind.name != whole.substr(0, colon) || kind.parameter.empty() != (colon == std::string_view::npos))
      continue;
    if (kind.parameter.empty()) return {kind, std::nullopt};
    const int depth = positive(whole.substr(colon + 1));
    if (depth > 0 && kind.has(depth)) return {kind, depth};
  }
  std::string choices;
  for (const NetworkKind& kind : kNetworks) {
    if (!choices.empty()) choices += &kind == &kNetworks.back() ? ", or " : ", ";
    choices += spelling(kind);
    if (!kind.range.empty()) choices += fmt::format(" with {}", kind.range);
  }
  throw UsageError("unknown network '{}'; choose {}", text, choices);
}

std::string Network::str() const {
  return depth_ ? fmt::format("{}:{}", kind_->name, *depth_) : std::string(kind_->name);
}

int add_network(Graph& graph, const NetworkOptions& options) {
  return options.net.kind().append(graph, options, options.net.depth().value_or(0));
}

void build_network(Graph& graph, const NetworkOptions& options) {
  const int logits = add_network(graph, options);
  graph.add(std::make_unique<SoftmaxCrossEntropyLoss>(options.label_smoothing), logits);
}

double multiply_adds(const Graph& graph) {
  double sum = 0;
  for (const Node& node : graph.nodes()) sum += node.layer->multiply_adds();
  return sum;
}

double training_multiply_adds(const Graph& graph) {
  double sum = 0;
  for (const Node& node : graph.nodes()) {
    const bool reads_input = node.inputs.front() == graph.input();
    sum += node.layer->multiply_adds() * (reads_input ? 2 : 3);
  }
  return sum;
}

std::string summary(const Graph& graph) {
  const auto row = [](auto&&... cells) {
    return fmt::format("{:<20} {:<24} {:>12} {:>10} {:>14} {:>12}\n", cells...);
  };
  const auto grouped = [](double number) {
    std::string digits = fmt::format("{:.0f}", number);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
      digits.insert(as_size(at), 1, ',');
    }
    return digits;
  };
  std::string text = row("layer", "kind", "output", "parameters", "multiply-adds", "bytes");
  double parameters = 0, bytes = 0;
  for (const Node& node : graph.nodes()) {
    const Layer& layer = *node.layer;
    const Shape& y = layer.y_shape();
    const double layer_bytes = layer.is_loss() ? 0 : static_cast<double>(y.per_sample() * sizeof(float));
    text += row(layer.name(), layer.kind(), fmt::format("{}x{}x{}", y.c, y.h, y.w),
                grouped(static_cast<double>(layer.parameter_count())), grouped(layer.multiply_adds()),
                grouped(layer_bytes));
    parameters += static_cast<double>(layer.parameter_count());
    bytes += layer_bytes;
  }
  text += row("total", "", "", grouped(parameters), grouped(multiply_adds(graph)), grouped(bytes));
  return text + "output, multiply-adds (forward) and activation bytes are for one image\n";
}

}  // namespace normlab
