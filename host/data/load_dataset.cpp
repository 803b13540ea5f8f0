#include "host/data/load_dataset.hpp"

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "host/data/archive.hpp"
#include "host/data/cifar.hpp"
#include "host/data/synthetic.hpp"
#include "host/system/paths.hpp"
#include "layers/error.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view synthetic_word = "synthetic";

/// The seed in "synthetic" (0) or "synthetic:SEED".
std::uint64_t synthetic_seed(const std::string& spec) {
  if (spec == synthetic_word) return 0;
  const std::string text = spec.substr(synthetic_word.size() + 1);
  std::uint64_t seed = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) {
    throw UsageError("'{}' has no seed after the colon: write synthetic:0, a whole number from 0 to 2^64 - 1",
                     spec);
  }
  return seed;
}

}  // namespace

std::string place_of(const std::string& spec) {
  if (spec.empty() || spec == synthetic_word || spec.starts_with("synthetic:")) return spec;
  const fs::path path = absolute_path(spec);
  return (path.has_filename() ? path : path.parent_path()).string();
}

Dataset load_dataset(const std::string& spec) {
  if (spec.empty()) throw UsageError("no data named: give synthetic, a directory, or an archive of CIFAR");
  if (spec == synthetic_word || spec.rfind("synthetic:", 0) == 0) return make_synthetic(synthetic_seed(spec));
  if (is_a_directory(spec)) return cifar::read_directory(spec);
  if (is_a_file(spec)) {
    if (const std::string fault = cifar::part_of_a_set(spec); !fault.empty()) throw Error("{}", fault);
    return read_archive(spec);
  }
  throw Error(
      "no data at '{}': {}. Give a directory with CIFAR-10's or CIFAR-100's binary files, the archive "
      "cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, or synthetic; `dataset fetch cifar10 DIR` gets "
      "CIFAR-10",
      spec, is_there(spec) ? "that is neither a file nor a directory" : "no such file or directory");
}

}  // namespace normlab
