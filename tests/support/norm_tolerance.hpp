#pragma once

#include "tests/reference/norms.hpp"

namespace normlab::test {

/// Of a norm layer's results in fp32 arithmetic: forward 1e-5 max(|gamma x^| + |beta|), dx 1e-5 rstd
/// max|gamma dz| of the group, parameter gradients 1e-5 of sum |a_i b_i|.
struct NormTolerance {
  double y = 0;
  reference::Values dx, dgamma, dbeta;
};

/// dz: dy where the activation passed.
NormTolerance norm_tolerance(const reference::Norm& norm, const reference::NormForward& forward,
                             const reference::Values& gamma, const reference::Values& beta,
                             const reference::Tensor& dz);

}  // namespace normlab::test
