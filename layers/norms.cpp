#include "layers/norms.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

#include "layers/batch_norm.hpp"
#include "layers/error.hpp"
#include "layers/graph.hpp"
#include "layers/group_norm.hpp"
#include "layers/relu.hpp"

namespace normlab {

namespace {

int none(Graph& graph, const std::string& block, int, int, int x, bool relu) {
  if (!relu) return x;
  return graph.add(std::make_unique<Relu>(block + ".relu"), x);
}

int batch(Graph& graph, const std::string& block, int, int, int x, bool relu) {
  return graph.add(std::make_unique<BatchNorm>(block + ".norm", relu), x);
}

int group(Graph& graph, const std::string& block, const char* kind, int x, GroupNormSpec spec, bool relu) {
  spec.relu = relu;
  return graph.add(std::make_unique<GroupNorm>(block + ".norm", kind, spec), x);
}

constexpr std::string_view kCentred = "gamma (x - mean) / sqrt(var + 1e-5) + beta";
constexpr std::string_view kScaled = "gamma x / sqrt(mean(x^2) + 1e-5)";
constexpr bool kCouples = true, kPerElement = true;

/// What --lr takes for a norm that is not named: the usual recipe's, for batch norm.
constexpr double kGeneralRate = 0.1;

// Colours are Okabe's and Ito's, darkened where that is needed to read on white and on black alike.
constexpr std::array<NormKind, 8> kNorms{{
    {"none", "", "no norm", "", "x", !kCouples, !kPerElement, 0.02, "#7a7a7a", none},
    {"bn", "", "batch", "N, H, W of each channel", kCentred, kCouples, !kPerElement, 0.1, "#1b7ebf", batch},
    {"ln", "", "layer", "C, H, W of each sample", kCentred, !kCouples, !kPerElement, 0.02, "#d55e00",
     [](Graph& graph, const std::string& block, int, int, int x, bool relu) {
       return group(graph, block, "layer_norm", x, {1, true, false}, relu);
     }},
    {"ln-elementwise", "", "layer, gamma and beta per element", "C, H, W of each sample", kCentred, !kCouples,
     kPerElement, 0.02, "#c08a00",
     [](Graph& graph, const std::string& block, int, int, int x, bool relu) {
       return group(graph, block, "layer_norm_elementwise", x, {1, true, true}, relu);
     }},
    {"gn", "G", "group, G groups of channels", "C / G channels, H, W of each sample", kCentred, !kCouples,
     !kPerElement, 0.02, "#009e73",
     [](Graph& graph, const std::string& block, int groups, int, int x, bool relu) {
       return group(graph, block, "group_norm", x, {groups, true, false}, relu);
     }},
    {"in", "", "instance", "H, W of each channel and sample", kCentred, !kCouples, !kPerElement, 0.2,
     "#c0599a",
     [](Graph& graph, const std::string& block, int, int channels, int x, bool relu) {
       return group(graph, block, "instance_norm", x, {channels, true, false}, relu);
     }},
    {"rms", "", "root mean square", "C, H, W of each sample", kScaled, !kCouples, !kPerElement, 0.02,
     "#3a9bd0",
     [](Graph& graph, const std::string& block, int, int, int x, bool relu) {
       return group(graph, block, "rms_norm", x, {1, false, false}, relu);
     }},
    {"rms-elementwise", "", "root mean square, gamma per element", "C, H, W of each sample", kScaled,
     !kCouples, kPerElement, 0.02, "#6a5fb8",
     [](Graph& graph, const std::string& block, int, int, int x, bool relu) {
       return group(graph, block, "rms_norm_elementwise", x, {1, false, true}, relu);
     }},
}};

/// The whole of `text` as a positive number, or 0.
int positive(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && number > 0 ? number : 0;
}

}  // namespace

std::string NormKind::spelling() const {
  return parameter.empty() ? std::string(name) : fmt::format("{}:{}", name, parameter);
}

std::span<const NormKind> norm_kinds() {
  return kNorms;
}

const NormKind* norm_kind(std::string_view name) {
  const std::string_view stem = name.substr(0, name.find(':'));
  for (const NormKind& kind : kNorms)
    if (kind.name == stem && (stem.size() == name.size() || !kind.parameter.empty())) return &kind;
  return nullptr;
}

std::string norm_list_text(bool titles) {
  std::string text;
  for (const NormKind& kind : kNorms) {
    if (!text.empty()) text += ", ";
    text += kind.spelling();
    if (titles && kind.name != "none") text += fmt::format(" ({})", kind.title);
  }
  return text;
}

std::string default_learning_rates() {
  std::string text = fmt::format("{}", kGeneralRate);
  for (const NormKind& kind : kNorms)
    if (kind.lr != kGeneralRate) text += fmt::format(",{}={}", kind.name, kind.lr);
  return text;
}

Norm Norm::parse(const std::string& text) {
  Norm norm;
  if (const NormKind* kind = norm_kind(text)) {
    norm.kind_ = kind;
    if (kind->parameter.empty()) return norm;
    if (const std::size_t colon = text.find(':'); colon != std::string::npos)
      norm.parameter_ = positive(std::string_view(text).substr(colon + 1));
    if (norm.parameter_ > 0) return norm;
  }
  throw UsageError("unknown norm '{}'; choose from {} (G a number, such as gn:4)", text,
                   norm_list_text(false));
}

std::string Norm::str() const {
  return kind_->parameter.empty() ? std::string(kind_->name) : fmt::format("{}:{}", kind_->name, parameter_);
}

int add_norm(Graph& graph, const std::string& block, Norm norm, int channels, int x, bool relu) {
  return norm.kind().append(graph, block, norm.groups(), channels, x, relu);
}

int add_norm_relu(Graph& graph, const std::string& block, Norm norm, int channels, int x, bool fuse) {
  x = add_norm(graph, block, norm, channels, x, fuse);
  return fuse ? x : graph.add(std::make_unique<Relu>(block + ".relu"), x);
}

}  // namespace normlab
