#include "experiments/training/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "experiments/measure/diagnostics.hpp"
#include "experiments/measure/timer.hpp"
#include "experiments/options/backends.hpp"
#include "experiments/options/machine.hpp"
#include "experiments/progress/interrupt.hpp"
#include "experiments/training/checkpoint.hpp"
#include "experiments/training/finite.hpp"
#include "experiments/training/other_scores.hpp"
#include "experiments/training/profile_window.hpp"
#include "experiments/training/run_log.hpp"
#include "experiments/training/run_steps.hpp"
#include "host/data/batches.hpp"
#include "host/record/diagnostic_channels.hpp"
#include "host/record/number_text.hpp"

namespace normlab {

namespace {

std::string loss_text(double loss) {
  return number_text(loss, 4);
}

/// The user stops the study while a run is tested: what it has is saved already.
struct InterruptedInEvaluation {};

/// One training in progress.
class Run {
 public:
  Run(Backend& backend, const StudyOptions& options, const RunSpec& spec, const Dataset& data,
      const std::function<int()>& processors, const RunDirectory& directory, Progress& progress, int index)
      : backend_(backend),
        options_(options),
        spec_(spec),
        data_(data),
        processors_(processors),
        directory_(directory),
        checkpoints_(directory.checkpoints()),
        progress_(progress),
        index_(index),
        window_(backend, *options.profile_steps) {
    take_workers();
    run_ = std::make_unique<RunSteps>(backend, options, spec, data);
    diagnostics_ = std::make_unique<Diagnostics>(
        options, network_of(options, spec, data), run_->graph(),
        run_->train_images().batch(probe_indices(spec.seed, run_->splits().train, kProbeImages)),
        run_->steps_per_epoch());
    const auto saved = checkpoints_.newest_first();
    resumes_ = !saved.empty();
    if (resumes_) {
      at_ = read_checkpoint(run_->graph(), run_->optimizer(), saved.front(),
                            settings_of(options_, spec_, data_));
      checkpoints_.go_on(at_.steps, options_.keep);
      mark_config();
    } else {
      write_config();
    }
    open_log();
    progress_.begin(index_, work_done());
    for (const std::string& note : backend_.notes()) progress_.note(note);
    diagnostics_->start(log_->writer(), resumes_, [this](const std::string& warning) {
      progress_.note(fmt::format("{}: {}", spec_.name(), warning));
    });
    if (!resumes_) save();  // from here on nothing of this run is lost
  }

  RunOutcome operator()() {
    RunOutcome outcome;
    std::string ending;
    try {
      train_and_test(outcome, ending);
    } catch (const InterruptedInEvaluation&) {
      outcome.status = RunOutcome::Status::interrupted;
    }
    finish(outcome, ending);
    return outcome;
  }

 private:
  /// All epochs that are left; `ending` is what the last evaluation found, in words.
  void train_and_test(RunOutcome& outcome, std::string& ending) {
    for (; at_.epoch <= spec_.epochs && outcome.status == RunOutcome::Status::done; begin_epoch()) {
      const int epoch = at_.epoch;
      const Score train = train_epoch(outcome);
      if (outcome.status != RunOutcome::Status::done) break;
      record("train", epoch, train);
      std::string line = fmt::format("{} epoch {}/{}: train loss {}, accuracy {:.2f} %", spec_.name(), epoch,
                                     spec_.epochs, loss_text(train.loss), 100 * train.accuracy);
      ending.clear();
      const auto test_on = [&](const char* split, Evaluation& evaluation) {
        const Score score = evaluate(epoch, train, evaluation);
        outcome.times.evaluation += score.seconds;
        record(split, epoch, score);
        line += fmt::format("; {} {}, {:.2f} %", split, loss_text(score.loss), 100 * score.accuracy);
        ending += fmt::format("{}{} {:.2f} %", ending.empty() ? "" : ", ", split, 100 * score.accuracy);
        return score;
      };
      const bool is_last = epoch == spec_.epochs;
      if (!run_->val().empty()) outcome.val_accuracy = test_on("val", run_->val()).accuracy;
      if (!run_->test().empty()) {
        if (is_last) run_->test().keep_predictions();
        const Score test = test_on("test", run_->test());
        outcome.test_accuracy = test.accuracy;
        if (is_last) predictions_ = run_->test().predictions();
        if (spec_.other_statistics && is_last) outcome.times.evaluation += use_other_statistics(train, test);
      }
      progress_.epoch(index_, run_->test().empty() ? outcome.val_accuracy : outcome.test_accuracy,
                      line + fmt::format("; {:.0f} images/s", images_per_epoch() / train.seconds));
      // No loss tells of all of the network: not of what the last step did, nor of what does not reach it.
      if (is_last || !not_finite_.empty()) check_network();
      if (!not_finite_.empty()) outcome.status = RunOutcome::Status::diverged;
    }
  }

