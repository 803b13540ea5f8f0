#pragma once

#include "layers/graph.hpp"

namespace normlab {

/// How convolution and linear weights start. Variances: he 2 / fan_in, lecun 1 / fan_in (both normal), xavier
/// uniform with 2 / (fan_in + fan_out) (Glorot & Bengio 2010), torch uniform within 1 / sqrt(fan_in) for
/// weights and biases (PyTorch's default), orthogonal rows of gain sqrt 2 (Saxe et al. 2014). Biases are 0
/// but for torch; gamma is 1 and beta 0.
enum class Initialization { he, lecun, xavier, torch, orthogonal };

[[nodiscard]] Initialization parse_initialization(const std::string& text);

/// Draws every parameter of a graph. Numbers are keyed by (seed, name of the parameter), so networks that
/// differ in their norms alone start from the same convolutions.
void initialize(Graph& graph, Initialization scheme, std::uint64_t seed);

}  // namespace normlab
