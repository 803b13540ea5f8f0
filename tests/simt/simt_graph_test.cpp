// Capture into graphs, replay, and what a capture refuses.

#include "tests/simt/kit.hpp"

namespace simt_test {

__global__ void add_from(float* x, const float* value) {
  x[threadIdx.x] += *value;
}
__global__ void double_it(float* x) {
  x[threadIdx.x] *= 2;
}
__global__ void count_up(float* counter) {
  *counter += 1;
}

class SimtGraph : public Simt {
 protected:
  SimtGraph() {
    ok(cudaStreamCreateWithFlags(&a_, cudaStreamNonBlocking));
    ok(cudaStreamCreateWithFlags(&b_, cudaStreamNonBlocking));
    ok(cudaEventCreateWithFlags(&fork_, cudaEventDisableTiming));
    ok(cudaEventCreateWithFlags(&join_, cudaEventDisableTiming));
  }
  ~SimtGraph() override {
    simt::reset();
    for (cudaStream_t stream : {a_, b_}) EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    for (cudaEvent_t event : {fork_, join_}) EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  }
  cudaError_t begin() { return cudaStreamBeginCapture(a_, cudaStreamCaptureModeGlobal); }
  cudaError_t end() {
    cudaGraph_t graph = nullptr;
    const cudaError_t status = cudaStreamEndCapture(a_, &graph);
    EXPECT_EQ(status == cudaSuccess, graph != nullptr);
    if (graph) ok(cudaGraphDestroy(graph));
    return status;
  }

