#pragma once
// The normalizations: one table of all that is to be known about each of them.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace normlab {

class Graph;

/// A row of the table.
struct NormKind {
  std::string_view name;       ///< as people type it; a parameter follows behind a colon (gn:4)
  std::string_view parameter;  ///< "G" where there is one: a positive whole number; else empty
  std::string_view title;      ///< for people: "group"
  std::string_view over;       ///< what mean and variance run over, of maps (n, c, h, w)
  std::string_view formula;    ///< y of x
  bool couples_samples;        ///< an image's output depends on the others of its batch
  bool per_element;            ///< gamma and beta per element (c, h, w) instead of per channel
  double lr;                   ///< default peak learning rate, found on held-out images (docs/findings.md)
  std::string_view color;      ///< "#rrggbb" in every picture; that of parameter 4 where there is one
  /// See add_norm.
  int (*append)(Graph& graph, const std::string& block, int parameter, int channels, int x, bool relu);

  /// "gn:G", or the name alone.
  [[nodiscard]] std::string spelling() const;
};

/// All of them, in the order of tables and legends. The first is `none`.
[[nodiscard]] std::span<const NormKind> norm_kinds();

/// The kind that a name belongs to, typed with or without its parameter; null: none of them.
[[nodiscard]] const NormKind* norm_kind(std::string_view name);

/// "none, bn, ln, ...", with the titles in brackets where wanted: for help and errors.
[[nodiscard]] std::string norm_list_text(bool titles);

/// The general rate, and the others by name: the default of --lr.
[[nodiscard]] std::string default_learning_rates();

/// A normalization as people type it: a kind and its parameter.
class Norm {
 public:
  Norm() : kind_(norm_kinds().data()) {}
  /// Throws UsageError for an unknown name.
  [[nodiscard]] static Norm parse(const std::string& text);

  [[nodiscard]] const NormKind& kind() const { return *kind_; }
  [[nodiscard]] bool is_none() const { return kind_ == norm_kinds().data(); }
  /// G of gn:G; 0 for other kinds.
  [[nodiscard]] int groups() const { return parameter_; }
  /// Whether maps of so many channels can be normalized.
  [[nodiscard]] bool divides(int channels) const { return parameter_ == 0 || channels % parameter_ == 0; }
  [[nodiscard]] std::string str() const;
  bool operator==(const Norm&) const = default;

 private:
  const NormKind* kind_;
  int parameter_ = 0;
};

/// Appends the norm as <block>.norm, with a ReLU in it if `relu`. For `none` that is the ReLU alone, as
/// <block>.relu, or nothing.
int add_norm(Graph& graph, const std::string& block, Norm norm, int channels, int x, bool relu);

/// Appends norm and ReLU as <block>.norm, or for `none` the ReLU alone as <block>.relu. Without `fuse` they
/// are two layers, <block>.norm and <block>.relu; parameters are the same, in the same order.
int add_norm_relu(Graph& graph, const std::string& block, Norm norm, int channels, int x, bool fuse = true);

}  // namespace normlab