  void check_network() {
    const auto is_wrong = [](const Prediction& one) { return !std::isfinite(one.confidence); };
    if (const auto wrong = std::ranges::count_if(predictions_, is_wrong); wrong > 0)
      not_finite_.push_back(
          fmt::format("the confidence of {} of {} predictions", wrong, predictions_.size()));
    std::ranges::move(not_finite(run_->graph()), std::back_inserter(not_finite_));
  }

  /// Records how the run ended.
  void finish(RunOutcome& outcome, const std::string& ending) {
    std::string message;
    LogWriter& log = log_->writer();
    switch (outcome.status) {
      case RunOutcome::Status::done:
        if (!run_->test().empty())
          log.append(log.channel("test.predictions"), spec_.epochs, steps_done(), predictions_);
        write_parameters(run_->graph(), at_.passes, settings_of(options_, spec_, data_),
                         directory_.final_parameters());
        message = ending;
        log.close(RunStatus::done);
        break;
      case RunOutcome::Status::diverged:
        message = fmt::format("diverged at step {}: {}; a lower learning rate or clipping may help",
                              steps_done(), not_finite_text(not_finite_));
        log.close(RunStatus::diverged, message);
        break;
      case RunOutcome::Status::interrupted:
        message = fmt::format("interrupted after step {}", at_.steps);
        log.close(RunStatus::interrupted, message);
        break;
    }
    outcome.times.training = step_seconds_;
    outcome.times.diagnosis = diagnostics_->seconds();
    outcome.times.saving = saving_seconds_;
    outcome.times.logging = log_->seconds();
    outcome.times.total = total_.seconds();
    if (const std::string window = window_.text(); !window.empty()) message += "; " + window;
    progress_.finish(
        index_, fmt::format("{:<{}} {} in {}", spec_.name(), 20, message, clock_text(outcome.times.total)));
  }

  /// Between two passes a run may take over processors that another run left.
  int take_workers() {
    backend_.set_active_workers(processors_());
    return backend_.active_workers();
  }

  void begin_epoch() {
    at_.epoch += 1;
    at_.samples = at_.correct = 0;
    at_.loss_sum = at_.seconds = 0;
  }

  /// Images trained on and evaluated before the checkpoint that the run goes on from.
  [[nodiscard]] double work_done() const {
    const double epochs = at_.epoch - 1;
    const double evaluated = run_->val().images() + run_->test().images();
    return epochs * (images_per_epoch() + kEvaluationWork * evaluated) + static_cast<double>(at_.samples);
  }
  [[nodiscard]] double images_per_epoch() const { return static_cast<double>(run_->splits().train.size()); }
  [[nodiscard]] std::int64_t steps_done() const { return run_->optimizer().steps(); }

  /// Trains to the end of the epoch that the run is in.
  Score train_epoch(RunOutcome& outcome) {
    Steps& steps = run_->steps();
    run_->begin_epoch(at_.epoch, at_.samples);
    while (steps.done() < steps.count()) {
      const int workers = take_workers();
      const int first = steps.done();
      const Timer timer;
      double aside = 0;
      if (diagnostics_->steps().looks_at(steps_done() + 1)) {
        aside = look_at_step();
      } else if (window_.contains(steps_done() + 1)) {
        window_.step(steps, steps_done() + 1, [&](int samples) {
          run_->gradients(samples);
          run_->update();
        });
      } else {
        window_.run(steps, steps_unseen());
      }
      const bool is_finite = record_steps(first, workers);
      const double seconds = timer.seconds() - aside;
      step_seconds_ += seconds;
      at_.seconds += seconds;
      if (!is_finite) {
        if (!backend_.runs_ahead()) check_network();  // else it has done later steps already
        outcome.status = RunOutcome::Status::diverged;
        return {};
      }
      // An epoch is saved before it is evaluated: that repeats to the bit.
      const bool is_stopped = interrupted();
      if (is_save_due(steps_done()) || steps.done() == steps.count() || is_stopped) save();
      if (is_stopped) {
        outcome.status = RunOutcome::Status::interrupted;
        return {};
      }
    }
    return {at_.loss_sum / images_per_epoch(), static_cast<double>(at_.correct) / images_per_epoch(),
            at_.seconds};
  }

