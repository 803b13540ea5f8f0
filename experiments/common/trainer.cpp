#include "experiments/common/trainer.hpp"

#include <cmath>
#include <numeric>

#include "experiments/common/backends.hpp"
#include "experiments/common/batch_statistics.hpp"
#include "experiments/common/checkpoint.hpp"
#include "experiments/common/device_images.hpp"
#include "experiments/common/diagnostics.hpp"
#include "experiments/common/interrupt.hpp"
#include "experiments/common/revision.hpp"
#include "experiments/common/study_plan.hpp"
#include "experiments/common/timer.hpp"
#include "host/data/batches.hpp"
#include "host/record/diagnostic_channels.hpp"
#include "host/record/metric_log.hpp"

namespace normlab {

namespace {

/// Mean loss and accuracy of a pass.
struct Score {
  double loss = 0, accuracy = 0, seconds = 0;
};

/// One training in progress.
class Run {
 public:
  Run(const StudyOptions& options, const RunSpec& spec, const Dataset& data,
      const std::function<int()>& processors, const RunDirectory& directory, Progress& progress, int index)
      : options_(options),
        spec_(spec),
        data_(data),
        processors_(processors),
        directory_(directory),
        progress_(progress),
        index_(index),
        backend_(make_backend(options.device, options.total_threads())),
        graph_(*backend_, {1, data.train.channels, data.train.height, data.train.width}),
        train_images_(*backend_, data.train),
        test_images_(*backend_, data.test) {
    backend_->set_active_workers(processors_());
    const NetworkOptions network{spec.net, spec.norm, spec.width, static_cast<int>(data.class_names.size()),
                                 static_cast<float>(options.label_smoothing)};
    build_network(graph_, network);
    std::tie(train_indices_, val_indices_) = hold_out(spec.seed, data.train.count, options.val);
    graph_.setup({.batch = std::min(spec.pass_size(), static_cast<int>(train_indices_.size())),
                  .precision = parse_precision(options.precision)});
    initialize(graph_, parse_initialization(spec.init), spec.seed);
    optimizer_ = std::make_unique<Optimizer>(
        graph_, OptimizerOptions{parse_optimizer(options.optimizer), options.nesterov, options.weight_decay,
                                 spec.clip});
    test_indices_.resize(static_cast<std::size_t>(data.test.count));
    std::iota(test_indices_.begin(), test_indices_.end(), 0U);
    const auto batch = static_cast<std::size_t>(spec.batch_size);
    const auto per_epoch = static_cast<std::int64_t>((train_indices_.size() + batch - 1) / batch);
    schedule_ = {parse_schedule(options.schedule), spec.lr, options.momentum, per_epoch * spec.epochs};
    diagnostics_ = std::make_unique<Diagnostics>(
        options, network, graph_, train_images_.batch(probe_indices(spec.seed, train_indices_, kProbeImages)),
        per_epoch);
    resumes_ = std::filesystem::exists(directory_.checkpoint());
    if (resumes_) {
      at_ = read_checkpoint(graph_, *optimizer_, directory_.checkpoint());
    } else {
      write_config();
    }
    open_log();
    progress_.begin(index_, work_done());
    diagnostics_->start(*log_, resumes_);
    if (!resumes_) save();  // from here on nothing of this run is lost
  }

