#pragma once
// One norm, or one convolution, outside of any network, on some backend.

#include "layers/kernels/conv2d.hpp"
#include "layers/networks.hpp"

namespace normlab::bench {

/// Device memory with numbers in it: between -1 and 1, drawn once. (Of zeros a GPU multiplies faster.)
class Map {
 public:
  Map(Backend& backend, Shape shape, DataType type, Layout layout = Layout::native);
  [[nodiscard]] Tensor tensor() const { return {buffer_.data(), shape_, type_, layout_}; }

 private:
  Shape shape_;
  DataType type_;
  Layout layout_;
  Buffer buffer_;
};

/// A norm with its ReLU, ready for training passes over one batch.
class NormAlone {
 public:
  /// x, y, dy and dx must outlive this.
  NormAlone(Backend& backend, Norm norm, const Map& x, const Map& y, const Map& dy, const Map& dx);
  void forward();
  void backward();

 private:
  Graph graph_;  ///< which only owns the layer
  Layer* layer_;
  Buffer values_, packed_, states_, saved_, scratch_, gradients_;
  Frame frame_;
};

/// A convolution as networks have it behind a norm: without bias.
class ConvolutionAlone {
 public:
  ConvolutionAlone(Backend& backend, const Conv2dSpec& spec);
  void forward();
  void backward_data();
  void backward_weights();
  [[nodiscard]] const Conv2dSpec& spec() const { return spec_; }
  /// Floating-point operations of one pass; a multiplication with its addition is two.
  [[nodiscard]] double flops() const;

 private:
  Conv2dSpec spec_;
  std::unique_ptr<Conv2dPlan> plan_;
  Map x_, y_, dx_;
  Buffer weight_, packed_, gradients_, scratch_;
};

}  // namespace normlab::bench
