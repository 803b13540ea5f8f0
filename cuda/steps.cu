// Around a training step: what it takes from tables on the device, what it files there, and the recording of
// all that lies between as one CUDA graph. Kilobytes: these kernels are as short as their launch.

#include "cuda/device.hpp"
#include "cuda/reduce.hpp"
#include "layers/kernels/steps.hpp"

namespace normlab::NORMLAB_PLATFORM {

inline constexpr unsigned kStepThreads = 256;

__global__ void take_samples_kernel(TakeSamples s) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  const StepInput input = s.inputs[*s.next];
  if (i == 0) *s.input = input;
  if (i >= static_cast<unsigned>(s.count)) return;
  const std::uint32_t index = s.order[input.first + static_cast<unsigned>(s.offset) + i];
  s.indices[i] = index;
  s.labels[i] = s.all_labels[index];
}

/// One block: thread t adds samples t, t + 256, ... in order, then the block its threads.
__global__ void add_results_kernel(AddResults s) {
  double loss = 0;
  double correct = 0;  // whole numbers, exact
  for (unsigned i = threadIdx.x; i < static_cast<unsigned>(s.count); i += kStepThreads) {
    loss += static_cast<double>(s.loss[i]);
    correct += s.predicted[i] == s.labels[i] ? 1 : 0;
  }
  loss = sum_block<kStepThreads>(loss);
  correct = sum_block<kStepThreads>(correct);
  if (threadIdx.x != 0) return;
  s.sum->loss_sum = s.begins ? loss : s.sum->loss_sum + loss;
  s.sum->correct = static_cast<std::int64_t>(correct) + (s.begins ? 0 : s.sum->correct);
}

__global__ void end_step_kernel(EndStep s) {
  s.results[*s.next] = *s.result;
  *s.next += 1;
}

namespace {

class CudaSteps final : public CudaKernels<StepKernels> {
 public:
  using CudaKernels::CudaKernels;
  void take_samples(const TakeSamples& args) override;
  void add_results(const AddResults& args) override;
  void end_step(const EndStep& args) override;
};

}  // namespace

void CudaSteps::take_samples(const TakeSamples& args) {
  launch(take_samples_kernel, blocks_for(static_cast<std::size_t>(args.count), kStepThreads), kStepThreads, 0,
         stream(), args);
}

void CudaSteps::add_results(const AddResults& args) {
  launch(add_results_kernel, 1U, kStepThreads, 0, stream(), args);
}

void CudaSteps::end_step(const EndStep& args) {
  launch(end_step_kernel, 1U, 1U, 0, stream(), args);
}

namespace {

class GraphReplay : public Replay {
 public:
  GraphReplay(cudaStream_t stream, cudaGraph_t graph)
      : stream_(stream), executable_(ExecutableGraph::make(graph)) {
    NORMLAB_CHECK(cudaGraphUpload(executable_.get(), stream));
  }
  void launch() override { NORMLAB_CHECK(cudaGraphLaunch(executable_.get(), stream_)); }

 private:
  cudaStream_t stream_;
  ExecutableGraph executable_;
};

}  // namespace

std::unique_ptr<Replay> CudaBackend::record(const std::function<void()>& work) {
  return std::make_unique<GraphReplay>(stream(), CapturedGraph::make(stream(), &work).get());
}

template <>
std::unique_ptr<StepKernels> make_cuda_kernels<StepKernels>(CudaBackend& backend) {
  return std::make_unique<CudaSteps>(backend);
}

}  // namespace normlab::NORMLAB_PLATFORM