  RunOutcome operator()() {
    RunOutcome outcome;
    std::string ending;
    for (; at_.epoch <= spec_.epochs && outcome.status == RunOutcome::Status::done; begin_epoch()) {
      const int epoch = at_.epoch;
      const Score train = train_epoch(outcome);
      if (outcome.status != RunOutcome::Status::done) break;
      record("train", epoch, train);
      std::string line = fmt::format("{} epoch {}/{}: train loss {:.4f}, accuracy {:.2f} %", spec_.name(),
                                     epoch, spec_.epochs, train.loss, 100 * train.accuracy);
      ending.clear();
      const auto test_on = [&](const char* split, DeviceImages& images,
                               std::span<const std::uint32_t> indices, bool keep_predictions) {
        const Score score = evaluate(epoch, train, images, indices, keep_predictions);
        outcome.times.evaluation += score.seconds;
        record(split, epoch, score);
        if (!std::isfinite(score.loss)) outcome.status = RunOutcome::Status::diverged;
        line += fmt::format("; {} {:.4f}, {:.2f} %", split, score.loss, 100 * score.accuracy);
        ending += fmt::format("{}{} {:.2f} %", ending.empty() ? "" : ", ", split, 100 * score.accuracy);
        return score;
      };
      const bool is_last = epoch == spec_.epochs;
      if (!val_indices_.empty())
        outcome.val_accuracy = test_on("val", train_images_, val_indices_, false).accuracy;
      if (!test_indices_.empty()) {
        const Score test = test_on("test", test_images_, test_indices_, is_last);
        outcome.test_accuracy = test.accuracy;
        if (spec_.other_statistics && is_last) outcome.times.evaluation += use_other_statistics(train, test);
      }
      progress_.epoch(index_, test_indices_.empty() ? outcome.val_accuracy : outcome.test_accuracy,
                      line + fmt::format("; {:.0f} images/s",
                                         static_cast<double>(train_indices_.size()) / train.seconds));
    }
    std::string message;
    switch (outcome.status) {
      case RunOutcome::Status::done:
        if (!test_indices_.empty())
          log_->append(log_->channel("test.predictions"), spec_.epochs, optimizer_->steps(), predictions_);
        write_parameters(graph_, at_.passes, spec_.net, spec_.norm.str(), directory_.final_parameters());
        message = ending;
        log_->close(RunStatus::done);
        break;
      case RunOutcome::Status::diverged:
        message = fmt::format(
            "diverged at step {} (the loss or its gradient is not finite); a lower --lr or --clip may help",
            optimizer_->steps());
        log_->close(RunStatus::diverged, message);
        break;
      case RunOutcome::Status::interrupted:
        save();
        message = fmt::format("interrupted after step {}", optimizer_->steps());
        log_->close(RunStatus::interrupted, message);
        break;
    }
    outcome.times.training = step_seconds_;
    outcome.times.diagnosis = diagnostics_->seconds();
    outcome.times.saving = saving_seconds_;
    outcome.times.total = total_.seconds();
    progress_.finish(
        index_, fmt::format("{:<{}} {} in {}", spec_.name(), 20, message, clock_text(outcome.times.total)));
    return outcome;
  }

 private:
  /// Between two passes a run may take over processors that another run left.
  int take_workers() {
    backend_->set_active_workers(processors_());
    return backend_->active_workers();
  }

  void begin_epoch() {
    at_.epoch += 1;
    at_.samples = at_.correct = 0;
    at_.loss_sum = at_.seconds = 0;
  }

  /// Images trained on and evaluated before the checkpoint that the run goes on from.
  [[nodiscard]] double work_done() const {
    const double epochs = at_.epoch - 1;
    const double evaluated = static_cast<double>(val_indices_.size() + test_indices_.size());
    return epochs * (static_cast<double>(train_indices_.size()) + kEvaluationWork * evaluated) +
           static_cast<double>(at_.samples);
  }

  /// Trains to the end of the epoch that the run is in.
  Score train_epoch(RunOutcome& outcome) {
    const int epoch = at_.epoch;
    const std::vector<std::uint32_t> order =
        epoch_order(spec_.seed, static_cast<std::uint32_t>(epoch), static_cast<int>(train_indices_.size()));
    std::vector<std::uint32_t> indices(order.size());
    std::transform(order.begin(), order.end(), indices.begin(),
                   [&](std::uint32_t i) { return train_indices_[i]; });
    const auto count = static_cast<std::int64_t>(indices.size());
    Timer timer;
    while (at_.samples < count) {
      const Rates rates = schedule_.at(optimizer_->steps());
      const int workers = take_workers();
      const Timer step_timer;
      const std::int64_t size = std::min<std::int64_t>(spec_.batch_size, count - at_.samples);
      const auto batch =
          std::span(indices).subspan(static_cast<std::size_t>(at_.samples), static_cast<std::size_t>(size));
      const PassResult pass = gradients_of(batch);
      const double loss = pass.loss_sum / pass.count;
      const std::int64_t step = optimizer_->steps() + 1;
      step_seconds_ += step_timer.seconds();
      const Timer looking;
      diagnostics_->before_update(epoch, step, rates.lr, [&] {
        const std::int64_t passes = at_.passes;
        const PassResult moved = gradients_of(batch);
        at_.passes = passes;
        return moved.loss_sum / moved.count;
      });
      double aside = looking.seconds();
      const Timer update_timer;
      const double norm = optimizer_->step(rates);
      step_seconds_ += update_timer.seconds();
      const Timer looking_again;
      diagnostics_->after_update(epoch, step);
      aside += looking_again.seconds();
      log_->append(step_loss_, epoch, step, loss);
      log_->append(step_lr_, epoch, step, rates.lr);
      log_->append(step_grad_norm_, epoch, step, norm);
      at_.loss_sum += pass.loss_sum;
      at_.correct += pass.correct;
      at_.samples += size;
      at_.seconds += std::exchange(timer, Timer()).seconds() - aside;
      const double work = pass.count + diagnostics_->steps().work(step, pass.count);
      progress_.advance(index_, {epoch, work, at_.loss_sum / static_cast<double>(at_.samples), workers});
      if (!std::isfinite(loss) || !std::isfinite(norm)) {
        outcome.status = RunOutcome::Status::diverged;
        return {};
      }
      // An epoch is saved before it is evaluated: that repeats to the bit.
      const bool is_due = options_.checkpoint_every > 0 && step % options_.checkpoint_every == 0;
      if (is_due || at_.samples == count) save();
      if (interrupted()) {
        outcome.status = RunOutcome::Status::interrupted;
        return {};
      }
      timer = Timer();
    }
    return {at_.loss_sum / static_cast<double>(count),
            static_cast<double>(at_.correct) / static_cast<double>(count), at_.seconds};
  }

