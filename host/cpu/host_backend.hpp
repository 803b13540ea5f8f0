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
struct Conv2dSpec;

/// The CPU. Each family of kernels has a file of its own in this folder, named after it.
class HostBackend : public Backend {
 public:
  enum class Blocks { automatic, blocked, nhwc };  ///< memory layout; only tests choose
  /// automatic: the fastest, for 3x3 Winograd's algorithm; direct: sums as in the definition.
  enum class Convolutions { automatic, direct };
  /// threads: the most workers; more than lanes() would find nothing to do. All are active at first.
  explicit HostBackend(int threads, Blocks blocks = Blocks::automatic);

  /// How plans made from now on convolve.
  void set_convolutions(Convolutions convolutions) { convolutions_ = convolutions; }
  [[nodiscard]] Convolutions convolutions() const { return convolutions_; }
  /// Convolutions of the library where ours would do as well, for the plans made from now on.
  void prefer_library(bool prefer) { prefer_library_ = prefer; }
  [[nodiscard]] bool prefers_library() const { return prefer_library_; }
  /// What makes the library's convolutions; only tests choose.
  using MakeLibrary = std::function<std::unique_ptr<LibraryConv2dPlan>(
      HostBackend&, const Conv2dSpec&, const std::map<std::pair<ConvPass, int>, int>&)>;
  void set_library(MakeLibrary make) { library_ = std::move(make); }
  [[nodiscard]] const MakeLibrary& library() const { return library_; }
  /// For notes(), once.
  void add_note(std::string note);

  [[nodiscard]] static std::string cpu_model();
  /// Whether native activations of this type lie in blocks (see HostLayout): what the convolutions like best.
  [[nodiscard]] bool blocked(DataType type) const {
    return type == DataType::bf16 ? bf16_blocked_ : f32_blocked_;
  }

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
  void copy(Tensor from, Tensor to) override;
  void stash(Tensor from, Tensor to) override;
  void unpack(Tensor from, float* values) override { download(from, values); }
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

  [[nodiscard]] std::string choices() const override { return {}; }
  [[nodiscard]] std::vector<std::string> notes() const override { return notes_; }

 private:
  static constexpr int kBatchLanes = 16;

  bool heeded_;  ///< the environment, before anything else
  bool f32_blocked_, bf16_blocked_;
  Convolutions convolutions_ = Convolutions::automatic;
  bool prefer_library_ = false;
  MakeLibrary library_;
  std::vector<std::string> notes_;
  ThreadPool pool_;
};

/// Makes the kernels of a family for the backend: each family's file has its own.
template <typename Family>
[[nodiscard]] std::unique_ptr<Family> make_host_kernels(HostBackend& host);

}  // namespace normlab
