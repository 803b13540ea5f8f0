#pragma once
// Every layer but the norms (norms.hpp), forward and backward, from its definition: naive loops in double.
// Activations and gradients are returned, nothing accumulates.

#include <array>
#include <cstdint>

#include "tests/reference/tensor.hpp"

namespace normlab::reference {

// --- convolution -------------------------------------------------------------------------------------------
// y[n,o,h,w] = bias[o] + sum over i, kh, kw of weight[o,i,kh,kw] * x[n, i, h*stride + kh - pad, w*stride + kw
// - pad], x being 0 outside. Weights are O, I, K, K.

struct Conv {
  int k = 3;
  int stride = 1;
  int pad = 1;
};

/// x within a border of `pad` zeros.
Tensor zero_pad(const Tensor& x, int pad);

/// The inverse: x without a border of `pad`. Also the backward pass of zero_pad.
Tensor crop(const Tensor& x, int pad);

/// Calls f(n, o, i, kh, kw, index of the weight) in a fixed order.
template <typename F>
void for_each_tap(int samples, int outputs, int inputs, int k, F&& f) {
  for (int n = 0; n < samples; ++n) {
    std::size_t tap = 0;
    for (int o = 0; o < outputs; ++o) {
      for (int i = 0; i < inputs; ++i) {
        for (int kh = 0; kh < k; ++kh) {
          for (int kw = 0; kw < k; ++kw) f(n, o, i, kh, kw, tap++);
        }
      }
    }
  }
}

Tensor conv2d(const Tensor& x, const Values& weight, const Values& bias, int outputs, const Conv& conv);

struct ConvGradients {
  Tensor dx;
  Values dweight;
  Values dbias;
};

ConvGradients conv2d_backward(const Tensor& x, const Values& weight, const Tensor& dy, const Conv& conv);

// --- ReLU --------------------------------------------------------------------------------------------------
// y = x where the mask is 1, else 0. Its own mask is 0 for x <= 0 (the gradient at 0 is 0), so NaN passes.

using Mask = std::vector<std::uint8_t>;

Mask relu_mask(const Tensor& x);
Tensor relu(const Tensor& x, const Mask& mask);
Tensor relu(const Tensor& x);
Tensor relu_backward(const Mask& mask, const Tensor& dy);

// --- pooling -----------------------------------------------------------------------------------------------
// Max pool: 2x2 windows, stride 2; an odd last row or column is left out. A choice is 2 * dh + dw, the place
// of the maximum in its window; the first in that order wins ties, and a NaN beats all before it.

using Choices = std::vector<std::uint8_t>;

/// The four values of the window of y[n,c,h,w].
std::array<double, 4> window(const Tensor& x, int n, int c, int h, int w);
Choices max_pool_choices(const Tensor& x);
Tensor max_pool(const Tensor& x, const Choices& choices);
Tensor max_pool(const Tensor& x);
Tensor max_pool_backward(const Tensor& x, const Choices& choices, const Tensor& dy);

Tensor global_average_pool(const Tensor& x);
Tensor global_average_pool_backward(const Tensor& x, const Tensor& dy);

// --- linear, add, wrap -------------------------------------------------------------------------------------
// Linear: y[n,o] = bias[o] + sum over i of weight[o,i] * x[n,i]; i runs over C, H, W of one sample.

Tensor linear(const Tensor& x, const Values& weight, const Values& bias, int outputs);
ConvGradients linear_backward(const Tensor& x, const Values& weight, const Tensor& dy);

/// y = a + b; both gradients are dy.
Tensor add(const Tensor& a, const Tensor& b);

/// Circular padding by one pixel: y[h,w] = x[(h - 1) mod H, (w - 1) mod W].
Tensor wrap(const Tensor& x);
Tensor wrap_backward(const Tensor& dy);

// --- softmax cross-entropy ---------------------------------------------------------------------------------
// loss = mean over n of - sum over k of t[n,k] log softmax(logits[n])[k], t = (1 - s) onehot(label) + s / K;
// where t is 0, there is no such term. The first largest logit is predicted, and NaN is the largest.

struct Loss {
  double loss = 0;
  Tensor dlogits;
  int correct = 0;  // samples whose first largest logit is the label
};

Loss softmax_cross_entropy(const Tensor& logits, const std::vector<int>& labels, double smoothing = 0);

}  // namespace normlab::reference