  /// Everything up to here survives whatever happens to the process.
  void save() {
    const Timer timer;
    at_.steps = optimizer_->steps();
    at_.log = log_->sync();
    write_checkpoint(graph_, *optimizer_, at_, settings_of(options_, spec_, data_).to_toml(),
                     directory_.checkpoint());
    saving_seconds_ += timer.seconds();
  }

  /// The gradient of a batch, in parts if so wanted.
  PassResult gradients_of(std::span<const std::uint32_t> indices) {
    const auto part = static_cast<std::size_t>(spec_.pass_size());
    PassResult whole;
    for (std::size_t first = 0; first < indices.size(); first += part, ++at_.passes) {
      Batch batch = train_images_.batch(indices.subspan(first, std::min(part, indices.size() - first)));
      batch.whole = static_cast<int>(indices.size());
      batch.first_part = static_cast<int>(first);
      batch.augmentation = {options_.augment, spec_.seed, static_cast<std::uint32_t>(at_.epoch)};
      const PassResult pass = graph_.forward_backward(batch);
      whole.loss_sum += pass.loss_sum;
      whole.correct += pass.correct;
      whole.count += pass.count;
    }
    return whole;
  }

  Score evaluate(int epoch, const Score& train, DeviceImages& images, std::span<const std::uint32_t> indices,
                 bool keep_predictions = false) {
    const Timer timer;
    constexpr std::size_t kBatch = 1000;
    double loss_sum = 0;
    std::int64_t correct = 0;
    for (std::size_t first = 0; first < indices.size(); first += kBatch) {
      const Batch batch = images.batch(indices.subspan(first, std::min(kBatch, indices.size() - first)));
      const int workers = take_workers();
      const PassResult pass = graph_.evaluate(batch);
      progress_.advance(index_, {epoch, pass.count * kEvaluationWork, train.loss, workers});
      loss_sum += pass.loss_sum;
      correct += pass.correct;
      for (std::size_t i = 0; keep_predictions && i < static_cast<std::size_t>(batch.count); ++i) {
        predictions_.push_back({indices[first + i], static_cast<std::uint16_t>(graph_.predicted()[i]),
                                static_cast<std::uint16_t>(batch.labels[i]), graph_.confidence()[i]});
      }
    }
    const auto count = static_cast<double>(indices.size());
    return {loss_sum / count, static_cast<double>(correct) / count, timer.seconds()};
  }

