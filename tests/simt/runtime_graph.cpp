// Capture of streams into graphs, and their replay.

#include <algorithm>
#include <utility>

#include "simt/runtime.hpp"
#include "tests/simt/machine.hpp"
#include "tests/simt/queue.hpp"
#include "tests/simt/ranges.hpp"

using namespace simt;

namespace {

using Nodes = std::vector<GraphNode>;

// All nodes, each after those it waits for, otherwise in random order.
Problem run(const Nodes& nodes) {
  std::vector<std::size_t> waits(nodes.size()), ready;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    waits[i] = nodes[i].after.size();
    if (waits[i] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {
    const std::size_t pick = random_order().below(static_cast<std::uint32_t>(ready.size()));
    const std::size_t node = ready[pick];
    ready.erase(ready.begin() + static_cast<std::ptrdiff_t>(pick));
    if (Problem problem = nodes[node].work(); problem.error != cudaSuccess) return problem;
    for (std::size_t i = node + 1; i < nodes.size(); ++i)
      for (const std::size_t before : nodes[i].after)
        if (before == node && --waits[i] == 0) ready.push_back(i);
  }
  return {};
}

void leave(const std::shared_ptr<Capture>& capture) {
  device.captures.erase(capture);
  for (cudaStream_t stream : capture->streams) {
    if (!find_stream(stream)) continue;
    stream->capture = nullptr;
    stream->heads.clear();
  }
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (!handle) return error(cudaErrorStreamCaptureUnsupported, "the default stream cannot be captured");
  const cudaStream_t stream = find_stream(handle);
  if (!stream) return error(cudaErrorInvalidResourceHandle);
  if (stream->capture) return error(cudaErrorInvalidValue, "a capture of a stream that captures already");
  auto capture = std::make_shared<Capture>();
  capture->origin = stream;
  capture->mode = mode;
  capture->streams = {stream};
  stream->capture = capture;
  stream->heads.clear();
  device.captures.insert(capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const Lock lock(device.mutex);
  if (!graph) return error(cudaErrorInvalidValue);
  *graph = nullptr;
  const cudaStream_t stream = find_stream(handle);
  if (!stream) return error(cudaErrorInvalidResourceHandle);
  const std::shared_ptr<Capture> capture = stream->capture;
  if (!capture) return error(cudaErrorStreamCaptureUnmatched, "the end of a capture that did not begin");
  if (capture->origin != stream) {
    capture->invalid = true;
    return error(cudaErrorStreamCaptureUnmatched, "the capture began in another stream");
  }
  bool joined = true;
  for (std::size_t i = 0; i < capture->nodes.size(); ++i) {
    const bool last = std::ranges::find(stream->heads, i) != stream->heads.end();
    joined = joined && (capture->nodes[i].used || last);
  }
  leave(capture);
  if (capture->invalid) return error(cudaErrorStreamCaptureInvalidated);
  if (!joined)
    return error(cudaErrorStreamCaptureUnjoined,
                 "work of another stream that the captured one does not wait for");
  *graph = new CUgraph_st{std::move(capture->nodes)};
  device.graphs.insert(*graph);
  return device.sticky;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const Lock lock(device.mutex);
  const cudaStream_t stream = find_stream(handle);
  if (!stream || !status) return error(cudaErrorInvalidValue);
  *status = !stream->capture           ? cudaStreamCaptureStatusNone
            : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  const Lock lock(device.mutex);
  if (!device.graphs.contains(graph) || nodes || !count)
    return error(cudaErrorInvalidValue, "cudaGraphGetNodes: the emulator only counts them");
  *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (!executable || !device.graphs.contains(graph)) return error(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{std::make_shared<const Nodes>(graph->nodes)};
  device.executables.insert(*executable);
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream) {
  const Lock lock(device.mutex);
  if (!device.executables.contains(executable) || !find_stream(stream)) return error(cudaErrorInvalidValue);
  return device.sticky;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (!device.executables.contains(executable))
    return error(cudaErrorInvalidValue, "a graph that was destroyed");
  if (const cudaStream_t found = find_stream(stream); found && found->capture) {
    found->capture->invalid = true;
    return error(cudaErrorNotSupported, "the emulator has no graphs in graphs");
  }
  ++mutable_counters().graph_launches;
  count_launch();
  return submit(stream, [nodes = executable->nodes] { return run(*nodes); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Lock lock(device.mutex);
  if (device.graphs.erase(graph) == 0) return error(cudaErrorInvalidValue);
  delete graph;
  return device.sticky;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const Lock lock(device.mutex);
  if (device.executables.erase(executable) == 0) return error(cudaErrorInvalidValue);
  delete executable;
  return device.sticky;
}
