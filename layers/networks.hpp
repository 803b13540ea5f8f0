#pragma once
// The networks that the experiments train.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "layers/graph.hpp"
#include "layers/norms.hpp"

namespace normlab {

struct NetworkKind;

/// A network as people type it: a kind and its parameter.
class Network {
 public:
  /// From "plain:10". Throws UsageError for a network that does not exist.
  Network(const char* text) : Network(parse(text)) {}
  Network(const std::string& text) : Network(parse(text)) {}
  [[nodiscard]] static Network parse(const std::string& text);

  [[nodiscard]] const NetworkKind& kind() const { return *kind_; }
  /// D of plain:D; none for networks without a depth to choose.
  [[nodiscard]] std::optional<int> depth() const { return depth_; }
  [[nodiscard]] std::string str() const;

 private:
  Network(const NetworkKind& kind, std::optional<int> depth) : kind_(&kind), depth_(depth) {}

  const NetworkKind* kind_;
  std::optional<int> depth_;
};

struct NetworkOptions {
  Network net = "net_a";
  Norm norm;
  double width = 1;  ///< multiplies the channels (at least 1 each)
  int classes = 10;
  float label_smoothing = 0;
  bool fuse = true;  ///< false: each ReLU is a layer of its own, so that what leaves a norm can be seen
};

/// A family of networks: a row of the table in networks.cpp.
struct NetworkKind {
  std::string_view name;       ///< as people type it; a parameter follows behind a colon (plain:10)
  std::string_view parameter;  ///< "D" where there is one
  std::string_view title;      ///< for help
  std::string_view range;      ///< which parameters there are, for errors
  bool (*has)(int parameter);
  /// Appends it to the graph, without the loss; returns the logits' value.
  int (*append)(Graph& graph, const NetworkOptions& options, int parameter);
};
[[nodiscard]] std::span<const NetworkKind> network_kinds();

/// "net_a (...), plain:D (...) or resnet:D (...)": for help.
[[nodiscard]] std::string network_list_text();

/// Appends the network and its loss to a graph whose input is an image.
///
/// net_a: C1 C2 c3 P1 C4 C5 C6 c7 P2 C8 C9 C10 GAP c11, with C = 3x3 convolution, norm, ReLU; c = 1x1
/// convolution alone; P = 2x2 max pool. plain:D: D blocks of 3x3 convolution, norm, ReLU with 32 channels,
/// pools after blocks 1 and 2, GAP, linear. A convolution followed by a norm has no bias, nor have c3 and c7;
/// with `none` every convolution has one; c11 always.
///
/// resnet:D, D = 6 n + 2: the CIFAR form of He et al., "Deep residual learning for image recognition" (2016),
/// section 4.2. stem (3x3 convolution to 16 channels, norm, ReLU), three stages of n residual blocks with 16,
/// 32 and 64 channels, the second and third beginning with stride 2, GAP, linear. A block is 3x3 convolution,
/// norm, ReLU, 3x3 convolution, norm, plus the shortcut, ReLU. Where the shape changes the shortcut is their
/// option B, a 1x1 convolution with its norm, as in most programs today (their own CIFAR networks padded with
/// zero channels: 2,752 parameters less with bn). Layers: stem.conv, s1.b1.c1.conv, s1.b1.c1.norm,
/// s1.b1.c2.conv, s1.b1.c2.norm, s1.b1.add, s1.b1.relu, ..., s2.b1.shortcut.conv, s2.b1.shortcut.norm, ...,
/// fc.
void build_network(Graph& graph, const NetworkOptions& options);

/// The same without the loss. Returns the logits' value.
int add_network(Graph& graph, const NetworkOptions& options);

/// layer, output shape, parameters, multiply-adds, activation bytes; for people.
[[nodiscard]] std::string summary(const Graph& graph);
/// Multiply-adds of one sample, forward.
[[nodiscard]] double multiply_adds(const Graph& graph);
/// Multiply-adds of one sample in a training step's convolutions and linear layers: forward, weight
/// gradients, and data gradients where they are wanted.
[[nodiscard]] double training_multiply_adds(const Graph& graph);

}  // namespace normlab
