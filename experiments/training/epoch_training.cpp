#include "experiments/training/epoch_training.hpp"

#include <cmath>

#include "experiments/measure/timer.hpp"
#include "experiments/progress/interrupt.hpp"

namespace normlab {

EpochOutcome EpochTraining::train() {
  using Status = EpochOutcome::Status;
  Steps& steps = run_.steps();
  run_.begin_epoch(at_.epoch, at_.samples);
  while (steps.done() < steps.count()) {
    const int processors = task_.take_processors();
    const int first = steps.done();
    const Timer timer;
    const double looked_before = diagnostics_.seconds();
    do_steps();
    std::vector<std::string> not_finite = record_steps(first, processors);
    const double seconds = timer.seconds() - (diagnostics_.seconds() - looked_before);
    seconds_ += seconds;
    at_.seconds += seconds;
    if (!not_finite.empty()) return {Status::diverged, {}, std::move(not_finite)};
    // An epoch is saved before it is evaluated: that repeats to the bit.
    const bool is_stopped = interrupted();
    if (is_save_due(steps_done()) || steps.done() == steps.count() || is_stopped) record_.save(at_);
    if (is_stopped) return {Status::interrupted};
  }
  return {Status::done, {at_.loss_sum / images(), static_cast<double>(at_.correct) / images(), at_.seconds}};
}

bool EpochTraining::looks_at(std::int64_t step) const {
  return diagnostics_.steps().looks_at(step) || window_.contains(step);
}

bool EpochTraining::is_save_due(std::int64_t step) const {
  const int every = task_.options.checkpoint_every;
  return every > 0 && step % every == 0;
}

/// Steps until somebody wants to see what they did. A host that does them itself sees each one.
int EpochTraining::steps_unseen() const {
  if (!task_.backend.runs_ahead()) return 1;
  int count = 1;
  const int left = run_.steps().count() - run_.steps().done();
  while (count < left && !is_save_due(steps_done() + count) && !looks_at(steps_done() + count + 1)) ++count;
  return count;
}

/// The next step, or several that nobody looks at.
void EpochTraining::do_steps() {
  const std::int64_t step = steps_done() + 1;
  if (diagnostics_.steps().looks_at(step)) {
    look_at_step();
  } else if (window_.contains(step)) {
    window_.step(run_.steps(), step, [&](int samples) {
      run_.gradients(samples);
      run_.update();
    });
  } else {
    window_.run(run_.steps(), steps_unseen());
  }
}

/// Does the next step and looks inside.
void EpochTraining::look_at_step() {
  const std::int64_t step = steps_done() + 1;
  window_.step(run_.steps(), step, [&](int samples) {
    run_.gradients(samples);
    diagnostics_.before_update(at_.epoch, step, run_.rates(step - 1).lr,
                               [&] { return run_.gradients_again(samples); });
    run_.update();
    diagnostics_.after_update(at_.epoch, step);
  });
}

/// Waits for the steps of this epoch from `first` on and records what they found, up to the first that is not
/// finite; returns what is not.
std::vector<std::string> EpochTraining::record_steps(int first, int processors) {
  const Steps& steps = run_.steps();
  std::vector<std::string> not_finite;
  double work = 0;
  for (int i = first; const StepSums& sums : steps.results(first, steps.done() - first)) {
    const int samples = steps.samples(i++);
    const std::int64_t step = steps_done() + 1;
    const double loss = sums.loss_sum / samples, norm = std::sqrt(sums.squared_norm);
    record_.log().step(at_.epoch, step, loss, run_.rates(step - 1).lr, norm);
    run_.optimizer().set_steps(step);
    at_.loss_sum += sums.loss_sum;
    at_.correct += sums.correct;
    at_.samples += samples;
    at_.passes += run_.passes(samples);
    work += samples + diagnostics_.steps().work(step, samples);
    if (!std::isfinite(loss)) not_finite.emplace_back("the loss");
    if (!std::isfinite(norm)) not_finite.emplace_back("the norm of the gradient");
    if (!not_finite.empty()) break;
  }
  const double mean_loss = at_.loss_sum / static_cast<double>(at_.samples);
  task_.progress.advance(task_.run, {at_.epoch, work, mean_loss, processors});
  return not_finite;
}

}  // namespace normlab
