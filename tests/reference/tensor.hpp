#pragma once
// The tensor of the reference: N, C, H, W in double, dense, w fastest. Nothing is shared with the product.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace normlab::reference {

using Values = std::vector<double>;

struct Tensor {
  int n = 0;
  int c = 0;
  int h = 0;
  int w = 0;
  Values v;

  Tensor() = default;
  Tensor(int n_, int c_, int h_, int w_, double fill = 0.0) : n(n_), c(c_), h(h_), w(w_) {
    if (n < 1 || c < 1 || h < 1 || w < 1) throw std::invalid_argument("reference: empty tensor");
    v.assign(static_cast<std::size_t>(n) * per_sample(), fill);
  }
  Tensor(int n_, int c_, int h_, int w_, Values values) : n(n_), c(c_), h(h_), w(w_), v(std::move(values)) {
    if (v.size() != static_cast<std::size_t>(n) * per_sample()) {
      throw std::invalid_argument("reference: " + std::to_string(v.size()) + " values for another shape");
    }
  }

  std::size_t per_sample() const {
    return static_cast<std::size_t>(c) * static_cast<std::size_t>(h) * static_cast<std::size_t>(w);
  }
  std::size_t size() const { return v.size(); }

  std::size_t index(int in, int ic, int ih, int iw) const {
    const auto row =
        (static_cast<std::size_t>(in) * static_cast<std::size_t>(c) + static_cast<std::size_t>(ic)) *
            static_cast<std::size_t>(h) +
        static_cast<std::size_t>(ih);
    return row * static_cast<std::size_t>(w) + static_cast<std::size_t>(iw);
  }
  double& at(int in, int ic, int ih, int iw) { return v[index(in, ic, ih, iw)]; }
  double at(int in, int ic, int ih, int iw) const { return v[index(in, ic, ih, iw)]; }

  /// A tensor of the same shape.
  Tensor like(double fill = 0.0) const { return {n, c, h, w, fill}; }
  bool same_shape(const Tensor& other) const {
    return n == other.n && c == other.c && h == other.h && w == other.w;
  }
};

inline void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(std::string("reference: ") + what);
}

/// Calls f(n, c, h, w, flat index) for every element, in memory order.
template <typename F>
void for_each(const Tensor& x, F&& f) {
  std::size_t i = 0;
  for (int n = 0; n < x.n; ++n) {
    for (int c = 0; c < x.c; ++c) {
      for (int h = 0; h < x.h; ++h) {
        for (int w = 0; w < x.w; ++w) f(n, c, h, w, i++);
      }
    }
  }
}

/// |x|, element by element: conv2d(absolute(x), absolute(weight)) is the sum of |a_i b_i| that the
/// tolerances of the tests are relative to.
inline Values absolute(Values values) {
  for (double& value : values) value = std::abs(value);
  return values;
}
inline Tensor absolute(Tensor x) {
  x.v = absolute(std::move(x.v));
  return x;
}

inline double largest(const Values& values) {
  double result = 0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

/// The L2 norm of a - b, and of a.
inline double l2_distance(const Values& a, const Values& b) {
  require(a.size() == b.size(), "l2_distance of two sizes");
  long double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<long double>(a[i] - b[i]) * (a[i] - b[i]);
  return static_cast<double>(std::sqrt(sum));
}
inline double l2_norm(const Values& a) {
  long double sum = 0;
  for (const double value : a) sum += static_cast<long double>(value) * value;
  return static_cast<double>(std::sqrt(sum));
}

}  // namespace normlab::reference
