#pragma once
// What a run records of its training and its evaluations.

#include <memory>
#include <string>
#include <vector>

#include "host/record/metric_log.hpp"

namespace normlab {

/// Mean loss and accuracy of a pass over a split.
struct Score {
  double loss = 0, accuracy = 0, seconds = 0;
};

/// The metric log of a run, with channels for each step and for each split.
class RunLog {
 public:
  /// splits: "train", "test", ...; those of `predicted` also get a channel of predictions. `others` come
  /// last. Where `from` is not null the log goes on from there.
  RunLog(const std::filesystem::path& path, const std::vector<std::string>& splits,
         const std::string& predicted, std::vector<Channel> others, const LogPosition* from);

  void step(int epoch, std::int64_t step, double loss, double lr, double grad_norm);
  void score(const std::string& split, int epoch, std::int64_t step, const Score& score);
  /// What logging has cost so far: handing over rows of steps, and the processor time of the log's thread.
  [[nodiscard]] double seconds() const { return handing_over_ + writer_->cpu_seconds(); }
  [[nodiscard]] LogWriter& writer() { return *writer_; }

 private:
  std::unique_ptr<LogWriter> writer_;
  std::uint32_t loss_ = 0, lr_ = 0, grad_norm_ = 0;
  double handing_over_ = 0;
};

}  // namespace normlab
