#pragma once
// What every experiment lets its users choose.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experiments/options/backends.hpp"
#include "layers/initialize.hpp"
#include "layers/networks.hpp"
#include "layers/optimizer.hpp"

namespace normlab {

/// As typed; check() finds what CLI11 cannot.
struct StudyOptions {
  std::string experiment;  ///< the program's name
  std::string command;     ///< the command line, for the record
  std::string device = "auto";
  std::string precision = "fp32";
  std::string bn = "own";
  std::string conv = "auto";
  std::string data = "synthetic";
  std::string net = "net_a";
  double width = 1;
  std::string norms = "none,bn,ln,gn:4,in";
  std::string seeds = "3";
  int epochs = 4;
  int batch_size = 32;
  int micro_batch = 0;  ///< 0: off
  std::string optimizer = "sgd";
  std::string lr = default_learning_rates();
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 5e-4;
  double label_smoothing = 0;
  std::string schedule = "onecycle";
  std::string init = "he";
  double clip = 0;
  bool augment = false;
  int val = 0;
  int diagnose = 1;            ///< epochs from one diagnosis to the next; 0: none
  std::string diagnose_steps;  ///< and after these steps
  int diagnose_first = 0;      ///< and after each of the first so many steps (gradient_flow)
  int diagnose_every = 0;      ///< and after every so many steps (gradient_flow); 0: none
  int landscape_every = 0;     ///< steps from one look at the landscape to the next (loss_landscape); 0: none
  int limit_train = 0;         ///< 0: all
  int limit_test = 0;
  int checkpoint_every = 0;      ///< steps; 0: after each epoch only
  int keep = 2;                  ///< checkpoints of a run that stay
  bool durable = false;          ///< each flush of a log reaches the disk
  bool allow_other_cpu = false;  ///< runs may go on where their bits are not promised
  int threads = 0;               ///< 0: all processors
  std::string jobs = "auto";
  std::string out;     ///< empty: runs/<experiment>-<time>
  std::string resume;  ///< directory of a study to go on with; empty: a new one
  bool full = false;
  std::string profile_steps;  ///< "A:B"; empty: none

  [[nodiscard]] std::vector<Norm> norm_list() const;
  /// "3" is 0, 1, 2; "4,7" are those seeds, and so is "7,".
  [[nodiscard]] std::vector<std::uint64_t> seed_list() const;
  /// 1 where a range test will find it (--lr auto). Else the learning rate for one norm, from "0.1" or
  /// "0.1,none=0.02,gn=0.05,gn:8=0.02": gn stands for every G that is not named itself.
  [[nodiscard]] double lr_for(const Norm& norm) const;
  [[nodiscard]] bool finds_lr() const;
  /// From "1,10,100".
  [[nodiscard]] std::vector<int> diagnose_step_list() const;
  /// What activations are stored as.
  [[nodiscard]] DataType storage() const;
  [[nodiscard]] DeviceChoices device_choices() const {
    return {precision == "tf32", bn == "cudnn", {}, conv == "direct"};
  }
  [[nodiscard]] int total_threads() const;
  /// Runs side by side, or none for auto.
  [[nodiscard]] std::optional<int> fixed_jobs() const;
  /// Throws UsageError where values make no sense, before anything is loaded or written. What runs may differ
  /// in is check_runs's.
  void check() const;
};

/// What every program says of its --seeds, --norms and --net.
inline constexpr const char* kSeedsHelp =
    "How many seeds (3: seeds 0, 1, 2), or which (4,7; a single one: 7,)";
[[nodiscard]] std::string norms_help(const std::string& names);
[[nodiscard]] std::string net_help();

class CommandLine;

/// Declares the options on `line`, with their help, all but those named `without`: an experiment that sweeps
/// --lrs has no --lr.
void add_study_options(CommandLine& line, StudyOptions& options,
                       const std::vector<std::string>& without = {});

}  // namespace normlab
