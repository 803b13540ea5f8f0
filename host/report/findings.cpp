#include "host/report/findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "host/report/laws.hpp"
#include "host/report/layer_channels.hpp"
#include "host/report/sweep.hpp"
#include "host/report/verdict.hpp"

namespace normlab {

namespace {

/// Geometric mean over runs of first / last value of the row; NaN if no run has two positive values.
double fall_over_depth(const ArmView& arm, const std::string& name, bool last_row) {
  double sum = 0;
  int count = 0;
  for (const RunView* run : shown_runs(arm)) {
    const ChannelView* channel = find_channel(run->channels, name);
    if (channel == nullptr) continue;
    const auto& values = (last_row ? channel->rows.back() : channel->rows.front()).values;
    if (values.size() < 2) continue;
    const double ratio = static_cast<double>(values.front()) / values.back();
    if (!std::isfinite(ratio) || ratio <= 0) continue;
    sum += std::log(ratio);
    ++count;
  }
  return count == 0 ? NAN : std::exp(sum / count);
}

std::string gradient_finding(const std::vector<const ArmView*>& arms) {
  const std::string channel = "layer.output_grad_norm";
  std::vector<std::string> parts;
  std::string first_moment, last_moment;
  for (const ArmView* arm : arms) {
    const RunView* run = run_with(*arm, channel);
    if (run == nullptr) continue;
    const ChannelView& view = *find_channel(run->channels, channel);
    const double before = fall_over_depth(*arm, channel, false), after = fall_over_depth(*arm, channel, true);
    if (std::isnan(before) || std::isnan(after)) continue;
    first_moment = moment_of(*run, view.rows.front());
    last_moment = moment_of(*run, view.rows.back());
    parts.push_back(first_moment == last_moment
                        ? fmt::format("{} {:.2g}", arm->name, before)
                        : fmt::format("{} {:.2g} → {:.2g}", arm->name, before, after));
  }
  if (parts.empty()) return "";
  return fmt::format(
      "The loss gradient's norm at the first block's output over that at the last, {}{}: {} (1 would be "
      "even).",
      first_moment, first_moment == last_moment ? "" : " → " + last_moment, listed(parts));
}

/// Mean over runs of the median over steps of high - low (or of high alone, if low is empty).
double median_over_steps(const ArmView& arm, const std::string& high, const std::string& low) {
  std::vector<double> of_runs;
  for (const RunView* run : shown_runs(arm)) {
    const ChannelView* top = find_channel(run->channels, high);
    const ChannelView* bottom = low.empty() ? nullptr : find_channel(run->channels, low);
    if (top == nullptr || (!low.empty() && bottom == nullptr)) continue;
    std::vector<double> values;
    for (std::size_t i = 0; i < top->rows.size(); ++i) {
      if (bottom != nullptr && (i >= bottom->rows.size() || bottom->rows[i].step != top->rows[i].step))
        continue;
      const double value =
          top->rows[i].values.front() - (bottom != nullptr ? bottom->rows[i].values.front() : 0);
      if (!std::isnan(value)) values.push_back(value);
    }
    if (!values.empty()) of_runs.push_back(median(values));
  }
  return estimate(of_runs).mean;
}

std::string landscape_finding(const std::vector<const ArmView*>& arms) {
  std::vector<std::string> ranges, betas;
  for (const ArmView* arm : arms) {
    const double range = median_over_steps(*arm, "landscape.loss_max", "landscape.loss_min");
    const double beta = median_over_steps(*arm, "landscape.beta", "");
    if (!std::isnan(range)) ranges.push_back(fmt::format("{} {:.3g}", arm->name, range));
    if (!std::isnan(beta)) betas.push_back(fmt::format("{} {:.3g}", arm->name, beta));
  }
  std::string text;
  if (!ranges.empty())
    text = fmt::format("Along the gradient the loss varies by (highest minus lowest, median over steps): {}.",
                       listed(ranges));
  if (!betas.empty())
    text += fmt::format("{}Effective β-smoothness (median): {}.", text.empty() ? "" : " ", listed(betas));
  return text;
}

struct Named {
  std::string name;
  double value;
};

/// The largest and the smallest of them.
std::pair<Named, Named> extremes(const std::vector<Named>& all) {
  const auto [least, most] = std::minmax_element(
      all.begin(), all.end(), [](const Named& a, const Named& b) { return a.value < b.value; });
  return {*most, *least};
}

}  // namespace

std::string finding(const StudyView& study, Topic topic) {
  const std::vector<const ArmView*> arms = representative(study).arms;
  if (topic == Topic::gradients) return gradient_finding(arms);
  return topic == Topic::landscape ? landscape_finding(arms) : "";
}

std::vector<std::string> laws_verdict(const StudyView& study) {
  std::vector<std::string> sentences;
  for (const SettingView& setting : settings_of(study)) {
    std::vector<std::vector<Named>> found(laws().size());
    std::string theory;
    for (const ArmView* arm : setting.arms)
      for (std::size_t i = 0; i < laws().size(); ++i) {
        const Estimate law = law_of(*arm, laws()[i]);
        if (law.n == 0) continue;
        found[i].push_back({arm->name, law.mean});
        if (i == 0 && arm->summary.norm == "bn")
          theory = fmt::format("; bn's {:.4f} is {:+.2f} % from theory's {:.4f}", law.mean,
                               100 * (law.mean / theory_growth_bn - 1), theory_growth_bn);
      }
    if (found[0].empty()) continue;
    const auto [fastest, slowest] = extremes(found[0]);
    std::string text = setting.name.empty() ? "" : setting.name + ": ";
    text += fmt::format(
        "going back, the gradient's norm grows per layer by {:.3f} under {} (most) to {:.3f} under {}{}",
        fastest.value, fastest.name, slowest.value, slowest.name, theory);
    if (!found[1].empty()) {
      const auto [alike, different] = extremes(found[1]);
      text += fmt::format("; two samples end most alike under {} (cosine {:.2f}), least under {} ({:.2f})",
                          alike.name, alike.value, different.name, different.value);
    }
    text[0] = text[0] >= 'a' && text[0] <= 'z' ? static_cast<char>(text[0] - 'a' + 'A') : text[0];
    sentences.push_back(text + ".");
  }
  return sentences;
}

}  // namespace normlab
