// Batch normalization over n, h, w, for each channel.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tests/simt/cudnn.hpp"

namespace simt {
namespace {

Strided pixels(const Strided& t) {
  return {t.type,
          {t.dims[0], t.dims[2], t.dims[3], t.dims[1]},
          {t.strides[0], t.strides[2], t.strides[3], t.strides[1]}};
}

struct Moments {
  std::vector<double> mean, variance;  // biased
};

Moments moments_of(const std::vector<double>& x, std::size_t channels) {
  const double count = static_cast<double>(x.size() / channels);
  Moments m{std::vector<double>(channels), std::vector<double>(channels)};
  for (std::size_t i = 0; i < x.size(); ++i) m.mean[i % channels] += x[i] / count;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = x[i] - m.mean[i % channels];
    m.variance[i % channels] += d * d / count;
  }
  return m;
}

// x, and what must be like it.
const Strided& check(cudnnBatchNormMode_t mode, cudnnTensorDescriptor_t x,
                     std::initializer_list<cudnnTensorDescriptor_t> others,
                     cudnnTensorDescriptor_t parameters) {
  need(mode == CUDNN_BATCHNORM_SPATIAL || mode == CUDNN_BATCHNORM_SPATIAL_PERSISTENT,
       CUDNN_STATUS_NOT_SUPPORTED, "the emulator has the spatial modes");
  const Strided& layout = dense(x, "x");
  for (const cudnnTensorDescriptor_t each : others) {
    const Strided& other = dense(each, "y, dy or dx");
    need(std::equal(layout.dims, layout.dims + 4, other.dims) && layout.type == other.type,
         CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, "y, dy or dx is not like x");
    need(channels_last(layout) == channels_last(other), CUDNN_STATUS_NOT_SUPPORTED_LAYOUT,
         "y, dy or dx has another layout than x");
  }
  need_per_channel(parameters, layout.dims[1], Number::kFloat, "the descriptor of scale and bias");
  return layout;
}

void need_both(const void* a, const void* b, const Strided& per_channel, const char* names) {
  need((a == nullptr) == (b == nullptr), CUDNN_STATUS_BAD_PARAM, fmt::format("one of {} is null", names));
  if (!a) return;
  need_memory(a, per_channel, names, 4);
  need_memory(b, per_channel, names, 4);
}

void normalize(const Strided& x_layout, const void* x, const Strided& y_layout, void* y,
               const Moments& moments, const std::vector<double>& scale, const std::vector<double>& bias,
               double epsilon, double alpha, double beta) {
  std::vector<double> values = gather(x, pixels(x_layout));
  const std::size_t channels = scale.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t c = i % channels;
    values[i] = scale[c] * (values[i] - moments.mean[c]) / std::sqrt(moments.variance[c] + epsilon) + bias[c];
  }
  scatter(values, alpha, beta, pixels(y_layout), y);
}

}  // namespace
}  // namespace simt

using namespace simt;

cudnnStatus_t cudnnBatchNormalizationForwardTraining(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alpha, const void* beta,
    cudnnTensorDescriptor_t x_descriptor, const void* x, cudnnTensorDescriptor_t y_descriptor, void* y,
    cudnnTensorDescriptor_t parameters, const void* scale, const void* bias, double momentum,
    void* running_mean, void* running_variance, double epsilon, void* saved_mean, void* saved_rstd) {
  return cudnn_call("cudnnBatchNormalizationForwardTraining", [&] {
    const Strided in = check(mode, x_descriptor, {y_descriptor}, parameters);
    const Strided out = y_descriptor->layout, per_channel = parameters->layout;
    const double by_alpha = scale_of(alpha, "alpha"), by_beta = scale_of(beta, "beta");
    need(epsilon >= CUDNN_BN_MIN_EPSILON, CUDNN_STATUS_BAD_PARAM, "epsilon is negative");
    need_memory(x, in, "x", 16);
    need_memory(y, out, "y", 16);
    need_memory(scale, per_channel, "scale", 4);
    need_memory(bias, per_channel, "bias", 4);
    need_both(running_mean, running_variance, per_channel, "the running mean and variance");
    need_both(saved_mean, saved_rstd, per_channel, "the saved mean and inverse deviation");
    submit_cudnn(handle, {}, [=] {
      const std::vector<double> values = gather(x, pixels(in));
      const Moments batch = moments_of(values, per_channel.values());
      if (saved_mean) {
        std::vector<double> rstd(batch.variance.size());
        std::transform(batch.variance.begin(), batch.variance.end(), rstd.begin(),
                       [&](double variance) { return 1 / std::sqrt(variance + epsilon); });
        scatter(batch.mean, 1, 0, per_channel, saved_mean);
        scatter(rstd, 1, 0, per_channel, saved_rstd);
      }
      if (running_mean) {
        const double count = static_cast<double>(values.size() / per_channel.values());
        scatter(batch.mean, momentum, 1 - momentum, per_channel, running_mean);
        scatter(batch.variance, momentum * count / (count - 1), 1 - momentum, per_channel, running_variance);
      }
      normalize(in, x, out, y, batch, gather(scale, per_channel), gather(bias, per_channel), epsilon,
                by_alpha, by_beta);
    });
  });
}

