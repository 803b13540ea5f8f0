#include "experiments/training/run_log.hpp"

#include <utility>

#include "experiments/measure/timer.hpp"

namespace normlab {

RunLog::RunLog(const std::filesystem::path& path, const std::vector<std::string>& splits,
               const std::string& predicted, std::vector<Channel> others, const LogPosition* from) {
  std::vector<Channel> channels{{"step.loss", ChannelKind::scalar, "nat", {}, {}},
                                {"step.lr", ChannelKind::scalar, "", {}, {}},
                                {"step.grad_norm", ChannelKind::scalar, "", {}, {}}};
  for (const std::string& split : splits) {
    channels.push_back({split + ".loss", ChannelKind::scalar, "nat", {}, {}});
    channels.push_back({split + ".accuracy", ChannelKind::scalar, "", {}, {}});
    channels.push_back({split + ".seconds", ChannelKind::time, "s", {}, {}});
    if (split == predicted) channels.push_back({split + ".predictions", ChannelKind::prediction, "", {}, {}});
  }
  for (Channel& channel : others) channels.push_back(std::move(channel));
  writer_ = from != nullptr ? std::make_unique<LogWriter>(path, std::move(channels), *from)
                            : std::make_unique<LogWriter>(path, std::move(channels));
  loss_ = writer_->channel("step.loss");
  lr_ = writer_->channel("step.lr");
  grad_norm_ = writer_->channel("step.grad_norm");
}

void RunLog::step(int epoch, std::int64_t step, double loss, double lr, double grad_norm) {
  const Timer timer;
  writer_->append(loss_, epoch, step, loss);
  writer_->append(lr_, epoch, step, lr);
  writer_->append(grad_norm_, epoch, step, grad_norm);
  handing_over_ += timer.seconds();
}

void RunLog::score(const std::string& split, int epoch, std::int64_t step, const Score& score) {
  writer_->append(writer_->channel(split + ".loss"), epoch, step, score.loss);
  writer_->append(writer_->channel(split + ".accuracy"), epoch, step, score.accuracy);
  writer_->append(writer_->channel(split + ".seconds"), epoch, step, score.seconds);
}

}  // namespace normlab
