#include "experiments/training/run_record.hpp"

#include <algorithm>

#include "experiments/measure/timer.hpp"
#include "experiments/options/machine.hpp"

namespace normlab {

RunRecord::RunRecord(const RunTask& task, RunSteps& run, std::vector<Channel> others)
    : task_(task),
      run_(run),
      checkpoints_(task.directory.checkpoints()),
      resumes_(!checkpoints_.newest_first().empty()),
      start_(read_start()),
      log_(open_log(std::move(others))) {}

Position RunRecord::read_start() {
  if (!resumes_) {
    write_config();
    return {};
  }
  const Position start =
      read_checkpoint(run_.graph(), run_.optimizer(), checkpoints_.newest_first().front(), task_.settings());
  checkpoints_.go_on(start.steps, task_.options.keep);
  mark_config(start.steps);
  return start;
}

RunLog RunRecord::open_log(std::vector<Channel> others) const {
  std::vector<std::string> splits{"train"};
  if (!run_.val().empty()) splits.emplace_back("val");
  if (!run_.test().empty()) splits.emplace_back("test");
  if (task_.spec.other_statistics) splits.insert(splits.end(), {"train_mode", "reestimated"});
  RunLog log(task_.directory.metrics(), splits, "test", std::move(others), resumes_ ? &start_.log : nullptr);
  if (task_.options.durable) log.writer().make_durable();
  return log;
}

void RunRecord::save(Position& at) {
  const Timer timer;
  at.steps = run_.optimizer().steps();
  at.log = log_.writer().sync();
  checkpoints_.add(checkpoint_of(run_.graph(), run_.optimizer(), at, task_.settings()), at.steps,
                   task_.options.keep);
  saving_seconds_ += timer.seconds();
}

void RunRecord::finish(const Position& at, const std::vector<Prediction>& predictions) {
  LogWriter& log = log_.writer();
  if (!run_.test().empty()) {
    log.append(log.channel("test.predictions"), task_.spec.epochs, run_.optimizer().steps(), predictions);
  }
  write_parameters(run_.graph(), at.passes, task_.settings(), task_.directory.final_parameters());
  log.close(RunStatus::done);
}

void RunRecord::write_config() const {
  const RunSpec& spec = task_.spec;
  const Backend& backend = task_.backend;
  RunConfig c = task_.settings();
  c.set("command", task_.options.command);
  // A rate that is swept is the question, and not chosen.
  if (std::ranges::count(spec.swept, "lr") == 0) c.set("lr_choice", spec.lr_choice);
  c.set("parameters", run_.graph().parameter_count());
  c.set("memory_bytes", run_.graph().memory_bytes());
  if (const std::string choices = backend.choices(); !choices.empty()) c.set("algorithms", choices);
  c.set("threads", backend.active_workers());  // at the start
  c.set("shard_samples", run_.graph().shard_samples());
  const RunConfig machine = machine_of(backend);
  for (const ConfigEntry& entry : machine.entries()) c.set(entry.key, entry.value);
  task_.directory.write_config(c);
}

void RunRecord::mark_config(std::int64_t steps) const {
  RunConfig c = RunConfig::read(task_.directory.config());
  const RunConfig here = machine_of(task_.backend);
  if (other_machine(c, here).empty()) return;
  mark_other_machine(c, here, steps);
  task_.directory.write_config(c);
}

}  // namespace normlab
