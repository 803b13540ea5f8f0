#include "tests/fuzz/targets.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "host/data/archive.hpp"
#include "host/record/log_reader.hpp"
#include "host/record/run_config.hpp"
#include "host/record/safetensors.hpp"
#include "layers/error.hpp"

namespace normlab::fuzz {

namespace {

void promise(bool kept) {
  if (!kept) std::abort();
}

/// Runs a parser; to refuse the bytes with an Error is right.
template <typename Parse>
void parse(Parse body) {
  try {
    body();
  } catch (const Error&) {
  }
}

void log(std::span<const std::uint8_t> bytes) {
  parse([&] {
    const Log log = read_log(std::as_bytes(bytes), "log");
    promise(log.bytes == bytes.size());
    for (const Row& row : log.rows) {
      promise(row.channel < log.channels.size());
      promise(log.values_of(row).size() + log.predictions_of(row).size() == row.count);
    }
  });
}

void safetensors(std::span<const std::uint8_t> bytes) {
  parse([&] {
    const TensorFile file = decode_safetensors(std::as_bytes(bytes), "file");
    TensorFile again;
    try {
      again = decode_safetensors(encode_safetensors(file), "again");
    } catch (const Error&) {
      return;  // more tensors or longer names than we would write
    }
    promise(again.tensors == file.tensors);
  });
}

void config(std::span<const std::uint8_t> bytes) {
  parse([&] {
    const RunConfig config =
        RunConfig::parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "config");
    const RunConfig again = RunConfig::parse(config.to_toml(), "again");
    promise(again.to_toml() == config.to_toml());
  });
}

void archive(std::span<const std::uint8_t> bytes) {
  const int descriptor = memfd_create("archive", 0);
  promise(descriptor >= 0);
  promise(write(descriptor, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  ArchiveSpec spec;
  spec.records = 3;
  parse([&] {
    for_each_member(
        "/proc/self/fd/" + std::to_string(descriptor), spec,
        [](const std::string& name, std::span<const std::uint8_t>) {
          promise(name.find('/') == std::string::npos && !name.empty());  // stays in its directory
        });
  });
  close(descriptor);
}

constexpr Target all[] = {
    {"log", log}, {"safetensors", safetensors}, {"config", config}, {"archive", archive}};

}  // namespace

std::span<const Target> targets() {
  return all;
}

}  // namespace normlab::fuzz
