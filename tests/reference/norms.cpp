#include "tests/reference/norms.hpp"

namespace normlab::reference {

Norm Norm::parse(const std::string& name) {
  if (name == "none") return {Kind::none, 1};
  if (name == "bn") return {Kind::bn, 1};
  if (name == "ln") return {Kind::ln, 1};
  if (name == "ln-elementwise") return {Kind::ln_elementwise, 1};
  if (name == "in") return {Kind::in, 1};
  if (name == "rms") return {Kind::rms, 1};
  if (name == "rms-elementwise") return {Kind::rms_elementwise, 1};
  require(name.rfind("gn:", 0) == 0, "unknown norm");
  return {Kind::gn, std::stoi(name.substr(3))};
}

std::size_t Norm::group(const Tensor& x, int n, int c) const {
  switch (kind) {
    case Kind::bn:
      return static_cast<std::size_t>(c);
    case Kind::gn:
      return static_cast<std::size_t>(n * groups + c / (x.c / groups));
    case Kind::in:
      return static_cast<std::size_t>(n * x.c + c);
    default:
      return static_cast<std::size_t>(n);  // ln, rms, and both per element
  }
}

std::size_t Norm::group_count(const Tensor& x) const {
  switch (kind) {
    case Kind::bn:
      return static_cast<std::size_t>(x.c);
    case Kind::gn:
      return static_cast<std::size_t>(x.n * groups);
    case Kind::in:
      return static_cast<std::size_t>(x.n * x.c);
    default:
      return static_cast<std::size_t>(x.n);
  }
}

std::size_t Norm::affine(const Tensor& x, int c, int h, int w) const {
  return static_cast<std::size_t>(elementwise() ? (c * x.h + h) * x.w + w : c);
}

std::size_t Norm::affine_count(int c, int h, int w) const {
  return static_cast<std::size_t>(elementwise() ? c * h * w : c);
}

Tensor apply_affine(const Norm& norm, const Tensor& xhat, const Values& gamma, const Values& beta) {
  require(gamma.size() == norm.affine_count(xhat.c, xhat.h, xhat.w), "norm: size of gamma");
  require(beta.size() == (norm.has_beta() ? gamma.size() : 0), "norm: size of beta");
  Tensor y = xhat.like();
  for_each(y, [&](int, int c, int h, int w, std::size_t i) {
    const std::size_t a = norm.affine(xhat, c, h, w);
    y.v[i] = gamma[a] * xhat.v[i] + (norm.has_beta() ? beta[a] : 0.0);
  });
  return y;
}

NormForward norm_forward(const Norm& norm, const Tensor& x, const Values& gamma, const Values& beta) {
  require(norm.kind != Norm::Kind::none, "norm_forward of none");
  require(norm.groups >= 1 && x.c % norm.groups == 0, "gn: the groups do not divide the channels");
  const std::size_t groups = norm.group_count(x);
  std::vector<long double> sum(groups, 0);
  std::vector<long double> squares(groups, 0);
  Values count(groups, 0.0);
  for_each(x, [&](int n, int c, int, int, std::size_t i) {
    const std::size_t g = norm.group(x, n, c);
    sum[g] += x.v[i];
    count[g] += 1;
  });
  require(norm.kind != Norm::Kind::bn || count[0] > 1, "bn: training with one value per channel");
  Values mean(groups, 0.0);
  for (std::size_t g = 0; g < groups && norm.centred(); ++g) mean[g] = static_cast<double>(sum[g] / count[g]);
  for_each(x, [&](int n, int c, int, int, std::size_t i) {
    const std::size_t g = norm.group(x, n, c);
    const long double d = static_cast<long double>(x.v[i]) - mean[g];
    squares[g] += d * d;
  });
  Values var(groups);
  Values rstd(groups);
  for (std::size_t g = 0; g < groups; ++g) {
    var[g] = static_cast<double>(squares[g] / count[g]);
    rstd[g] = 1.0 / std::sqrt(var[g] + kEps);
  }
  Tensor xhat = x.like();
  for_each(x, [&](int n, int c, int, int, std::size_t i) {
    const std::size_t g = norm.group(x, n, c);
    xhat.v[i] = (x.v[i] - mean[g]) * rstd[g];
  });
  Tensor y = apply_affine(norm, xhat, gamma, beta);
  return {std::move(y), std::move(xhat), std::move(mean), std::move(var), std::move(rstd), std::move(count)};
}

NormGradients affine_backward(const Norm& norm, const Tensor& xhat, const Values& gamma, const Tensor& dy) {
  NormGradients result{Tensor(), Values(gamma.size(), 0.0), Values(norm.has_beta() ? gamma.size() : 0, 0.0)};
  for_each(dy, [&](int, int c, int h, int w, std::size_t i) {
    const std::size_t a = norm.affine(dy, c, h, w);
    result.dgamma[a] += dy.v[i] * xhat.v[i];
    if (norm.has_beta()) result.dbeta[a] += dy.v[i];
  });
  return result;
}

NormGradients norm_backward(const Norm& norm, const NormForward& forward, const Values& gamma,
                            const Tensor& dy) {
  const Tensor& xhat = forward.xhat;
  require(dy.same_shape(xhat), "norm_backward: shape of dy");
  NormGradients result = affine_backward(norm, xhat, gamma, dy);
  std::vector<long double> sum(forward.rstd.size(), 0);
  std::vector<long double> dot(forward.rstd.size(), 0);
  Tensor dxhat = dy.like();
  for_each(dy, [&](int n, int c, int h, int w, std::size_t i) {
    const std::size_t g = norm.group(dy, n, c);
    dxhat.v[i] = gamma[norm.affine(dy, c, h, w)] * dy.v[i];
    if (norm.centred()) sum[g] += dxhat.v[i];
    dot[g] += static_cast<long double>(dxhat.v[i]) * xhat.v[i];
  });
  result.dx = dy.like();
  for_each(dy, [&](int n, int c, int, int, std::size_t i) {
    const std::size_t g = norm.group(dy, n, c);
    const double m = forward.count[g];
    const long double inner = dxhat.v[i] - sum[g] / m - xhat.v[i] * (dot[g] / m);
    result.dx.v[i] = static_cast<double>(forward.rstd[g] * inner);
  });
  return result;
}

void update_running(RunningStatistics& running, const NormForward& forward, double momentum) {
  for (std::size_t c = 0; c < running.mean.size(); ++c) {
    const double unbiased = forward.var[c] * forward.count[c] / (forward.count[c] - 1);
    running.mean[c] = (1 - momentum) * running.mean[c] + momentum * forward.mean[c];
    running.var[c] = (1 - momentum) * running.var[c] + momentum * unbiased;
  }
}

NormForward batch_norm_evaluation(const Tensor& x, const Values& gamma, const Values& beta,
                                  const RunningStatistics& running) {
  const Norm bn = Norm::parse("bn");
  NormForward result{Tensor(), x.like(), running.mean, running.var, Values(running.var.size()), {}};
  for (std::size_t c = 0; c < running.var.size(); ++c)
    result.rstd[c] = 1.0 / std::sqrt(running.var[c] + kEps);
  for_each(x, [&](int, int c, int, int, std::size_t i) {
    const auto k = static_cast<std::size_t>(c);
    result.xhat.v[i] = (x.v[i] - running.mean[k]) * result.rstd[k];
  });
  result.y = apply_affine(bn, result.xhat, gamma, beta);
  return result;
}

NormGradients batch_norm_evaluation_backward(const NormForward& forward, const Values& gamma,
                                             const Tensor& dy) {
  NormGradients result = affine_backward(Norm::parse("bn"), forward.xhat, gamma, dy);
  result.dx = dy.like();
  for_each(dy, [&](int, int c, int, int, std::size_t i) {
    const auto k = static_cast<std::size_t>(c);
    result.dx.v[i] = dy.v[i] * gamma[k] * forward.rstd[k];
  });
  return result;
}

NormReluForward norm_relu_forward(const Norm& norm, const Tensor& x, const Values& gamma,
                                  const Values& beta) {
  NormForward forward = norm_forward(norm, x, gamma, beta);
  Mask mask = relu_mask(forward.y);
  Tensor y = relu(forward.y, mask);
  return {std::move(forward), std::move(mask), std::move(y)};
}

NormGradients norm_relu_backward(const Norm& norm, const NormReluForward& forward, const Values& gamma,
                                 const Tensor& dy) {
  return norm_backward(norm, forward.norm, gamma, relu_backward(forward.mask, dy));
}

}  // namespace normlab::reference
