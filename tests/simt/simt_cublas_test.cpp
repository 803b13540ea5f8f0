// The emulated cuBLAS.

#include <cublas_v2.h>

#include <random>

#include "tests/simt/kit.hpp"

namespace simt_test {

class SimtCublas : public Simt {
 protected:
  SimtCublas() { EXPECT_EQ(cublasCreate(&handle_), CUBLAS_STATUS_SUCCESS); }
  ~SimtCublas() override { EXPECT_EQ(cublasDestroy(handle_), CUBLAS_STATUS_SUCCESS); }
  cublasHandle_t handle_ = nullptr;
};

TEST_F(SimtCublas, ProductsOfAllOrientations) {
  const int m = 4, n = 3, k = 5, ld = 7;
  std::mt19937 generator(1);
  std::vector<float> a(49), b(49), c(49);
  for (auto* values : {&a, &b, &c})
    for (float& value : *values) value = static_cast<float>(generator() % 19) - 9;
  const Array<float> device_a(a), device_b(b);
  const float alpha = 2, beta = -1;
  for (const bool turn_a : {false, true}) {
    for (const bool turn_b : {false, true}) {
      const Array<float> device_c(c);
      ASSERT_EQ(
          cublasSgemm(handle_, turn_a ? CUBLAS_OP_T : CUBLAS_OP_N, turn_b ? CUBLAS_OP_T : CUBLAS_OP_N, m, n,
                      k, &alpha, device_a.data(), ld, device_b.data(), ld, &beta, device_c.data(), ld),
          CUBLAS_STATUS_SUCCESS)
          << simt::report();
      const std::vector<float> found = device_c.values();
      for (int j = 0; j < ld; ++j)
        for (int i = 0; i < ld; ++i) {
          const auto at = [&](int row, int column) { return static_cast<std::size_t>(column * ld + row); };
          float expected = c[at(i, j)];
          if (i < m && j < n) {
            float sum = 0;
            for (int l = 0; l < k; ++l)
              sum += a[turn_a ? at(l, i) : at(i, l)] * b[turn_b ? at(j, l) : at(l, j)];
            expected = 2 * sum - expected;
          }
          ASSERT_EQ(found[at(i, j)], expected);
        }
    }
  }
}

TEST_F(SimtCublas, Tf32IsAskedFor) {
  const Array<float> a(std::vector<float>{1 + 1.0F / 4096}), b(std::vector<float>{1}), c(1);
  const float one = 1, zero = 0;
  const auto product = [&](cublasComputeType_t compute) {
    EXPECT_EQ(
        cublasGemmEx(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data(), CUDA_R_32F, 1, b.data(),
                     CUDA_R_32F, 1, &zero, c.data(), CUDA_R_32F, 1, compute, CUBLAS_GEMM_DEFAULT),
        CUBLAS_STATUS_SUCCESS);
    return c.values()[0];
  };
  EXPECT_EQ(product(CUBLAS_COMPUTE_32F), 1 + 1.0F / 4096);
  EXPECT_EQ(product(CUBLAS_COMPUTE_32F_FAST_TF32), 1);
  EXPECT_EQ(cublasSetMathMode(handle_, CUBLAS_TF32_TENSOR_OP_MATH), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(product(CUBLAS_COMPUTE_32F), 1);
}

TEST_F(SimtCublas, WrongArgumentsAreRefused) {
  const Array<float> a(counting(12)), b(counting(12)), c(12);
  std::vector<float> host(12);
  const float one = 1, zero = 0;
  const auto product = [&](const float* from, int lda, int m, float* to) {
    return cublasSgemm(handle_, CUBLAS_OP_N, CUBLAS_OP_N, m, 3, 4, &one, from, lda, b.data(), 4, &zero, to,
                       3);
  };
  EXPECT_EQ(product(a.data(), 3, 3, c.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(product(a.data(), 2, 3, c.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(product(a.data(), 4, 3, c.data()), CUBLAS_STATUS_INVALID_VALUE) << "beyond the end of A";
  EXPECT_EQ(product(host.data(), 3, 3, c.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_TRUE(contains(simt::report(), "pointer of the host")) << simt::report();
  EXPECT_EQ(product(a.data(), 3, 3, host.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(product(a.data(), 3, -1, c.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(
      cublasGemmEx(handle_, CUBLAS_OP_N, CUBLAS_OP_N, 3, 3, 4, &one, a.data(), CUDA_R_32F, 3, b.data(),
                   CUDA_R_16BF, 4, &zero, c.data(), CUDA_R_32F, 3, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(cublasSetWorkspace(handle_, host.data(), 48), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_STREQ(cublasGetStatusString(CUBLAS_STATUS_SUCCESS), "success");
}

}  // namespace simt_test
