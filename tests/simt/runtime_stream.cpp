// Streams and events.

#include <algorithm>
#include <memory>

#include "simt/runtime.hpp"
#include "tests/simt/machine.hpp"
#include "tests/simt/memory.hpp"
#include "tests/simt/queue.hpp"

using namespace simt;

namespace {

Problem nothing() {
  return {};
}

cudaError_t wait_for(const TokenPtr& token) {
  if (const cudaError_t forbidden = forbid_in_capture(); forbidden != cudaSuccess) return forbidden;
  ++mutable_counters().synchronizations;
  run_until(token ? token : std::make_shared<Token>(true));
  return device.sticky;
}

// A host that asks again and again sees the work go on.
cudaError_t ask(const TokenPtr& token) {
  if (const cudaError_t forbidden = forbid_in_capture(); forbidden != cudaSuccess) return forbidden;
  if (token && !token->done) {
    const Open open;
    run_one();
  }
  if (device.sticky != cudaSuccess) return device.sticky;
  return !token || token->done ? cudaSuccess : cudaErrorNotReady;
}

cudaEvent_t find(cudaEvent_t event) {
  return device.events.contains(event) ? event : nullptr;
}

cudaError_t bad_stream() {
  return error(cudaErrorInvalidResourceHandle, "a stream that was destroyed or never made");
}
cudaError_t bad_event() {
  return error(cudaErrorInvalidResourceHandle, "an event that was destroyed or never made");
}

}  // namespace

cudaError_t cudaDeviceSynchronize() {
  const Lock lock(device.mutex);
  if (const cudaError_t forbidden = forbid_in_capture(); forbidden != cudaSuccess) return forbidden;
  ++mutable_counters().synchronizations;
  run_until(nullptr);
  return device.sticky;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (!stream || flags > cudaStreamNonBlocking) return error(cudaErrorInvalidValue);
  *stream = new CUstream_st;
  (*stream)->waits_for_default = flags != cudaStreamNonBlocking;
  device.streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const Lock lock(device.mutex);
  const cudaStream_t stream = handle ? find_stream(handle) : nullptr;
  if (!stream) return bad_stream();
  run_until(stream->last);  // CUDA lets the work go on; nobody can see the difference
  if (stream->capture) stream->capture->invalid = true;
  std::erase(device.streams, stream);
  delete stream;
  return device.sticky;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  const Lock lock(device.mutex);
  const cudaStream_t stream = find_stream(handle);
  return stream ? wait_for(stream->last) : bad_stream();
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Lock lock(device.mutex);
  const cudaStream_t stream = find_stream(handle);
  return stream ? ask(stream->last) : bad_stream();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  const cudaStream_t stream = find_stream(handle);
  if (!stream) return bad_stream();
  if (!find(event)) return bad_event();
  if (event->capture) {
    if (!stream->capture) {  // joins the capture
      stream->capture = event->capture;
      stream->capture->streams.insert(stream);
      stream->heads = event->heads;
      return cudaSuccess;
    }
    if (stream->capture != event->capture) {
      stream->capture->invalid = event->capture->invalid = true;
      return error(cudaErrorStreamCaptureMerge, "an event of one capture, waited for in another");
    }
    for (const std::size_t head : event->heads)
      if (std::ranges::find(stream->heads, head) == stream->heads.end()) stream->heads.push_back(head);
    return cudaSuccess;
  }
  if (stream->capture) {
    if (!event->recorded) return cudaSuccess;
    stream->capture->invalid = true;
    return error(cudaErrorStreamCaptureIsolation, "an event from outside of the capture, waited for in it");
  }
  if (!event->recorded || event->recorded->done) return cudaSuccess;
  const TokenPtr token = event->recorded;
  if (const cudaError_t result = submit(handle, nothing); result != cudaSuccess) return result;
  if (!stream->queue.empty()) stream->queue.back().after.push_back(token);
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  const Lock lock(device.mutex);
  if (!function) return error(cudaErrorInvalidValue);
  return submit(stream, [=] {
    function(data);
    return Problem{};
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (!event || (flags & ~(cudaEventBlockingSync | cudaEventDisableTiming)))
    return error(cudaErrorInvalidValue);
  *event = new CUevent_st;
  (*event)->timing = !(flags & cudaEventDisableTiming);
  device.events.insert(*event);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Lock lock(device.mutex);
  if (!find(event)) return bad_event();
  device.events.erase(event);
  delete event;
  return device.sticky;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  const cudaStream_t stream = find_stream(handle);
  if (!stream) return bad_stream();
  if (!find(event)) return bad_event();
  if (stream->capture) {
    event->capture = stream->capture;
    event->heads = stream->heads;
    return cudaSuccess;
  }
  event->capture = nullptr;
  const cudaError_t result = submit(handle, nothing);
  if (result == cudaSuccess) event->recorded = stream->last;
  return result;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(device.mutex);
  if (!find(event)) return bad_event();
  if (event->capture) {
    event->capture->invalid = true;
    return error(cudaErrorCapturedEvent, "the host waits for an event that was recorded in a capture");
  }
  return wait_for(event->recorded);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Lock lock(device.mutex);
  if (!find(event)) return bad_event();
  if (event->capture) return error(cudaErrorCapturedEvent);
  return ask(event->recorded);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Lock lock(device.mutex);
  if (device.sticky != cudaSuccess) return device.sticky;
  if (!find(start) || !find(end)) return bad_event();
  if (!milliseconds) return error(cudaErrorInvalidValue);
  if (!start->timing || !end->timing || !start->recorded || !end->recorded)
    return error(cudaErrorInvalidResourceHandle,
                 "time between events that were not recorded, or take no time");
  if (!start->recorded->done || !end->recorded->done) return error(cudaErrorNotReady);
  *milliseconds =
      std::chrono::duration<float, std::milli>(end->recorded->time - start->recorded->time).count();
  return cudaSuccess;
}
