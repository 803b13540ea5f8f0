#include "layers/initialize.hpp"

#include <algorithm>
#include <cmath>

#include "layers/as_size.hpp"
#include "layers/philox.hpp"

namespace normlab {

namespace {

/// FNV-1a, to key a stream by a parameter's name.
std::uint32_t hash(const std::string& text) {
  std::uint32_t h = 2166136261U;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 16777619U;
  return h;
}

/// Rows (or, when there are more rows than columns, columns) made orthonormal by modified Gram-Schmidt of a
/// normal matrix, in double, twice for full orthogonality.
std::vector<double> orthogonal(int rows, int columns, Philox& random) {
  const bool tall = rows > columns;
  const auto vectors = as_size(tall ? columns : rows);
  const auto length = as_size(tall ? rows : columns);
  std::vector<double> q(vectors * length);
  for (double& value : q) value = random.normal();
  for (std::size_t i = 0; i < vectors; ++i) {
    double* vi = &q[i * length];
    for (int round = 0; round < 2; ++round) {
      for (std::size_t j = 0; j < i; ++j) {
        const double* vj = &q[j * length];
        double dot = 0;
        for (std::size_t k = 0; k < length; ++k) dot += vi[k] * vj[k];
        for (std::size_t k = 0; k < length; ++k) vi[k] -= dot * vj[k];
      }
    }
    double norm = 0;
    for (std::size_t k = 0; k < length; ++k) norm += vi[k] * vi[k];
    for (std::size_t k = 0; k < length; ++k) vi[k] /= std::sqrt(norm);
  }
  if (!tall) return q;
  std::vector<double> transposed(q.size());
  for (std::size_t i = 0; i < vectors; ++i) {
    for (std::size_t k = 0; k < length; ++k) transposed[k * vectors + i] = q[i * length + k];
  }
  return transposed;
}

void draw(const Parameter& parameter, Initialization scheme, std::uint64_t seed, float* values) {
  Philox random(seed, Purpose::initialization, 0, hash(parameter.name));
  const auto fill = [&](auto&& next) {
    std::generate_n(values, parameter.count, [&] { return static_cast<float>(next()); });
  };
  const double fan_in = std::max(1, parameter.fan_in);
  const auto uniform = [&](double bound) { fill([&] { return bound * (2 * random.uniform() - 1); }); };
  if (parameter.role == Role::gamma) return fill([] { return 1.0; });
  if (parameter.role == Role::beta) return fill([] { return 0.0; });
  if (scheme == Initialization::torch) return uniform(1 / std::sqrt(fan_in));
  if (parameter.role == Role::bias) return fill([] { return 0.0; });
  switch (scheme) {
    case Initialization::he:
      return fill([&] { return std::sqrt(2 / fan_in) * random.normal(); });
    case Initialization::lecun:
      return fill([&] { return std::sqrt(1 / fan_in) * random.normal(); });
    case Initialization::xavier:
      return uniform(std::sqrt(6.0 / (parameter.fan_in + parameter.fan_out)));
    default:
      break;
  }
  const std::vector<double> q =
      orthogonal(parameter.dims[0], static_cast<int>(parameter.count) / parameter.dims[0], random);
  std::transform(q.begin(), q.end(), values, [](double v) { return static_cast<float>(std::sqrt(2.0) * v); });
}

}  // namespace

Initialization parse_initialization(const std::string& text) {
  if (text == "he") return Initialization::he;
  if (text == "lecun") return Initialization::lecun;
  if (text == "xavier") return Initialization::xavier;
  if (text == "torch") return Initialization::torch;
  if (text == "orthogonal") return Initialization::orthogonal;
  throw UsageError("unknown initialization '{}'; choose from he, lecun, xavier, torch, orthogonal", text);
}

void initialize(Graph& graph, Initialization scheme, std::uint64_t seed) {
  std::vector<float> values(graph.parameter_count());
  for (const Parameter* parameter : graph.parameters()) {
    draw(*parameter, scheme, seed, values.data() + parameter->offset);
  }
  graph.backend().to_device(values.data(), graph.values(), values.size() * sizeof(float));
}

}  // namespace normlab
