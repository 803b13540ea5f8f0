#include "experiments/training/run_steps.hpp"

#include <algorithm>
#include <numeric>

#include "host/data/batches.hpp"
#include "layers/as_size.hpp"

namespace normlab {

namespace {

constexpr int kEvaluationBatch = 1000;

/// Set up and initialized.
std::unique_ptr<Graph> make_graph(Backend& backend, const StudyOptions& options, const RunSpec& spec,
                                  const Dataset& data, std::size_t training_images) {
  const Images& images = data.train;
  auto graph = std::make_unique<Graph>(backend, Shape{1, images.channels, images.height, images.width});
  build_network(*graph, network_of(options, spec, data));
  graph->setup({.batch = std::min(spec.pass_size(), static_cast<int>(training_images)),
                .evaluation_batch = kEvaluationBatch,
                .precision = options.precision->storage});
  initialize(*graph, *spec.init, spec.seed);
  return graph;
}

/// What all batches of a run's training have in common.
Batch training_batch(const DeviceImages& images, const StudyOptions& options, const RunSpec& spec) {
  Batch like = images.like();
  like.augmentation = {options.augment, spec.seed, 0};
  return like;
}

}  // namespace

Evaluation::Evaluation(Graph& graph, const DeviceImages& images, std::span<const std::uint32_t> indices)
    : graph_(graph),
      images_(images.on_host()),
      indices_(indices),
      steps_(graph.backend(), images.like(), static_cast<int>(indices.size()), kEvaluationBatch,
             [this](int samples) { pass(samples); }) {
  std::vector<StepInput> rows;
  for (std::size_t first = 0; first < indices.size(); first += kEvaluationBatch)
    rows.push_back({static_cast<std::uint32_t>(first), 0, {}});
  steps_.load(indices, rows);
}

void Evaluation::pass(int samples) {
  const Batch batch = steps_.take(0, samples, samples);
  graph_.enqueue(batch, Graph::Pass::evaluation);
  steps_.add(graph_, batch);
}

void Evaluation::keep_predictions() {
  predicted_ = Buffer(graph_.backend(), indices_.size() * sizeof(std::int32_t));
  confidence_ = Buffer(graph_.backend(), indices_.size() * sizeof(float));
}

void Evaluation::run(int count) {
  if (predicted_.bytes() == 0) {
    steps_.run(count);
    return;
  }
  for (int i = 0; i < count; ++i) {
    const std::size_t place = as_size(steps_.done()) * kEvaluationBatch;
    steps_.step([&](int samples) {
      pass(samples);
      const SampleResults found = graph_.results();
      const auto values = as_size(samples);
      Backend& backend = graph_.backend();
      backend.copy_bytes(found.predicted, predicted_.data() + place * sizeof(std::int32_t),
                         values * sizeof(std::int32_t));
      backend.copy_bytes(found.confidence, confidence_.data() + place * sizeof(float),
                         values * sizeof(float));
    });
  }
}

std::vector<Prediction> Evaluation::predictions() const {
  std::vector<std::int32_t> predicted(indices_.size());
  std::vector<float> confidence(indices_.size());
  graph_.backend().to_host(predicted_.data(), predicted.data(), predicted_.bytes());
  graph_.backend().to_host(confidence_.data(), confidence.data(), confidence_.bytes());
  std::vector<Prediction> predictions;
  for (std::size_t i = 0; i < indices_.size(); ++i) {
    predictions.push_back({indices_[i], static_cast<std::uint16_t>(predicted[i]),
                           static_cast<std::uint16_t>(images_.labels[indices_[i]]), confidence[i]});
  }
  return predictions;
}

Splits::Splits(const StudyOptions& options, const RunSpec& spec, const Dataset& data)
    : test(as_size(data.test.count)) {
  std::tie(train, val) = hold_out(spec.seed, data.train.count, options.val);
  std::iota(test.begin(), test.end(), 0U);
}

NetworkOptions network_of(const StudyOptions& options, const RunSpec& spec, const Dataset& data) {
  return {spec.net, spec.norm, spec.width, static_cast<int>(data.class_names.size()),
          static_cast<float>(options.label_smoothing)};
}

RunSteps::RunSteps(Backend& backend, const StudyOptions& options, const RunSpec& spec, const Dataset& data)
    : spec_(spec),
      splits_(options, spec, data),
      graph_(make_graph(backend, options, spec, data, splits_.train.size())),
      train_images_(backend, data.train),
      test_images_(backend, data.test),
      optimizer_(*graph_, {*options.optimizer, options.nesterov, options.weight_decay, spec.clip}),
      schedule_{*options.schedule, spec.lr, options.momentum, std::int64_t{steps_per_epoch()} * spec.epochs},
      steps_(backend, training_batch(train_images_, options, spec), static_cast<int>(splits_.train.size()),
             spec.batch_size,
             [this](int samples) {
               gradients(samples);
               update();
             }),
      val_(*graph_, train_images_, splits_.val),
      test_(*graph_, test_images_, splits_.test) {}

int RunSteps::steps_per_epoch() const {
  return (static_cast<int>(splits_.train.size()) + spec_.batch_size - 1) / spec_.batch_size;
}

int RunSteps::passes(int samples) const {
  return (samples + spec_.pass_size() - 1) / spec_.pass_size();
}

void RunSteps::begin_epoch(int epoch, std::int64_t samples_done) {
  const auto number = static_cast<std::uint32_t>(epoch);
  std::vector<std::uint32_t> order = epoch_order(spec_.seed, number, static_cast<int>(splits_.train.size()));
  for (std::uint32_t& index : order) index = splits_.train[index];
  std::vector<StepInput> rows;
  std::int64_t step = optimizer_.steps();
  for (auto first = as_size(samples_done); first < order.size(); first += as_size(spec_.batch_size), ++step) {
    rows.push_back(
        {static_cast<std::uint32_t>(first), number, optimizer_.rates_of(schedule_.at(step), step + 1)});
  }
  steps_.load(order, rows);
}

template <typename Pass>
void RunSteps::for_parts(int samples, Pass pass) {
  const int part = spec_.pass_size();
  for (int first = 0; first < samples; first += part)
    pass(steps_.take(first, std::min(part, samples - first), samples));
}

void RunSteps::gradients(int samples) {
  for_parts(samples, [&](const Batch& batch) {
    graph_->enqueue(batch, Graph::Pass::training);
    steps_.add(*graph_, batch);
  });
}

double RunSteps::gradients_again(int samples) {
  double loss_sum = 0;
  for_parts(samples, [&](const Batch& batch) { loss_sum += graph_->forward_backward(batch).loss_sum; });
  return loss_sum / samples;
}

}  // namespace normlab
