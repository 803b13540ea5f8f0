#include "tests/simt/queue.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "tests/simt/machine.hpp"
#include "tests/simt/memory.hpp"

namespace simt {

Device& device = *new Device;

namespace {

constexpr std::size_t kDeepest = 4096;  // a queue that is longer makes progress without being waited for

thread_local cudaError_t last_error = cudaSuccess;

bool is_done(const TokenPtr& token) {
  return !token || token->done;
}

bool is_ready(const CUstream_st& stream) {
  return !stream.queue.empty() &&
         std::all_of(stream.queue.front().after.begin(), stream.queue.front().after.end(),
                     [](const TokenPtr& token) { return is_done(token); });
}

template <typename Function>
void for_each_stream(Function function) {
  function(device.default_stream);
  for (cudaStream_t stream : device.streams) function(*stream);
}

void add_node(CUstream_st& stream, Work work) {
  Capture& capture = *stream.capture;
  for (const std::size_t head : stream.heads) capture.nodes[head].used = true;
  capture.nodes.push_back({std::move(work), stream.heads, false});
  stream.heads = {capture.nodes.size() - 1};
}

}  // namespace

cudaError_t error(cudaError_t code, const std::string& text) {
  if (code != cudaSuccess) last_error = code;
  if (!text.empty()) {
    device.report = text;
    std::fprintf(stderr, "simt: %s\n", text.c_str());
  }
  return code;
}

void fail_device(const Problem& problem) {
  device.sticky = problem.error;
  (void)error(problem.error, problem.text);
  for_each_stream([](CUstream_st& stream) {
    for (Operation& operation : stream.queue) operation.done->done = true;
    stream.queue.clear();
  });
}

cudaStream_t find_stream(cudaStream_t stream) {
  if (!stream) return &device.default_stream;
  return std::ranges::find(device.streams, stream) != device.streams.end() ? stream : nullptr;
}

bool run_one() {
  std::vector<CUstream_st*> ready;
  for_each_stream([&](CUstream_st& stream) {
    if (is_ready(stream)) ready.push_back(&stream);
  });
  if (ready.empty()) return false;
  CUstream_st& stream = *ready[random_order().below(static_cast<std::uint32_t>(ready.size()))];
  Operation operation = std::move(stream.queue.front());
  stream.queue.pop_front();
  const Problem problem = operation.work ? operation.work() : Problem{};
  operation.done->time = std::chrono::steady_clock::now();
  operation.done->done = true;
  if (problem.error != cudaSuccess) fail_device(problem);
  return true;
}

void run_until(const TokenPtr& token) {
  if (token && token->done) return;
  bool idle = true;
  for_each_stream([&](const CUstream_st& stream) { idle = idle && stream.queue.empty(); });
  if (idle) return;
  const Open open;
  while (!(token && token->done) && run_one()) {
  }
}

cudaError_t submit(cudaStream_t handle, Work work) {
  if (device.sticky != cudaSuccess) return device.sticky;
  cudaStream_t stream = find_stream(handle);
  if (!stream) return error(cudaErrorInvalidResourceHandle, "a stream that was destroyed or never made");
  if (stream->capture) {
    if (stream->capture->invalid) return error(cudaErrorStreamCaptureInvalidated);
    add_node(*stream, std::move(work));
    return cudaSuccess;
  }
  Operation operation{std::move(work), {}, std::make_shared<Token>()};
  if (stream == &device.default_stream) {
    for (const auto& capture : device.captures) {
      if (capture->origin->waits_for_default && capture->mode != cudaStreamCaptureModeRelaxed) {
        capture->invalid = true;
        return error(cudaErrorStreamCaptureImplicit,
                     "work on the default stream, which would wait for a stream that captures");
      }
    }
    for (cudaStream_t other : device.streams)
      if (other->waits_for_default && !is_done(other->last)) operation.after.push_back(other->last);
  } else if (stream->waits_for_default && !is_done(device.default_stream.last)) {
    operation.after.push_back(device.default_stream.last);
  }
  stream->last = operation.done;
  stream->queue.push_back(std::move(operation));
  if (device.eager) run_until(nullptr);
  if (stream->queue.size() > kDeepest) {
    const Open open;
    while (stream->queue.size() > kDeepest / 2 && run_one()) {
    }
  }
  return device.sticky;
}

cudaError_t forbid_in_capture() {
  for (const auto& capture : device.captures) {
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    capture->invalid = true;
    return error(cudaErrorStreamCaptureUnsupported,
                 "a call that allocates or waits, while a stream captures");
  }
  return cudaSuccess;
}

cudaError_t take_last_error(bool forget) {
  const cudaError_t result = device.sticky != cudaSuccess ? device.sticky : last_error;
  if (forget) last_error = cudaSuccess;
  return result;
}

}  // namespace simt
