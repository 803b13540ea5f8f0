#include "tests/support/norm_tolerance.hpp"

#include <algorithm>

namespace normlab::test {

NormTolerance norm_tolerance(const reference::Norm& norm, const reference::NormForward& forward,
                             const reference::Values& gamma, const reference::Values& beta,
                             const reference::Tensor& dz) {
  NormTolerance t{1e-5 * reference::largest(forward.y.v) + 1e-5 * reference::largest(beta),
                  reference::Values(dz.size()), reference::Values(gamma.size()),
                  reference::Values(gamma.size())};
  reference::Values peak(forward.rstd.size());
  // However small, x^ carries the error of the mean: a sum over a map's m pixels in fp32, whose roundings add
  // up to about sqrt(m) 2^-24 of the map's own size.
  const double carried = std::max(0.02, std::sqrt(dz.h * dz.w) * 0x1p-24 / 1e-5);
  reference::for_each(dz, [&](int n, int c, int h, int w, std::size_t i) {
    const std::size_t a = norm.affine(dz, c, h, w), g = norm.group(dz, n, c);
    peak[g] = std::max(peak[g], std::abs(gamma[a] * dz.v[i]));
    t.dgamma[a] += 1e-5 * std::abs(dz.v[i]) * std::max(carried, std::abs(forward.xhat.v[i]));
    t.dbeta[a] += 1e-5 * std::abs(dz.v[i]);
  });
  reference::for_each(dz, [&](int n, int c, int, int, std::size_t i) {
    const std::size_t g = norm.group(dz, n, c);
    t.dx[i] = 1e-5 * forward.rstd[g] * peak[g];
  });
  return t;
}

}  // namespace normlab::test
