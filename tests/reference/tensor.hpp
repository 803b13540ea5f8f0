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
  Tensor(int n_, int c_, int h_, int w_, double fill = 0.0);
  Tensor(int n_, int c_, int h_, int w_, Values values);

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

void require(bool condition, const char* what);

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
Values absolute(Values values);
Tensor absolute(Tensor x);

double largest(const Values& values);

/// The L2 norm of a - b, and of a.
double l2_distance(const Values& a, const Values& b);
double l2_norm(const Values& a);

}  // namespace normlab::reference
