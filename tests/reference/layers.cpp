#include "tests/reference/layers.hpp"

namespace normlab::reference {

Tensor zero_pad(const Tensor& x, int pad) {
  Tensor y(x.n, x.c, x.h + 2 * pad, x.w + 2 * pad);
  for_each(x, [&](int n, int c, int h, int w, std::size_t i) { y.at(n, c, h + pad, w + pad) = x.v[i]; });
  return y;
}

Tensor crop(const Tensor& x, int pad) {
  Tensor y(x.n, x.c, x.h - 2 * pad, x.w - 2 * pad);
  for_each(y, [&](int n, int c, int h, int w, std::size_t i) { y.v[i] = x.at(n, c, h + pad, w + pad); });
  return y;
}

Tensor conv2d(const Tensor& x, const Values& weight, const Values& bias, int outputs, const Conv& conv) {
  const Tensor padded = zero_pad(x, conv.pad);
  require(padded.h >= conv.k && padded.w >= conv.k, "conv2d: the kernel is larger than the padded image");
  require(weight.size() == static_cast<std::size_t>(outputs * x.c * conv.k * conv.k),
          "conv2d: size of the weight");
  require(bias.empty() || bias.size() == static_cast<std::size_t>(outputs), "conv2d: size of the bias");
  Tensor y(x.n, outputs, (padded.h - conv.k) / conv.stride + 1, (padded.w - conv.k) / conv.stride + 1);
  if (!bias.empty()) {
    for_each(y, [&](int, int o, int, int, std::size_t i) { y.v[i] = bias[static_cast<std::size_t>(o)]; });
  }
  for_each_tap(x.n, outputs, x.c, conv.k, [&](int n, int o, int i, int kh, int kw, std::size_t tap) {
    for (int h = 0; h < y.h; ++h) {
      double* __restrict to = &y.v[y.index(n, o, h, 0)];
      const double* __restrict from = &padded.v[padded.index(n, i, h * conv.stride + kh, kw)];
      for (int w = 0; w < y.w; ++w) to[w] += weight[tap] * from[w * conv.stride];
    }
  });
  return y;
}

ConvGradients conv2d_backward(const Tensor& x, const Values& weight, const Tensor& dy, const Conv& conv) {
  const Tensor padded = zero_pad(x, conv.pad);
  Tensor dpadded = padded.like();
  Values dweight(weight.size(), 0.0);
  Values dbias(static_cast<std::size_t>(dy.c), 0.0);
  for_each(dy, [&](int, int o, int, int, std::size_t i) { dbias[static_cast<std::size_t>(o)] += dy.v[i]; });
  for_each_tap(x.n, dy.c, x.c, conv.k, [&](int n, int o, int i, int kh, int kw, std::size_t tap) {
    double sum = 0;
    for (int h = 0; h < dy.h; ++h) {
      const double* __restrict dout = &dy.v[dy.index(n, o, h, 0)];
      const std::size_t row = padded.index(n, i, h * conv.stride + kh, kw);
      const double* __restrict in = &padded.v[row];
      double* __restrict din = &dpadded.v[row];
      for (int w = 0; w < dy.w; ++w) sum += dout[w] * in[w * conv.stride];
      for (int w = 0; w < dy.w; ++w) din[w * conv.stride] += dout[w] * weight[tap];
    }
    dweight[tap] += sum;
  });
  return {crop(dpadded, conv.pad), std::move(dweight), std::move(dbias)};
}

Mask relu_mask(const Tensor& x) {
  Mask mask(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) mask[i] = x.v[i] <= 0 ? 0 : 1;
  return mask;
}

Tensor relu(const Tensor& x, const Mask& mask) {
  require(mask.size() == x.size(), "relu: size of the mask");
  Tensor y = x;
  for (std::size_t i = 0; i < y.size(); ++i) y.v[i] = mask[i] ? x.v[i] : 0.0;
  return y;
}

Tensor relu(const Tensor& x) {
  return relu(x, relu_mask(x));
}

Tensor relu_backward(const Mask& mask, const Tensor& dy) {
  return relu(dy, mask);
}

std::array<double, 4> window(const Tensor& x, int n, int c, int h, int w) {
  return {x.at(n, c, 2 * h, 2 * w), x.at(n, c, 2 * h, 2 * w + 1), x.at(n, c, 2 * h + 1, 2 * w),
          x.at(n, c, 2 * h + 1, 2 * w + 1)};
}

Choices max_pool_choices(const Tensor& x) {
  const Tensor y(x.n, x.c, x.h / 2, x.w / 2);
  Choices choices(y.size());
  for_each(y, [&](int n, int c, int h, int w, std::size_t i) {
    const auto values = window(x, n, c, h, w);
    std::size_t best = 0;
    for (std::size_t k = 1; k < 4; ++k) best = values[k] > values[best] || std::isnan(values[k]) ? k : best;
    choices[i] = static_cast<std::uint8_t>(best);
  });
  return choices;
}

Tensor max_pool(const Tensor& x, const Choices& choices) {
  Tensor y(x.n, x.c, x.h / 2, x.w / 2);
  require(choices.size() == y.size(), "max_pool: number of choices");
  for_each(y,
           [&](int n, int c, int h, int w, std::size_t i) { y.v[i] = window(x, n, c, h, w).at(choices[i]); });
  return y;
}

Tensor max_pool(const Tensor& x) {
  return max_pool(x, max_pool_choices(x));
}

Tensor max_pool_backward(const Tensor& x, const Choices& choices, const Tensor& dy) {
  Tensor dx = x.like();
  for_each(dy, [&](int n, int c, int h, int w, std::size_t i) {
    dx.at(n, c, 2 * h + choices[i] / 2, 2 * w + choices[i] % 2) += dy.v[i];
  });
  return dx;
}

Tensor global_average_pool(const Tensor& x) {
  Tensor y(x.n, x.c, 1, 1);
  for_each(x, [&](int n, int c, int, int, std::size_t i) { y.at(n, c, 0, 0) += x.v[i] / (x.h * x.w); });
  return y;
}

Tensor global_average_pool_backward(const Tensor& x, const Tensor& dy) {
  Tensor dx = x.like();
  for_each(dx, [&](int n, int c, int, int, std::size_t i) { dx.v[i] = dy.at(n, c, 0, 0) / (x.h * x.w); });
  return dx;
}

Tensor linear(const Tensor& x, const Values& weight, const Values& bias, int outputs) {
  const std::size_t inputs = x.per_sample();
  require(weight.size() == inputs * static_cast<std::size_t>(outputs), "linear: size of the weight");
  Tensor y(x.n, outputs, 1, 1);
  for_each(y, [&](int n, int o, int, int, std::size_t at) {
    const double* in = &x.v[static_cast<std::size_t>(n) * inputs];
    const double* row = &weight[static_cast<std::size_t>(o) * inputs];
    y.v[at] = bias.empty() ? 0.0 : bias[static_cast<std::size_t>(o)];
    for (std::size_t i = 0; i < inputs; ++i) y.v[at] += row[i] * in[i];
  });
  return y;
}

ConvGradients linear_backward(const Tensor& x, const Values& weight, const Tensor& dy) {
  const std::size_t inputs = x.per_sample();
  ConvGradients g{x.like(), Values(weight.size(), 0.0), Values(static_cast<std::size_t>(dy.c), 0.0)};
  for_each(dy, [&](int n, int o, int, int, std::size_t at) {
    const std::size_t sample = static_cast<std::size_t>(n) * inputs;
    const std::size_t row = static_cast<std::size_t>(o) * inputs;
    g.dbias[static_cast<std::size_t>(o)] += dy.v[at];
    for (std::size_t i = 0; i < inputs; ++i) {
      g.dweight[row + i] += dy.v[at] * x.v[sample + i];
      g.dx.v[sample + i] += dy.v[at] * weight[row + i];
    }
  });
  return g;
}

Tensor add(const Tensor& a, const Tensor& b) {
  require(a.same_shape(b), "add: two shapes");
  Tensor y = a;
  for (std::size_t i = 0; i < y.size(); ++i) y.v[i] += b.v[i];
  return y;
}

Tensor wrap(const Tensor& x) {
  Tensor y(x.n, x.c, x.h + 2, x.w + 2);
  for_each(y, [&](int n, int c, int h, int w, std::size_t i) {
    y.v[i] = x.at(n, c, (h + x.h - 1) % x.h, (w + x.w - 1) % x.w);
  });
  return y;
}

Tensor wrap_backward(const Tensor& dy) {
  Tensor dx(dy.n, dy.c, dy.h - 2, dy.w - 2);
  for_each(dy, [&](int n, int c, int h, int w, std::size_t i) {
    dx.at(n, c, (h + dx.h - 1) % dx.h, (w + dx.w - 1) % dx.w) += dy.v[i];
  });
  return dx;
}

Loss softmax_cross_entropy(const Tensor& logits, const std::vector<int>& labels, double smoothing) {
  require(labels.size() == static_cast<std::size_t>(logits.n), "softmax_cross_entropy: number of labels");
  Loss result{0, logits.like(), 0};
  const auto classes = static_cast<std::size_t>(logits.per_sample());
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const double* z = &logits.v[n * classes];
    double* dz = &result.dlogits.v[n * classes];
    const double* best = z;
    for (const double* k = z + 1; k < z + classes; ++k) {
      if (*k > *best || (std::isnan(*k) && !std::isnan(*best))) best = k;
    }
    double sum = 0;
    for (std::size_t k = 0; k < classes; ++k) sum += std::exp(z[k] - *best);
    for (std::size_t k = 0; k < classes; ++k) {
      const double log_probability = z[k] - *best - std::log(sum);
      const double target = smoothing / static_cast<double>(classes) +
                            (static_cast<int>(k) == labels[n] ? 1.0 - smoothing : 0.0);
      if (target != 0) result.loss -= target * log_probability / logits.n;
      dz[k] = (std::exp(log_probability) - target) / logits.n;
    }
    result.correct += best - z == labels[n] ? 1 : 0;
  }
  return result;
}

}  // namespace normlab::reference
