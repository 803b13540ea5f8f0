#pragma once
// Layer: a node of the static graph, with a forward and a hand-written backward pass.
//
// Two phases. setup() validates shapes, makes plans and books memory; forward() and backward() only compute.
// Public methods are not virtual and check; private do_* do the work.
//
// The gradient rule, stated once: activations and their gradients are overwritten (=), parameter gradients
// accumulate (+=), an empty dx is not wanted.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "layers/backend.hpp"
#include "layers/error.hpp"
#include "layers/image_set.hpp"
#include "layers/profile.hpp"

namespace normlab {

/// What a learned array is, which decides its initialization.
enum class Role { weight, bias, gamma, beta };

/// A learned array: a slice of the graph's flat buffers, in PyTorch's logical layout.
struct Parameter {
  std::string name;  ///< such as "c1.conv.weight"
  Role role = Role::weight;
  std::vector<int> dims;
  int fan_in = 0, fan_out = 0;
  std::size_t count = 0;
  std::size_t offset = 0;  ///< in the flat buffers
};

/// An array that training changes but no gradient does (running statistics).
struct State {
  std::string name;
  std::size_t count = 0;
  float initial = 0;
  std::size_t offset = 0;
};

/// One batch: images by index, or plain values; labels, or the gradient of a linear functional of the output.
/// It may come in parts, one pass each, whose gradients add up to that of the whole batch's mean loss.
struct Batch {
  int count = 0;
  int whole = 0;       ///< samples of the batch that this is a part of; 0: it is the whole
  int first_part = 0;  ///< samples of the parts before this one
  const ImageSet* images = nullptr;
  const std::uint32_t* indices = nullptr;  ///< (count)
  Augmentation augmentation;
  std::array<float, 3> mean{}, std{};
  const float* values = nullptr;          ///< (count, c, h, w) if there are no images
  const std::int32_t* labels = nullptr;   ///< (count)
  bool is_staged = false;                 ///< indices and labels are where the device reads them
  const std::uint32_t* epoch = nullptr;   ///< the augmentation's, there; null: as it stands above
  const float* output_weights = nullptr;  ///< (count, c, h, w) of the last layer, for the Probe loss

  /// Samples that the loss is a mean over.
  [[nodiscard]] int mean_over() const { return whole > 0 ? whole : count; }
  [[nodiscard]] bool begins() const { return first_part == 0; }
  [[nodiscard]] bool ends() const { return first_part + count == mean_over(); }
};

/// Where a loss layer leaves what it found, one entry a sample of the batch.
struct SampleResults {
  float* loss = nullptr;
  std::int32_t* predicted = nullptr;
  float* confidence = nullptr;
};

/// What a layer sees while one shard passes through it. shape.n of each tensor is the shard's sample count.
struct Frame {
  int worker = 0, shard = 0;
  bool training = false;
  std::array<Tensor, 2> x;
  Tensor y, dy;
  std::array<Tensor, 2> dx;
  std::byte* saved = nullptr;  ///< this shard's, from forward to backward
  void* scratch = nullptr;     ///< this worker's, for one call
  float* gradients = nullptr;  ///< this layer's part of the lane's buffer
  const Batch* batch = nullptr;
  int first_sample = 0;  ///< of this shard, in the batch
  SampleResults results;
  int node = 0;                ///< this layer's index in the graph
  Profile* profile = nullptr;  ///< null: nobody measures

  /// For a layer whose pass has several phases: what came before belongs to `phase`.
  void lap(Phase phase) const {
    if (profile != nullptr) profile->lap(worker, node, phase);
  }
};

/// What a layer may know when it is set up.
struct Setup {
  Backend& backend;
  int shard_samples = 1;
  int batch = 1;  ///< the largest training batch
  std::array<Layout, 2> x_layout{};
  std::array<bool, 2> needs_dx{};
  DataType type = DataType::f32;  ///< of activations and their gradients

  [[nodiscard]] int shards() const { return (batch + shard_samples - 1) / shard_samples; }
};

class CoupledLayer;

class Layer {
 public:
  Layer(std::string name, std::string kind) : name_(std::move(name)), kind_(std::move(kind)) {}
  virtual ~Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& kind() const { return kind_; }
  [[nodiscard]] const Shape& y_shape() const { return y_shape_; }
  [[nodiscard]] std::vector<Parameter>& parameters() { return parameters_; }
  [[nodiscard]] const std::vector<Parameter>& parameters() const { return parameters_; }
  [[nodiscard]] std::vector<State>& states() { return states_; }
  [[nodiscard]] const std::vector<State>& states() const { return states_; }
  [[nodiscard]] std::size_t saved_bytes() const { return saved_bytes_; }
  [[nodiscard]] std::size_t scratch_bytes() const { return scratch_bytes_; }
  /// Floats of the layer's section in the packed values and in each lane's gradients.
  [[nodiscard]] std::size_t packed_floats() const { return packed_floats_; }
  [[nodiscard]] std::size_t gradient_floats() const { return gradient_floats_; }
  [[nodiscard]] std::size_t parameter_count() const;

