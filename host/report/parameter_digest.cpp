#include "host/report/parameter_digest.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/data/digest.hpp"

namespace normlab {

std::string parameter_digest(const TensorFile& file) {
  std::vector<const NamedTensor*> tensors;
  for (const NamedTensor& tensor : file.tensors) tensors.push_back(&tensor);
  std::ranges::sort(tensors, {}, &NamedTensor::name);
  Digest digest(Digest::Kind::sha256);
  const auto add = [&](const void* bytes, std::size_t count) {
    digest.add({static_cast<const std::uint8_t*>(bytes), count});
  };
  for (const NamedTensor* tensor : tensors) {
    const std::string line =
        fmt::format("{} {} {}\n", tensor->name, name_of(tensor->type), fmt::join(tensor->shape, "x"));
    add(line.data(), line.size());
    add(tensor->data.data(), tensor->data.size());
  }
  return std::move(digest).hex();
}

}  // namespace normlab
