// Streams, events and graphs: what waits, what does not, and what is refused.

#include <cuda_profiler_api.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>

#include "tests/simt/kit.hpp"

namespace simt_test {

__global__ void add(float* x, float value) {
  x[threadIdx.x] += value;
}
__global__ void scale(float* x, float factor) {
  x[threadIdx.x] *= factor;
}
__global__ void copy_to(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x];
}

class SimtStream : public Simt {
 protected:
  SimtStream() {
    ok(cudaStreamCreateWithFlags(&a_, cudaStreamNonBlocking));
    ok(cudaStreamCreateWithFlags(&b_, cudaStreamNonBlocking));
    ok(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
    ok(cudaMallocHost(&pinned_, 128));
  }
  ~SimtStream() override {
    simt::reset();
    EXPECT_EQ(cudaStreamDestroy(a_), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(b_), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(event_), cudaSuccess);
    EXPECT_EQ(cudaFreeHost(pinned_), cudaSuccess);
  }

  cudaStream_t a_ = nullptr, b_ = nullptr;
  cudaEvent_t event_ = nullptr;
  float* pinned_ = nullptr;
};

TEST_F(SimtStream, WorkOfAStreamIsInOrder) {
  const Array<float> x(std::vector<float>(32, 1));
  for (int variant = 0; variant < 10; ++variant) {
    simt::set_variant(variant);
    ok(cudaMemsetAsync(x.data(), 0, 128, a_));
    ok(launch(add, 1, 32, 0, a_, x.data(), 3.0F));
    ok(launch(scale, 1, 32, 0, a_, x.data(), 5.0F));
    ok(cudaMemcpyAsync(pinned_, x.data(), 128, cudaMemcpyDeviceToHost, a_));
    ok(cudaStreamSynchronize(a_));
    EXPECT_EQ(pinned_[31], 15);
  }
}

TEST_F(SimtStream, AMissingWaitShows) {
  const auto wrong = [&](bool wait) {
    const Array<float> x(std::vector<float>(32, 1)), y(32);
    ok(launch(add, 1, 32, 0, a_, x.data(), 1.0F));
    ok(launch(add, 1, 32, 0, a_, x.data(), 1.0F));
    ok(cudaEventRecord(event_, a_));
    if (wait) ok(cudaStreamWaitEvent(b_, event_));
    ok(launch(copy_to, 1, 32, 0, b_, x.data(), y.data()));
    ok(cudaStreamSynchronize(b_));
    return y.values()[7] != 3;
  };
  EXPECT_EQ(wrong_in_30([&] { return wrong(true); }), 0);
  EXPECT_GE(wrong_in_30([&] { return wrong(false); }), 10);
  simt::set_streams(simt::Streams::kEager);
  EXPECT_EQ(wrong_in_30([&] { return wrong(false); }), 0) << "which is why it is not the default";
  simt::set_streams(simt::Streams::kQueues);
}

TEST_F(SimtStream, AHostThatDoesNotWaitShows) {
  const Array<float> x(std::vector<float>(32, 1));
  std::fill_n(pinned_, 32, 0.0F);
  ok(cudaMemcpyAsync(pinned_, x.data(), 128, cudaMemcpyDeviceToHost, a_));
  EXPECT_EQ(pinned_[0], 0) << "read too early";
  ok(cudaStreamSynchronize(a_));
  EXPECT_EQ(pinned_[0], 1);
  // Pinned memory is read when the copy runs; other memory before the call returns.
  std::vector<float> pageable(32, 2);
  std::fill_n(pinned_, 32, 2.0F);
  const Array<float> y(32);
  ok(cudaMemcpyAsync(x.data(), pinned_, 128, cudaMemcpyHostToDevice, a_));
  ok(cudaMemcpyAsync(y.data(), pageable.data(), 128, cudaMemcpyHostToDevice, a_));
  std::fill_n(pinned_, 32, 9.0F);
  pageable.assign(32, 9);
  ok(cudaStreamSynchronize(a_));
  EXPECT_EQ(x.values()[0], 9);
  EXPECT_EQ(y.values()[0], 2);
}

TEST_F(SimtStream, TheDefaultStreamWaitsForThoseThatWaitForIt) {
  cudaStream_t blocking = nullptr;
  ok(cudaStreamCreate(&blocking));
  for (int variant = 0; variant < 20; ++variant) {
    simt::set_variant(variant);
    const Array<float> x(std::vector<float>(32, 1));
    ok(launch(add, 1, 32, 0, blocking, x.data(), 1.0F));
    ok(launch(scale, 1, 32, 0, nullptr, x.data(), 3.0F));
    ok(launch(add, 1, 32, 0, blocking, x.data(), 1.0F));
    ok(cudaStreamSynchronize(blocking));
    ASSERT_EQ(x.values()[0], 7);
  }
  ok(cudaStreamDestroy(blocking));
}

TEST_F(SimtStream, QueriesSeeTheWorkGoOn) {
  const Array<float> x(std::vector<float>(32, 1));
  ok(cudaStreamSynchronize(a_));
  ok(cudaStreamQuery(a_));
  for (int i = 0; i < 5; ++i) ok(launch(add, 1, 32, 0, a_, x.data(), 1.0F));
  ok(cudaEventRecord(event_, a_));
  int not_ready = 0;
  while (cudaEventQuery(event_) == cudaErrorNotReady) ++not_ready;
  EXPECT_GE(not_ready, 3);
  ok(cudaStreamQuery(a_));
}

TEST_F(SimtStream, TimeBetweenEvents) {
  cudaEvent_t start = nullptr, stop = nullptr;
  ok(cudaEventCreate(&start));
  ok(cudaEventCreate(&stop));
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, stop), cudaErrorInvalidResourceHandle);
  const Array<float> x(std::vector<float>(32, 1));
  ok(cudaEventRecord(start, a_));
  ok(launch(add, 1, 32, 0, a_, x.data(), 1.0F));
  ok(cudaEventRecord(stop, a_));
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, stop), cudaErrorNotReady);
  ok(cudaEventSynchronize(stop));
  ok(cudaEventElapsedTime(&milliseconds, start, stop));
  EXPECT_GE(milliseconds, 0);
  (void)cudaGetLastError();
  ok(cudaEventDestroy(start));
  ok(cudaEventDestroy(stop));
}

