#pragma once
// Shape and Tensor: the nouns of every layer.

#include <fmt/format.h>

#include <cstddef>
#include <string>

#include "layers/as_size.hpp"
#include "layers/data_type.hpp"

namespace normlab {

/// Logical extents of an activation: samples, channels, rows, columns. How the elements lie in memory is the
/// backend's secret.
struct Shape {
  int n = 0, c = 0, h = 0, w = 0;

  [[nodiscard]] int pixels() const { return h * w; }
  [[nodiscard]] std::size_t per_sample() const { return as_size(c) * as_size(h) * as_size(w); }
  [[nodiscard]] std::size_t count() const { return as_size(n) * per_sample(); }
  [[nodiscard]] Shape with_n(int samples) const { return {samples, c, h, w}; }
  [[nodiscard]] std::string str() const { return fmt::format("{}x{}x{}x{}", n, c, h, w); }
  bool operator==(const Shape&) const = default;
};

/// `native` is what the backend computes in. `image` is a network's input with few channels, which only a
/// first convolution reads: padding its channels as `native` does would waste most of that layer's work.
enum class Layout { native, image };

/// A view: it owns nothing. `data` may point to device memory; only the backend looks inside.
struct Tensor {
  std::byte* data = nullptr;
  Shape shape;
  DataType type = DataType::f32;
  Layout layout = Layout::native;

  [[nodiscard]] bool empty() const { return data == nullptr; }
  /// The elements as what `type` says they are (checked builds check it).
  template <typename T>
  [[nodiscard]] T* as() const {
#ifdef NORMLAB_CHECKED
    if (kDataType<T> != type) {
      throw Error("a tensor stored as {} was taken for {}", precision_name(type),
                  precision_name(kDataType<T>));
    }
#endif
    return reinterpret_cast<T*>(data);
  }
};

}  // namespace normlab
