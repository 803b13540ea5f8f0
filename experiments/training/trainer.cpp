#include "experiments/training/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "experiments/measure/timer.hpp"
#include "experiments/progress/interrupt.hpp"
#include "experiments/training/epoch_training.hpp"
#include "experiments/training/finite.hpp"
#include "experiments/training/other_scores.hpp"
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

/// One training in progress: epochs, and what is found after each.
class Run {
 public:
  explicit Run(const RunTask& task)
      : task_(task),
        run_(task.backend, task.options, task.spec, task.data),
        diagnostics_(
            task.options, network_of(task.options, task.spec, task.data), run_.graph(),
            run_.train_images().batch(probe_indices(task.spec.seed, run_.splits().train, kProbeImages)),
            run_.steps_per_epoch()),
        record_(task, run_, diagnostics_.channels()),
        at_(record_.start()),
        training_(task, run_, diagnostics_, record_, at_) {}

  RunOutcome operator()() {
    RunOutcome outcome;
    begin();
    try {
      for (; at_.epoch <= task_.spec.epochs && outcome.status == RunOutcome::Status::done; begin_epoch())
        train_and_test(outcome);
    } catch (const InterruptedInEvaluation&) {
      outcome.status = RunOutcome::Status::interrupted;
    }
    finish(outcome);
    return outcome;
  }

 private:
  void begin() {
    task_.progress.begin(task_.run, work_done());
    for (const std::string& note : task_.backend.notes()) task_.progress.note(note);
    diagnostics_.start(record_.log().writer(), record_.resumes(), [this](const std::string& warning) {
      task_.progress.note(fmt::format("{}: {}", task_.spec.name(), warning));
    });
    if (!record_.resumes()) record_.save(at_);  // from here on nothing of this run is lost
  }

  /// Images trained on and evaluated before the checkpoint that the run goes on from.
  [[nodiscard]] double work_done() {
    const double epochs = at_.epoch - 1;
    const double evaluated = run_.val().images() + run_.test().images();
    return epochs * (training_.images() + kEvaluationWork * evaluated) + static_cast<double>(at_.samples);
  }

  /// One epoch, or what is left of it.
  void train_and_test(RunOutcome& outcome) {
    const RunSpec& spec = task_.spec;
    EpochOutcome epoch = training_.train();
    if (epoch.status == EpochOutcome::Status::interrupted) {
      outcome.status = RunOutcome::Status::interrupted;
      return;
    }
    if (epoch.status == EpochOutcome::Status::diverged) {
      outcome.status = RunOutcome::Status::diverged;
      not_finite_ = std::move(epoch.not_finite);
      if (!task_.backend.runs_ahead()) check_network();  // else it has done later steps already
      return;
    }
    const Score& train = epoch.score;
    record("train", train);
    std::string line = fmt::format("{} epoch {}/{}: train loss {}, accuracy {:.2f} %", spec.name(), at_.epoch,
                                   spec.epochs, loss_text(train.loss), 100 * train.accuracy);
    ending_.clear();
    const auto test_on = [&](const char* split, Evaluation& evaluation) {
      const Score score = evaluate(train, evaluation);
      outcome.times.evaluation += score.seconds;
      record(split, score);
      line += fmt::format("; {} {}, {:.2f} %", split, loss_text(score.loss), 100 * score.accuracy);
      ending_ += fmt::format("{}{} {:.2f} %", ending_.empty() ? "" : ", ", split, 100 * score.accuracy);
      return score;
    };
    const bool is_last = at_.epoch == spec.epochs;
    if (!run_.val().empty()) outcome.val_accuracy = test_on("val", run_.val()).accuracy;
    if (!run_.test().empty()) {
      if (is_last) run_.test().keep_predictions();
      const Score test = test_on("test", run_.test());
      outcome.test_accuracy = test.accuracy;
      if (is_last) predictions_ = run_.test().predictions();
      if (spec.other_statistics && is_last) outcome.times.evaluation += use_other_statistics(train, test);
    }
    task_.progress.epoch(task_.run, run_.test().empty() ? outcome.val_accuracy : outcome.test_accuracy,
                         line + fmt::format("; {:.0f} images/s", training_.images() / train.seconds));
    // No loss tells of all of the network: not of what the last step did, nor of what does not reach it.
    if (is_last || !not_finite_.empty()) check_network();
    if (!not_finite_.empty()) outcome.status = RunOutcome::Status::diverged;
  }