TEST_F(SimtStream, ErrorsComeLateAndStick) {
  std::vector<float> host(32);
  const Array<float> x(std::vector<float>(32, 1));
  ok(launch(add, 1, 32, 0, a_, host.data(), 1.0F));
  ok(launch(add, 1, 32, 0, a_, x.data(), 1.0F));
  EXPECT_EQ(cudaStreamSynchronize(a_), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(launch(add, 1, 32, 0, b_, x.data(), 1.0F), cudaErrorIllegalAddress);
  void* data = nullptr;
  EXPECT_EQ(cudaMalloc(&data, 10), cudaErrorIllegalAddress);
  EXPECT_STREQ(cudaGetErrorName(cudaGetLastError()), "cudaErrorIllegalAddress");
  EXPECT_STREQ(cudaGetErrorString(cudaGetLastError()), "an illegal memory access was encountered");
  simt::reset();
  EXPECT_EQ(x.values()[0], 1) << "what came after was dropped";
}

TEST_F(SimtStream, HandlesThatAreGone) {
  cudaStream_t gone = nullptr;
  ok(cudaStreamCreate(&gone));
  ok(cudaStreamDestroy(gone));
  EXPECT_EQ(cudaStreamSynchronize(gone), cudaErrorInvalidResourceHandle);
  const Array<float> x(32);
  EXPECT_EQ(launch(add, 1, 32, 0, gone, x.data(), 1.0F), cudaErrorInvalidResourceHandle);
  (void)cudaGetLastError();
}

TEST_F(SimtStream, HostWorkInAStream) {
  const Array<float> x(std::vector<float>(32, 4));
  float seen = 0;
  struct Both {
    float *from, *to;
  } both{pinned_, &seen};
  ok(cudaMemcpyAsync(pinned_, x.data(), 128, cudaMemcpyDeviceToHost, a_));
  ok(cudaLaunchHostFunc(
      a_, [](void* data) { *static_cast<Both*>(data)->to = *static_cast<Both*>(data)->from; }, &both));
  EXPECT_EQ(seen, 0);
  ok(cudaStreamSynchronize(a_));
  EXPECT_EQ(seen, 4);
}

TEST_F(SimtStream, WorkIsCounted) {
  const Array<float> x(std::vector<float>(32, 1));
  const simt::Counters before = simt::counters();
  for (int i = 0; i < 10'000; ++i)
    ok(launch(add, 1, 32, 0, a_, x.data(), 1.0F));  // deeper than a queue may be
  simt::Counters after = simt::counters();
  EXPECT_EQ(after.direct_launches, before.direct_launches + 10'000);
  EXPECT_EQ(after.synchronizations, before.synchronizations);
  EXPECT_EQ(after.allocations, before.allocations);
  ok(cudaStreamSynchronize(a_));
  after = simt::counters();
  EXPECT_EQ(after.synchronizations, before.synchronizations + 1);
  EXPECT_EQ(after.launches, before.launches + 10'000);
  EXPECT_EQ(x.values()[0], 10'001);
  EXPECT_EQ(simt::counters().synchronizations, before.synchronizations + 2) << "a copy waits";
}

TEST_F(SimtStream, RangesEncloseLaunches) {
  simt::clear_ranges();
  nvtxDomainHandle_t domain = nvtxDomainCreateA("test");
  nvtxEventAttributes_t outer{}, inner{};
  outer.version = inner.version = NVTX_VERSION;
  outer.size = inner.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  outer.messageType = NVTX_MESSAGE_TYPE_ASCII;
  outer.message.ascii = "step";
  inner.messageType = NVTX_MESSAGE_TYPE_REGISTERED;
  inner.message.registered = nvtxDomainRegisterStringA(domain, "c1.conv");
  const Array<float> x(32);
  EXPECT_EQ(nvtxDomainRangePushEx(domain, &outer), 0);
  ok(launch(add, 1, 32, 0, a_, x.data(), 1.0F));
  EXPECT_EQ(nvtxDomainRangePushEx(domain, &inner), 1);
  ok(launch(add, 1, 32, 0, a_, x.data(), 1.0F));
  EXPECT_EQ(nvtxDomainRangePop(domain), 1);
  EXPECT_EQ(nvtxDomainRangePop(domain), 0);
  EXPECT_EQ(nvtxDomainRangePop(domain), -1);
  ok(launch(add, 1, 32, 0, a_, x.data(), 1.0F));
  const std::vector<simt::Range> ranges = simt::ranges();
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0].domain + " " + ranges[0].name, "test step");
  EXPECT_EQ(ranges[1].name, "c1.conv");
  EXPECT_EQ(ranges[0].launches, 2U);
  EXPECT_EQ(ranges[1].launches, 1U);
  EXPECT_EQ(ranges[1].depth, 1);
  EXPECT_TRUE(ranges[0].begin < ranges[1].begin && ranges[1].end < ranges[0].end);
  outer.size = 1;
  EXPECT_LT(nvtxDomainRangePushEx(domain, &outer), 0);
  nvtxDomainDestroy(domain);
  simt::clear_ranges();
  ok(cudaProfilerStart());
  EXPECT_EQ(simt::profiling(), 1);
  ok(cudaProfilerStop());
  EXPECT_EQ(simt::profiling(), 0);
}

}  // namespace simt_test