  /// Tests once more, with the statistics of each batch and with running statistics re-estimated over the
  /// training images; without running statistics there is nothing else to find. Returns the seconds.
  double use_other_statistics(const Score& train, const Score& test) {
    const Timer timer;
    Score batch_statistics = test, reestimated = test;
    if (graph_.state_count() > 0) {
      const std::vector<float> trained = running_statistics(graph_);
      const auto size = static_cast<std::size_t>(spec_.pass_size());
      const auto pass_of = [&](DeviceImages& images, std::span<const std::uint32_t> indices, std::size_t i) {
        const Batch batch =
            images.batch(indices.subspan(i * size, std::min(size, indices.size() - i * size)));
        const int workers = take_workers();
        progress_.advance(index_, {spec_.epochs, batch.count * kEvaluationWork, train.loss, workers});
        return batch;
      };
      const auto passes = [size](std::span<const std::uint32_t> indices) {
        return (indices.size() + size - 1) / size;
      };
      PassResult sum;
      for (std::size_t i = 0; i < passes(test_indices_); ++i) {
        const PassResult pass = graph_.forward(pass_of(test_images_, test_indices_, i));
        sum.loss_sum += pass.loss_sum;
        sum.correct += pass.correct;
      }
      const auto count = static_cast<double>(test_indices_.size());
      batch_statistics = {sum.loss_sum / count, sum.correct / count, timer.seconds()};
      set_running_statistics(graph_,
                             average_statistics(graph_, static_cast<int>(passes(train_indices_)), [&](int i) {
                               return pass_of(train_images_, train_indices_, static_cast<std::size_t>(i));
                             }));
      reestimated = evaluate(spec_.epochs, train, test_images_, test_indices_);
      set_running_statistics(graph_, trained);
    }
    record("train_mode", spec_.epochs, batch_statistics);
    record("reestimated", spec_.epochs, reestimated);
    return timer.seconds();
  }

  void write_config() {
    RunConfig c = settings_of(options_, spec_, data_);
    c.set("command", options_.command);
    c.set("parameters", graph_.parameter_count());
    c.set("memory_bytes", graph_.memory_bytes());
    c.set("device", backend_->name());
    c.set("cpu", cpu_model());
    c.set("isa", backend_->isa());
    c.set("threads", backend_->active_workers());  // at the start
    c.set("shard_samples", graph_.shard_samples());
    c.set("revision", revision());
    c.set("build", build_description());
    directory_.write_config(c);
  }

  void open_log() {
    std::vector<Channel> channels{{"step.loss", ChannelKind::scalar, "nat", {}, {}},
                                  {"step.lr", ChannelKind::scalar, "", {}, {}},
                                  {"step.grad_norm", ChannelKind::scalar, "", {}, {}}};
    const auto add_split = [&](const std::string& split) {
      channels.push_back({split + ".loss", ChannelKind::scalar, "nat", {}, {}});
      channels.push_back({split + ".accuracy", ChannelKind::scalar, "", {}, {}});
      channels.push_back({split + ".seconds", ChannelKind::time, "s", {}, {}});
    };
    add_split("train");
    if (!val_indices_.empty()) add_split("val");
    if (!test_indices_.empty()) {
      add_split("test");
      channels.push_back({"test.predictions", ChannelKind::prediction, "", {}, {}});
    }
    if (spec_.other_statistics) {
      add_split("train_mode");
      add_split("reestimated");
    }
    for (Channel& channel : diagnostics_->channels()) channels.push_back(std::move(channel));
    log_ = resumes_ ? std::make_unique<LogWriter>(directory_.metrics(), std::move(channels), at_.log)
                    : std::make_unique<LogWriter>(directory_.metrics(), std::move(channels));
    step_loss_ = log_->channel("step.loss");
    step_lr_ = log_->channel("step.lr");
    step_grad_norm_ = log_->channel("step.grad_norm");
  }

  void record(const std::string& split, int epoch, const Score& score) {
    log_->append(log_->channel(split + ".loss"), epoch, optimizer_->steps(), score.loss);
    log_->append(log_->channel(split + ".accuracy"), epoch, optimizer_->steps(), score.accuracy);
    log_->append(log_->channel(split + ".seconds"), epoch, optimizer_->steps(), score.seconds);
  }

  const Timer total_;
  const StudyOptions& options_;
  const RunSpec& spec_;
  const Dataset& data_;
  const std::function<int()>& processors_;
  const RunDirectory& directory_;
  Progress& progress_;
  int index_;
  std::unique_ptr<Backend> backend_;
  Graph graph_;
  DeviceImages train_images_, test_images_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Diagnostics> diagnostics_;
  Schedule schedule_;
  std::vector<std::uint32_t> train_indices_, val_indices_, test_indices_;
  std::vector<Prediction> predictions_;
  bool resumes_ = false;
  Position at_;
  double step_seconds_ = 0, saving_seconds_ = 0;
  std::unique_ptr<LogWriter> log_;
  std::uint32_t step_loss_ = 0, step_lr_ = 0, step_grad_norm_ = 0;
};

}  // namespace

RunOutcome train(const StudyOptions& options, const RunSpec& spec, const Dataset& data,
                 const std::function<int()>& processors, const RunDirectory& directory, Progress& progress,
                 int run) {
  return Run(options, spec, data, processors, directory, progress, run)();
}

}  // namespace normlab
