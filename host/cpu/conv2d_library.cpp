// Convolution of any shape by oneDNN (direct algorithm). A plan holds primitives for 1, 2, 4, ... samples, so
// that a shard of any size is a few calls, and for each worker the memory objects that a call needs. Which of
// the library's implementations can be trusted, conv2d_trial.cpp finds out.

#include <algorithm>
#include <vector>

#include "host/cpu/conv2d.hpp"
#include "host/cpu/onednn.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

using dnnl::memory;

constexpr auto kF32 = memory::data_type::f32;

/// The floats that it takes up, whatever it holds.
std::size_t floats(const memory::desc& desc) {
  return (desc.get_size() + 127) / 128 * 32;
}

struct Accumulate {
  template <typename Set>
  static NORMLAB_INLINE void run(float* sum, const float* term, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) sum[i] += term[i];
  }
};

/// A primitive with the memory objects of one worker, ready to be pointed at data.
class Call {
 public:
  Call() = default;
  Call(dnnl::primitive primitive, std::initializer_list<std::pair<int, memory::desc>> arguments)
      : primitive_(std::move(primitive)) {
    for (const auto& [index, desc] : arguments) {
      if (desc.is_zero()) continue;
      memories_.push_back(memory(desc, onednn::engine(), DNNL_MEMORY_NONE));
      arguments_.push_back({index, memories_.back().get()});
    }
  }
  /// data: in the order of the arguments that are not empty.
  void operator()(std::initializer_list<const void*> data) {
    auto memory = memories_.begin();
    for (const void* pointer : data) {
      if (memory != memories_.end()) (memory++)->set_data_handle(const_cast<void*>(pointer));
    }
    dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), onednn::stream().get(),
                                                   static_cast<int>(arguments_.size()), arguments_.data()),
                            "could not execute a convolution");
  }

 private:
  dnnl::primitive primitive_;
  std::vector<memory> memories_;
  std::vector<dnnl_exec_arg_t> arguments_;
};

