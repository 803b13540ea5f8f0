// A sample of one pixel is a row of padded channels, so activations are row-major matrices for Eigen, which
// multiplies and adds in fp32 whatever they are stored as.

#include <Eigen/Core>

#include "host/cpu/host_kernels.hpp"
#include "layers/kernels/linear.hpp"

namespace normlab {

namespace {

template <typename E>
using Matrix = Eigen::Matrix<E, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename E>
using Rows = Eigen::Map<Matrix<E>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <typename E>
using ConstRows = Eigen::Map<const Matrix<E>, Eigen::Unaligned, Eigen::OuterStride<>>;
using Vector = Eigen::RowVectorXf;

/// Bf16 as Eigen calls it.
template <typename T>
using Element = std::conditional_t<std::is_same_v<T, Bf16>, Eigen::bfloat16, float>;

template <typename T>
Element<T>* elements(const Tensor& tensor) {
  return reinterpret_cast<Element<T>*>(tensor.as<T>());
}

/// An expression in other numbers; as it is if they are these.
template <typename E, typename Expression>
auto in(const Expression& x) {
  if constexpr (std::is_same_v<E, typename Expression::Scalar>) {
    return x;
  } else {
    return x.template cast<E>();
  }
}

class HostLinear final : public HostKernels<LinearKernels> {
 public:
  using HostKernels::HostKernels;
  void forward(const LinearForward& args) override;
  void backward(const LinearBackward& args) override;
};

}  // namespace

void HostLinear::forward(const LinearForward& args) {
  const std::ptrdiff_t x_stride = layout(args.x).sample, y_stride = layout(args.y).sample;
  const int n = args.x.shape.n, i = args.x.shape.c, o = args.y.shape.c;
  host_.clear(args.y.data, host_.bytes(args.y.shape, args.y.type, args.y.layout));  // the padding, too
  const ConstRows<float> weight(args.weight, o, i, Eigen::OuterStride<>(i));
  const Eigen::Map<const Vector> bias(args.bias, o);
  with_storage(args.x.type, [&]<typename T>(Stored<T>) {
    using E = Element<T>;
    const ConstRows<E> x(elements<T>(args.x), n, i, Eigen::OuterStride<>(x_stride));
    Rows<E> y(elements<T>(args.y), n, o, Eigen::OuterStride<>(y_stride));
    y.noalias() = in<E>(in<float>(x).lazyProduct(weight.transpose()) + bias.replicate(n, 1));
  });
}

void HostLinear::backward(const LinearBackward& args) {
  const std::ptrdiff_t x_stride = layout(args.x).sample, y_stride = layout(args.dy).sample;
  const int n = args.x.shape.n, i = args.x.shape.c, o = args.dy.shape.c;
  const ConstRows<float> weight(args.weight, o, i, Eigen::OuterStride<>(i));
  with_storage(args.x.type, [&]<typename T>(Stored<T>) {
    using E = Element<T>;
    const ConstRows<E> x(elements<T>(args.x), n, i, Eigen::OuterStride<>(x_stride));
    const ConstRows<E> dy(elements<T>(args.dy), n, o, Eigen::OuterStride<>(y_stride));
    if (args.dweight != nullptr) {
      Rows<float> dweight(args.dweight, o, i, Eigen::OuterStride<>(i));
      dweight.noalias() += in<float>(dy).transpose().lazyProduct(in<float>(x));
      Eigen::Map<Vector>(args.dbias, o) += in<float>(dy).colwise().sum();
    }
    if (args.dx.empty()) return;
    host_.clear(args.dx.data, host_.bytes(args.dx.shape, args.dx.type, args.dx.layout));
    Rows<E> dx(elements<T>(args.dx), n, i, Eigen::OuterStride<>(x_stride));
    dx.noalias() = in<E>(in<float>(dy).lazyProduct(weight));
  });
}

template <>
std::unique_ptr<LinearKernels> make_host_kernels<LinearKernels>(HostBackend& host) {
  return std::make_unique<HostLinear>(host);
}

}  // namespace normlab
