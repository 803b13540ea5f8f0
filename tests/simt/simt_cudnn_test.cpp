// The emulated cuDNN: right results against loops that share nothing with it, and the refusals of the real
// one.

#include <cuda_bf16.h>
#include <cudnn.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/simt/kit.hpp"

namespace simt_test {

constexpr float kOne = 1, kZero = 0;

struct Case {
  int n, c, h, w, k, kernel, pad, stride;
  cudnnTensorFormat_t format;
  [[nodiscard]] int out_h() const { return (h + 2 * pad - kernel) / stride + 1; }
  [[nodiscard]] int out_w() const { return (w + 2 * pad - kernel) / stride + 1; }
};

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

std::size_t at(const Case& s, int channels, int height, int width, int n, int c, int h, int w) {
  const int index = s.format == CUDNN_TENSOR_NHWC ? ((n * height + h) * width + w) * channels + c
                                                  : ((n * channels + c) * height + h) * width + w;
  return static_cast<std::size_t>(index);
}

class SimtCudnn : public Simt {
 protected:
  SimtCudnn() {
    good(cudnnCreate(&handle_));
    good(cudnnCreateTensorDescriptor(&x_));
    good(cudnnCreateTensorDescriptor(&y_));
    good(cudnnCreateTensorDescriptor(&bias_));
    good(cudnnCreateFilterDescriptor(&w_));
    good(cudnnCreateConvolutionDescriptor(&convolution_));
    good(cudnnCreateActivationDescriptor(&activation_));
  }
  ~SimtCudnn() override {
    good(cudnnDestroyActivationDescriptor(activation_));
    good(cudnnDestroyConvolutionDescriptor(convolution_));
    good(cudnnDestroyFilterDescriptor(w_));
    good(cudnnDestroyTensorDescriptor(bias_));
    good(cudnnDestroyTensorDescriptor(y_));
    good(cudnnDestroyTensorDescriptor(x_));
    good(cudnnDestroy(handle_));
  }
  static void good(cudnnStatus_t status) { ASSERT_EQ(status, CUDNN_STATUS_SUCCESS) << simt::report(); }

  void describe(const Case& s, cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    good(cudnnSetTensor4dDescriptor(x_, s.format, type, s.n, s.c, s.h, s.w));
    good(cudnnSetTensor4dDescriptor(y_, s.format, type, s.n, s.k, s.out_h(), s.out_w()));
    good(cudnnSetTensor4dDescriptor(bias_, s.format, type, 1, s.k, 1, 1));
    good(cudnnSetFilter4dDescriptor(w_, type, s.format, s.k, s.c, s.kernel, s.kernel));
    good(cudnnSetConvolution2dDescriptor(convolution_, s.pad, s.pad, s.stride, s.stride, 1, 1,
                                         CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    good(cudnnSetConvolutionMathType(convolution_, CUDNN_FMA_MATH));
  }
  // For each product x[i] w[j] that goes into y[o].
  template <typename Visit>
  static void for_each_product(const Case& s, Visit visit) {
    for (int n = 0; n < s.n; ++n)
      for (int k = 0; k < s.k; ++k)
        for (int p = 0; p < s.out_h(); ++p)
          for (int q = 0; q < s.out_w(); ++q)
            for (int c = 0; c < s.c; ++c)
              for (int r = 0; r < s.kernel; ++r)
                for (int t = 0; t < s.kernel; ++t) {
                  const int h = p * s.stride - s.pad + r, w = q * s.stride - s.pad + t;
                  if (h < 0 || w < 0 || h >= s.h || w >= s.w) continue;
                  visit(at(s, s.c, s.h, s.w, n, c, h, w), at(s, s.c, s.kernel, s.kernel, k, c, r, t),
                        at(s, s.k, s.out_h(), s.out_w(), n, k, p, q));
                }
  }
  static void expect_near(const std::vector<float>& found, const std::vector<double>& expected,
                          double tolerance) {
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], tolerance) << i;
  }

