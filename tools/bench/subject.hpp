#pragma once
// What bench measures, and what came out.

#include <map>
#include <memory>
#include <vector>

#include "experiments/options/backends.hpp"
#include "experiments/options/values.hpp"
#include "layers/networks.hpp"
#include "layers/optimizer.hpp"
#include "layers/profile.hpp"

namespace normlab::bench {

/// One row of the tables.
struct Cell {
  Norm norm;
  int batch_size = 128;
  int threads = 1;
  DataType precision = DataType::f32;

  bool operator==(const Cell&) const = default;
};

/// Every combination of what was asked for. Another dimension is a list here, a member of Cell and a loop in
/// cells().
struct Plan {
  Network net = "net_a";
  double width = 1;
  std::vector<Norm> norms;
  std::vector<int> batch_sizes, threads;
  std::vector<DataType> precisions{DataType::f32};
  ConvolutionMethod conv = ConvolutionMethod::automatic;  ///< on the CPU

  [[nodiscard]] std::vector<Cell> cells() const;
};

/// A network with a batch of noise for images, ready to train, and what each round found.
class Subject {
 public:
  Subject(const Plan& plan, const Cell& cell, std::unique_ptr<Backend> device);

  /// About `seconds` of training steps and a quarter of that of evaluation; with `layers` as long again of
  /// training steps under the profile.
  void measure(double seconds, bool layers);

  const Cell cell;
  std::unique_ptr<Backend> backend;
  Graph graph;
  std::vector<double> training, profiled, evaluation;  ///< images a second, by round
  std::unique_ptr<Profile> profile;                    ///< of all rounds, over `profiled_images`
  double profiled_images = 0;

 private:
  void train();
  void evaluate() { graph.evaluate(batch_); }
  /// Images a second over at least `seconds`; adds the images to `images`.
  [[nodiscard]] double rate(double seconds, void (Subject::*step)(), double& images);

  Buffer pixels_;
  ImageSet images_;
  std::vector<std::uint32_t> indices_;
  std::vector<std::int32_t> labels_;
  Batch batch_;
  std::unique_ptr<Optimizer> optimizer_;
};

/// The machine's ceilings with some number of threads, by round.
struct Limits {
  std::vector<double> fma;            ///< GFLOP/s
  std::vector<double> cache, memory;  ///< GB/s
};

struct Results {
  Plan plan;
  std::vector<std::unique_ptr<Subject>> subjects;  ///< as plan.cells()
  std::map<int, Limits> limits;                    ///< by threads
  int rounds = 0;
  double process_megabytes = 0;  ///< at its largest, without the memory of what measures the limits

  [[nodiscard]] const Subject& at(const Cell& cell) const;
};

/// In each round the limits and every subject take their turn: a shared machine has slow minutes.
[[nodiscard]] Results measure(const Plan& plan, int rounds, double seconds, bool layers);

}  // namespace normlab::bench
