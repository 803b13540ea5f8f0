#pragma once
// safetensors: named arrays in the file format of https://github.com/huggingface/safetensors, which PyTorch
// loads. Normlab adds to the metadata a CRC32C of each tensor, `crc32c.<name>`, and one of the header,
// `crc32c`, as 8 hexadecimal digits: see FORMAT.md.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace normlab {

enum class TensorType { f64, f32, bf16, i64, u8 };

/// Bytes of one element.
[[nodiscard]] std::size_t size_of(TensorType type);
/// The format's name: "F64", "F32", "BF16", "I64", "U8".
[[nodiscard]] std::string_view name_of(TensorType type);

/// An array with a name, row-major, elements little-endian. An empty shape is one element.
struct NamedTensor {
  std::string name;
  TensorType type = TensorType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> data;

  [[nodiscard]] static NamedTensor of(std::string name, std::vector<std::int64_t> shape,
                                      std::span<const float> values);
  [[nodiscard]] static NamedTensor of(std::string name, std::vector<std::int64_t> shape,
                                      std::span<const double> values);
  [[nodiscard]] static NamedTensor of(std::string name, std::vector<std::int64_t> shape,
                                      std::span<const std::int64_t> values);
  [[nodiscard]] static NamedTensor of(std::string name, std::vector<std::int64_t> shape,
                                      std::span<const std::uint8_t> values);

  /// The elements. Each throws Error if the tensor is of another type.
  [[nodiscard]] std::vector<float> floats() const;
  [[nodiscard]] std::vector<double> doubles() const;
  [[nodiscard]] std::vector<std::int64_t> integers() const;

  bool operator==(const NamedTensor&) const = default;
};

struct TensorFile {
  std::vector<std::pair<std::string, std::string>> metadata;  // without the checksums
  std::vector<NamedTensor> tensors;                           // in the order of the header
  bool sealed = false;  // of a file that was read: its header had a checksum

  /// The tensor of this name, nullptr if there is none.
  [[nodiscard]] const NamedTensor* find(std::string_view name) const;
  /// The metadata of this key, nullptr if there is none.
  [[nodiscard]] const std::string* metadata_of(std::string_view key) const;
};

/// What the checksums of a file that was read say of it.
[[nodiscard]] inline std::string_view checksums_text(const TensorFile& file) {
  return file.sealed ? "checksums right" : "no checksum of the whole: not every change to it would show";
}

/// The bytes of the file: they depend on the arguments alone. The header lists metadata and tensors in the
/// order given; the data lie by falling element size, so that each tensor is aligned.
/// Throws Error if a name repeats or is reserved, or data do not fit their shape.
[[nodiscard]] std::vector<std::byte> encode_safetensors(const TensorFile& file);

/// Writes `path` whole or not at all, replacing what was there. Throws Error.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

/// Reads and checks everything: lengths against the file before anything is allocated, that the tensors cover
/// the data without gap or overlap, and each checksum that is there. Throws Error that says what is wrong. A
/// file has at most 2 GiB and 4096 tensors.
[[nodiscard]] TensorFile read_safetensors(const std::filesystem::path& path);
/// The same from memory; `name` stands for the file in errors.
[[nodiscard]] TensorFile decode_safetensors(std::span<const std::byte> bytes, std::string_view name);

}  // namespace normlab
