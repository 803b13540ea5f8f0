#pragma once
// Central finite differences in double, and how far a draw is from the kinks that would spoil them.

#include <functional>

#include "layers/philox.hpp"
#include "tests/reference/layers.hpp"

namespace normlab::reference {

/// Random numbers for tests: a Philox stream of its own.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : bits_(seed, Purpose::probe, 0xD0A3) {}

  double uniform(double low, double high) { return low + (high - low) * bits_.uniform(); }
  double normal();
  /// An integer from low to high, both included.
  int integer(int low, int high);

  Values normals(std::size_t count, double mean = 0, double deviation = 1);
  /// Of either sign, between 0.5 and 1.5 in size: a gamma that is never 1 (nor near 0).
  Values gammas(std::size_t count);
  Tensor tensor(int n, int c, int h, int w, double mean = 0, double deviation = 1);

 private:
  Philox bits_;
};

/// The scalar whose gradient with respect to y is dy.
double inner(const Tensor& y, const Tensor& dy);

/// The derivative of `loss(t)` at t = 0 by the central difference of fourth order (points at h and 2 h on
/// either side): its error is of order h^4, so that h = 1e-4 leaves only rounding.
double central_difference(const std::function<double(double)>& loss, double h);

/// max|a - n| / max|n| over the elements of `variable`, n the finite difference of loss() in that element
/// and a = analytic. loss() must read `variable`, which is left as it was. Where the true gradient is
/// exactly 0 everywhere (a group of one element), the analytic one must be, too. Of a large variable only
/// `samples` elements are checked, evenly spread.
double gradient_error(Values& variable, const Values& analytic, const std::function<double()>& loss,
                      double h = 1e-4, std::size_t samples = 1000);

/// How far x is from the nearest kink of a ReLU: the smallest |x|.
double relu_kink_distance(const Tensor& x);

/// The same for a 2x2 max pool: the smallest lead of a maximum over the runner-up of its window. After a ReLU
/// a window of zeros is no kink of the pool: all its elements are flat.
double max_pool_kink_distance(const Tensor& x, bool after_relu = false);

/// Draws until no kink is within 10 h of the draw; returns how many draws were thrown away.
int draw_clear_of_kinks(const std::function<void()>& draw, const std::function<double()>& kink_distance,
                        double h, int attempts = 1000);

}  // namespace normlab::reference