  /// Steps that are done directly, because somebody looks inside.
  [[nodiscard]] bool looks_at(std::int64_t step) const {
    return diagnostics_->steps().looks_at(step) || window_.contains(step);
  }
  [[nodiscard]] bool is_save_due(std::int64_t step) const {
    return options_.checkpoint_every > 0 && step % options_.checkpoint_every == 0;
  }
  /// Steps until somebody wants to see what they did. A host that does them itself sees each one.
  [[nodiscard]] int steps_unseen() const {
    if (!backend_.runs_ahead()) return 1;
    int count = 1;
    const int left = run_->steps().count() - run_->steps().done();
    while (count < left && !is_save_due(steps_done() + count) && !looks_at(steps_done() + count + 1)) ++count;
    return count;
  }

  /// Does the next step and looks inside; returns the seconds that looking took.
  double look_at_step() {
    const std::int64_t step = steps_done() + 1;
    double aside = 0;
    const auto look = [&](const auto& work) {
      const Timer timer;
      work();
      aside += timer.seconds();
    };
    window_.step(run_->steps(), step, [&](int samples) {
      run_->gradients(samples);
      look([&] {
        diagnostics_->before_update(at_.epoch, step, run_->rates(step - 1).lr,
                                    [&] { return run_->gradients_again(samples); });
      });
      run_->update();
      look([&] { diagnostics_->after_update(at_.epoch, step); });
    });
    return aside;
  }

  /// Waits for the steps of this epoch from `first` on and records what they found, up to the first that is
  /// not finite; false if there is one.
  bool record_steps(int first, int workers) {
    const Steps& steps = run_->steps();
    double work = 0;
    bool is_finite = true;
    for (int i = first; const StepSums& sums : steps.results(first, steps.done() - first)) {
      const int samples = steps.samples(i++);
      const std::int64_t step = steps_done() + 1;
      const double loss = sums.loss_sum / samples, norm = std::sqrt(sums.squared_norm);
      log_->step(at_.epoch, step, loss, run_->rates(step - 1).lr, norm);
      run_->optimizer().set_steps(step);
      at_.loss_sum += sums.loss_sum;
      at_.correct += sums.correct;
      at_.samples += samples;
      at_.passes += run_->passes(samples);
      work += samples + diagnostics_->steps().work(step, samples);
      if (!std::isfinite(loss)) not_finite_.emplace_back("the loss");
      if (!std::isfinite(norm)) not_finite_.emplace_back("the norm of the gradient");
      is_finite = std::isfinite(loss) && std::isfinite(norm);
      if (!is_finite) break;
    }
    progress_.advance(index_, {at_.epoch, work, at_.loss_sum / static_cast<double>(at_.samples), workers});
    return is_finite;
  }

  /// Everything up to here survives whatever happens to the process.
  void save() {
    const Timer timer;
    at_.steps = steps_done();
    at_.log = log_->writer().sync();
    checkpoints_.add(
        checkpoint_of(run_->graph(), run_->optimizer(), at_, settings_of(options_, spec_, data_)), at_.steps,
        options_.keep);
    saving_seconds_ += timer.seconds();
  }

  Score evaluate(int epoch, const Score& train, Evaluation& evaluation) {
    const Timer timer;
    Steps& steps = evaluation.steps();
    Score sum;
    for (steps.rewind(); steps.done() < steps.count();) {
      if (interrupted()) throw InterruptedInEvaluation();
      const int workers = take_workers();
      const int first = steps.done();
      evaluation.run(backend_.runs_ahead() ? steps.count() : 1);
      double work = 0;
      for (int i = first; const StepSums& found : steps.results(first, steps.done() - first)) {
        sum.loss += found.loss_sum;
        sum.accuracy += static_cast<double>(found.correct);
        work += steps.samples(i++) * kEvaluationWork;
      }
      progress_.advance(index_, {epoch, work, train.loss, workers});
    }
    return {sum.loss / evaluation.images(), sum.accuracy / evaluation.images(), timer.seconds()};
  }

