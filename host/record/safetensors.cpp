#include "host/record/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>

#include "host/record/crc32c.hpp"
#include "host/record/file.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab {

static_assert(std::endian::native == std::endian::little, "the file formats are little-endian");

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t length_bytes = 8;
constexpr std::uint64_t header_limit = std::uint64_t{1} << 20;
constexpr std::size_t axis_limit = 8;
/// What a file may have, so that neither memory nor time are at the mercy of what it says of itself.
constexpr std::uint64_t file_limit = std::uint64_t{1} << 31;
constexpr std::size_t tensor_limit = 4096;
constexpr std::size_t key_limit = 8 * tensor_limit;
constexpr std::string_view metadata_key = "__metadata__";
constexpr std::string_view checksum_prefix = "crc32c.";
/// A header with a checksum of its own begins so; then come the 8 digits of the checksum, which is that of
/// the header with zeros in their place.
constexpr std::string_view sealed_prefix = R"({"__metadata__":{"crc32c":")";
constexpr std::string_view seal_key = "crc32c";
constexpr std::string_view no_seal = "00000000";

std::string digits_of(std::uint32_t checksum) {
  return fmt::format("{:08x}", checksum);
}

/// The checksum that a header should have.
std::uint32_t seal_of(std::string header) {
  header.replace(sealed_prefix.size(), no_seal.size(), no_seal);
  return crc32c(bytes_of(header));
}

constexpr TensorType all_types[] = {TensorType::f64, TensorType::f32, TensorType::bf16, TensorType::i64,
                                    TensorType::u8};

std::optional<TensorType> type_named(std::string_view name) {
  for (const TensorType type : all_types)
    if (name_of(type) == name) return type;
  return std::nullopt;
}

/// Bytes of a tensor; none if the shape is impossible or too large for the address space.
std::optional<std::uint64_t> bytes_of_shape(TensorType type, const std::vector<std::int64_t>& shape) {
  std::uint64_t bytes = size_of(type);
  for (const std::int64_t extent : shape)
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes))
      return std::nullopt;
  return bytes;
}

template <typename T>
NamedTensor make_tensor(std::string name, TensorType type, std::vector<std::int64_t> shape,
                        std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  return {std::move(name), type, std::move(shape), {bytes.begin(), bytes.end()}};
}

template <typename T>
std::vector<T> elements(const NamedTensor& tensor, TensorType type) {
  if (tensor.type != type)
    throw Error("tensor '{}' holds {}, not {}", tensor.name, name_of(tensor.type), name_of(type));
  std::vector<T> values(tensor.data.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(T));
  return values;
}

/// A tensor as the header tells of it.
struct Entry {
  std::string name;
  TensorType type = TensorType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  // from the beginning of the data
};

/// Reads headers: everything in them is checked here.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view name) : name_(name) {}

  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<std::pair<std::string, std::uint32_t>> checksums;
  bool sealed = false;

  void read(std::string_view text, std::uint64_t data_bytes);

 private:
  std::string_view name_;

  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error("'{}' is not a good safetensors file: {}", name_,
                fmt::format(format, std::forward<Args>(args)...));
  }
  void read_metadata(const Json& object);
  void read_entry(const std::string& name, const Json& object);
  void check_coverage(std::uint64_t data_bytes) const;
};

void HeaderReader::read(std::string_view text, std::uint64_t data_bytes) {
  sealed = text.starts_with(sealed_prefix);
  if (sealed && text.substr(sealed_prefix.size(), no_seal.size()) != digits_of(seal_of(std::string(text))))
    refuse("its header is damaged: its checksum is wrong");
  // The JSON library skips a byte order mark, and takes a NUL for the end of the text.
  if (!text.starts_with('{')) refuse("its header is no JSON object: it does not begin with {{");
  if (text.find('\0') != text.npos) refuse("its header is no JSON object: it holds a NUL");
  if (text[text.find_last_not_of(' ')] != '}')
    refuse("what follows the JSON of its header is not only spaces");
  std::size_t keys = 0;
  std::vector<std::set<std::string>> names;  // of each object that is open
  const auto check_names = [&](int, Json::parse_event_t event, const Json& value) {
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event != Json::parse_event_t::key) return true;
    if (++keys > key_limit) refuse("its header has too many names");
    const auto& name = value.get_ref<const std::string&>();
    if (!names.back().insert(name).second) refuse("'{}' stands twice in its header", name);
    return true;
  };
  const Json header = Json::parse(text.begin(), text.end(), check_names, false);
  if (!header.is_object()) refuse("its header is no JSON object");
  for (const auto& [name, object] : header.items()) {
    if (name == metadata_key)
      read_metadata(object);
    else
      read_entry(name, object);
  }
  check_coverage(data_bytes);
}

