// A sample of one pixel is a row of padded channels, so activations are row-major matrices for Eigen.

#include <Eigen/Core>

#include "host/host_backend.hpp"

namespace normlab {

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Rows = Eigen::Map<Matrix, Eigen::Unaligned, Eigen::OuterStride<>>;
using ConstRows = Eigen::Map<const Matrix, Eigen::Unaligned, Eigen::OuterStride<>>;
using Vector = Eigen::RowVectorXf;

}  // namespace

void HostBackend::linear_forward(const LinearForward& args) {
  const HostLayout in = layout(args.x), out = layout(args.y);
  const int n = args.x.shape.n, i = args.x.shape.c, o = args.y.shape.c;
  clear(args.y.data, static_cast<std::size_t>(out.sample * n) * sizeof(float));  // the padding, too
  const ConstRows x(args.x.data, n, i, Eigen::OuterStride<>(in.sample));
  const ConstRows weight(args.weight, o, i, Eigen::OuterStride<>(i));
  Rows y(args.y.data, n, o, Eigen::OuterStride<>(out.sample));
  y.noalias() = x.lazyProduct(weight.transpose());
  y.rowwise() += Eigen::Map<const Vector>(args.bias, o);
}

void HostBackend::linear_backward(const LinearBackward& args) {
  const HostLayout in = layout(args.x), out = layout(args.dy);
  const int n = args.x.shape.n, i = args.x.shape.c, o = args.dy.shape.c;
  const ConstRows x(args.x.data, n, i, Eigen::OuterStride<>(in.sample));
  const ConstRows dy(args.dy.data, n, o, Eigen::OuterStride<>(out.sample));
  Rows dweight(args.dweight, o, i, Eigen::OuterStride<>(i));
  dweight.noalias() += dy.transpose().lazyProduct(x);
  Eigen::Map<Vector>(args.dbias, o) += dy.colwise().sum();
  if (args.dx.empty()) return;
  clear(args.dx.data, static_cast<std::size_t>(in.sample * n) * sizeof(float));
  const ConstRows weight(args.weight, o, i, Eigen::OuterStride<>(i));
  Rows dx(args.dx.data, n, i, Eigen::OuterStride<>(in.sample));
  dx.noalias() = dy.lazyProduct(weight);
}

}  // namespace normlab
