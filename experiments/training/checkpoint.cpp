#include "experiments/training/checkpoint.hpp"

#include <algorithm>

#include "host/record/file.hpp"
#include "host/record/log_reader.hpp"

namespace normlab {

namespace {

/// Bumped when a reader of the old fields would go wrong. Before version 2 the header had no checksum.
constexpr const char* kVersion = "2";
constexpr const char* kWithoutSeal = "1";

std::vector<float> floats(Backend& backend, const float* device, std::size_t count) {
  std::vector<float> values(count);
  backend.to_host(device, values.data(), count * sizeof(float));
  return values;
}

NamedTensor slice(const std::string& name, const Parameter& p, const std::vector<float>& flat) {
  return NamedTensor::of(name, {p.dims.begin(), p.dims.end()}, std::span(flat).subspan(p.offset, p.count));
}

std::vector<NamedTensor> parameters_of(Graph& graph, std::int64_t passes) {
  const std::vector<float> values = floats(graph.backend(), graph.values(), graph.parameter_count());
  const std::vector<float> states = floats(graph.backend(), graph.state_values(), graph.state_count());
  std::vector<NamedTensor> tensors;
  for (const Node& node : graph.nodes()) {
    const Layer& layer = *node.layer;
    for (const Parameter& p : layer.parameters()) tensors.push_back(slice(p.name, p, values));
    for (const State& s : layer.states()) {
      tensors.push_back(NamedTensor::of(s.name, {static_cast<std::int64_t>(s.count)},
                                        std::span(states).subspan(s.offset, s.count)));
    }
    if (!layer.states().empty()) {
      tensors.push_back(NamedTensor::of(layer.name() + ".num_batches_tracked", {}, std::span(&passes, 1)));
    }
  }
  return tensors;
}

/// What whoever evaluates a file's parameters must know.
std::vector<std::pair<std::string, std::string>> metadata_of(const RunConfig& settings) {
  std::vector<std::pair<std::string, std::string>> metadata{{"format", "pt"}};
  for (const char* key : {"net", "norm", "pixel_mean", "pixel_std"})
    if (settings.find(key) != nullptr) metadata.emplace_back(key, settings.text(key));
  return metadata;
}

/// The optimizer's arrays with the names they have in the file.
struct Moment {
  const char* name;
  float* device;
};

std::vector<Moment> moments_of(Optimizer& optimizer) {
  if (optimizer.second_moment() == nullptr) return {{"momentum", optimizer.first_moment()}};
  return {{"first_moment", optimizer.first_moment()}, {"second_moment", optimizer.second_moment()}};
}

std::string moment_name(const Parameter& p, const Moment& moment) {
  return fmt::format("optimizer.{}.{}", p.name, moment.name);
}

/// Integers and reals of a position, in the order of the file.
std::vector<std::int64_t> counters_of(const Position& p) {
  return {p.epoch,
          p.samples,
          p.steps,
          p.passes,
          p.correct,
          static_cast<std::int64_t>(p.log.bytes),
          static_cast<std::int64_t>(p.log.rows),
          p.log.table_due};
}

std::vector<double> sums_of(const Position& p) {
  return {p.loss_sum, p.seconds};
}

/// Takes tensors out of a file that must hold just these.
class Taker {
 public:
  Taker(const TensorFile& file, const std::filesystem::path& path) : file_(file), path_(path) {}

  const NamedTensor& take(const std::string& name, TensorType type, std::size_t count) {
    const NamedTensor* tensor = file_.find(name);
    if (tensor == nullptr) refuse(fmt::format("it lacks '{}'", name));
    if (tensor->type != type || tensor->data.size() != count * size_of(type)) {
      refuse(fmt::format("'{}' has {} bytes of {}, not {} values of {}", name, tensor->data.size(),
                         name_of(tensor->type), count, name_of(type)));
    }
    ++taken_;
    return *tensor;
  }
  void take_floats(const std::string& name, std::size_t count, float* to) {
    const std::vector<float> values = take(name, TensorType::f32, count).floats();
    std::copy(values.begin(), values.end(), to);
  }
  void finish() const {
    if (taken_ != file_.tensors.size()) refuse("it has other arrays, too");
  }
  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(
        "'{}' is no checkpoint of this run: {}; move it away, and --resume takes the one before it, or "
        "begins the run anew",
        path_.string(), why);
  }

