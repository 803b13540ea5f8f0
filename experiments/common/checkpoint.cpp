#include "experiments/common/checkpoint.hpp"

#include "host/record/safetensors.hpp"

namespace normlab {

void write_parameters(Graph& graph, std::int64_t steps, const std::string& net, const std::string& norm,
                      const std::filesystem::path& path) {
  std::vector<float> values(graph.parameter_count()), states(graph.state_count());
  graph.backend().to_host(graph.values(), values.data(), values.size() * sizeof(float));
  graph.backend().to_host(graph.state_values(), states.data(), states.size() * sizeof(float));
  TensorFile file;
  file.metadata = {{"format", "pt"}, {"net", net}, {"norm", norm}};
  for (const Node& node : graph.nodes()) {
    const Layer& layer = *node.layer;
    for (const Parameter& p : layer.parameters()) {
      file.tensors.push_back(NamedTensor::of(p.name, {p.dims.begin(), p.dims.end()},
                                             std::span<const float>(values).subspan(p.offset, p.count)));
    }
    for (const State& s : layer.states()) {
      file.tensors.push_back(NamedTensor::of(s.name, {static_cast<std::int64_t>(s.count)},
                                             std::span<const float>(states).subspan(s.offset, s.count)));
    }
    if (!layer.states().empty()) {
      file.tensors.push_back(
          NamedTensor::of(layer.name() + ".num_batches_tracked", {}, std::span(&steps, 1)));
    }
  }
  write_safetensors(path, file);
}

}  // namespace normlab
