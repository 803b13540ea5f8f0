#pragma once
// The golden values of PyTorch in float64 (golden/README.md), and the inputs of the golden trajectories,
// which both sides compute from the same formulas on Philox integers.

#include "layers/philox.hpp"
#include "tests/reference/network.hpp"
#include "tests/support/places.hpp"

namespace normlab::reference {

/// A file of lines `name dims : values`, dims like 2x3x4 (or 1), `#` beginning a comment.
class Golden {
 public:
  explicit Golden(const std::string& path);

  bool has(const std::string& name) const { return entries_.count(name) != 0; }
  const Values& values(const std::string& name) const { return find(name).values; }
  double value(const std::string& name) const { return values(name).at(0); }
  const std::vector<int>& dims(const std::string& name) const { return find(name).dims; }
  Tensor tensor(const std::string& name) const;
  /// The names that begin with `prefix`, without it, up to the next slash; sorted, each once.
  std::vector<std::string> below(const std::string& prefix) const;

 private:
  struct Entry {
    std::vector<int> dims;
    Values values;
  };
  const Entry& find(const std::string& name) const;
  std::map<std::string, Entry> entries_;
};

/// A file of tests/reference/golden/.
std::string golden_path(const std::string& file);

// --- the golden trajectories: batch 32, lr 0.001, momentum 0.9, no weight decay ----------------------------

namespace trajectory {

inline constexpr std::uint64_t kSeed = 2026;
inline constexpr int kBatch = 32;
inline constexpr double kRate = 0.001;
inline constexpr double kMomentum = 0.9;

enum Stream : std::uint32_t { parameters = 1, pixels = 2, labels = 3, signs = 4 };

/// 2 u - 1 for a uniform u in (0, 1); exact in double.
double symmetric(Philox& bits);

/// Weights: He-scaled uniform, (2u - 1) sqrt(6 / fan_in). Gamma: 0.5 + u. Beta and biases: (2u - 1) / 8. Each
/// tensor has its own stream, numbered in the order of parameters_of.
Named initial_parameters(const Network& network);

/// The batch of a step (from 0): random bytes, standardized as CIFAR-10's pixels are.
std::vector<std::uint8_t> bytes(int step);
Tensor input(int step);
std::vector<int> label_batch(int step);

inline constexpr int kProjections = 64;        // of the whole parameter vector
inline constexpr int kTensorProjections = 16;  // of each tensor

/// Random-sign projections of the change w_t - w_0: projection k is the sum over all elements of +-change,
/// the sign a bit of the element's own Philox block. The root mean square over k of the differences between
/// two runs' projections estimates the L2 distance of the runs (within 9 % for 64, 18 % for 16).
struct Projections {
  Values whole = Values(kProjections, 0.0);
  Named tensors;
};
Projections project(const Network& network, const Named& start, const Named& now);

/// The estimated L2 distance between two vectors, from their projections.
double projected_distance(const Values& a, const Values& b);

/// How far a run's parameters `now` are from the golden ones after `steps` (5 or 20) steps.
struct Distance {
  double whole = 0;         // of the whole vector, relative to its golden L2 norm
  double worst_tensor = 0;  // the largest of any tensor, relative to that tensor's norm
  std::string worst_name;
  double change = 0;  // of the whole vector, relative to the norm of the golden change since the start
};
Distance distance(const Golden& golden, const std::string& norm, int steps, const Network& network,
                  const Named& start, const Named& now);

}  // namespace trajectory
}  // namespace normlab::reference
