#pragma once
// A study for TensorBoard: a directory of event files for each run.
//
// Tags: loss/train, loss/test, accuracy/test, ... by epoch; step/loss, step/lr, step/grad_norm; of vectors
// over layers one scalar each, layer.grad_norm/c1.conv; histograms before/c1.norm, after/c1.norm;
// misclassified images as images. What TensorBoard calls a step is the optimizer's. Wall times are spread
// evenly between the time of a run's config.toml and that of its log: a log has none.

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace normlab {

struct TensorboardExport {
  std::vector<std::filesystem::path> files;  // what was written
  std::vector<std::string> problems;         // damage that was read around, one sentence each
  std::vector<std::string> left_out;         // runs that could not be read, one sentence each
  std::vector<std::string> notes;            // what could not be exported and why
};

/// Writes <out>/<run>/events.out.tfevents.<first row>-<row after the last>.<settings>-<rows>.normlab for each
/// run among or directly below `paths`. Rows that an earlier export wrote there are not written again: when a
/// run went on, or was resumed, what is new goes to a new file, and nothing new makes none. The last two
/// parts are digests of the run's settings and of all rows until then (but for times), by which an export
/// knows its run: where <out>/<run> has the curves of another one, the run takes <out>/<study>/<run>, and
/// that is noted. The misclassified images come from `data`, as in view_study. Throws Error.
TensorboardExport export_tensorboard(std::span<const std::filesystem::path> paths,
                                     const std::filesystem::path& out, const std::string& data = "");

}  // namespace normlab
