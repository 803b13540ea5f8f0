#include "host/record/log_info.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/record/log_reader.hpp"
#include "host/record/run_directory.hpp"
#include "host/record/run_results.hpp"
#include "host/record/safetensors.hpp"
#include "host/system/paths.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

template <typename Numbers>
std::string shape_text(const Numbers& shape) {
  return shape.empty() ? "-" : fmt::format("{}", fmt::join(shape, "x"));
}

std::string log_text(const std::filesystem::path& path, std::vector<std::string>& problems) {
  const Log log = read_log(path);
  std::string text = fmt::format("{}\n  log version {}, bytes: {}, blocks: {}, rows: {}, {}\n", path.string(),
                                 log.version, log.bytes, log.blocks, log.rows.size(),
                                 log.outcome ? std::string(name_of(log.outcome->status))
                                             : "without an end: the run is going on, or was killed");
  if (log.outcome && !log.outcome->message.empty()) text += fmt::format("  {}\n", log.outcome->message);
  if (log.torn_bytes > 0)
    text += fmt::format("  the last {} bytes are an unfinished record\n", log.torn_bytes);

  struct Count {
    std::size_t rows = 0;
    int epoch = 0;
    std::int64_t step = 0;
  };
  std::vector<Count> counts(log.channels.size());
  for (const Row& row : log.rows) counts[row.channel] = {counts[row.channel].rows + 1, row.epoch, row.step};
  std::size_t width = 7;
  for (const Channel& channel : log.channels) width = std::max(width, channel.name.size());
  text += fmt::format("  {:{}}  {:10}  {:8}  {:>8}  {:>9}  {:>9}  {:>10}\n", "channel", width, "kind", "unit",
                      "shape", "rows", "at epoch", "at step");
  for (std::size_t i = 0; i < log.channels.size(); ++i) {
    const Channel& channel = log.channels[i];
    text += fmt::format("  {:{}}  {:10}  {:8}  {:>8}  {:>9}  {:>9}  {:>10}\n", channel.name, width,
                        name_of(channel.kind), channel.unit, shape_text(channel.shape), counts[i].rows,
                        counts[i].epoch, counts[i].step);
  }
  note_damage(log, path, problems);
  return text +
         (log.damage.empty() ? "  no damage\n" : fmt::format("  damaged in {} places\n", log.damage.size()));
}

std::string tensors_text(const std::filesystem::path& path) {
  const TensorFile file = read_safetensors(path);
  std::string text = fmt::format("{}\n", path.string());
  for (const auto& [key, value] : file.metadata) text += fmt::format("  {}: {}\n", key, value);
  std::size_t width = 0, bytes = 0;
  for (const NamedTensor& tensor : file.tensors) {
    width = std::max(width, tensor.name.size());
    bytes += tensor.data.size();
  }
  for (const NamedTensor& tensor : file.tensors)
    text += fmt::format("  {:{}}  {:4}  {}\n", tensor.name, width, name_of(tensor.type),
                        shape_text(tensor.shape));
  return text + fmt::format("  {} tensors, {} bytes, {}\n", file.tensors.size(), bytes, checksums_text(file));
}

}  // namespace

std::string file_info(const std::filesystem::path& path, std::vector<std::string>& problems) {
  return path.extension() == ".safetensors" ? tensors_text(path) : log_text(path, problems);
}

std::string run_info(const std::filesystem::path& run, std::vector<std::string>& problems) {
  const RunDirectory files(run);
  std::string text = fmt::format("{}\n", run.string());
  const auto add = [&](auto part) {  // what is damaged or missing must not hide the rest
    try {
      text += part();
    } catch (const Error& error) {
      problems.push_back(error.what());
    }
  };
  add([&] {
    const RunConfig config = RunConfig::read(files.config());
    std::string lines;
    for (const ConfigEntry& entry : config.entries())
      lines += fmt::format("  {} = {}\n", entry.key, text_of(entry.value));
    return lines;
  });
  add([&] { return log_text(files.metrics(), problems); });
  add([&] {
    return is_there(files.final_parameters()) ? tensors_text(files.final_parameters()) : std::string();
  });
  return text;
}

}  // namespace normlab
