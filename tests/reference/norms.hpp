#pragma once
// The normalizations. All of them are one formula over different sets of elements:
//
//   y = gamma * xhat + beta,   xhat = (x - mean) * rstd,   rstd = 1 / sqrt(var + eps),
//
// mean and var (biased) over a *group*, the set of elements that share statistics, gamma and beta shared by
// an *affine* set. Norm::group and Norm::affine say to which sets an element belongs: this is the table of
// the study. With RMS the mean is not subtracted and var is the second moment; it has no beta. Statistics are
// two-pass, summed in long double.

#include "tests/reference/layers.hpp"

namespace normlab::reference {

inline constexpr double kEps = 1e-5;
inline constexpr double kRunningMomentum = 0.1;

struct Norm {
  enum class Kind { none, bn, ln, ln_elementwise, gn, in, rms, rms_elementwise };
  Kind kind = Kind::none;
  int groups = 1;  // of gn

  /// From none, bn, ln, ln-elementwise, gn:G, in, rms, rms-elementwise.
  static Norm parse(const std::string& name);

  bool centred() const { return kind != Kind::rms && kind != Kind::rms_elementwise; }
  bool has_beta() const { return centred(); }
  /// gamma (and beta) for each element (c, h, w), not for each channel.
  bool elementwise() const { return kind == Kind::ln_elementwise || kind == Kind::rms_elementwise; }

  /// Which statistics the element x[n,c,h,w] uses.
  std::size_t group(const Tensor& x, int n, int c) const;
  std::size_t group_count(const Tensor& x) const;

  /// Which gamma and beta it uses.
  std::size_t affine(const Tensor& x, int c, int h, int w) const;
  std::size_t affine_count(int c, int h, int w) const;
};

struct NormForward {
  Tensor y;
  Tensor xhat;
  Values mean;  // of each group; 0 for rms
  Values var;   // biased; for rms the second moment
  Values rstd;
  Values count;  // elements in each group
};

struct NormGradients {
  Tensor dx;
  Values dgamma;
  Values dbeta;  // empty when the norm has no beta
};

/// gamma * xhat + beta.
Tensor apply_affine(const Norm& norm, const Tensor& xhat, const Values& gamma, const Values& beta);

/// The training forward pass; for every norm but bn also the one at evaluation.
NormForward norm_forward(const Norm& norm, const Tensor& x, const Values& gamma, const Values& beta);

/// dgamma = sum of dy * xhat and dbeta = sum of dy over an affine set; dx is left to the caller.
NormGradients affine_backward(const Norm& norm, const Tensor& xhat, const Values& gamma, const Tensor& dy);

/// With dxhat = gamma * dy and the means over the group of m elements:
/// d rstd / d x = - rstd^2 xhat / m (both with and without a mean), d mean / d x = 1 / m, hence
/// dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)), for rms without the middle term.
NormGradients norm_backward(const Norm& norm, const NormForward& forward, const Values& gamma,
                            const Tensor& dy);

// --- batch norm: running statistics and evaluation ---------------------------------------------------------

struct RunningStatistics {
  Values mean;
  Values var;
};

/// r <- (1 - momentum) r + momentum * batch statistic, with the unbiased variance.
void update_running(RunningStatistics& running, const NormForward& forward,
                    double momentum = kRunningMomentum);

/// Batch norm at evaluation: the running statistics are constants.
NormForward batch_norm_evaluation(const Tensor& x, const Values& gamma, const Values& beta,
                                  const RunningStatistics& running);
NormGradients batch_norm_evaluation_backward(const NormForward& forward, const Values& gamma,
                                             const Tensor& dy);

// --- norm and ReLU, fused by composition -------------------------------------------------------------------

struct NormReluForward {
  NormForward norm;  // norm.y is the pre-activation
  Mask mask;
  Tensor y;
};
NormReluForward norm_relu_forward(const Norm& norm, const Tensor& x, const Values& gamma, const Values& beta);
NormGradients norm_relu_backward(const Norm& norm, const NormReluForward& forward, const Values& gamma,
                                 const Tensor& dy);

}  // namespace normlab::reference
