#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/cpu/layout.hpp"
#include "host/cpu/thread_pool.hpp"
#include "layers/backend.hpp"

namespace normlab {

enum class ConvPass;
class LibraryConv2dPlan;

/// The CPU. Each operation has a file of its own in this folder, named after it.
class HostBackend : public Backend {
 public:
  enum class Blocks { automatic, blocked, nhwc };  ///< memory layout; only tests choose
  /// automatic: the fastest, for 3x3 Winograd's algorithm; direct: sums as in the definition.
  enum class Convolutions { automatic, direct };
  /// threads: the most workers; more than lanes() would find nothing to do. All are active at first.
  explicit HostBackend(int threads, Blocks blocks = Blocks::automatic);

  /// How plans made from now on convolve.
  void set_convolutions(Convolutions convolutions) { convolutions_ = convolutions; }
  /// Convolutions of the library where ours would do as well, for the plans made from now on.
  void prefer_library(bool prefer) { prefer_library_ = prefer; }
  /// What makes the library's convolutions; only tests choose.
  using MakeLibrary = std::function<std::unique_ptr<LibraryConv2dPlan>(
      HostBackend&, const Conv2dSpec&, const std::map<std::pair<ConvPass, int>, int>&)>;
  void set_library(MakeLibrary make) { library_ = std::move(make); }

  [[nodiscard]] static std::string cpu_model();
  /// Whether native activations of this type lie in blocks (see HostLayout): what the convolutions like best.
  [[nodiscard]] bool blocked(DataType type) const {
    return type == DataType::bf16 ? bf16_blocked_ : f32_blocked_;
  }

  [[nodiscard]] std::string name() const override { return "cpu"; }
  [[nodiscard]] std::string description() const override;
  [[nodiscard]] std::string isa() const override;
  [[nodiscard]] std::string why_not(DataType type) const override;
  [[nodiscard]] bool reads_host_memory() const override { return true; }

  [[nodiscard]] std::byte* allocate(std::size_t bytes) override;
  void release(std::byte* data) noexcept override;
  [[nodiscard]] std::size_t bytes(Shape shape, DataType type, Layout layout) const override;
  void upload(const float* values, Tensor to) override;
  void download(Tensor from, float* values) override;
  void to_device(const void* from, void* to, std::size_t bytes) override;
  void to_host(const void* from, void* to, std::size_t bytes) override;
  void copy_bytes(const void* from, void* to, std::size_t bytes) override { to_device(from, to, bytes); }
  void clear(void* data, std::size_t bytes) override;

  [[nodiscard]] int shard_samples(std::size_t bytes_per_sample, int batch) const override;
  [[nodiscard]] int lanes() const override { return kBatchLanes; }
  [[nodiscard]] int workers() const override { return pool_.workers(); }
  [[nodiscard]] int active_workers() const override { return pool_.active(); }
  void set_active_workers(int workers) override { pool_.set_active(workers); }
  [[nodiscard]] bool spares_memory() const override { return true; }
  void run(int tasks, const std::function<void(int task, int worker)>& work) override {
    pool_.run(tasks, work);
  }
  [[nodiscard]] bool runs_ahead() const override { return false; }
  [[nodiscard]] std::unique_ptr<Replay> record(const std::function<void()>& work) override;

  [[nodiscard]] std::unique_ptr<Conv2dPlan> conv2d(const Conv2dSpec& spec) override;
  [[nodiscard]] std::string choices() const override { return {}; }
  [[nodiscard]] std::vector<std::string> notes() const override { return notes_; }
  [[nodiscard]] std::unique_ptr<BatchNormPlan> batch_norm(const BatchNormSpec&) override { return nullptr; }

  void load_images(const LoadImages& args) override;
  void group_norm_forward(const GroupNormForward& args) override;
  void group_norm_backward(const GroupNormBackward& args) override;
  void pack_elementwise(const float* values, Shape shape, DataType type, float* packed) override;
  void unpack_elementwise(const float* packed, Shape shape, DataType type, float* values) override;
  void batch_norm_partial(Tensor x, BatchNormPartial* partial) override;
  void batch_norm_reduce(const BatchNormReduce& args) override;
  void batch_norm_forward(const BatchNormArgs& args, Tensor y) override;
  void batch_norm_gradient_partial(const BatchNormArgs& args, Tensor dy,
                                   BatchNormGradientPartial* partial) override;
  void batch_norm_gradient_reduce(const BatchNormGradientReduce& args) override;
  void batch_norm_backward(const BatchNormArgs& args, const BatchNormGradientPartial* means, Tensor dy,
                           Tensor dx) override;
  void batch_norm_running(const float* mean, const float* var, int c, Statistics* statistics) override;
  void relu_forward(Tensor x, Tensor y) override;
  void relu_backward(Tensor y, Tensor dy, Tensor dx) override;
  void max_pool_forward(Tensor x, Tensor y) override;
  void max_pool_backward(Tensor x, Tensor dy, Tensor dx) override;
  void global_avg_pool_forward(Tensor x, Tensor y) override;
  void global_avg_pool_backward(Tensor dy, Tensor dx) override;
  void circular_pad_forward(Tensor x, Tensor y) override;
  void circular_pad_backward(Tensor dy, Tensor dx) override;
  void add_forward(Tensor a, Tensor b, Tensor y) override;
  void copy(Tensor from, Tensor to) override;
  void stash(Tensor from, Tensor to) override;
  void linear_forward(const LinearForward& args) override;
  void linear_backward(const LinearBackward& args) override;
  void softmax_cross_entropy(const SoftmaxCrossEntropy& args) override;

  void add_lanes(float* lanes, std::size_t stride, std::size_t size, int count) override;
  void sum_of_squares(const float* values, std::size_t count, double* sum) override;
  void sgd(const SgdStep& args) override;
  void adamw(const AdamWStep& args) override;

  void take_samples(const TakeSamples& args) override;
  void add_results(const AddResults& args) override;
  void end_step(const EndStep& args) override;

  void unpack(Tensor from, float* values) override;
  [[nodiscard]] Moments moments(const float* values, Shape shape) override;
  [[nodiscard]] std::vector<float> histogram(const float* values, std::size_t count, int bins) override;
  [[nodiscard]] std::vector<double> row_norms(const float* values, int rows, std::size_t size) override;
  [[nodiscard]] std::vector<double> gram(const float* values, int rows, std::size_t size) override;

 private:
  static constexpr int kBatchLanes = 16;

  [[nodiscard]] HostLayout layout(const Tensor& tensor) const { return {tensor.shape, blocked(tensor.type)}; }

  /// Where the values of one channel of a sample lie: the first, and from pixel to pixel.
  struct Plane {
    std::ptrdiff_t first, step;
  };
  /// Of an image, channel planes beside blocks and NHWC beside NHWC.
  [[nodiscard]] Plane plane(const Tensor& x, int n, int c) const {
    if (x.layout != Layout::image) return {layout(x).at(n, c, 0), layout(x).pixel};
    const std::ptrdiff_t pixels = x.shape.pixels(), channels = x.shape.c;
    return blocked(x.type) ? Plane{(n * channels + c) * pixels, 1}
                           : Plane{n * pixels * channels + c, channels};
  }

  bool heeded_;  ///< the environment, before anything else
  bool f32_blocked_, bf16_blocked_;
  Convolutions convolutions_ = Convolutions::automatic;
  bool prefer_library_ = false;
  MakeLibrary library_;
  std::vector<std::string> notes_;
  ThreadPool pool_;
};

}  // namespace normlab
