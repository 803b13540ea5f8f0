// Similarity of samples against an independent eigenvalue computation, and on designed batches.

#include "layers/similarity.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "layers/error.hpp"
#include "layers/philox.hpp"

namespace normlab {
namespace {

std::vector<float> draw(int samples, int size, std::uint64_t seed, double offset = 0) {
  Philox random(seed, Purpose::probe);
  std::vector<float> values(static_cast<std::size_t>(samples) * static_cast<std::size_t>(size));
  for (float& value : values) value = static_cast<float>(random.normal() + offset);
  return values;
}

/// Eigenvalues of a symmetric matrix by Jacobi's rotations.
std::vector<double> eigenvalues(std::vector<std::vector<double>> a) {
  const std::size_t n = a.size();
  for (int sweep = 0; sweep < 30; ++sweep) {
    for (std::size_t p = 0; p < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        const double angle = 0.5 * std::atan2(2 * a[p][q], a[q][q] - a[p][p]);
        const double c = std::cos(angle), s = std::sin(angle);
        for (std::size_t k = 0; k < n; ++k) {
          const double kp = a[k][p], kq = a[k][q];
          a[k][p] = c * kp - s * kq;
          a[k][q] = s * kp + c * kq;
        }
        for (std::size_t k = 0; k < n; ++k) {
          const double pk = a[p][k], qk = a[q][k];
          a[p][k] = c * pk - s * qk;
          a[q][k] = s * pk + c * qk;
        }
      }
    }
  }
  std::vector<double> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = a[i][i];
  return values;
}

TEST(Similarity, AgreesWithAnEigenvalueSolver) {
  for (const double offset : {0.0, 0.3, 5.0}) {
    constexpr std::size_t kSamples = 13, kSize = 37;
    const std::vector<float> values = draw(kSamples, kSize, 3, offset);
    std::vector<std::vector<double>> k(kSamples, std::vector<double>(kSamples));
    double pairs = 0;
    for (std::size_t i = 0; i < kSamples; ++i) {
      for (std::size_t j = 0; j < kSamples; ++j) {
        double ij = 0, ii = 0, jj = 0;
        for (std::size_t e = 0; e < kSize; ++e) {
          const double a = values[i * kSize + e], b = values[j * kSize + e];
          ij += a * b;
          ii += a * a;
          jj += b * b;
        }
        k[i][j] = ij / std::sqrt(ii * jj);
        if (i != j) pairs += k[i][j];
      }
    }
    const std::vector<double> all = eigenvalues(k);
    const Similarity found = similarity(values, kSamples);
    EXPECT_NEAR(found.stable_rank, kSamples / *std::max_element(all.begin(), all.end()), 1e-6) << offset;
    EXPECT_NEAR(found.cosine, pairs / (kSamples * (kSamples - 1)), 1e-12) << offset;
  }
}

TEST(Similarity, OrthogonalSamplesAndEqualOnes) {
  const std::vector<float> orthogonal{2, 0, 0, 0, 3, 0, 0, 0, 5};
  EXPECT_DOUBLE_EQ(similarity(orthogonal, 3).cosine, 0);
  EXPECT_DOUBLE_EQ(similarity(orthogonal, 3).stable_rank, 3);
  const std::vector<float> parallel{1, 2, 3, 10, 20, 30, 0.1F, 0.2F, 0.3F};  // lengths do not count
  EXPECT_NEAR(similarity(parallel, 3).cosine, 1, 1e-7);
  EXPECT_NEAR(similarity(parallel, 3).stable_rank, 1, 1e-7);
  const std::vector<float> opposite{1, 2, -1, -2};
  EXPECT_NEAR(similarity(opposite, 2).cosine, -1, 1e-12);
  EXPECT_NEAR(similarity(opposite, 2).stable_rank, 1, 1e-12);
}

TEST(Similarity, DeadSamplesHaveNoDirection) {
  const std::vector<float> one_dead{1, 0, 0, 0, 1, 0};
  EXPECT_NEAR(similarity(one_dead, 3).cosine, 1.0 / 3, 1e-12);  // the two others are equal
  EXPECT_NEAR(similarity(one_dead, 3).stable_rank, 1, 1e-9);
  EXPECT_TRUE(std::isnan(similarity(std::vector<float>(6, 0.0F), 3).stable_rank));
  EXPECT_TRUE(std::isnan(similarity(std::vector<float>{1, 2}, 1).cosine));
}

TEST(Similarity, RefusesSizesThatDoNotFit) {
  EXPECT_THROW(static_cast<void>(similarity(std::vector<float>(7), 2)), Error);
  EXPECT_THROW(static_cast<void>(similarity(std::vector<float>(7), 0)), Error);
}

}  // namespace
}  // namespace normlab