  /// The output's shape for inputs of these shapes; throws Error when they, or the layer's own sizes, do not
  /// fit.
  [[nodiscard]] Shape infer(std::span<const Shape> x) const;
  /// Multiplications with accumulation, forward, for one sample.
  [[nodiscard]] virtual double multiply_adds() const { return 0; }
  /// What the backward pass reads again; it decides how long an activation lives.
  [[nodiscard]] virtual bool backward_needs_x() const { return false; }
  [[nodiscard]] virtual bool backward_needs_y() const { return false; }
  [[nodiscard]] virtual bool accepts_image() const { return false; }
  /// This, for a batch-coupled layer (BN), which ends a segment in training; null for every other.
  [[nodiscard]] virtual CoupledLayer* coupled() { return nullptr; }
  /// Computing y again costs less than keeping it in main memory from the forward to the backward pass.
  [[nodiscard]] virtual bool forward_is_cheap() const { return false; }
  [[nodiscard]] virtual bool is_norm() const { return false; }
  /// The loss is a graph's last layer. It writes its gradient in the forward pass and has no y.
  [[nodiscard]] virtual bool is_loss() const { return false; }

  /// x: shapes with n = the shard's samples. Called once.
  void setup(std::span<const Shape> x, const Setup& setup);
  /// The slices this layer owns; called once, after every layer was set up.
  void bind(float* values, float* packed, float* states);
  /// Once a step, before any shard: packs weights.
  void prepare(bool training) { do_prepare(training); }
  void forward(Frame& frame);
  void backward(Frame& frame);
  /// From the packed sum of the lanes' gradients into this layer's slices of `gradients` (overwritten).
  void collect_gradients(float* lane_sum, float* gradients) { do_collect_gradients(lane_sum, gradients); }

 protected:
  Parameter& add_parameter(std::string suffix, Role role, std::vector<int> dims, int fan_in = 0,
                           int fan_out = 0);
  void add_state(std::string suffix, std::size_t count, float initial);
  [[nodiscard]] float* value(std::size_t parameter) const { return values_ + parameters_[parameter].offset; }
  [[nodiscard]] float* state(std::size_t index) const { return states_data_ + states_[index].offset; }
  [[nodiscard]] float* packed() const { return packed_; }
  /// Offset of a parameter's gradient in a lane's section of an unpacked layer.
  [[nodiscard]] std::size_t gradient_offset(std::size_t parameter) const;
  [[nodiscard]] Backend& backend() const { return *backend_; }
  /// Of activations and their gradients.
  [[nodiscard]] DataType type() const { return type_; }
  [[nodiscard]] std::string where() const { return name_ + " (" + kind_ + ")"; }

  std::size_t saved_bytes_ = 0, scratch_bytes_ = 0;
  std::size_t packed_floats_ = 0;    ///< 0: the layer reads its values as they are
  std::size_t gradient_floats_ = 0;  ///< default: as many as parameters

 private:
  [[nodiscard]] virtual int inputs() const { return 1; }
  /// infer() and setup() put the layer's name before what these two throw.
  [[nodiscard]] virtual Shape do_infer(std::span<const Shape> x) const = 0;
  virtual void do_setup(std::span<const Shape> x, const Setup& setup) = 0;
  virtual void do_prepare(bool /*training*/) {}
  virtual void do_forward(Frame& frame) = 0;
  virtual void do_backward(Frame& frame) = 0;
  virtual void do_collect_gradients(float* lane_sum, float* gradients);
  template <typename Work>
  auto naming_the_layer(Work work) const;
  void check(const Frame& frame, bool backward) const;

  std::string name_, kind_;
  Backend* backend_ = nullptr;
  DataType type_ = DataType::f32;
  std::vector<Parameter> parameters_;
  std::vector<State> states_;
  float* values_ = nullptr;
  float* packed_ = nullptr;
  float* states_data_ = nullptr;
  std::vector<Shape> x_shapes_;
  Shape y_shape_;
};

/// A layer whose training pass needs all samples at once. For each shard `partial`, then one `reduce`, then
/// forward for each shard; the same going back. `lane_gradients` is the layer's section of lane 0.
class CoupledLayer : public Layer {
 public:
  using Layer::Layer;
  [[nodiscard]] CoupledLayer* coupled() final { return this; }
  virtual void forward_partial(Frame& frame) = 0;
  virtual void forward_reduce(int samples) = 0;
  virtual void backward_partial(Frame& frame) = 0;
  virtual void backward_reduce(int samples, float* lane_gradients) = 0;
};

}  // namespace normlab