  cudnnHandle_t handle_ = nullptr;
  cudnnTensorDescriptor_t x_ = nullptr, y_ = nullptr, bias_ = nullptr;
  cudnnFilterDescriptor_t w_ = nullptr;
  cudnnConvolutionDescriptor_t convolution_ = nullptr;
  cudnnActivationDescriptor_t activation_ = nullptr;
};

TEST_F(SimtCudnn, ConvolutionsAreRight) {
  for (const Case& s :
       {Case{2, 5, 6, 7, 4, 3, 1, 1, CUDNN_TENSOR_NHWC}, Case{2, 5, 6, 7, 4, 3, 1, 1, CUDNN_TENSOR_NCHW},
        Case{3, 8, 5, 5, 2, 1, 0, 1, CUDNN_TENSOR_NHWC}, Case{1, 3, 9, 8, 4, 3, 1, 2, CUDNN_TENSOR_NHWC}}) {
    describe(s);
    const auto count = [](int a, int b, int c, int d) { return static_cast<std::size_t>(a * b * c * d); };
    const std::vector<float> x = random_values(count(s.n, s.c, s.h, s.w), 1);
    const std::vector<float> w = random_values(count(s.k, s.c, s.kernel, s.kernel), 2);
    const std::vector<float> dy = random_values(count(s.n, s.k, s.out_h(), s.out_w()), 3);
    const Array<float> dx_x(x), dx_w(w), dx_dy(dy), y(dy.size()), dx(x.size()), dw(w),
        workspace(std::size_t{4096});
    std::vector<double> y_right(dy.size()), dx_right(x.size()), dw_right(w.begin(), w.end());
    for_each_product(s, [&](std::size_t i, std::size_t j, std::size_t o) {
      y_right[o] += static_cast<double>(x[i]) * w[j];
      dx_right[i] += static_cast<double>(dy[o]) * w[j];
      dw_right[j] += 2 * static_cast<double>(dy[o]) * x[i];
    });
    good(cudnnConvolutionForward(handle_, &kOne, x_, dx_x.data(), w_, dx_w.data(), convolution_,
                                 CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, workspace.data(), 16384,
                                 &kZero, y_, y.data()));
    expect_near(y.values(), y_right, 1e-4);
    good(cudnnConvolutionBackwardData(handle_, &kOne, w_, dx_w.data(), y_, dx_dy.data(), convolution_,
                                      CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, workspace.data(), 16384, &kZero, x_,
                                      dx.data()));
    expect_near(dx.values(), dx_right, 1e-4);
    const float two = 2;  // dw = 2 gradient + old
    good(cudnnConvolutionBackwardFilter(handle_, &two, x_, dx_x.data(), y_, dx_dy.data(), convolution_,
                                        CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, workspace.data(), 16384, &kOne,
                                        w_, dw.data()));
    expect_near(dw.values(), dw_right, 1e-3);
    // relu(conv + bias), and the gradient of the bias.
    const std::vector<float> bias = random_values(static_cast<std::size_t>(s.k), 4);
    const Array<float> device_bias(bias), db(bias.size());
    std::vector<double> db_right(bias.size());
    for (std::size_t o = 0; o < y_right.size(); ++o) {
      const std::size_t c = s.format == CUDNN_TENSOR_NHWC
                                ? o % bias.size()
                                : o / static_cast<std::size_t>(s.out_h() * s.out_w()) % bias.size();
      y_right[o] = std::max(y_right[o] + bias[c], 0.0);
      db_right[c] += dy[o];
    }
    good(cudnnSetActivationDescriptor(activation_, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0));
    good(cudnnConvolutionBiasActivationForward(handle_, &kOne, x_, dx_x.data(), w_, dx_w.data(), convolution_,
                                               CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
                                               workspace.data(), 16384, &kZero, y_, y.data(), bias_,
                                               device_bias.data(), activation_, y_, y.data()));
    expect_near(y.values(), y_right, 1e-4);
    good(cudnnConvolutionBackwardBias(handle_, &kOne, y_, dx_dy.data(), &kZero, bias_, db.data()));
    expect_near(db.values(), db_right, 1e-4);
  }
}

TEST_F(SimtCudnn, FloatsAreTf32UnlessForbidden) {
  const Case s{1, 8, 4, 4, 8, 1, 0, 1, CUDNN_TENSOR_NHWC};
  describe(s);
  const Array<float> x(std::vector<float>(128, 1 + 1.0F / 4096)), w(std::vector<float>(64, 1)), y(128);
  const auto forward = [&] {
    good(cudnnConvolutionForward(handle_, &kOne, x_, x.data(), w_, w.data(), convolution_,
                                 CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, nullptr, 0, &kZero, y_, y.data()));
    return y.values()[0];
  };
  EXPECT_EQ(forward(), 8 + 8.0F / 4096);
  good(cudnnSetConvolutionMathType(convolution_, CUDNN_DEFAULT_MATH));
  EXPECT_EQ(forward(), 8);
}

TEST_F(SimtCudnn, WrongDescriptorsAndPointersAreRefused) {
  const Case s{2, 8, 6, 6, 8, 3, 1, 1, CUDNN_TENSOR_NHWC};
  const Array<float> x(counting(2 * 8 * 36 + 4)), w(counting(8 * 8 * 9)), y(2 * 8 * 36),
      workspace(std::size_t{4096});
  std::vector<float> host(2 * 8 * 36);
  const auto forward = [&](const void* from, const void* filter, void* space, std::size_t bytes,
                           int algorithm = 1) {
    return cudnnConvolutionForward(handle_, &kOne, x_, from, w_, filter, convolution_,
                                   static_cast<cudnnConvolutionFwdAlgo_t>(algorithm), space, bytes, &kZero,
                                   y_, y.data());
  };
  const auto expect = [&](cudnnStatus_t found, cudnnStatus_t expected, const char* text) {
    EXPECT_EQ(found, expected) << cudnnGetErrorString(found);
    char message[256] = "";
    cudnnGetLastErrorString(message, sizeof message);
    EXPECT_TRUE(contains(message, text)) << message;
  };
  expect(forward(x.data(), w.data(), workspace.data(), 16384), CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
         "was not set");
  describe(s);
  good(forward(x.data(), w.data(), workspace.data(), 16384));
  std::size_t bytes = 0;
  good(cudnnGetConvolutionForwardWorkspaceSize(handle_, x_, w_, convolution_, y_,
                                               CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, &bytes));
  ASSERT_GT(bytes, 0U);
  good(forward(x.data(), w.data(), workspace.data(), bytes));
  expect(forward(x.data(), w.data(), workspace.data(), bytes - 1), CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT,
         "the algorithm needs");
  expect(forward(x.data(), w.data(), nullptr, bytes), CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
         "workspace is null");
  expect(forward(host.data(), w.data(), workspace.data(), bytes), CUDNN_STATUS_BAD_PARAM,
         "pointer of the host");
  expect(forward(x.data() + 1, w.data(), workspace.data(), bytes), CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
         "x is not aligned");
  expect(forward(x.data() + 8, w.data(), workspace.data(), bytes), CUDNN_STATUS_BAD_PARAM, "beyond the end");
  expect(forward(x.data(), w.data(), workspace.data(), 16384, CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD),
         CUDNN_STATUS_NOT_SUPPORTED, "cannot do this convolution");
  good(cudnnSetTensor4dDescriptor(y_, s.format, CUDNN_DATA_FLOAT, 2, 8, 6, 5));
  expect(forward(x.data(), w.data(), workspace.data(), bytes), CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
         "it must be");
  describe(s);
  good(cudnnSetFilter4dDescriptor(w_, CUDNN_DATA_FLOAT, s.format, 8, 4, 3, 3));
  expect(forward(x.data(), w.data(), workspace.data(), bytes), CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
         "channels");
  describe(s);
  good(cudnnSetFilter4dDescriptor(w_, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 8, 8, 3, 3));
  expect(forward(x.data(), w.data(), workspace.data(), bytes), CUDNN_STATUS_NOT_SUPPORTED_LAYOUT,
         "not all NCHW");
  describe(s);
  good(cudnnSetTensor4dDescriptor(y_, s.format, CUDNN_DATA_BFLOAT16, 2, 8, 6, 6));
  expect(forward(x.data(), w.data(), workspace.data(), bytes), CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE,
         "one type");
  EXPECT_EQ(cudnnSetTensor4dDescriptor(y_, s.format, CUDNN_DATA_FLOAT, 0, 8, 6, 6), CUDNN_STATUS_BAD_PARAM);
  EXPECT_STREQ(cudnnGetErrorString(CUDNN_STATUS_NOT_SUPPORTED), "CUDNN_STATUS_NOT_SUPPORTED");
}

TEST_F(SimtCudnn, OnlyDeterministicAlgorithmsRepeat) {
  const Case s{2, 8, 6, 6, 8, 3, 1, 1, CUDNN_TENSOR_NHWC};
  describe(s);
  const Array<float> x(counting(2 * 8 * 36)), dy(counting(2 * 8 * 36)), dw(8 * 8 * 9),
      workspace(std::size_t{4096});
  cudnnConvolutionBwdFilterAlgoPerf_t found[8];
  int count = 0;
  good(cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle_, x_, y_, convolution_, w_, 8, &count, found));
  ASSERT_EQ(count, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT);
  EXPECT_EQ(found[0].determinism, CUDNN_NON_DETERMINISTIC) << "who takes the first without a look is caught";
  bool repeats[2] = {};
  for (int i = 0; i < count; ++i) {
    const auto backward = [&] {
      const cudnnStatus_t status =
          cudnnConvolutionBackwardFilter(handle_, &kOne, x_, x.data(), y_, dy.data(), convolution_,
                                         found[i].algo, workspace.data(), 16384, &kZero, w_, dw.data());
      EXPECT_EQ(status, found[i].status);
      return status == CUDNN_STATUS_SUCCESS ? dw.values() : std::vector<float>();
    };
    const std::vector<float> first = backward();
    if (first.empty()) continue;
    const bool same = backward() == first;
    EXPECT_EQ(same, found[i].determinism == CUDNN_DETERMINISTIC);
    repeats[same] = true;
  }
  EXPECT_TRUE(repeats[0] && repeats[1]);
}

