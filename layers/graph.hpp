#pragma once
// Graph: a static list of layers in topological order with all their memory.
//
// A batch is cut into shards of a fixed number of samples; shards are dealt to at most 16 lanes; each
// lane adds up its parameter gradients in a flat buffer of its own, shard after shard, and the lanes are
// added in a fixed tree. Nothing of this depends on the number of threads, so neither do the results, to the
// bit.

#include "layers/graph_memory.hpp"
#include "layers/shard_runner.hpp"

namespace normlab {

class HalfRange;

/// What one pass over a batch found.
struct PassResult {
  double loss_sum = 0;  ///< over samples
  int correct = 0;
  int count = 0;
};

struct GraphOptions {
  int batch = 128;  ///< the largest training batch
  int evaluation_batch = 1000;
  int shard_samples = 0;               ///< 0: what the backend prefers
  DataType precision = DataType::f32;  ///< how activations and their gradients are stored
  bool keep = false;  ///< every activation and gradient stays readable after a pass (tests, diagnostics)
  bool input_gradient = false;
};

class Graph {
 public:
  /// sample: (1, c, h, w) of the input.
  Graph(Backend& backend, Shape sample) : backend_(backend), sample_(sample.with_n(1)) {}
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  [[nodiscard]] int input() const { return 0; }
  /// Appends a layer and returns the value it produces. The last layer must be a loss.
  int add(std::unique_ptr<Layer> layer, int x);
  int add(std::unique_ptr<Layer> layer, int a, int b);
  /// Plans and books everything. Parameters are zero until initialized.
  void setup(const GraphOptions& options);

  enum class Pass { evaluation, forward, training };
  /// Enqueues a pass over a staged batch without waiting for it; results() say where the device will have
  /// what it found. The functions below do the same for any batch, and wait.
  void enqueue(const Batch& batch, Pass kind);
  [[nodiscard]] SampleResults results() const { return memory_.results(); }

  /// One training pass: the gradient of the batch's mean loss stands in gradients() after it. A batch in
  /// parts takes one call for each, in order, the first one the largest; gradients() is there after the last.
  PassResult forward_backward(const Batch& batch);
  /// The forward half of a training pass: batch norm takes the batch's statistics and updates the running
  /// ones; gradients stay as they are.
  PassResult forward(const Batch& batch);
  /// One evaluation pass (running statistics).
  PassResult evaluate(const Batch& batch);
  /// Per sample, of the last pass.
  [[nodiscard]] std::vector<std::int32_t> predicted() const;
  [[nodiscard]] std::vector<float> confidence() const;

  /// From now on, passes and optimizer steps add up their time there; null: they do not. It must have been
  /// made for as many workers and layers.
  void set_profile(Profile* profile);
  [[nodiscard]] Profile* profile() const { return profile_; }
  /// From now on, training passes show every output of a layer and its gradient; null: they do not. Unlike
  /// `keep` this takes no memory.
  void set_observer(Observer observer) { observer_ = std::move(observer); }

  [[nodiscard]] Backend& backend() const { return backend_; }
  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }
  [[nodiscard]] const Shape& sample() const { return sample_; }
  [[nodiscard]] int shard_samples() const { return shard_samples_; }
  /// How many lanes a pass over so many samples has: as many workers can have work.
  [[nodiscard]] int lanes_of(int samples) const;
  [[nodiscard]] std::vector<const Parameter*> parameters() const;
  [[nodiscard]] std::vector<const State*> states() const;
  [[nodiscard]] std::size_t parameter_count() const { return parameter_count_; }
  /// Device pointers to the flat buffers, parameter_count() floats each.
  [[nodiscard]] float* values() { return memory_.values(); }
  [[nodiscard]] float* gradients() { return memory_.gradients(); }
  [[nodiscard]] std::size_t state_count() const { return state_count_; }
  [[nodiscard]] float* state_values() { return memory_.states(); }

  /// With options.keep, after forward_backward: the output of a layer ("input" for the input), and the
  /// gradient of the loss there; (samples, c, h, w).
  [[nodiscard]] std::vector<float> activation(const std::string& layer);
  [[nodiscard]] std::vector<float> gradient(const std::string& layer);
  [[nodiscard]] std::size_t memory_bytes() const { return memory_.bytes(); }

 private:
  // Of setup.
  void find_shapes();
  void set_up_layers(MemoryNeeds& needs);
  void book(MemoryNeeds& needs);
  void bind_layers();

  // Of a pass.
  PassResult run(const Batch& batch, Pass kind);
  void submit(const Batch& batch, Pass kind);
  void pass(const Batch& batch, Pass kind);
  void run_segment(const ShardRunner& runner, std::span<const Op> ops, const Batch& batch, bool ascending,
                   bool clears, HalfRange& half);
  void reduce(const Segment& segment, int samples);
  void prepare(bool training);
  void collect_gradients();
  [[nodiscard]] PassResult read_results(const Batch& batch);
  void check(const Batch& batch, Pass kind);

  void start(int worker) const {
    if (profile_ != nullptr) profile_->start(worker);
  }
  void lap(int worker, int node, Phase phase) const {
    if (profile_ != nullptr) profile_->lap(worker, node, phase);
  }
  [[nodiscard]] int shards_of(int samples) const { return (samples + shard_samples_ - 1) / shard_samples_; }
  [[nodiscard]] std::vector<float> read(const Slot& slot, int value);
  [[nodiscard]] int value_of(const std::string& layer) const;

  Backend& backend_;
  Shape sample_;
  GraphOptions options_;
  std::vector<Node> nodes_;
  GraphView view_{nodes_, {}, {}, {}, {}, {}};
  bool is_set_up_ = false;
  int shard_samples_ = 1;
  Program training_, evaluation_;
  int lanes_used_ = 0;  ///< by the parts of the batch so far
  std::size_t parameter_count_ = 0, state_count_ = 0;
  GraphMemory memory_;
  int last_count_ = 0;
  Profile* profile_ = nullptr;
  Observer observer_;
};

}  // namespace normlab
