#include "experiments/options/options.hpp"

#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <optional>

#include "experiments/options/backends.hpp"
#include "experiments/options/command_line.hpp"
#include "host/cpu/limits.hpp"
#include "host/record/text_layout.hpp"

namespace normlab {

namespace {

std::string help_lines(const std::string& text) {
  std::string lines = wrapped(text, 0);
  lines.pop_back();
  return lines;
}

}  // namespace

double StudyOptions::lr_for(const Norm& norm) const {
  if (lr->are_found()) return 1;
  if (const std::optional<double> rate = lr->of(norm)) return *rate;
  throw UsageError("--lr {}: says nothing about {}; add a general value such as 0.1,", lr.text(), norm.str());
}

int StudyOptions::total_threads() const {
  return threads > 0 ? threads : available_threads();
}

void StudyOptions::check() const {
  const auto require = [](bool fine, const char* option, const char* remedy) {
    if (!fine) throw UsageError("{}: {}", option, remedy);
  };
  for (const Norm& norm : *norms) static_cast<void>(lr_for(norm));
  require(profile_steps->empty() || device == "cuda", "--profile-steps",
          "is for a GPU's profilers: it wants --device cuda");
  const std::unique_ptr<Backend> backend = make_backend(device, 1, device_choices());
  if (const std::string missing = backend->why_not(precision->storage); !missing.empty()) {
    throw Error("--precision {}: {}; use --precision fp32", precision.text(), missing);
  }
  require(momentum >= 0 && momentum < 1, "--momentum", "must be in [0, 1)");
  require(weight_decay >= 0 && std::isfinite(weight_decay), "--weight-decay",
          "must be finite and not negative");
  require(label_smoothing >= 0 && label_smoothing < 1, "--label-smoothing", "must be in [0, 1)");
  require(val >= 0, "--val", "must not be negative");
  require(diagnose >= 0, "--diagnose", "must not be negative (0: not at the end of any epoch)");
  require(limit_train >= 0, "--limit-train", "must not be negative (0: all images)");
  require(limit_test >= 0, "--limit-test", "must not be negative (0: all images)");
  require(checkpoint_every >= 0, "--checkpoint-every", "must not be negative (0: after each epoch only)");
  require(keep >= 1 && keep <= 1000, "--keep", "must be 1 to 1000 checkpoints");
  require(threads >= 0 && threads <= 1024, "--threads", "must be 1 to 1024, or 0 for all processors");
  if (out.empty() == false && out.find_first_not_of('/') == std::string::npos) {
    throw UsageError("--out '{}': name a new directory", out);
  }
}

std::string norms_help(const std::string& names) {
  return help_lines("Normalizations, separated by commas: " + names);
}

std::string net_help() {
  return help_lines("Network: " + network_list_text());
}

void add_study_options(CommandLine& line, StudyOptions& o, const std::vector<std::string>& without) {
  o.experiment = line.program();

  const OptionGroup what = line.group("What is compared");
  what.add("--norms", &o.norms, norms_help(norm_list_text(true))).list();
  what.add("--seeds", &o.seeds, kSeedsHelp).list();
  what.add("--net", &o.net, net_help());
  what.add("--width", &o.width, "Multiplies the network's channels");

  const OptionGroup data = line.group("Data");
  data.add("--data", &o.data,
           "synthetic (drawn on the spot), a directory with CIFAR-10's or CIFAR-100's binary\n"
           "files, or cifar-10-binary.tar.gz itself (`dataset fetch cifar10 DIR` gets it)");
  data.add("--limit-train", &o.limit_train, "Use fewer training images (0: all)");
  data.add("--limit-test", &o.limit_test, "Use fewer test images (0: all)");
  data.add("--val", &o.val,
           "Hold out this many training images, chosen by the seed, and report on them:\n"
           "choose settings there, never on the test set");
  data.flag("--augment", &o.augment, "Random crops (pad 4) and horizontal flips");

  const OptionGroup how = line.group("Training");
  how.add("--epochs", &o.epochs, "Passes over the training images");
  how.add("--batch-size", &o.batch_size, "Images in a step");
  how.add("--micro-batch", &o.micro_batch,
          "Takes a batch in parts of this many images and adds up their gradients (0: whole):\n"
          "memory for the part, and the same step but for bn, which sees only the part");
  how.add("--optimizer", &o.optimizer, "sgd or adamw");
  how.add("--lr", &o.lr,
          "Peak learning rate; by norm where they must differ: 0.1,none=0.02,gn=0.05,gn:8=0.02\n"
          "(the default was found on held-out training images, see docs/findings.md)")
      .list();
  how.add("--schedule", &o.schedule,
          "constant; step (/10 at 1/2 and 3/4); cosine; onecycle (PyTorch's OneCycleLR,\n"
          "which also cycles the momentum 0.95 - 0.85 - 0.95)");
  how.add("--momentum", &o.momentum, "SGD's momentum, AdamW's beta1 (onecycle sets its own)");
  how.flag("--nesterov", &o.nesterov, "Nesterov's momentum");
  how.add("--weight-decay", &o.weight_decay, "On all parameters");
  how.add("--label-smoothing", &o.label_smoothing, "Mass spread over all classes");
  how.add("--clip", &o.clip, "Largest norm of the whole gradient (0: no clipping)");
  how.add("--init", &o.init, "he, lecun, xavier, torch (PyTorch's default) or orthogonal");

  const OptionGroup inside = line.group("What is looked at inside the network");
  inside.add("--diagnose", &o.diagnose,
             "Epochs from one diagnosis to the next (0: none): gradients, weights, updates and\n"
             "activations of each layer; training itself stays the same, to the bit");
  inside.add("--diagnose-steps", &o.diagnose_steps, "Diagnose after these steps, too: 1,10,100").list();
  inside.add("--profile-steps", &o.profile_steps,
             "With --device cuda and one run: steps A to B (100:102) are a window for nsys or ncu");

  const OptionGroup run = line.group("Where and how fast");
  run.add("--device", &o.device, "cpu, cuda, or auto: the CPU for now (cuda has not run on a GPU yet)");
  run.add("--precision", &o.precision,
          "fp32, or bf16: activations and their gradients take 2 bytes (sums, statistics,\n"
          "parameters and the optimizer stay fp32); needs a CPU with AVX512-BF16 or AMX; on a GPU\n"
          "also tf32: fp32 whose products have 10 bits");
  run.add("--bn", &o.bn,
          "On a GPU, who computes batch norm: own (like the CPU's: shifted sums, fused ReLU), or cudnn\n"
          "to compare with");
  run.add("--conv", &o.conv,
          "On the CPU, how convolutions are computed: auto (the fastest, 3x3 by Winograd's algorithm:\n"
          "a NaN or an outlier damages up to three neighbours), or direct (by the definition, as\n"
          "PyTorch does; a step takes more than twice as long)");
  run.add("--checkpoint-every", &o.checkpoint_every,
          "Also save a run's state after each so many steps (0: after each epoch): what a killed run\n"
          "goes on from");
  run.add("--keep", &o.keep,
          "Checkpoints of a run that stay: where the newest is damaged, --resume takes the one before");
  run.flag("--durable", &o.durable,
           "Brings the log to the disk (fdatasync) whenever it is written, about once a second, so that\n"
           "it survives the loss of power, too; checkpoints always do");
  run.add("--threads", &o.threads, "Processors to use (0: all); results do not depend on it");
  run.add("--jobs", &o.jobs,
          "Runs side by side: a number, or auto for one on each processor while memory lasts.\n"
          "Processors that find no run of their own help the others; results do not depend on it");
  run.flag("--full", &o.full, "The whole study: see the last line of what is printed first");
  run.add("--resume", &o.resume,
          "Go on with the study in this directory: with its options, where none are typed; runs that\n"
          "ended stay as they are");
  run.flag("--allow-other-cpu", &o.allow_other_cpu,
           "With --resume: runs that were begun on another CPU, instruction set, device or build go on,\n"
           "too. Their bits are then nobody's; config.toml, runs.csv and the report say so");
  run.add("--out", &o.out, "New or empty directory for the results (default: runs/<experiment>-<time>)");

  for (const std::string& name : without) line.remove(name);
}

}  // namespace normlab