  /// Tests once more, with the statistics of each batch and with running statistics re-estimated over the
  /// training images; without running statistics there is nothing else to find. Returns the seconds.
  double use_other_statistics(const Score& train, const Score& test) {
    const Timer timer;
    OtherScores scores{test, test};
    if (run_->graph().state_count() > 0) {
      scores = other_scores(
          *run_, spec_.pass_size(),
          [&](int images) {
            const int workers = take_workers();
            progress_.advance(index_, {spec_.epochs, images * kEvaluationWork, train.loss, workers});
            if (interrupted()) throw InterruptedInEvaluation();
          },
          [&] { return evaluate(spec_.epochs, train, run_->test()); });
    }
    record("train_mode", spec_.epochs, scores.of_batches);
    record("reestimated", spec_.epochs, scores.reestimated);
    return timer.seconds();
  }

  void write_config() {
    RunConfig c = settings_of(options_, spec_, data_);
    c.set("command", options_.command);
    // A rate that is swept is the question, and not chosen.
    if (std::ranges::count(spec_.swept, "lr") == 0) c.set("lr_choice", spec_.lr_choice);
    c.set("parameters", run_->graph().parameter_count());
    c.set("memory_bytes", run_->graph().memory_bytes());
    if (const std::string choices = backend_.choices(); !choices.empty()) c.set("algorithms", choices);
    c.set("threads", backend_.active_workers());  // at the start
    c.set("shard_samples", run_->graph().shard_samples());
    const RunConfig machine = machine_of(backend_);
    for (const ConfigEntry& entry : machine.entries()) c.set(entry.key, entry.value);
    directory_.write_config(c);
  }

  /// Marks a run that was resumed on another machine: its configuration says so from now on.
  void mark_config() {
    RunConfig c = RunConfig::read(directory_.config());
    const RunConfig here = machine_of(backend_);
    if (other_machine(c, here).empty()) return;
    mark_other_machine(c, here, at_.steps);
    directory_.write_config(c);
  }

  void open_log() {
    std::vector<std::string> splits{"train"};
    if (!run_->val().empty()) splits.emplace_back("val");
    if (!run_->test().empty()) splits.emplace_back("test");
    if (spec_.other_statistics) splits.insert(splits.end(), {"train_mode", "reestimated"});
    log_ = std::make_unique<RunLog>(directory_.metrics(), splits, "test", diagnostics_->channels(),
                                    resumes_ ? &at_.log : nullptr);
    if (options_.durable) log_->writer().make_durable();
  }

  void record(const std::string& split, int epoch, const Score& score) {
    log_->score(split, epoch, steps_done(), score);
    if (!std::isfinite(score.loss))
      not_finite_.push_back(fmt::format("the {} loss after epoch {}", split, epoch));
  }

  const Timer total_;
  Backend& backend_;
  const StudyOptions& options_;
  const RunSpec& spec_;
  const Dataset& data_;
  const std::function<int()>& processors_;
  const RunDirectory& directory_;
  CheckpointFiles checkpoints_;
  Progress& progress_;
  int index_;
  ProfileWindow window_;
  std::unique_ptr<RunSteps> run_;
  std::unique_ptr<Diagnostics> diagnostics_;
  std::vector<Prediction> predictions_;
  std::vector<std::string> not_finite_;  ///< what was found so; the run has then diverged
  bool resumes_ = false;
  Position at_;
  double step_seconds_ = 0, saving_seconds_ = 0;
  std::unique_ptr<RunLog> log_;
};

}  // namespace

RunOutcome train(Backend& backend, const StudyOptions& options, const RunSpec& spec, const Dataset& data,
                 const std::function<int()>& processors, const RunDirectory& directory, Progress& progress,
                 int run) {
  return Run(backend, options, spec, data, processors, directory, progress, run)();
}

}  // namespace normlab
