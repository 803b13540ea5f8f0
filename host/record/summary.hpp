#pragma once
// The table that `normlog summary` prints and a study ends with.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/record/run_results.hpp"
#include "host/record/statistics.hpp"

namespace normlab {

/// All seeds of one arm: one norm at one setting. Runs that diverged or did not finish are counted, and are
/// in none of the means.
struct ArmSummary {
  std::string arm;         // its unique name: gn4, bn-b2
  std::string norm;        // as typed: gn:4
  std::string label;       // for people: see ArmRuns
  std::string lr;          // peak learning rate; "" if not recorded, or if all rows are named by it
  bool sweeps_lr = false;  // its runs are of a sweep of rates
  std::string lr_choice;   // how it was chosen: see rate_choice; "" if not recorded
  std::string setting;     // the swept values
  std::string others;      // every setting but the norm and the rate
  std::set<std::filesystem::path> studies;  // where its runs lie
  std::vector<std::size_t> members;         // its runs, as places in what was summarized
  std::optional<std::int64_t> parameters;
  std::size_t runs = 0, finished = 0, diverged = 0;
  std::map<std::int64_t, double> accuracies;  // the final ones of the finished runs, by seed; fractions
  std::string split = "test";                 // on which the accuracies here are: result_split()
  Estimate final_accuracy;                    // of the last epoch; fractions
  Estimate best_accuracy;                     // of the best epoch, chosen on the same split
  std::optional<Estimate> to_baseline;        // final accuracy minus that of bn, paired by seed
  Estimate epochs_to_threshold;               // first epoch at 70 %, over the n seeds that reached it
  double images_per_second = 0;               // median over epochs and seeds; NaN if not recorded
};

/// The accuracy whose first epoch is reported.
inline constexpr double accuracy_threshold = 0.70;
/// A learning rate is usable where every run finished and their mean accuracy is at most this much below the
/// norm's best.
inline constexpr double usable_within = 0.05;

/// The data set of all these runs, by its path; "various" if there are several. One set has one digest, and
/// may have more than one path: the longest tells most.
[[nodiscard]] std::string common_data(std::span<const RunResults> runs);
/// How a data set is called where there is no room for its path: the last folder, or all of "synthetic seed
/// 0".
[[nodiscard]] std::string data_name(std::string data);

/// The split that decides: "val" where learning rates are compared and every run held images out, since
/// nothing is chosen on the test set; else "test".
[[nodiscard]] std::string_view result_split(std::span<const RunResults> runs);
/// In words: "held-out" for val, "test".
[[nodiscard]] std::string_view words_for_split(std::string_view split);

/// What config.toml's `lr_choice` says.
namespace rate_choice {
inline constexpr std::string_view built_in = "default", given = "given", found = "auto",
                                  none_learned = "auto, at chance";
}

/// The figures of each of arms_of(runs).
[[nodiscard]] std::vector<ArmSummary> summarize(std::span<const RunResults> runs);

/// The arm of that norm with the settings of `arm`, whatever its learning rate; of several that with the same
/// rate, else that of the same study. nullptr if there is none, or no single one.
[[nodiscard]] const ArmSummary* counterpart(std::span<const ArmSummary> arms, const ArmSummary& arm,
                                            std::string_view norm);

/// Whether tables name each arm's learning rate: where they differ and are not what is swept, or where one
/// was not found.
[[nodiscard]] bool names_rates(std::span<const ArmSummary> arms);

/// Whether the label says the rate, as it does where a norm has several.
[[nodiscard]] bool label_has_rate(const ArmSummary& arm);

/// How the learning rates were chosen, by norm where that differs; "" if none says.
[[nodiscard]] std::string choice_of_rates(std::span<const ArmSummary> arms);

/// Final accuracy of a minus that of b, over the seeds that both finished; n = 0 where settings differ that
/// are neither swept nor the learning rate.
[[nodiscard]] Estimate difference(const ArmSummary& a, const ArmSummary& b);

/// Whether the 95 % interval leaves 0 out; never where there is none.
[[nodiscard]] bool is_distinguishable(const Estimate& difference);

/// What all runs agree on, "various" where they do not, "" where none says.
[[nodiscard]] std::string common_value(std::span<const RunResults> runs, std::string_view key);

/// 46010 as 46,010.
[[nodiscard]] std::string grouped(std::int64_t number);

/// Title, table and footnotes, ready to print; at most 120 columns for the usual norms.
[[nodiscard]] std::string summary_text(std::span<const RunResults> runs);

}  // namespace normlab