void HeaderReader::read_metadata(const Json& object) {
  if (!object.is_object()) refuse("its metadata is no JSON object");
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) refuse("its metadata '{}' is no string", key);
    const auto& text = value.get_ref<const std::string&>();
    if (sealed && key == seal_key) continue;
    if (!key.starts_with(checksum_prefix)) {
      metadata.emplace_back(key, text);
      continue;
    }
    std::uint32_t checksum = 0;
    const auto end = text.data() + text.size();
    if (text.size() != 8 || std::from_chars(text.data(), end, checksum, 16).ptr != end)
      refuse("its metadata '{}' is no checksum", key);
    checksums.emplace_back(key.substr(checksum_prefix.size()), checksum);
  }
}

void HeaderReader::read_entry(const std::string& name, const Json& object) {
  const auto is_list = [&](const char* key) { return object.contains(key) && object[key].is_array(); };
  if (!object.is_object() || !object.contains("dtype") || !object["dtype"].is_string() || !is_list("shape") ||
      !is_list("data_offsets") || object["data_offsets"].size() != 2 || object["shape"].size() > axis_limit)
    refuse("the description of tensor '{}' is broken", name);
  const auto& type_name = object["dtype"].get_ref<const std::string&>();
  const auto type = type_named(type_name);
  if (!type) refuse("tensor '{}' is of type '{}', which this build does not read", name, type_name);

  Entry entry{name, *type, {}, 0, 0};
  for (const Json& extent : object["shape"]) {
    if (!extent.is_number_unsigned() ||
        extent.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      refuse("tensor '{}' has an impossible shape", name);
    entry.shape.push_back(extent.get<std::int64_t>());
  }
  const Json &begin = object["data_offsets"][0], &end = object["data_offsets"][1];
  if (!begin.is_number_unsigned() || !end.is_number_unsigned()) refuse("tensor '{}' has no offsets", name);
  entry.begin = begin.get<std::uint64_t>();
  entry.end = end.get<std::uint64_t>();
  if (entry.end < entry.begin || bytes_of_shape(entry.type, entry.shape) != entry.end - entry.begin)
    refuse("the length of tensor '{}' does not fit its shape", name);
  entries.push_back(std::move(entry));
}

/// Tensors lie one after the other, from the first byte of the data to the last.
void HeaderReader::check_coverage(std::uint64_t data_bytes) const {
  std::vector<const Entry*> order;
  for (const Entry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t at = 0;
  for (const Entry* entry : order) {
    if (entry->begin != at) refuse("tensor '{}' overlaps another, or leaves a gap before it", entry->name);
    at = entry->end;
  }
  if (at != data_bytes)
    refuse("its tensors have {} bytes, the file has {}; it may be cut short", at, data_bytes);
}

}  // namespace

std::size_t size_of(TensorType type) {
  switch (type) {
    case TensorType::f64:
    case TensorType::i64:
      return 8;
    case TensorType::f32:
      return 4;
    case TensorType::bf16:
      return 2;
    case TensorType::u8:
      return 1;
  }
  return 0;
}

std::string_view name_of(TensorType type) {
  switch (type) {
    case TensorType::f64:
      return "F64";
    case TensorType::f32:
      return "F32";
    case TensorType::bf16:
      return "BF16";
    case TensorType::i64:
      return "I64";
    case TensorType::u8:
      return "U8";
  }
  return "?";
}

NamedTensor NamedTensor::of(std::string name, std::vector<std::int64_t> shape,
                            std::span<const float> values) {
  return make_tensor(std::move(name), TensorType::f32, std::move(shape), values);
}
NamedTensor NamedTensor::of(std::string name, std::vector<std::int64_t> shape,
                            std::span<const double> values) {
  return make_tensor(std::move(name), TensorType::f64, std::move(shape), values);
}
NamedTensor NamedTensor::of(std::string name, std::vector<std::int64_t> shape,
                            std::span<const std::int64_t> values) {
  return make_tensor(std::move(name), TensorType::i64, std::move(shape), values);
}
NamedTensor NamedTensor::of(std::string name, std::vector<std::int64_t> shape,
                            std::span<const std::uint8_t> values) {
  return make_tensor(std::move(name), TensorType::u8, std::move(shape), values);
}

std::vector<float> NamedTensor::floats() const {
  return elements<float>(*this, TensorType::f32);
}
std::vector<double> NamedTensor::doubles() const {
  return elements<double>(*this, TensorType::f64);
}
std::vector<std::int64_t> NamedTensor::integers() const {
  return elements<std::int64_t>(*this, TensorType::i64);
}

const NamedTensor* TensorFile::find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

const std::string* TensorFile::metadata_of(std::string_view key) const {
  const auto found =
      std::find_if(metadata.begin(), metadata.end(), [&](const auto& entry) { return entry.first == key; });
  return found == metadata.end() ? nullptr : &found->second;
}

std::vector<std::byte> encode_safetensors(const TensorFile& file) {
  std::set<std::string_view> names{metadata_key};
  if (file.tensors.size() > tensor_limit)
    throw Error("{} tensors are too many for one file, which may have {}", file.tensors.size(), tensor_limit);
  for (const NamedTensor& tensor : file.tensors) {
    if (!names.insert(tensor.name).second)
      throw Error("two tensors, or a tensor and the metadata, are called '{}'", tensor.name);
    if (tensor.shape.size() > axis_limit || bytes_of_shape(tensor.type, tensor.shape) != tensor.data.size())
      throw Error("tensor '{}' has {} bytes, which do not fit its shape", tensor.name, tensor.data.size());
  }

  std::vector<std::size_t> layout(file.tensors.size());
  std::iota(layout.begin(), layout.end(), std::size_t{0});
  std::stable_sort(layout.begin(), layout.end(), [&](std::size_t a, std::size_t b) {
    return size_of(file.tensors[a].type) > size_of(file.tensors[b].type);
  });
  std::vector<std::uint64_t> begins(layout.size());
  std::uint64_t data_bytes = 0;
  for (const std::size_t index : layout) {
    begins[index] = data_bytes;
    data_bytes += file.tensors[index].data.size();
  }

  Json header = Json::object();
  Json& metadata = header[std::string(metadata_key)] = Json::object();
  metadata[std::string(seal_key)] = no_seal;
  for (const auto& [key, value] : file.metadata) metadata[key] = value;
  for (const NamedTensor& tensor : file.tensors)
    metadata[std::string(checksum_prefix) + tensor.name] = digits_of(crc32c(tensor.data));
  for (std::size_t i = 0; i < file.tensors.size(); ++i) {
    const NamedTensor& tensor = file.tensors[i];
    header[tensor.name] = {{"dtype", name_of(tensor.type)},
                           {"shape", Json(tensor.shape)},
                           {"data_offsets", {begins[i], begins[i] + tensor.data.size()}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > header_limit || data_bytes > file_limit - header_limit - length_bytes)
    throw Error("{} tensors with {} bytes are too many for one file", file.tensors.size(), data_bytes);
  text.replace(sealed_prefix.size(), no_seal.size(), digits_of(seal_of(text)));

  std::vector<std::byte> bytes(length_bytes);
  const std::uint64_t length = text.size();
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes.reserve(length_bytes + text.size() + data_bytes);
  const auto header_bytes = bytes_of(text);
  bytes.insert(bytes.end(), header_bytes.begin(), header_bytes.end());
  for (const std::size_t index : layout)
    bytes.insert(bytes.end(), file.tensors[index].data.begin(), file.tensors[index].data.end());
  return bytes;
}

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  atomic_write_file(path, encode_safetensors(file));
}

TensorFile decode_safetensors(std::span<const std::byte> bytes, std::string_view name) {
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length)
    throw Error("'{}' is not a safetensors file: it has only {} bytes", name, bytes.size());
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > header_limit || length > bytes.size() - sizeof length)
    throw Error("'{}' is not a safetensors file, or is cut short: its header should have {} bytes", name,
                length);
  const auto header = bytes.subspan(sizeof length, as_size(length));
  const auto data = bytes.subspan(sizeof length + header.size());

  HeaderReader reader(name);
  reader.read({reinterpret_cast<const char*>(header.data()), header.size()}, data.size());
  TensorFile file{std::move(reader.metadata), {}, reader.sealed};
  for (const Entry& entry : reader.entries) {
    const auto part = data.subspan(as_size(entry.begin), as_size(entry.end - entry.begin));
    file.tensors.push_back({entry.name, entry.type, entry.shape, {part.begin(), part.end()}});
  }
  std::map<std::string_view, const NamedTensor*> by_name;
  for (const NamedTensor& tensor : file.tensors) by_name[tensor.name] = &tensor;
  for (const auto& [tensor_name, checksum] : reader.checksums) {
    const auto found = by_name.find(tensor_name);
    if (found == by_name.end()) throw Error("'{}': tensor '{}' is missing", name, tensor_name);
    if (crc32c(found->second->data) != checksum)
      throw Error("'{}': tensor '{}' is damaged: its checksum is wrong", name, tensor_name);
  }
  return file;
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  File file = File::open(path);
  const std::string name = path.string();
  const std::uint64_t size = file.size();
  if (size > file_limit)
    throw Error("'{}' has {} bytes, more than the {} that such a file may have", name, size, file_limit);
  std::vector<std::byte> bytes;
  const auto read_on = [&](std::uint64_t more) {
    const std::size_t have = bytes.size();
    bytes.resize(have + as_size(more));
    bytes.resize(have + file.read(std::span(bytes).subspan(have)));
  };
  read_on(length_bytes);
  std::uint64_t length = 0;
  if (bytes.size() == length_bytes) std::memcpy(&length, bytes.data(), sizeof length);
  // The rest is read only where the header accounts for all of it.
  if (bytes.size() == length_bytes && length <= header_limit && length <= size - length_bytes) {
    read_on(length);
    HeaderReader(name).read(
        {reinterpret_cast<const char*>(bytes.data()) + length_bytes, bytes.size() - length_bytes},
        size - length_bytes - length);
    read_on(size - bytes.size());
  }
  return decode_safetensors(bytes, name);
}

}  // namespace normlab
