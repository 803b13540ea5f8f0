#pragma once
// Whole networks of named nodes, each after those it reads: forward, loss, backward. ReLU masks and max-pool
// choices can be *forced* to be those of another run; the pass then says by what margin it would have decided
// otherwise. So can activations and gradients: then each node works on what that run gave it, and errors do
// not add up.
//
// Names: nodes c1.conv c1.norm c1.relu ... p1 p2 gap, for plain:D b1.conv ... fc, for resnet:D stem.conv ...
// s1.b1.c1.conv ... s1.b1.c2.norm s1.b1.add s1.b1.relu ... s2.b1.shortcut.conv ...; parameters are the node's
// name and .weight or .bias, running statistics c1.norm.running_mean and .running_var.

#include <limits>
#include <map>

#include "tests/reference/gradient_check.hpp"
#include "tests/reference/norms.hpp"
#include "tests/reference/optimizer.hpp"

namespace normlab::reference {

struct Node {
  enum class Kind { conv, norm, relu, max_pool, global_average_pool, linear, wrap, add };
  Kind kind;
  std::string name;
  int outputs = 0;  // channels of conv and linear
  Conv conv = {};
  bool bias = false;
  Norm norm = {};
  std::vector<std::string> inputs = {};  // names of nodes; none: the node before
};

struct Network {
  int c = 3;  // of the input
  int h = 32;
  int w = 32;
  std::vector<Node> nodes;

  /// What the node at this place reads: names of nodes before it, or "input".
  [[nodiscard]] std::vector<std::string> inputs_of(std::size_t at) const;
  [[nodiscard]] bool has(const std::string& name) const;
};

/// c, 1 -> c1.
std::string numbered(char letter, int number);

/// 3x3 convolution, norm, ReLU; without a norm the convolution has a bias. With `circular` the padding is a
/// wrap layer and the convolution has none.
void add_block(Network& network, const std::string& name, int outputs, const Norm& norm,
               bool circular = false);

/// C1 C2 c3 P1 C4 C5 C6 c7 P2 C8 C9 C10 GAP c11. `width` scales all channels but the logits.
Network net_a(const std::string& norm_name, int h = 32, int w = 32, double width = 1);

/// D blocks, max pools after the first two, global average pool, linear.
Network plain(int depth, const std::string& norm_name, int h = 32, int w = 32, int channels = 32);

/// Convolution and norm from `input`; returns the name of the last.
std::string add_conv_norm(Network& network, const std::string& name, int outputs, const Conv& conv,
                          const Norm& norm, const std::string& input);

/// The CIFAR form of He et al. 2016 with projections where the shape changes, D = 6 n + 2.
Network resnet(int depth, const std::string& norm_name, int h = 32, int w = 32);

/// By the name the product gives it.
Network make_network(const std::string& net, const std::string& norm);

struct Parameter {
  std::string name;
  std::size_t count;
  std::size_t fan_in;  // 0 for gamma, beta and biases
};

/// The parameters in the order of the network: of each node the weight, then the bias.
std::vector<Parameter> parameters_of(const Network& network);

std::size_t parameter_count(const Network& network);

/// The masks of ReLU nodes and the choices of max-pool nodes, by name.
struct Decisions {
  std::map<std::string, Mask> relu;
  std::map<std::string, Choices> pool;
};

struct Options {
  bool training = true;
  double label_smoothing = 0;
  const Decisions* forced = nullptr;  // nodes it does not name decide for themselves
  // What nodes are given in place of the output of the node before, and of the gradient of the node after.
  // The pass still records its own.
  const std::map<std::string, Tensor>* activations = nullptr;
  const std::map<std::string, Tensor>* gradients = nullptr;
};

struct Pass {
  Loss loss;                                           // value, dlogits, correct
  std::map<std::string, Tensor> activations;           // the output of each node, and "input"
  std::map<std::string, Tensor> activation_gradients;  // of the loss, by the same names
  Named gradients;                                     // of the parameters
  std::map<std::string, RunningStatistics> running;    // by norm node: updated if training
  Decisions decisions;                                 // those used
  double forced_margin = 0;  // the largest by which a forced decision differs from its own, see below
  int forced_differences = 0;
  double kink_distance = std::numeric_limits<double>::infinity();  // of the nearest ReLU or pooling kink
  Tensor logits;
};

/// Running statistics before training: mean 0, variance 1.
std::map<std::string, RunningStatistics> initial_running(const Network& network);

/// Records a disagreement with a forced decision. Its margin is |pre-activation| of a ReLU, and the lead of
/// the pass's own maximum over the forced choice for a max pool.
void disagree(Pass& pass, double margin);

Tensor decide_relu(Pass& pass, const std::string& name, const Tensor& x, const Decisions* forced);

Tensor decide_max_pool(Pass& pass, const std::string& name, const Tensor& x, const Decisions* forced,
                       bool after_relu);

/// One forward and backward pass. `running` is read by bn: as is at evaluation, as what to update in
/// training.
Pass run(const Network& network, const Named& parameters, const Tensor& input, const std::vector<int>& labels,
         const std::map<std::string, RunningStatistics>& running, const Options& options = {});

}  // namespace normlab::reference
