#pragma once
// The loss along the gradient, as in Santurkar et al., "How does batch normalization help optimization?"
// (NeurIPS 2018), with the full gradient vector. At w, with g = dL/dw on the batch of the step (before any
// clipping, without weight decay), for kSteps step sizes eta, evenly from 0.5 to 4 times the learning rate:
//
//   landscape.loss_min, landscape.loss_max           range of L(w - eta g)
//   landscape.gradient_min, landscape.gradient_max   range of ||g(w) - g(w - eta g)||
//   landscape.beta                                   max of ||g(w) - g(w - eta g)|| / ||eta g||
//
// BN takes the statistics of the batch, as in training. What is not finite counts as infinite.

#include <array>
#include <functional>

#include "layers/graph.hpp"

namespace normlab {

struct LandscapeFigures {
  double loss_min = 0, loss_max = 0, gradient_min = 0, gradient_max = 0;
  double beta = 0;  ///< 0 where g is 0
};

/// eta / learning rate: 10 values.
[[nodiscard]] std::array<double, 10> landscape_step_sizes();

/// `gradient` computes the batch's mean loss, and its gradient into the graph, at the graph's values; it has
/// just done so. Parameters, gradients and running statistics are afterwards what they were, to the bit.
[[nodiscard]] LandscapeFigures measure_landscape(Graph& graph, double lr,
                                                 const std::function<double()>& gradient);

}  // namespace normlab
