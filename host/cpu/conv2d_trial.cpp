// The library is not taken at its word. What it wants to convolve with is run once as we run it, on noise,
// with NaN in every byte that it must not rely on: before and behind activations, in outputs, in scratch and
// in packed weights. A NaN that comes through, or a value that is not the definition's, and its next
// implementation is tried.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "host/cpu/conv2d.hpp"
#include "layers/as_size.hpp"
#include "layers/philox.hpp"

namespace normlab {

namespace {

/// Of what is summed up in size: far above rounding, far below a term left out.
constexpr double kTolerance = 1e-4;
/// Multiply-adds of the definition in a trial: where a pass has more, outputs are checked at regular
/// distances. That they are finite is checked for all.
constexpr double kTerms = 1 << 18;

constexpr ConvPass kPasses[] = {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights};

std::string text_of(ConvPass pass) {
  switch (pass) {
    case ConvPass::forward:
      return "forward";
    case ConvPass::backward_data:
      return "backward to the input";
    default:
      return "backward to the weights";
  }
}

std::string text_of(const Conv2dSpec& spec) {
  return fmt::format("{0}x{0} convolution of {1}x{2}x{3} to {4} channels, stride {5}, padding {6}, {7}",
                     spec.kernel, spec.x.c, spec.x.h, spec.x.w, spec.out_channels, spec.stride, spec.padding,
                     precision_name(spec.type));
}

/// Memory full of NaN, as floats and as bf16, with more of it on both sides.
class Poisoned {
 public:
  Poisoned(HostBackend& backend, std::size_t bytes) : buffer_(backend, bytes + 2 * kMargin) {
    std::memset(buffer_.data(), 0xFF, buffer_.bytes());
  }
  [[nodiscard]] std::byte* data() const { return buffer_.data() + kMargin; }
  [[nodiscard]] float* floats() const { return reinterpret_cast<float*>(data()); }

 private:
  static constexpr std::size_t kMargin = 4096;
  Buffer buffer_;
};

/// A sum of the definition, and of the sizes of its terms.
struct Sum {
  double value = 0, size = 0;
  void add(float a, float b) {
    const double term = static_cast<double>(a) * static_cast<double>(b);
    value += term;
    size += std::abs(term);
  }
};

/// Noise for a convolution of some samples, and what the definition makes of it.
class Trial {
 public:
  Trial(const Conv2dSpec& spec, int samples)
      : spec_(spec), x_(spec.x.with_n(samples)), y_(spec.y().with_n(samples)) {
    const auto taps = as_size(spec.kernel * spec.kernel);
    weight_ = noise(as_size(spec.out_channels) * as_size(spec.x.c) * taps);
    bias_ = noise(spec.bias ? as_size(spec.out_channels) : 0);
    input_ = noise(x_.count());
    gradient_ = noise(y_.count());
  }

  /// What the plan gets wrong in this pass; nothing if it is right.
  [[nodiscard]] std::string fault(HostBackend& backend, Conv2dPlan& plan, ConvPass pass) const {
    const Poisoned packed(backend, plan.packed_values() * sizeof(float));
    const Poisoned scratch(backend, plan.scratch_bytes());
    const Poisoned x_memory(backend, backend.bytes(x_, spec_.type, spec_.x_layout));
    const Poisoned y_memory(backend, backend.bytes(y_, spec_.type, Layout::native));
    const Tensor x{x_memory.data(), x_, spec_.type, spec_.x_layout}, y{y_memory.data(), y_, spec_.type};
    plan.pack(weight_.data(), spec_.bias ? bias_.data() : nullptr, packed.floats());
    std::vector<float> found;
    switch (pass) {
      case ConvPass::forward:
        backend.upload(input_.data(), x);
        plan.forward(x, packed.floats(), y, scratch.data(), 0);
        found.resize(y_.count());
        backend.download(y, found.data());
        return first_fault("y", found, rounding(), [&](std::size_t i) { return output(i); });
      case ConvPass::backward_data:
        backend.upload(gradient_.data(), y);
        plan.backward_data(y, packed.floats(), x, scratch.data(), 0);
        found.resize(x_.count());
        backend.download(x, found.data());
        return first_fault("dx", found, rounding(), [&](std::size_t i) { return input_gradient(i); });
      default:
        break;
    }
    backend.upload(input_.data(), x);
    backend.upload(gradient_.data(), y);
    const Poisoned gradients(backend, plan.packed_gradients() * sizeof(float));
    backend.clear(gradients.data(), plan.packed_gradients() * sizeof(float));  // they accumulate
    plan.backward_weights(x, y, gradients.floats(), scratch.data(), 0);
    std::vector<float> dbias(bias_.size());
    found.resize(weight_.size());
    plan.unpack(gradients.floats(), found.data(), dbias.data());
    std::string fault = first_fault("dweight", found, 0, [&](std::size_t i) { return weight_gradient(i); });
    if (fault.empty())
      fault = first_fault("dbias", dbias, 0, [&](std::size_t i) { return bias_gradient(i); });
    return fault;
  }