  void begin_epoch() {
    at_.epoch += 1;
    at_.samples = at_.correct = 0;
    at_.loss_sum = at_.seconds = 0;
  }

  void check_network() {
    const auto is_wrong = [](const Prediction& one) { return !std::isfinite(one.confidence); };
    if (const auto wrong = std::ranges::count_if(predictions_, is_wrong); wrong > 0)
      not_finite_.push_back(
          fmt::format("the confidence of {} of {} predictions", wrong, predictions_.size()));
    std::ranges::move(not_finite(run_.graph()), std::back_inserter(not_finite_));
  }

  void record(const std::string& split, const Score& score) {
    record_.log().score(split, at_.epoch, steps_done(), score);
    if (!std::isfinite(score.loss))
      not_finite_.push_back(fmt::format("the {} loss after epoch {}", split, at_.epoch));
  }
  [[nodiscard]] std::int64_t steps_done() { return run_.optimizer().steps(); }

  Score evaluate(const Score& train, Evaluation& evaluation) {
    const Timer timer;
    Steps& steps = evaluation.steps();
    Score sum;
    for (steps.rewind(); steps.done() < steps.count();) {
      if (interrupted()) throw InterruptedInEvaluation();
      const int processors = task_.take_processors();
      const int first = steps.done();
      evaluation.run(task_.backend.runs_ahead() ? steps.count() : 1);
      double work = 0;
      for (int i = first; const StepSums& found : steps.results(first, steps.done() - first)) {
        sum.loss += found.loss_sum;
        sum.accuracy += static_cast<double>(found.correct);
        work += steps.samples(i++) * kEvaluationWork;
      }
      task_.progress.advance(task_.run, {at_.epoch, work, train.loss, processors});
    }
    return {sum.loss / evaluation.images(), sum.accuracy / evaluation.images(), timer.seconds()};
  }

  /// Tests once more, with the statistics of each batch and with running statistics re-estimated over the
  /// training images; without running statistics there is nothing else to find. Returns the seconds.
  double use_other_statistics(const Score& train, const Score& test) {
    const Timer timer;
    OtherScores scores{test, test};
    if (run_.graph().state_count() > 0) {
      scores = other_scores(
          run_, task_.spec.pass_size(),
          [&](int images) {
            const int processors = task_.take_processors();
            task_.progress.advance(task_.run, {at_.epoch, images * kEvaluationWork, train.loss, processors});
            if (interrupted()) throw InterruptedInEvaluation();
          },
          [&] { return evaluate(train, run_.test()); });
    }
    record("train_mode", scores.of_batches);
    record("reestimated", scores.reestimated);
    return timer.seconds();
  }

  /// Records how the run ended.
  void finish(RunOutcome& outcome) {
    std::string message;
    switch (outcome.status) {
      case RunOutcome::Status::done:
        message = ending_;
        record_.finish(at_, predictions_);
        break;
      case RunOutcome::Status::diverged:
        message = fmt::format("diverged at step {}: {}; a lower learning rate or clipping may help",
                              steps_done(), not_finite_text(not_finite_));
        record_.finish(RunStatus::diverged, message);
        break;
      case RunOutcome::Status::interrupted:
        message = fmt::format("interrupted after step {}", at_.steps);
        record_.finish(RunStatus::interrupted, message);
        break;
    }
    outcome.times.training = training_.seconds();
    outcome.times.diagnosis = diagnostics_.seconds();
    outcome.times.saving = record_.saving_seconds();
    outcome.times.logging = record_.log().seconds();
    outcome.times.total = total_.seconds();
    if (const std::string window = training_.window_text(); !window.empty()) message += "; " + window;
    task_.progress.finish(task_.run, fmt::format("{:<{}} {} in {}", task_.spec.name(), 20, message,
                                                 clock_text(outcome.times.total)));
  }

  const Timer total_;
  const RunTask& task_;
  RunSteps run_;
  Diagnostics diagnostics_;
  RunRecord record_;
  Position at_;
  EpochTraining training_;
  std::vector<Prediction> predictions_;
  std::vector<std::string> not_finite_;  ///< what was found so; the run has then diverged
  std::string ending_;                   ///< what the last evaluation found, in words
};

}  // namespace

RunOutcome train(const RunTask& task) {
  task.take_processors();
  return Run(task)();
}

}  // namespace normlab
