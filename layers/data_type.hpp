#pragma once
// How activations and their gradients are stored. Arithmetic, statistics, parameters, their gradients and the
// optimizer's state are fp32 or wider whatever the storage.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "layers/error.hpp"

namespace normlab {

enum class DataType { f32, bf16 };

/// The upper half of a float: the same exponents, 8 significant bits.
struct Bf16 {
  std::uint16_t bits;

  Bf16() = default;
  /// Rounds to nearest, ties to even; NaN stays NaN.
  explicit Bf16(float value) : bits(rounded(std::bit_cast<std::uint32_t>(value))) {}
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

 private:
  static std::uint16_t rounded(std::uint32_t f) {
    const bool is_nan = (f & 0x7FFFFFFFU) > 0x7F800000U;
    return static_cast<std::uint16_t>(is_nan ? (f >> 16) | 0x40U : (f + 0x7FFFU + ((f >> 16) & 1U)) >> 16);
  }
};

template <typename T>
inline constexpr DataType kDataType =
    std::is_same_v<std::remove_const_t<T>, Bf16> ? DataType::bf16 : DataType::f32;

[[nodiscard]] inline std::size_t element_bytes(DataType type) {
  return type == DataType::bf16 ? sizeof(Bf16) : sizeof(float);
}

/// A type as a value, so that a lambda can be told one: [&]<typename T>(Stored<T>) { ... }.
template <typename T>
struct Stored {};

/// Calls work(Stored<T>()) with the C++ type T of the elements.
template <typename Work>
auto with_storage(DataType type, Work&& work) {
  return type == DataType::bf16 ? work(Stored<Bf16>()) : work(Stored<float>());
}

/// As --precision spells them.
[[nodiscard]] inline std::string precision_name(DataType type) {
  return type == DataType::bf16 ? "bf16" : "fp32";
}
[[nodiscard]] inline DataType parse_precision(const std::string& name) {
  for (const DataType type : {DataType::f32, DataType::bf16}) {
    if (name == precision_name(type)) return type;
  }
  throw UsageError("unknown precision '{}'; choose fp32 or bf16", name);
}

}  // namespace normlab