 private:
  /// Between -1 and 1, with no more digits than bf16 has.
  static std::vector<float> noise(std::size_t count) {
    Philox random(count, Purpose::probe);
    std::vector<float> values(count);
    for (float& value : values) value = (static_cast<float>(random.below(256)) - 127.5F) / 128;
    return values;
  }

  [[nodiscard]] double rounding() const { return spec_.type == DataType::bf16 ? 1.0 / 128 : 0; }

  template <typename Definition>
  static std::string first_fault(const char* name, const std::vector<float>& found, double rounding,
                                 Definition definition) {
    const auto is_wrong = [&](std::size_t i, const Sum& sum) {
      return !(std::abs(static_cast<double>(found[i]) - sum.value) <=
               kTolerance * sum.size + rounding * std::abs(sum.value));
    };
    const auto text = [&](std::size_t i, const Sum& sum) {
      return fmt::format("{}[{}] is {}, not {:.6g}", name, i, found[i], sum.value);
    };
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!std::isfinite(found[i])) return text(i, definition(i).sum);
    }
    double terms = 0;
    for (std::size_t i = 0; i < found.size();) {
      const auto [sum, count] = definition(i);
      if (is_wrong(i, sum)) return text(i, sum);
      terms = std::max(terms, count);
      // An odd distance comes to each channel, row and column in turn.
      i += static_cast<std::size_t>(terms * static_cast<double>(found.size()) / kTerms) | 1U;
    }
    const std::size_t last = found.size() - 1;
    if (found.empty() || !is_wrong(last, definition(last).sum)) return "";
    return text(last, definition(last).sum);
  }

  struct Defined {
    Sum sum;
    double terms;
  };
  /// An index as the indices (n, c, h, w) of a tensor.
  struct Place {
    int n, c, h, w;
    Place(std::size_t at, int channels, int height, int width) {
      const auto i = static_cast<int>(at);
      w = i % width;
      h = i / width % height;
      c = i / (width * height) % channels;
      n = i / (width * height * channels);
    }
  };
  static std::size_t index(const Shape& s, int n, int c, int h, int w) {
    return as_size(((n * s.c + c) * s.h + h) * s.w + w);
  }
  [[nodiscard]] float x(int n, int c, int h, int w) const { return input_[index(x_, n, c, h, w)]; }
  [[nodiscard]] float dy(int n, int c, int h, int w) const { return gradient_[index(y_, n, c, h, w)]; }
  [[nodiscard]] float weight(int o, int c, int i, int j) const {
    return weight_[index({spec_.out_channels, x_.c, spec_.kernel, spec_.kernel}, o, c, i, j)];
  }
  [[nodiscard]] bool in_input(int h, int w) const { return h >= 0 && h < x_.h && w >= 0 && w < x_.w; }

  [[nodiscard]] Defined output(std::size_t at) const {
    const Place y(at, y_.c, y_.h, y_.w);
    Sum sum;
    if (spec_.bias) sum.add(bias_[as_size(y.c)], 1);
    for (int i = 0; i < spec_.kernel; ++i) {
      for (int j = 0; j < spec_.kernel; ++j) {
        const int h = y.h * spec_.stride - spec_.padding + i, w = y.w * spec_.stride - spec_.padding + j;
        for (int c = 0; c < x_.c && in_input(h, w); ++c) sum.add(x(y.n, c, h, w), weight(y.c, c, i, j));
      }
    }
    return {sum, static_cast<double>(x_.c) * spec_.kernel * spec_.kernel};
  }
  [[nodiscard]] Defined input_gradient(std::size_t at) const {
    const Place p(at, x_.c, x_.h, x_.w);
    Sum sum;
    for (int i = 0; i < spec_.kernel; ++i) {
      for (int j = 0; j < spec_.kernel; ++j) {
        const int h = p.h + spec_.padding - i,
                  w = p.w + spec_.padding - j;  // of the output, times the stride
        if (h < 0 || w < 0 || h % spec_.stride != 0 || w % spec_.stride != 0) continue;
        const int row = h / spec_.stride, column = w / spec_.stride;
        for (int o = 0; o < y_.c && row < y_.h && column < y_.w; ++o)
          sum.add(dy(p.n, o, row, column), weight(o, p.c, i, j));
      }
    }
    return {sum, static_cast<double>(y_.c) * spec_.kernel * spec_.kernel};
  }
  [[nodiscard]] Defined weight_gradient(std::size_t at) const {
    const Place tap(at, x_.c, spec_.kernel, spec_.kernel);
    Sum sum;
    for (int n = 0; n < y_.n; ++n) {
      for (int i = 0; i < y_.h; ++i) {
        for (int j = 0; j < y_.w; ++j) {
          const int h = i * spec_.stride - spec_.padding + tap.h,
                    w = j * spec_.stride - spec_.padding + tap.w;
          if (in_input(h, w)) sum.add(x(n, tap.c, h, w), dy(n, tap.n, i, j));
        }
      }
    }
    return {sum, static_cast<double>(y_.n) * y_.pixels()};
  }
  [[nodiscard]] Defined bias_gradient(std::size_t at) const {
    Sum sum;
    for (int n = 0; n < y_.n; ++n) {
      for (int i = 0; i < y_.h; ++i) {
        for (int j = 0; j < y_.w; ++j) sum.add(dy(n, static_cast<int>(at), i, j), 1);
      }
    }
    return {sum, static_cast<double>(y_.n) * y_.pixels()};
  }