TEST_F(SimtCudnn, Bfloat16StoresRoundedSums) {
  const Case s{1, 8, 2, 2, 8, 1, 0, 1, CUDNN_TENSOR_NHWC};
  describe(s, CUDNN_DATA_BFLOAT16);
  const auto bf16 = [](std::size_t count, float value) {
    return std::vector<__nv_bfloat16>(count, __float2bfloat16(value));
  };
  const Array<__nv_bfloat16> x(bf16(32, 1.0078125F)), w(bf16(64, 1)), y(32);
  good(cudnnConvolutionForward(handle_, &kOne, x_, x.data(), w_, w.data(), convolution_,
                               CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, nullptr, 0, &kZero, y_, y.data()));
  EXPECT_EQ(__bfloat162float(y.values()[31]), 8.0625F);
}

TEST_F(SimtCudnn, BatchNormTrainsAndInfers) {
  const Case s{3, 4, 2, 5, 4, 1, 0, 1, CUDNN_TENSOR_NHWC};
  describe(s);
  const std::size_t size = 120, m = 30;
  const std::vector<float> values = random_values(size, 5), gradient = random_values(size, 6);
  const std::vector<float> gamma = random_values(4, 7), beta = random_values(4, 8);
  const Array<float> x(values), dy(gradient), y(size), dx(size), scale(gamma), bias(beta), mean(4), rstd(4),
      dscale(4), dbias(4), running_mean(std::vector<float>(4, 1)), running_var(std::vector<float>(4, 1));
  good(cudnnDeriveBNTensorDescriptor(bias_, x_, CUDNN_BATCHNORM_SPATIAL));
  good(cudnnBatchNormalizationForwardTraining(
      handle_, CUDNN_BATCHNORM_SPATIAL, &kOne, &kZero, x_, x.data(), x_, y.data(), bias_, scale.data(),
      bias.data(), 0.1, running_mean.data(), running_var.data(), 1e-5, mean.data(), rstd.data()));
  good(cudnnBatchNormalizationBackward(handle_, CUDNN_BATCHNORM_SPATIAL, &kOne, &kZero, &kOne, &kZero, x_,
                                       x.data(), x_, dy.data(), x_, dx.data(), bias_, scale.data(),
                                       dscale.data(), dbias.data(), 1e-5, mean.data(), rstd.data()));
  for (std::size_t c = 0; c < 4; ++c) {
    double sum = 0, squares = 0, product = 0, gradients = 0;
    for (std::size_t i = 0; i < m; ++i) sum += values[i * 4 + c] / static_cast<double>(m);
    for (std::size_t i = 0; i < m; ++i)
      squares += std::pow(values[i * 4 + c] - sum, 2) / static_cast<double>(m);
    const double inverse = 1 / std::sqrt(squares + 1e-5);
    for (std::size_t i = 0; i < m; ++i) {
      gradients += gradient[i * 4 + c];
      product += gradient[i * 4 + c] * (values[i * 4 + c] - sum) * inverse;
    }
    EXPECT_NEAR(mean.values()[c], sum, 1e-6);
    EXPECT_NEAR(rstd.values()[c], inverse, 1e-5);
    EXPECT_NEAR(running_mean.values()[c], 0.9 + 0.1 * sum, 1e-6);
    EXPECT_NEAR(running_var.values()[c], 0.9 + 0.1 * squares * 30 / 29, 1e-6);
    EXPECT_NEAR(dbias.values()[c], gradients, 1e-4);
    EXPECT_NEAR(dscale.values()[c], product, 1e-4);
    for (std::size_t i = 0; i < m; ++i) {
      const double hat = (values[i * 4 + c] - sum) * inverse;
      EXPECT_NEAR(y.values()[i * 4 + c], gamma[c] * hat + beta[c], 1e-5);
      EXPECT_NEAR(dx.values()[i * 4 + c],
                  gamma[c] * inverse * (gradient[i * 4 + c] - gradients / 30 - hat * product / 30), 1e-4);
    }
  }
  good(cudnnBatchNormalizationForwardInference(handle_, CUDNN_BATCHNORM_SPATIAL, &kOne, &kZero, x_, x.data(),
                                               x_, y.data(), bias_, scale.data(), bias.data(),
                                               running_mean.data(), running_var.data(), 1e-5));
  EXPECT_NEAR(
      y.values()[0],
      gamma[0] * (values[0] - running_mean.values()[0]) / std::sqrt(running_var.values()[0] + 1e-5) + beta[0],
      1e-5);
  EXPECT_EQ(cudnnBatchNormalizationForwardTraining(handle_, CUDNN_BATCHNORM_SPATIAL, &kOne, &kZero, x_,
                                                   x.data(), x_, y.data(), bias_, scale.data(), bias.data(),
                                                   0.1, nullptr, running_var.data(), 1e-5, nullptr, nullptr),
            CUDNN_STATUS_BAD_PARAM);
}

}  // namespace simt_test