  cudaStream_t a_ = nullptr, b_ = nullptr;
  cudaEvent_t fork_ = nullptr, join_ = nullptr;
};

TEST_F(SimtGraph, ReplaysWhatWasCaptured) {
  const Array<float> x(std::vector<float>(32, 1)), value(std::vector<float>{3});
  const simt::Counters before = simt::counters();
  ok(begin());
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  ok(cudaStreamIsCapturing(a_, &status));
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  ok(launch(add_from, 1, 32, 0, a_, x.data(), value.data()));
  ok(launch(double_it, 1, 32, 0, a_, x.data()));
  cudaGraph_t graph = nullptr;
  ok(cudaStreamEndCapture(a_, &graph));
  EXPECT_EQ(simt::counters().launches, before.launches) << "nothing ran";
  EXPECT_EQ(simt::counters().direct_launches, before.direct_launches);
  std::size_t nodes = 0;
  ok(cudaGraphGetNodes(graph, nullptr, &nodes));
  EXPECT_EQ(nodes, 2U);
  cudaGraphExec_t executable = nullptr;
  ok(cudaGraphInstantiate(&executable, graph, 0));
  ok(cudaGraphDestroy(graph));
  ok(cudaGraphUpload(executable, a_));
  ok(cudaGraphLaunch(executable, a_));
  ok(cudaStreamSynchronize(a_));
  EXPECT_EQ(x.values()[5], 8);
  ok(cudaMemcpy(value.data(), std::vector<float>{-7}.data(), 4, cudaMemcpyHostToDevice));
  for (int i = 0; i < 3; ++i) ok(cudaGraphLaunch(executable, a_));
  ok(cudaStreamSynchronize(a_));
  EXPECT_EQ(x.values()[5], -34);  // 8 -> 2 -> -10 -> -34
  EXPECT_EQ(simt::counters().launches, before.launches + 8);
  EXPECT_EQ(simt::counters().graph_launches, before.graph_launches + 4);
  ok(cudaGraphExecDestroy(executable));
}

TEST_F(SimtGraph, OtherStreamsJoinByEvents) {
  const Array<float> x(std::vector<float>(32)), one(std::vector<float>{1});
  const auto capture = [&](bool join) {
    ok(begin());
    ok(launch(add_from, 1, 32, 0, a_, x.data(), one.data()));
    ok(cudaEventRecord(fork_, a_));
    ok(cudaStreamWaitEvent(b_, fork_));
    ok(launch(double_it, 1, 32, 0, b_, x.data()));
    ok(cudaEventRecord(join_, b_));
    if (join) ok(cudaStreamWaitEvent(a_, join_));
    ok(launch(add_from, 1, 32, 0, a_, x.data(), one.data()));
  };
  capture(false);
  EXPECT_EQ(end(), cudaErrorStreamCaptureUnjoined);
  (void)cudaGetLastError();
  capture(true);
  cudaGraph_t graph = nullptr;
  ok(cudaStreamEndCapture(a_, &graph));
  cudaGraphExec_t executable = nullptr;
  ok(cudaGraphInstantiate(&executable, graph, 0));
  for (int variant = 0; variant < 10; ++variant) {
    simt::set_variant(variant);
    ok(cudaMemset(x.data(), 0, 128));
    ok(cudaDeviceSynchronize());
    ok(cudaGraphLaunch(executable, a_));
    ok(cudaStreamSynchronize(a_));
    ASSERT_EQ(x.values()[0], 3);
  }
  ok(cudaGraphExecDestroy(executable));
  ok(cudaGraphDestroy(graph));
}

TEST_F(SimtGraph, BranchesRunInAnyOrder) {
  const Array<float> x(std::vector<float>(32)), one(std::vector<float>{1});
  ok(begin());
  ok(cudaEventRecord(fork_, a_));
  ok(cudaStreamWaitEvent(b_, fork_));
  ok(launch(add_from, 1, 32, 0, a_, x.data(), one.data()));
  ok(launch(double_it, 1, 32, 0, b_, x.data()));
  ok(cudaEventRecord(join_, b_));
  ok(cudaStreamWaitEvent(a_, join_));
  ok(launch(add_from, 1, 32, 0, a_, x.data(), one.data()));
  cudaGraph_t graph = nullptr;
  ok(cudaStreamEndCapture(a_, &graph));
  cudaGraphExec_t executable = nullptr;
  ok(cudaGraphInstantiate(&executable, graph, 0));
  const int doubled_first = wrong_in_30([&] {
    ok(cudaMemset(x.data(), 0, 128));
    ok(cudaDeviceSynchronize());
    ok(cudaGraphLaunch(executable, a_));
    ok(cudaStreamSynchronize(a_));
    return x.values()[0] == 2;
  });
  EXPECT_GE(doubled_first, 5);
  EXPECT_LE(doubled_first, 25);
  ok(cudaGraphExecDestroy(executable));
  ok(cudaGraphDestroy(graph));
}

TEST_F(SimtGraph, AllocationsAndWaitsSpoilACapture) {
  const Array<float> x(32);
  const auto spoils = [&](auto call, cudaError_t expected) {
    ok(begin());
    EXPECT_EQ(call(), expected);
    EXPECT_EQ(launch(double_it, 1, 32, 0, a_, x.data()), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
    (void)cudaGetLastError();
    ok(cudaDeviceSynchronize());
  };
  void* data = nullptr;
  std::vector<float> host(32);
  spoils([&] { return cudaMalloc(&data, 100); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaMallocHost(&data, 100); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaFree(x.data()); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaStreamSynchronize(a_); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaStreamQuery(b_); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaDeviceSynchronize(); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaMemcpy(host.data(), x.data(), 128, cudaMemcpyDeviceToHost); },
         cudaErrorStreamCaptureUnsupported);
  spoils(
      [&] {
        return cudaEventRecord(fork_, b_) == cudaSuccess ? cudaStreamWaitEvent(a_, fork_) : cudaSuccess;
      },
      cudaErrorStreamCaptureIsolation);
  spoils(
      [&] {
        ok(cudaEventRecord(join_, a_));
        return cudaEventSynchronize(join_);
      },
      cudaErrorCapturedEvent);
}

TEST_F(SimtGraph, CapturesThatDoNotMatch) {
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(a_, &graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported);
  ok(begin());
  EXPECT_EQ(begin(), cudaErrorInvalidValue);
  ok(end());
  (void)cudaGetLastError();
}

TEST_F(SimtGraph, TheDefaultStreamWouldWaitForABlockingOne) {
  cudaStream_t blocking = nullptr;
  ok(cudaStreamCreate(&blocking));
  const Array<float> counter(std::vector<float>{0});
  ok(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeGlobal));
  EXPECT_EQ(launch(count_up, 1, 1, 0, nullptr, counter.data()), cudaErrorStreamCaptureImplicit);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
  (void)cudaGetLastError();
  ok(begin());
  ok(launch(count_up, 1, 1, 0, nullptr, counter.data()));
  ok(end());
  ok(cudaStreamDestroy(blocking));
  EXPECT_EQ(counter.values()[0], 1);
}

TEST_F(SimtGraph, MemoryThatAGraphUsesMustLive) {
  float* counter = nullptr;
  ok(cudaMalloc(&counter, 4));
  ok(begin());
  ok(launch(count_up, 1, 1, 0, a_, counter));
  cudaGraph_t graph = nullptr;
  ok(cudaStreamEndCapture(a_, &graph));
  cudaGraphExec_t executable = nullptr;
  ok(cudaGraphInstantiate(&executable, graph, 0));
  ok(cudaGraphDestroy(graph));
  ok(cudaFree(counter));
  ok(cudaGraphLaunch(executable, a_));
  EXPECT_EQ(cudaStreamSynchronize(a_), cudaErrorIllegalAddress);
  EXPECT_TRUE(contains(simt::report(), "freed, or never there")) << simt::report();
  simt::reset();
  ok(cudaGraphExecDestroy(executable));
}

}  // namespace simt_test
