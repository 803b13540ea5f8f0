#include "tests/reference/network.hpp"

#include <algorithm>

namespace normlab::reference {

std::vector<std::string> Network::inputs_of(std::size_t at) const {
  if (!nodes[at].inputs.empty()) return nodes[at].inputs;
  return {at == 0 ? "input" : nodes[at - 1].name};
}

bool Network::has(const std::string& name) const {
  return std::any_of(nodes.begin(), nodes.end(), [&](const Node& node) { return node.name == name; });
}

std::string numbered(char letter, int number) {
  std::string name(1, letter);
  name += std::to_string(number);  // GCC 12 warns, wrongly, of letter + to_string
  return name;
}

void add_block(Network& network, const std::string& name, int outputs, const Norm& norm, bool circular) {
  const bool none = norm.kind == Norm::Kind::none;
  if (circular) network.nodes.push_back({Node::Kind::wrap, name + ".wrap"});
  network.nodes.push_back({Node::Kind::conv, name + ".conv", outputs, {3, 1, circular ? 0 : 1}, none});
  if (!none) network.nodes.push_back({Node::Kind::norm, name + ".norm", 0, {}, false, norm});
  network.nodes.push_back({Node::Kind::relu, name + ".relu"});
}

Network net_a(const std::string& norm_name, int h, int w, double width) {
  const Norm norm = Norm::parse(norm_name);
  const bool none = norm.kind == Norm::Kind::none;
  const std::vector<int> channels = norm.elementwise()
                                        ? std::vector<int>{4, 4, 8, 8, 8, 8, 8, 16, 24, 24}
                                        : std::vector<int>{16, 32, 16, 16, 32, 32, 16, 32, 32, 32};
  Network network{3, h, w, {}};
  for (int block = 1; block <= 10; ++block) {
    const std::string name = numbered('c', block);
    const int outputs = static_cast<int>(std::lround(channels[static_cast<std::size_t>(block - 1)] * width));
    if (block == 3 || block == 7) {
      network.nodes.push_back({Node::Kind::conv, name + ".conv", outputs, {1, 1, 0}, none});
      network.nodes.push_back({Node::Kind::max_pool, block == 3 ? "p1" : "p2"});
    } else {
      add_block(network, name, outputs, norm);
    }
  }
  network.nodes.push_back({Node::Kind::global_average_pool, "gap"});
  network.nodes.push_back({Node::Kind::conv, "c11.conv", 10, {1, 1, 0}, true});
  return network;
}

Network plain(int depth, const std::string& norm_name, int h, int w, int channels) {
  Network network{3, h, w, {}};
  for (int block = 1; block <= depth; ++block) {
    add_block(network, numbered('b', block), channels, Norm::parse(norm_name));
    if (block <= 2) network.nodes.push_back({Node::Kind::max_pool, numbered('p', block)});
  }
  network.nodes.push_back({Node::Kind::global_average_pool, "gap"});
  network.nodes.push_back({Node::Kind::linear, "fc", 10, {}, true});
  return network;
}

std::string add_conv_norm(Network& network, const std::string& name, int outputs, const Conv& conv,
                          const Norm& norm, const std::string& input) {
  const bool none = norm.kind == Norm::Kind::none;
  network.nodes.push_back({Node::Kind::conv, name + ".conv", outputs, conv, none, {}, {input}});
  if (!none) network.nodes.push_back({Node::Kind::norm, name + ".norm", 0, {}, false, norm, {}});
  return network.nodes.back().name;
}

Network resnet(int depth, const std::string& norm_name, int h, int w) {
  const Norm norm = Norm::parse(norm_name);
  Network network{3, h, w, {}};
  add_block(network, "stem", 16, norm);
  std::string x = "stem.relu";
  for (int stage = 1; stage <= 3; ++stage) {
    const int channels = 8 << stage;
    for (int block = 1; block <= (depth - 2) / 6; ++block) {
      const std::string name = numbered('s', stage) + "." + numbered('b', block);
      const int stride = stage > 1 && block == 1 ? 2 : 1;
      add_conv_norm(network, name + ".c1", channels, {3, stride, 1}, norm, x);
      network.nodes.push_back({Node::Kind::relu, name + ".c1.relu"});
      const std::string y =
          add_conv_norm(network, name + ".c2", channels, {3, 1, 1}, norm, name + ".c1.relu");
      if (stride > 1) x = add_conv_norm(network, name + ".shortcut", channels, {1, stride, 0}, norm, x);
      network.nodes.push_back({Node::Kind::add, name + ".add", 0, {}, false, {}, {y, x}});
      network.nodes.push_back({Node::Kind::relu, name + ".relu"});
      x = name + ".relu";
    }
  }
  network.nodes.push_back({Node::Kind::global_average_pool, "gap"});
  network.nodes.push_back({Node::Kind::linear, "fc", 10, {}, true});
  return network;
}

Network make_network(const std::string& net, const std::string& norm) {
  if (net == "net_a") return net_a(norm);
  const std::size_t colon = net.find(':');
  require(colon != std::string::npos, "a network that the reference does not know");
  const int depth = std::stoi(net.substr(colon + 1));
  return net.substr(0, colon) == "plain" ? plain(depth, norm) : resnet(depth, norm);
}

std::vector<Parameter> parameters_of(const Network& network) {
  struct Size {
    int c, h, w;
  };
  std::map<std::string, Size> sizes{{"input", {network.c, network.h, network.w}}};
  std::vector<Parameter> parameters;
  for (std::size_t at = 0; at < network.nodes.size(); ++at) {
    const Node& node = network.nodes[at];
    auto [c, h, w] = sizes.at(network.inputs_of(at).front());
    if (node.kind == Node::Kind::conv || node.kind == Node::Kind::linear) {
      const bool conv = node.kind == Node::Kind::conv;
      const auto fan_in = static_cast<std::size_t>(conv ? c * node.conv.k * node.conv.k : c * h * w);
      const auto outputs = static_cast<std::size_t>(node.outputs);
      parameters.push_back({node.name + ".weight", outputs * fan_in, fan_in});
      if (node.bias) parameters.push_back({node.name + ".bias", outputs, 0});
      c = node.outputs;
      h = conv ? (h + 2 * node.conv.pad - node.conv.k) / node.conv.stride + 1 : 1;
      w = conv ? (w + 2 * node.conv.pad - node.conv.k) / node.conv.stride + 1 : 1;
    } else if (node.kind == Node::Kind::norm) {
      const std::size_t count = node.norm.affine_count(c, h, w);
      parameters.push_back({node.name + ".weight", count, 0});
      if (node.norm.has_beta()) parameters.push_back({node.name + ".bias", count, 0});
    } else if (node.kind == Node::Kind::max_pool) {
      h /= 2;
      w /= 2;
    } else if (node.kind == Node::Kind::global_average_pool) {
      h = w = 1;
    } else if (node.kind == Node::Kind::wrap) {
      h += 2;
      w += 2;
    }
    sizes[node.name] = {c, h, w};
  }
  return parameters;
}

std::size_t parameter_count(const Network& network) {
  std::size_t count = 0;
  for (const Parameter& parameter : parameters_of(network)) count += parameter.count;
  return count;
}

std::map<std::string, RunningStatistics> initial_running(const Network& network) {
  std::map<std::string, RunningStatistics> running;
  int c = network.c;
  for (const Node& node : network.nodes) {
    if (node.kind == Node::Kind::conv) c = node.outputs;
    if (node.kind != Node::Kind::norm || node.norm.kind != Norm::Kind::bn) continue;
    running[node.name] = {Values(static_cast<std::size_t>(c), 0.0), Values(static_cast<std::size_t>(c), 1.0)};
  }
  return running;
}

void disagree(Pass& pass, double margin) {
  ++pass.forced_differences;
  pass.forced_margin = std::max(pass.forced_margin, margin);
}

Tensor decide_relu(Pass& pass, const std::string& name, const Tensor& x, const Decisions* forced) {
  Mask mask = relu_mask(x);
  if (forced != nullptr && forced->relu.count(name) != 0) {
    const Mask& theirs = forced->relu.at(name);
    require(theirs.size() == mask.size(), "forced mask of another size");
    for (std::size_t i = 0; i < mask.size(); ++i) {
      if ((mask[i] != 0) != (theirs[i] != 0)) disagree(pass, std::abs(x.v[i]));
    }
    mask = theirs;
  }
  pass.kink_distance = std::min(pass.kink_distance, relu_kink_distance(x));
  return relu(x, pass.decisions.relu[name] = std::move(mask));
}

Tensor decide_max_pool(Pass& pass, const std::string& name, const Tensor& x, const Decisions* forced,
                       bool after_relu) {
  Choices choices = max_pool_choices(x);
  if (forced != nullptr && forced->pool.count(name) != 0) {
    const Choices& theirs = forced->pool.at(name);
    const Tensor own = max_pool(x, choices);
    const Tensor other = max_pool(x, theirs);
    for (std::size_t i = 0; i < choices.size(); ++i) {
      if (choices[i] != theirs[i]) disagree(pass, own.v[i] - other.v[i]);
    }
    choices = theirs;
  }
  pass.kink_distance = std::min(pass.kink_distance, max_pool_kink_distance(x, after_relu));
  return max_pool(x, pass.decisions.pool[name] = std::move(choices));
}

Pass run(const Network& network, const Named& parameters, const Tensor& input, const std::vector<int>& labels,
         const std::map<std::string, RunningStatistics>& running, const Options& options) {
  Pass pass;
  pass.running = running;
  pass.activations["input"] = input;
  std::map<std::string, NormForward> norms;
  const auto value_of = [&](const std::string& name, bool present) {
    return present ? parameters.at(name) : Values();
  };
  const auto evaluates = [&](const Node& node) {
    return node.norm.kind == Norm::Kind::bn && !options.training;
  };

  const auto given = [](const std::map<std::string, Tensor>* tensors, const std::string& name,
                        const Tensor& own) {
    return tensors != nullptr && tensors->count(name) != 0 ? tensors->at(name) : own;
  };

  const auto output = [&](const std::string& name) {
    return given(options.activations, name, pass.activations.at(name));
  };

  Tensor x = input;
  for (std::size_t at = 0; at < network.nodes.size(); ++at) {
    const Node& node = network.nodes[at];
    const std::vector<std::string> inputs = network.inputs_of(at);
    x = output(inputs.front());
    if (node.kind == Node::Kind::conv) {
      x = conv2d(x, parameters.at(node.name + ".weight"), value_of(node.name + ".bias", node.bias),
                 node.outputs, node.conv);
    } else if (node.kind == Node::Kind::linear) {
      x = linear(x, parameters.at(node.name + ".weight"), value_of(node.name + ".bias", node.bias),
                 node.outputs);
    } else if (node.kind == Node::Kind::norm) {
      const Values& gamma = parameters.at(node.name + ".weight");
      const Values beta = value_of(node.name + ".bias", node.norm.has_beta());
      NormForward& forward = norms[node.name];
      forward = evaluates(node) ? batch_norm_evaluation(x, gamma, beta, running.at(node.name))
                                : norm_forward(node.norm, x, gamma, beta);
      if (node.norm.kind == Norm::Kind::bn && options.training)
        update_running(pass.running.at(node.name), forward);
      x = forward.y;
    } else if (node.kind == Node::Kind::relu) {
      x = decide_relu(pass, node.name, x, options.forced);
    } else if (node.kind == Node::Kind::max_pool) {
      const bool after_relu = &node != &network.nodes.front() && (&node - 1)->kind == Node::Kind::relu;
      x = decide_max_pool(pass, node.name, x, options.forced, after_relu);
    } else if (node.kind == Node::Kind::global_average_pool) {
      x = global_average_pool(x);
    } else if (node.kind == Node::Kind::add) {
      const Tensor other = output(inputs.at(1));
      for (std::size_t i = 0; i < x.size(); ++i) x.v[i] += other.v[i];
    } else {
      x = wrap(x);
    }
    pass.activations[node.name] = x;
  }
  x = output(network.nodes.back().name);
  pass.logits = x;
  pass.loss = softmax_cross_entropy(x, labels, options.label_smoothing);

  // A value that several nodes read receives the sum of their gradients.
  const auto receive = [&](const std::string& name, const Tensor& dx) {
    const auto [place, is_new] = pass.activation_gradients.try_emplace(name, dx);
    for (std::size_t i = 0; !is_new && i < dx.size(); ++i) place->second.v[i] += dx.v[i];
  };
  receive(network.nodes.back().name, pass.loss.dlogits);
  for (std::size_t at = network.nodes.size(); at-- > 0;) {
    const Node& node = network.nodes[at];
    const std::vector<std::string> inputs = network.inputs_of(at);
    const Tensor in = output(inputs.front());
    Tensor dy = given(options.gradients, node.name, pass.activation_gradients.at(node.name));
    if (node.kind == Node::Kind::conv || node.kind == Node::Kind::linear) {
      const Values& weight = parameters.at(node.name + ".weight");
      ConvGradients g = node.kind == Node::Kind::conv ? conv2d_backward(in, weight, dy, node.conv)
                                                      : linear_backward(in, weight, dy);
      pass.gradients[node.name + ".weight"] = std::move(g.dweight);
      if (node.bias) pass.gradients[node.name + ".bias"] = std::move(g.dbias);
      dy = std::move(g.dx);
    } else if (node.kind == Node::Kind::norm) {
      const Values& gamma = parameters.at(node.name + ".weight");
      const NormForward& forward = norms.at(node.name);
      NormGradients g = evaluates(node) ? batch_norm_evaluation_backward(forward, gamma, dy)
                                        : norm_backward(node.norm, forward, gamma, dy);
      pass.gradients[node.name + ".weight"] = std::move(g.dgamma);
      if (node.norm.has_beta()) pass.gradients[node.name + ".bias"] = std::move(g.dbeta);
      dy = std::move(g.dx);
    } else if (node.kind == Node::Kind::relu) {
      dy = relu_backward(pass.decisions.relu.at(node.name), dy);
    } else if (node.kind == Node::Kind::max_pool) {
      dy = max_pool_backward(in, pass.decisions.pool.at(node.name), dy);
    } else if (node.kind == Node::Kind::global_average_pool) {
      dy = global_average_pool_backward(in, dy);
    } else if (node.kind == Node::Kind::add) {
      receive(inputs.at(1), dy);
    } else {
      dy = wrap_backward(dy);
    }
    receive(inputs.front(), dy);
  }
  return pass;
}

}  // namespace normlab::reference
