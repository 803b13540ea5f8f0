#include "tests/reference/golden.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace normlab::reference {

Golden::Golden(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    throw std::runtime_error("cannot read " + path + " (made by tests/reference/golden/make_golden.py)");
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string name;
    std::string dims;
    std::string word;
    words >> name >> dims >> word;
    if (word != ":") throw std::runtime_error(path + ": a line without a colon: " + line.substr(0, 60));
    Entry& entry = entries_[name];
    std::istringstream sizes(dims);
    std::size_t count = 1;
    for (std::string size; std::getline(sizes, size, 'x');) {
      entry.dims.push_back(std::stoi(size));
      count *= static_cast<std::size_t>(entry.dims.back());
    }
    while (words >> word) entry.values.push_back(std::strtod(word.c_str(), nullptr));
    if (entry.values.size() != count) throw std::runtime_error(path + ": " + name + " has another size");
  }
}

Tensor Golden::tensor(const std::string& name) const {
  std::vector<int> d = dims(name);
  d.resize(4, 1);
  return {d[0], d[1], d[2], d[3], values(name)};
}

std::vector<std::string> Golden::below(const std::string& prefix) const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) {
    if (name.rfind(prefix, 0) != 0) continue;
    const std::string rest = name.substr(prefix.size());
    const std::string part = rest.substr(0, rest.find('/'));
    if (names.empty() || names.back() != part) names.push_back(part);
  }
  return names;
}

const Golden::Entry& Golden::find(const std::string& name) const {
  const auto it = entries_.find(name);
  if (it == entries_.end()) throw std::runtime_error("no golden value " + name);
  return it->second;
}

std::string golden_path(const std::string& file) {
  return test::source_dir() + "/tests/reference/golden/" + file;
}

}  // namespace normlab::reference

namespace normlab::reference::trajectory {

double symmetric(Philox& bits) {
  return 2.0 * bits.uniform() - 1.0;
}

Named initial_parameters(const Network& network) {
  Named result;
  std::uint32_t tensor = 0;
  for (const Parameter& parameter : parameters_of(network)) {
    Philox bits(kSeed, Purpose::probe, tensor++, Stream::parameters);
    const bool gamma = parameter.name.find(".norm.weight") != std::string::npos;
    const double scale = parameter.fan_in ? std::sqrt(6.0 / static_cast<double>(parameter.fan_in)) : 0.125;
    Values& values = result[parameter.name];
    values.resize(parameter.count);
    for (double& value : values) value = gamma ? 0.5 + bits.uniform() : symmetric(bits) * scale;
  }
  return result;
}

std::vector<std::uint8_t> bytes(int step) {
  Philox bits(kSeed, Purpose::probe, static_cast<std::uint32_t>(step), Stream::pixels);
  std::vector<std::uint8_t> result(static_cast<std::size_t>(kBatch) * 3 * 32 * 32);
  for (auto& byte : result) byte = static_cast<std::uint8_t>(bits.next() >> 24);
  return result;
}

Tensor input(int step) {
  constexpr std::array<double, 3> mean{.4914, .4822, .4465};
  constexpr std::array<double, 3> deviation{.247, .2435, .2616};
  Tensor x(kBatch, 3, 32, 32);
  const auto raw = bytes(step);
  for_each(x, [&](int, int c, int, int, std::size_t i) {
    const auto k = static_cast<std::size_t>(c);
    x.v[i] = (raw[i] / 255.0 - mean[k]) / deviation[k];
  });
  return x;
}

std::vector<int> label_batch(int step) {
  Philox bits(kSeed, Purpose::probe, static_cast<std::uint32_t>(step), Stream::labels);
  std::vector<int> result(kBatch);
  for (int& label : result) label = static_cast<int>(bits.below(10));
  return result;
}

Projections project(const Network& network, const Named& start, const Named& now) {
  Projections result;
  std::uint32_t tensor = 0;
  for (const Parameter& parameter : parameters_of(network)) {
    Philox bits(kSeed, Purpose::probe, tensor++, Stream::signs);
    Values& own = result.tensors[parameter.name];
    own.assign(kTensorProjections, 0.0);
    for (std::size_t i = 0; i < parameter.count; ++i) {
      const double change = now.at(parameter.name).at(i) - start.at(parameter.name).at(i);
      const std::uint64_t low = bits.next();
      const std::uint64_t word = low | std::uint64_t{bits.next()} << 32;
      const std::uint32_t of_tensor = bits.next();
      bits.next();
      for (std::size_t k = 0; k < kProjections; ++k) result.whole[k] += (word >> k & 1) ? change : -change;
      for (std::size_t k = 0; k < kTensorProjections; ++k) own[k] += (of_tensor >> k & 1) ? change : -change;
    }
  }
  return result;
}

double projected_distance(const Values& a, const Values& b) {
  return l2_distance(a, b) / std::sqrt(static_cast<double>(a.size()));
}

Distance distance(const Golden& golden, const std::string& norm, int steps, const Network& network,
                  const Named& start, const Named& now) {
  const std::string prefix = "trajectory/" + norm + "/" + std::to_string(steps) + "/";
  const Projections mine = project(network, start, now);
  Distance result;
  const double whole = projected_distance(mine.whole, golden.values(prefix + "projections"));
  result.whole = whole / golden.value(prefix + "norm");
  result.change = whole / golden.value(prefix + "change");
  for (const auto& [name, projections] : mine.tensors) {
    const double relative = projected_distance(projections, golden.values(prefix + name + "/projections")) /
                            golden.value(prefix + name + "/norm");
    if (relative <= result.worst_tensor) continue;
    result.worst_tensor = relative;
    result.worst_name = name;
  }
  return result;
}

}  // namespace normlab::reference::trajectory
