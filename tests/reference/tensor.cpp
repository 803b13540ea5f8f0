#include "tests/reference/tensor.hpp"

namespace normlab::reference {

Tensor::Tensor(int n_, int c_, int h_, int w_, double fill) : n(n_), c(c_), h(h_), w(w_) {
  if (n < 1 || c < 1 || h < 1 || w < 1) throw std::invalid_argument("reference: empty tensor");
  v.assign(static_cast<std::size_t>(n) * per_sample(), fill);
}

Tensor::Tensor(int n_, int c_, int h_, int w_, Values values)
    : n(n_), c(c_), h(h_), w(w_), v(std::move(values)) {
  if (v.size() != static_cast<std::size_t>(n) * per_sample()) {
    throw std::invalid_argument("reference: " + std::to_string(v.size()) + " values for another shape");
  }
}

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(std::string("reference: ") + what);
}

Values absolute(Values values) {
  for (double& value : values) value = std::abs(value);
  return values;
}

Tensor absolute(Tensor x) {
  x.v = absolute(std::move(x.v));
  return x;
}

double largest(const Values& values) {
  double result = 0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

double l2_distance(const Values& a, const Values& b) {
  require(a.size() == b.size(), "l2_distance of two sizes");
  long double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<long double>(a[i] - b[i]) * (a[i] - b[i]);
  return static_cast<double>(std::sqrt(sum));
}

double l2_norm(const Values& a) {
  long double sum = 0;
  for (const double value : a) sum += static_cast<long double>(value) * value;
  return static_cast<double>(std::sqrt(sum));
}

}  // namespace normlab::reference
