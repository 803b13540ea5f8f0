#pragma once
// What every experiment lets its users choose.

#include <string>
#include <vector>

#include "experiments/options/backends.hpp"
#include "experiments/options/parsed.hpp"
#include "experiments/options/step_range.hpp"
#include "experiments/options/values.hpp"
#include "layers/initialize.hpp"
#include "layers/networks.hpp"
#include "layers/optimizer.hpp"
#include "layers/schedule.hpp"

namespace normlab {

/// What people chose. Text is parsed when it is set; check() finds what that and CLI11 cannot.
struct StudyOptions {
  std::string experiment;  ///< the program's name
  std::string command;     ///< the command line, for the record
  std::string device = "auto";
  Parsed<parse_study_precision> precision = "fp32";
  Parsed<parse_batch_norm_source> bn = "own";
  Parsed<parse_convolution_method> conv = "auto";
  std::string data = "synthetic";
  Parsed<Network::parse> net = "net_a";
  double width = 1;
  Parsed<parse_norms> norms = "none,bn,ln,gn:4,in";
  Parsed<parse_seeds> seeds = "3";
  int epochs = 4;
  int batch_size = 32;
  int micro_batch = 0;  ///< 0: off
  Parsed<parse_optimizer> optimizer = "sgd";
  Parsed<LearningRates::parse> lr = default_learning_rates();
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 5e-4;
  double label_smoothing = 0;
  Parsed<parse_schedule> schedule = "onecycle";
  Parsed<parse_initialization> init = "he";
  double clip = 0;
  bool augment = false;
  int val = 0;
  int diagnose = 1;                                  ///< epochs from one diagnosis to the next; 0: none
  Parsed<parse_diagnose_steps> diagnose_steps = "";  ///< and after these steps
  int diagnose_first = 0;   ///< and after each of the first so many steps (gradient_flow)
  int diagnose_every = 0;   ///< and after every so many steps (gradient_flow); 0: none
  int landscape_every = 0;  ///< steps from one look at the landscape to the next (loss_landscape); 0: none
  int limit_train = 0;      ///< 0: all
  int limit_test = 0;
  int checkpoint_every = 0;          ///< steps; 0: after each epoch only
  int keep = 2;                      ///< checkpoints of a run that stay
  bool durable = false;              ///< each flush of a log reaches the disk
  bool allow_other_cpu = false;      ///< runs may go on where their bits are not promised
  int threads = 0;                   ///< 0: all processors
  Parsed<parse_jobs> jobs = "auto";  ///< runs side by side
  std::string out;                   ///< empty: runs/<experiment>-<time>
  std::string resume;                ///< directory of a study to go on with; empty: a new one
  bool full = false;
  Parsed<StepRange::parse> profile_steps = "";

  /// The peak learning rate for a norm; 1 where a range test will find it (--lr auto).
  [[nodiscard]] double lr_for(const Norm& norm) const;
  [[nodiscard]] DeviceChoices device_choices() const {
    return {precision->tf32, *bn == BatchNormSource::cudnn, {}, *conv == ConvolutionMethod::direct};
  }
  [[nodiscard]] int total_threads() const;
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
