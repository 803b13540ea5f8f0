#pragma once
// Convolution in double, on dense copies: activations n h w c, filters h w c k (or h w k c to go back).

namespace simt {

struct Convolution {
  int n, c, h, w;       // of x
  int k, out_h, out_w;  // of y
  int kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w;
};

/// y (zero at first) += x * filter (h w c k).
void convolve(const Convolution& shape, const double* x, const double* filter, double* y);
/// dx (zero at first) += the gradient, from dy and the filter (h w k c).
void convolve_back(const Convolution& shape, const double* dy, const double* filter, double* dx);
/// dfilter (h w c k, zero at first) += the gradient.
void filter_gradient(const Convolution& shape, const double* x, const double* dy, double* dfilter);

}  // namespace simt
