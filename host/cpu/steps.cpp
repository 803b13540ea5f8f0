#include "layers/kernels/steps.hpp"
#include "host/cpu/host_kernels.hpp"

namespace normlab {

namespace {

/// Nothing runs ahead here: done again is done at once.
class HostReplay : public Replay {
 public:
  explicit HostReplay(std::function<void()> work) : work_(std::move(work)) {}
  void launch() override { work_(); }

 private:
  std::function<void()> work_;
};

class HostSteps final : public HostKernels<StepKernels> {
 public:
  using HostKernels::HostKernels;
  void take_samples(const TakeSamples& args) override;
  void add_results(const AddResults& args) override;
  void end_step(const EndStep& args) override;
};

}  // namespace

std::unique_ptr<Replay> HostBackend::record(const std::function<void()>& work) {
  return std::make_unique<HostReplay>(work);
}

void HostSteps::take_samples(const TakeSamples& args) {
  *args.input = args.inputs[*args.next];
  const std::uint32_t* order = args.order + args.input->first + args.offset;
  for (int i = 0; i < args.count; ++i) {
    args.indices[i] = order[i];
    args.labels[i] = args.all_labels[order[i]];
  }
}

void HostSteps::add_results(const AddResults& args) {
  double loss_sum = 0;
  std::int64_t correct = 0;
  for (int i = 0; i < args.count; ++i) {
    loss_sum += static_cast<double>(args.loss[i]);
    correct += args.predicted[i] == args.labels[i] ? 1 : 0;
  }
  args.sum->loss_sum = args.begins ? loss_sum : args.sum->loss_sum + loss_sum;
  args.sum->correct = args.begins ? correct : args.sum->correct + correct;
}

void HostSteps::end_step(const EndStep& args) {
  args.results[(*args.next)++] = *args.result;
}

template <>
std::unique_ptr<StepKernels> make_host_kernels<StepKernels>(HostBackend& host) {
  return std::make_unique<HostSteps>(host);
}

}  // namespace normlab