  Conv2dSpec spec_;
  Shape x_, y_;
  std::vector<float> weight_, bias_, input_, gradient_;
};

/// What trials found: the implementations to take, or that none are left.
struct Findings {
  Implementations implementations;
  bool are_left = true;
  std::vector<std::string> notes;
};

struct Failure {
  ConvPass pass;
  int samples;
  std::string implementation, fault;
};

std::vector<std::string> notes_of(const Conv2dSpec& spec, const std::vector<Failure>& failures,
                                  const LibraryConv2dPlan* plan) {
  std::vector<std::string> notes;
  for (std::size_t i = 0; i < failures.size(); ++i) {
    const Failure& failure = failures[i];
    const bool is_known = std::any_of(
        failures.begin(), failures.begin() + static_cast<std::ptrdiff_t>(i), [&](const Failure& other) {
          return other.pass == failure.pass && other.implementation == failure.implementation;
        });
    if (is_known) continue;  // the same for pieces of another size
    notes.push_back(fmt::format("{}, {}: oneDNN's {} is wrong ({}); {} is used", text_of(spec),
                                text_of(failure.pass), failure.implementation, failure.fault,
                                plan == nullptr
                                    ? "our own direct convolution"
                                    : "its " + plan->implementation(failure.pass, failure.samples)));
  }
  return notes;
}

Findings try_out(HostBackend& backend, const Conv2dSpec& spec, const MakeLibraryPlan& make) {
  Findings findings;
  std::vector<Failure> failures;
  std::unique_ptr<LibraryConv2dPlan> plan = make(backend, spec, findings.implementations);
  // The largest piece first: it chooses the formats of weights, the others follow.
  for (int samples = plan ? plan->largest_piece() : 0; samples >= 1; samples /= 2) {
    const Trial trial(spec, samples);
    for (const ConvPass pass : kPasses) {
      if (pass == ConvPass::backward_data && !spec.needs_dx) continue;
      while (plan) {
        const std::string fault = trial.fault(backend, *plan, pass);
        if (fault.empty()) break;
        failures.push_back({pass, samples, plan->implementation(pass, samples), fault});
        ++findings.implementations[{pass, samples}];
        plan = make(backend, spec, findings.implementations);
      }
    }
  }
  findings.are_left = plan != nullptr;
  findings.notes = notes_of(spec, failures, plan.get());
  return findings;
}

TriedPlan plan_of(HostBackend& backend, const Conv2dSpec& spec, const MakeLibraryPlan& make,
                  const Findings& findings) {
  if (!findings.are_left) return {direct_plan(backend, spec), findings.notes};
  return {make(backend, spec, findings.implementations), findings.notes};
}

}  // namespace

TriedPlan tried_plan(HostBackend& backend, const Conv2dSpec& spec, const MakeLibraryPlan& make) {
  return plan_of(backend, spec, make, try_out(backend, spec, make));
}

TriedPlan tried_plan(HostBackend& backend, const Conv2dSpec& spec) {
  static std::mutex mutex;
  static std::map<std::string, Findings> known;
  const std::string key =
      fmt::format("{} {} {} {} {} {} {}", text_of(spec), spec.x.n, spec.bias, spec.x_layout == Layout::image,
                  spec.needs_dx, backend.blocked(spec.type), backend.isa());
  const std::lock_guard lock(mutex);  // a run that wants the same shape waits for what is found
  auto found = known.find(key);
  if (found == known.end()) found = known.emplace(key, try_out(backend, spec, library_plan)).first;
  return plan_of(backend, spec, library_plan, found->second);
}

}  // namespace normlab