 private:
  const TensorFile& file_;
  const std::filesystem::path& path_;
  std::size_t taken_ = 0;
};

/// What of a file contradicts that it is a checkpoint; nothing if it is one. Throws Error for one that a
/// later version wrote.
std::string fault_of_version(const TensorFile& file, const std::filesystem::path& path) {
  const std::string* version = file.metadata_of("normlab_checkpoint");
  if (version == nullptr) return "it does not say that it is one";
  if (*version == kWithoutSeal) return "";
  if (!file.sealed) return "its header is damaged: it has no checksum";
  if (*version != kVersion) {
    throw Error(
        "'{}' was made by a newer Normlab: checkpoint version {}, this build reads {}; update Normlab",
        path.string(), *version, kVersion);
  }
  return "";
}

/// The first setting in which the run that wrote a checkpoint differs from this one; nothing if none does.
std::string other_setting(const TensorFile& file, const std::filesystem::path& path,
                          const RunConfig& settings) {
  // What follows from others, or may change without the results.
  constexpr std::string_view aside[] = {"data", "data_note", "swept", "lr_test"};
  const std::string* text = file.metadata_of("configuration");
  if (text == nullptr) return "it does not say of which run it is";
  RunConfig there = RunConfig::parse(*text, path.string());
  add_younger_settings(there);
  for (const ConfigEntry& entry : settings.entries()) {
    const ConfigValue* value = there.find(entry.key);
    if (value == nullptr || std::ranges::find(aside, entry.key) != std::end(aside)) continue;
    if (text_of(*value) != text_of(entry.value))
      return fmt::format("it is of a run with {} {}, this one has {}", entry.key, text_of(*value),
                         text_of(entry.value));
  }
  return "";
}

}  // namespace

void write_parameters(Graph& graph, std::int64_t passes, const RunConfig& settings,
                      const std::filesystem::path& path) {
  write_safetensors(path, {metadata_of(settings), parameters_of(graph, passes)});
}

TensorFile checkpoint_of(Graph& graph, Optimizer& optimizer, const Position& position,
                         const RunConfig& settings) {
  TensorFile file{metadata_of(settings), parameters_of(graph, position.passes)};
  file.metadata.emplace_back("normlab_checkpoint", kVersion);
  file.metadata.emplace_back("configuration", settings.to_toml());
  for (const Moment& moment : moments_of(optimizer)) {
    const std::vector<float> values = floats(graph.backend(), moment.device, graph.parameter_count());
    for (const Parameter* p : graph.parameters()) {
      file.tensors.push_back(slice(moment_name(*p, moment), *p, values));
    }
  }
  const std::vector<std::int64_t> counters = counters_of(position);
  const std::vector<double> sums = sums_of(position);
  file.tensors.push_back(NamedTensor::of("position.counters", {static_cast<std::int64_t>(counters.size())},
                                         std::span<const std::int64_t>(counters)));
  file.tensors.push_back(NamedTensor::of("position.sums", {static_cast<std::int64_t>(sums.size())},
                                         std::span<const double>(sums)));
  return file;
}

