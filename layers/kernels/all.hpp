#pragma once
// Every primitive that a device offers, on one page; its memory and work stand in layers/backend.hpp. Only
// backends include this: each makes all of these, and what one of them lacks does not link.

#include "layers/kernels/add.hpp"
#include "layers/kernels/batch_norm.hpp"
#include "layers/kernels/circular_pad.hpp"
#include "layers/kernels/conv2d.hpp"
#include "layers/kernels/diagnostics.hpp"
#include "layers/kernels/global_avg_pool.hpp"
#include "layers/kernels/group_norm.hpp"
#include "layers/kernels/images.hpp"
#include "layers/kernels/linear.hpp"
#include "layers/kernels/max_pool.hpp"
#include "layers/kernels/optimizer.hpp"
#include "layers/kernels/relu.hpp"
#include "layers/kernels/softmax_cross_entropy.hpp"
#include "layers/kernels/steps.hpp"

namespace normlab {

template <typename... Families>
struct KernelFamilies {
  /// Calls visit.operator()<Family>() for each.
  template <typename Visit>
  static void each(Visit visit) {
    (visit.template operator()<Families>(), ...);
  }
};

using AllKernels =
    KernelFamilies<AddKernels,            // forward
                   BatchNormKernels,      // partial, reduce, forward, running; gradient_partial,
                                          // gradient_reduce, backward; plan: forward, evaluate, backward
                   CircularPadKernels,    // forward, backward
                   Conv2dKernels,         // plan: packed_values, packed_gradients, scratch_bytes, pack,
                                          // unpack, forward, backward_data, backward_weights
                   DiagnosticKernels,     // moments, histogram, row_norms, gram
                   GlobalAvgPoolKernels,  // forward, backward
                   GroupNormKernels,      // check, forward, backward, pack_elementwise, unpack_elementwise
                   ImageKernels,          // load
                   LinearKernels,         // forward, backward
                   MaxPoolKernels,        // forward, backward
                   OptimizerKernels,      // add_lanes, sum_of_squares, sgd, adamw
                   ReluKernels,           // forward, backward
                   SoftmaxCrossEntropyKernels,  // forward
                   StepKernels>;                // take_samples, add_results, end_step

}  // namespace normlab