cudnnStatus_t cudnnBatchNormalizationForwardInference(cudnnHandle_t handle, cudnnBatchNormMode_t mode,
                                                      const void* alpha, const void* beta,
                                                      cudnnTensorDescriptor_t x_descriptor, const void* x,
                                                      cudnnTensorDescriptor_t y_descriptor, void* y,
                                                      cudnnTensorDescriptor_t parameters, const void* scale,
                                                      const void* bias, const void* mean,
                                                      const void* variance, double epsilon) {
  return cudnn_call("cudnnBatchNormalizationForwardInference", [&] {
    const Strided in = check(mode, x_descriptor, {y_descriptor}, parameters);
    const Strided out = y_descriptor->layout, per_channel = parameters->layout;
    const double by_alpha = scale_of(alpha, "alpha"), by_beta = scale_of(beta, "beta");
    need(epsilon >= CUDNN_BN_MIN_EPSILON, CUDNN_STATUS_BAD_PARAM, "epsilon is negative");
    need_memory(x, in, "x", 16);
    need_memory(y, out, "y", 16);
    for (const void* each : {scale, bias, mean, variance})
      need_memory(each, per_channel, "scale, bias, mean or variance", 4);
    submit_cudnn(handle, {}, [=] {
      normalize(in, x, out, y, {gather(mean, per_channel), gather(variance, per_channel)},
                gather(scale, per_channel), gather(bias, per_channel), epsilon, by_alpha, by_beta);
    });
  });
}

cudnnStatus_t cudnnBatchNormalizationBackward(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alpha_data, const void* beta_data,
    const void* alpha_parameters, const void* beta_parameters, cudnnTensorDescriptor_t x_descriptor,
    const void* x, cudnnTensorDescriptor_t dy_descriptor, const void* dy,
    cudnnTensorDescriptor_t dx_descriptor, void* dx, cudnnTensorDescriptor_t parameters, const void* scale,
    void* dscale, void* dbias, double epsilon, const void* saved_mean, const void* saved_rstd) {
  return cudnn_call("cudnnBatchNormalizationBackward", [&] {
    const Strided in = check(mode, x_descriptor, {dy_descriptor, dx_descriptor}, parameters);
    const Strided dy_layout = dy_descriptor->layout, dx_layout = dx_descriptor->layout;
    const Strided per_channel = parameters->layout;
    const double by_alpha = scale_of(alpha_data, "alpha"), by_beta = scale_of(beta_data, "beta");
    const double parameters_alpha = scale_of(alpha_parameters, "alpha of the parameters");
    const double parameters_beta = scale_of(beta_parameters, "beta of the parameters");
    need_memory(x, in, "x", 16);
    need_memory(dy, dy_layout, "dy", 16);
    need_memory(dx, dx_layout, "dx", 16);
    need_memory(scale, per_channel, "scale", 4);
    need_memory(dscale, per_channel, "dscale", 4);
    need_memory(dbias, per_channel, "dbias", 4);
    need_both(saved_mean, saved_rstd, per_channel, "the saved mean and inverse deviation");
    submit_cudnn(handle, {}, [=] {
      const std::vector<double> values = gather(x, pixels(in)), gradient = gather(dy, pixels(dy_layout));
      const std::size_t channels = per_channel.values();
      const double count = static_cast<double>(values.size() / channels);
      std::vector<double> mean, rstd;
      if (saved_mean) {
        mean = gather(saved_mean, per_channel);
        rstd = gather(saved_rstd, per_channel);
      } else {
        Moments batch = moments_of(values, channels);
        mean = batch.mean;
        for (const double variance : batch.variance) rstd.push_back(1 / std::sqrt(variance + epsilon));
      }
      const auto normalized = [&](std::size_t i) {
        return (values[i] - mean[i % channels]) * rstd[i % channels];
      };
      std::vector<double> sum(channels), product(channels);
      for (std::size_t i = 0; i < values.size(); ++i) {
        sum[i % channels] += gradient[i];
        product[i % channels] += gradient[i] * normalized(i);
      }
      const std::vector<double> gamma = gather(scale, per_channel);
      std::vector<double> result(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t c = i % channels;
        result[i] = gamma[c] * rstd[c] * (gradient[i] - sum[c] / count - normalized(i) * product[c] / count);
      }
      scatter(result, by_alpha, by_beta, pixels(dx_layout), dx);
      scatter(product, parameters_alpha, parameters_beta, per_channel, dscale);
      scatter(sum, parameters_alpha, parameters_beta, per_channel, dbias);
    });
  });
}