CheckpointState state_of_checkpoint(const std::filesystem::path& checkpoint, const std::filesystem::path& log,
                                    const RunConfig& settings) {
  static_cast<void>(File::open(checkpoint));  // that it may not be read is no damage
  CheckpointState state;
  TensorFile file;
  try {
    file = read_safetensors(checkpoint);
  } catch (const SystemError&) {
    throw;
  } catch (const Error& error) {
    state.fault = error.what();
    return state;
  }
  state.fault = fault_of_version(file, checkpoint);  // first: of a newer one nothing else is known
  if (!state.fault.empty()) return state;
  try {
    state.fault = other_setting(file, checkpoint, settings);
  } catch (const Error& error) {
    state.fault = error.what();
  }
  if (!state.fault.empty()) return state;
  const NamedTensor* counters = file.find("position.counters");
  const bool has_position =
      counters != nullptr && counters->type == TensorType::i64 && counters->data.size() == 64;
  if (!has_position) {
    state.fault = fmt::format("'{}' holds no position", checkpoint.string());
    return state;
  }
  const std::vector<std::int64_t> values = counters->integers();
  const auto bytes = static_cast<std::uint64_t>(values[5]);
  state.steps = values[2];
  state.rows = values[6];
  state.sealed = file.sealed;
  try {
    const std::uint64_t size = File::open(log).size();
    if (size < bytes) {
      state.fault = fmt::format("its log '{}' has {} bytes, but had {} when '{}' was made", log.string(),
                                size, bytes, checkpoint.string());
      return state;
    }
    // Everything that was logged up to there must still be there.
    const Log before = read_log(log, bytes);
    if (!before.damage.empty()) {
      state.fault =
          fmt::format("its log '{}' is damaged: bytes {} to {}: {}", log.string(), before.damage[0].offset,
                      before.damage[0].offset + before.damage[0].length - 1, before.damage[0].what);
    } else if (static_cast<std::int64_t>(before.rows.size()) != state.rows || before.torn_bytes > 0) {
      state.fault = fmt::format("its log '{}' has {} rows, but had {} when '{}' was made", log.string(),
                                before.rows.size(), state.rows, checkpoint.string());
    }
  } catch (const SystemError& error) {
    if (error.hides_something()) throw;
    state.fault = fmt::format("its log cannot be read: {}", error.what());
  } catch (const Error& error) {
    state.fault = fmt::format("its log cannot be read: {}", error.what());
  }
  return state;
}

Position read_checkpoint(Graph& graph, Optimizer& optimizer, const std::filesystem::path& path,
                         const RunConfig& settings) {
  const TensorFile file = read_safetensors(path);
  Taker taker(file, path);
  if (const std::string fault = fault_of_version(file, path); !fault.empty()) taker.refuse(fault);
  if (const std::string other = other_setting(file, path, settings); !other.empty()) taker.refuse(other);
  std::vector<float> values(graph.parameter_count()), states(graph.state_count());
  for (const Node& node : graph.nodes()) {
    const Layer& layer = *node.layer;
    for (const Parameter& p : layer.parameters())
      taker.take_floats(p.name, p.count, values.data() + p.offset);
    for (const State& s : layer.states()) taker.take_floats(s.name, s.count, states.data() + s.offset);
    if (!layer.states().empty()) taker.take(layer.name() + ".num_batches_tracked", TensorType::i64, 1);
  }
  const std::vector<Moment> moments = moments_of(optimizer);
  std::vector<std::vector<float>> moment_values(moments.size(), std::vector<float>(values.size()));
  for (std::size_t m = 0; m < moments.size(); ++m) {
    for (const Parameter* p : graph.parameters()) {
      taker.take_floats(moment_name(*p, moments[m]), p->count, moment_values[m].data() + p->offset);
    }
  }
  Position position;
  const auto counters =
      taker.take("position.counters", TensorType::i64, counters_of(position).size()).integers();
  const auto sums = taker.take("position.sums", TensorType::f64, sums_of(position).size()).doubles();
  taker.finish();
  if (std::any_of(counters.begin(), counters.end(), [](std::int64_t value) { return value < 0; }) ||
      counters[0] < 1 || counters[0] > (1 << 30)) {
    taker.refuse("its position makes no sense");
  }
  position = {static_cast<int>(counters[0]),
              counters[1],
              counters[2],
              counters[3],
              sums[0],
              counters[4],
              sums[1],
              {static_cast<std::uint64_t>(counters[5]), static_cast<std::uint64_t>(counters[6]),
               static_cast<std::uint32_t>(counters[7])}};

  Backend& backend = graph.backend();
  const auto upload = [&](const std::vector<float>& from, float* to) {
    backend.to_device(from.data(), to, from.size() * sizeof(float));
  };
  upload(values, graph.values());
  upload(states, graph.state_values());
  for (std::size_t m = 0; m < moments.size(); ++m) upload(moment_values[m], moments[m].device);
  optimizer.set_steps(position.steps);
  return position;
}

}  // namespace normlab