class LibraryPlan : public LibraryConv2dPlan {
 public:
  LibraryPlan(const HostBackend& backend, const Conv2dSpec& spec, const Implementations& implementations)
      : spec_(spec),
        implementations_(implementations),
        x_(spec.x, backend.blocked(spec.type)),
        y_(spec.y(), backend.blocked(spec.type)),
        stored_(spec.type == DataType::bf16 ? memory::data_type::bf16 : kF32) {
    const std::lock_guard lock(onednn::creation_mutex());
    in_ = spec.x_layout == Layout::image ? spec.x.c : x_.padded_channels();
    out_ = y_.padded_channels();
    const memory::dims weight_dims{out_, in_, spec.kernel, spec.kernel};
    staging_.resize(as_size(out_) * as_size(in_ * spec.kernel * spec.kernel));
    staging_desc_ = {weight_dims, kF32, memory::format_tag::oihw};
    const memory::desc any(weight_dims, stored_, memory::format_tag::any);

    // The largest piece chooses the formats; the others follow, so that weights are packed once.
    forward_desc_ = any;
    backward_desc_ = any;
    gradient_desc_ = {weight_dims, kF32, memory::format_tag::any};
    for (int n = largest_piece(); n >= 1; n /= 2) add_piece(backend, n);

    if (spec.bias) {
      bias_offset_ = floats(forward_desc_) + (spec.needs_dx ? floats(backward_desc_) : 0);
      dbias_offset_ = floats(gradient_desc_);
    }
    const auto reorder = [&](const memory::desc& from, const memory::desc& to) {
      return Call(dnnl::reorder({onednn::engine(), from, onednn::engine(), to}),
                  {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
    };
    pack_forward_ = reorder(staging_desc_, forward_desc_);
    if (spec.needs_dx) pack_backward_ = reorder(staging_desc_, backward_desc_);
    unpack_gradient_ = reorder(gradient_desc_, staging_desc_);
  }

  [[nodiscard]] int largest_piece() const override {
    int largest = 1;
    while (largest * 2 <= spec_.x.n) largest *= 2;
    return largest;
  }
  [[nodiscard]] std::string implementation(ConvPass pass, int samples) const override {
    return names_.at({pass, samples});
  }

  [[nodiscard]] std::size_t packed_values() const override {
    return floats(forward_desc_) + (spec_.needs_dx ? floats(backward_desc_) : 0) + padded_bias();
  }
  [[nodiscard]] std::size_t packed_gradients() const override {
    return floats(gradient_desc_) + padded_bias();
  }
  [[nodiscard]] std::size_t scratch_bytes() const override {
    return packed_gradients() * sizeof(float) + library_scratch_;
  }

  void pack(const float* weight, const float* bias, float* packed) override {
    const int taps = spec_.kernel * spec_.kernel;
    for (int o = 0; o < spec_.out_channels; ++o) {
      std::copy_n(weight + static_cast<std::ptrdiff_t>(o) * spec_.x.c * taps, spec_.x.c * taps,
                  staging_.data() + static_cast<std::ptrdiff_t>(o) * in_ * taps);
    }
    pack_forward_({staging_.data(), packed});
    if (spec_.needs_dx) pack_backward_({staging_.data(), packed + floats(forward_desc_)});
    if (spec_.bias) std::copy_n(bias, spec_.out_channels, packed + bias_offset_);
  }

  void unpack(const float* packed_gradients, float* dweight, float* dbias) override {
    const int taps = spec_.kernel * spec_.kernel;
    unpack_gradient_({packed_gradients, staging_.data()});
    for (int o = 0; o < spec_.out_channels; ++o) {
      std::copy_n(staging_.data() + static_cast<std::ptrdiff_t>(o) * in_ * taps, spec_.x.c * taps,
                  dweight + static_cast<std::ptrdiff_t>(o) * spec_.x.c * taps);
    }
    // The staging area's padding must be zero for pack().
    if (in_ != spec_.x.c || out_ != spec_.out_channels) std::fill(staging_.begin(), staging_.end(), 0.0F);
    if (spec_.bias) std::copy_n(packed_gradients + dbias_offset_, spec_.out_channels, dbias);
  }

  void forward(Tensor x, const float* packed, Tensor y, void* scratch, int worker) override {
    for_pieces(x.shape.n, worker, [&](Piece& piece, std::ptrdiff_t first) {
      if (spec_.bias) {
        piece.forward({x_at(x, first), packed, packed + bias_offset_, y_at(y, first), scratch});
      } else {
        piece.forward({x_at(x, first), packed, y_at(y, first), scratch});
      }
    });
    clear_padding(y, y_);
  }

  void backward_data(Tensor dy, const float* packed, Tensor dx, void* scratch, int worker) override {
    const float* weights = packed + floats(forward_desc_);
    for_pieces(dy.shape.n, worker, [&](Piece& piece, std::ptrdiff_t first) {
      piece.backward_data({y_at(dy, first), weights, x_at(dx, first), scratch});
    });
    clear_padding(dx, x_);
  }

  void backward_weights(Tensor x, Tensor dy, float* packed_gradients, void* scratch, int worker) override {
    auto* gradient = static_cast<float*>(scratch);  // of one piece; the library overwrites, we accumulate
    std::byte* rest = static_cast<std::byte*>(scratch) + this->packed_gradients() * sizeof(float);
    for_pieces(x.shape.n, worker, [&](Piece& piece, std::ptrdiff_t first) {
      if (spec_.bias) {
        piece.backward_weights({x_at(x, first), y_at(dy, first), gradient, gradient + dbias_offset_, rest});
      } else {
        piece.backward_weights({x_at(x, first), y_at(dy, first), gradient, rest});
      }
      kernel<Accumulate>(packed_gradients, gradient, this->packed_gradients());
    });
  }

 private:
  /// Calls for a fixed number of samples.
  struct Piece {
    Call forward, backward_data, backward_weights;
  };
  struct Size {
    int samples;
    std::vector<Piece> workers;
  };

  void add_piece(const HostBackend& backend, int n) {
    const bool blocked = backend.blocked(spec_.type);
    const auto native = blocked ? memory::format_tag::nChw16c : memory::format_tag::nhwc;
    const auto image = blocked ? memory::format_tag::nchw : memory::format_tag::nhwc;
    const Shape y = spec_.y();
    onednn::ConvDescs descs;
    descs.x = {{n, in_, spec_.x.h, spec_.x.w}, stored_, spec_.x_layout == Layout::image ? image : native};
    descs.y = {{n, out_, y.h, y.w}, stored_, native};
    if (spec_.bias) descs.bias = {{out_}, kF32, memory::format_tag::x};
    descs.strides = {spec_.stride, spec_.stride};
    descs.padding = {spec_.padding, spec_.padding};

    descs.weights = forward_desc_;
    const auto forward = onednn::forward(descs, implementation_of(ConvPass::forward, n));
    forward_desc_ = forward.weights_desc();
    descs.weights = gradient_desc_;
    const auto backward_weights =
        onednn::backward_weights(descs, forward, implementation_of(ConvPass::backward_weights, n));
    gradient_desc_ = backward_weights.diff_weights_desc();
    std::size_t scratch =
        std::max(forward.scratchpad_desc().get_size(), backward_weights.scratchpad_desc().get_size());
    names_[{ConvPass::forward, n}] = forward.impl_info_str();
    names_[{ConvPass::backward_weights, n}] = backward_weights.impl_info_str();
    const dnnl::convolution_forward forward_primitive(forward);
    const dnnl::convolution_backward_weights weights_primitive(backward_weights);
    dnnl::convolution_backward_data::primitive_desc backward_data;
    dnnl::convolution_backward_data data_primitive;
    if (spec_.needs_dx) {
      descs.weights = backward_desc_;
      backward_data = onednn::backward_data(descs, forward, implementation_of(ConvPass::backward_data, n));
      names_[{ConvPass::backward_data, n}] = backward_data.impl_info_str();
      backward_desc_ = backward_data.weights_desc();
      scratch = std::max(scratch, backward_data.scratchpad_desc().get_size());
      data_primitive = dnnl::convolution_backward_data(backward_data);
    }
    library_scratch_ = std::max(library_scratch_, scratch);

    Size size{n, {}};
    for (int worker = 0; worker < backend.workers(); ++worker) {
      Piece piece;
      piece.forward = Call(forward_primitive, {{DNNL_ARG_SRC, descs.x},
                                               {DNNL_ARG_WEIGHTS, forward_desc_},
                                               {DNNL_ARG_BIAS, descs.bias},
                                               {DNNL_ARG_DST, descs.y},
                                               {DNNL_ARG_SCRATCHPAD, forward.scratchpad_desc()}});
      piece.backward_weights =
          Call(weights_primitive, {{DNNL_ARG_SRC, descs.x},
                                   {DNNL_ARG_DIFF_DST, descs.y},
                                   {DNNL_ARG_DIFF_WEIGHTS, gradient_desc_},
                                   {DNNL_ARG_DIFF_BIAS, descs.bias},
                                   {DNNL_ARG_SCRATCHPAD, backward_weights.scratchpad_desc()}});
      if (spec_.needs_dx) {
        piece.backward_data = Call(data_primitive, {{DNNL_ARG_DIFF_DST, descs.y},
                                                    {DNNL_ARG_WEIGHTS, backward_desc_},
                                                    {DNNL_ARG_DIFF_SRC, descs.x},
                                                    {DNNL_ARG_SCRATCHPAD, backward_data.scratchpad_desc()}});
      }
      size.workers.push_back(std::move(piece));
    }
    sizes_.push_back(std::move(size));
  }

  [[nodiscard]] int implementation_of(ConvPass pass, int samples) const {
    const auto wanted = implementations_.find({pass, samples});
    return wanted == implementations_.end() ? 0 : wanted->second;
  }

  template <typename Work>
  void for_pieces(int samples, int worker, Work&& work) {
    int first = 0;
    for (Size& size : sizes_) {
      for (; samples - first >= size.samples; first += size.samples) {
        work(size.workers[as_size(worker)], first);
      }
    }
  }

  [[nodiscard]] std::byte* x_at(const Tensor& x, std::ptrdiff_t first) const {
    const auto image = static_cast<std::ptrdiff_t>(spec_.x.per_sample());
    return at(x, first * (spec_.x_layout == Layout::image ? image : x_.sample));
  }
  [[nodiscard]] std::byte* y_at(const Tensor& y, std::ptrdiff_t first) const {
    return at(y, first * y_.sample);
  }
  [[nodiscard]] std::byte* at(const Tensor& tensor, std::ptrdiff_t element) const {
    return tensor.data + element * static_cast<std::ptrdiff_t>(element_bytes(spec_.type));
  }
  [[nodiscard]] std::size_t padded_bias() const { return spec_.bias ? as_size(out_ + 31) / 32 * 32 : 0; }

  Conv2dSpec spec_;
  Implementations implementations_;
  std::map<std::pair<ConvPass, int>, std::string> names_;
  HostLayout x_, y_;
  memory::data_type stored_;      ///< of x, y and packed weights; gradients of weights, and biases, are f32
  memory::dim in_ = 0, out_ = 0;  ///< padded channels
  memory::desc staging_desc_, forward_desc_, backward_desc_, gradient_desc_;
  std::vector<float> staging_;  ///< one set of weights as plain padded OIHW
  std::size_t bias_offset_ = 0, dbias_offset_ = 0, library_scratch_ = 0;
  std::vector<Size> sizes_;  ///< largest first
  Call pack_forward_, pack_backward_, unpack_gradient_;
};

}  // namespace

std::unique_ptr<LibraryConv2dPlan> library_plan(HostBackend& backend, const Conv2dSpec& spec,
                                                const Implementations& implementations) try {
  return std::make_unique<LibraryPlan>(backend, spec, implementations);
} catch (const onednn::NoImplementation&) {
  return nullptr;
} catch (const dnnl::error& error) {
  if (error.status == dnnl_unimplemented) return nullptr;
  throw;
}

}  // namespace normlab
