#include "host/record/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <system_error>

#include "host/record/csv_text.hpp"
#include "host/record/file.hpp"
#include "host/record/layers_csv.hpp"
#include "host/record/run_identity.hpp"
#include "host/record/run_results.hpp"
#include "host/system/paths.hpp"

namespace normlab {

namespace {

std::string optional_number(const std::optional<double>& value) {
  return value ? csv_number(*value) : "";
}

/// A file of lines, each of which begins with the run it belongs to.
class Table {
 public:
  Table(std::filesystem::path path, std::string_view header) : path_(std::move(path)), file_(path_) {
    file_.write(fmt::format("{}\n", header));
  }
  void line(std::string_view text) {
    file_.write(text);
    file_.write("\n");
  }
  void write(std::string_view lines) { file_.write(lines); }
  std::filesystem::path commit() {
    file_.commit();
    return path_;
  }

 private:
  std::filesystem::path path_;
  AtomicFile file_;
};

void write_epochs(Table& table, const std::string& run, const RunResults& results) {
  for (const EpochResult& row : results.epochs)
    table.line(fmt::format("{},{},{},{},{},{},{}", run, row.epoch, row.step, row.split,
                           optional_number(row.loss), optional_number(row.accuracy),
                           optional_number(row.seconds)));
}

void write_steps(Table& table, const std::string& run, const Log& log) {
  for (const StepResult& row : step_results(log))
    table.line(fmt::format("{},{},{},{},{},{}", run, row.epoch, row.step, optional_number(row.loss),
                           optional_number(row.lr), optional_number(row.grad_norm)));
}

/// What append_layer_lines or append_histogram_lines makes of the rows.
template <typename Append>
void write_rows(Table& table, const std::string& run, const Log& log, Append append) {
  std::string lines;  // of one row at a time: all of them would take a lot of memory
  for (const Row& row : log.rows) {
    lines.clear();
    append(lines, run, log, row);
    table.write(lines);
  }
}

/// Columns of runs.csv that every run has; `parameters` is taken from the configuration.
const std::vector<std::string> run_columns{
    "run",
    "status",
    "parameters",
    "epochs_done",
    "steps_done",
    "final_train_loss",
    "final_train_accuracy",
    "final_val_loss",
    "final_val_accuracy",
    "final_test_loss",
    "final_test_accuracy",
    "best_test_accuracy",
    "best_test_epoch",
    "train_seconds",
};

std::vector<std::string> run_fields(const std::string& run, const RunResults& results) {
  std::vector<std::string> fields{csv_field(run), results.status, results.config.text("parameters")};
  int epochs = 0;
  std::optional<double> seconds;
  for (const EpochResult& row : results.epochs) {
    epochs = std::max(epochs, row.epoch);
    if (row.split == "train" && row.seconds) seconds = seconds.value_or(0) + *row.seconds;
  }
  fields.push_back(std::to_string(epochs));
  fields.push_back(std::to_string(results.steps_done));
  for (const std::string_view split : {"train", "val", "test"}) {
    const EpochResult* last = results.last(split);
    fields.push_back(last != nullptr ? optional_number(last->loss) : "");
    fields.push_back(last != nullptr ? optional_number(last->accuracy) : "");
  }
  const EpochResult* best = results.best("test");
  fields.push_back(best != nullptr ? optional_number(best->accuracy) : "");
  fields.push_back(best != nullptr ? std::to_string(best->epoch) : "");
  fields.push_back(optional_number(seconds));
  return fields;
}

std::string config_field(const RunConfig& config, const std::string& key) {
  const ConfigValue* value = config.find(key);
  if (value == nullptr) return "";
  if (const auto* number = std::get_if<double>(value)) return csv_number(*number);
  return csv_field(text_of(*value));
}

std::string joined(const std::vector<std::string>& fields) {
  return fmt::format("{}", fmt::join(fields, ","));
}

void write_runs(Table& table, const std::vector<std::string>& names, const std::vector<RunResults>& all,
                const std::vector<std::string>& keys) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<std::string> fields = run_fields(names[i], all[i]);
    for (const std::string& key : keys) fields.push_back(config_field(all[i].config, key));
    table.line(joined(fields));
  }
}

/// Every configuration key that is no column of its own: in the order of the first run, then what others add.
std::vector<std::string> union_of_keys(const std::vector<RunResults>& all) {
  std::vector<std::string> keys;
  std::set<std::string> seen(run_columns.begin(), run_columns.end());
  for (const RunResults& results : all)
    for (const ConfigEntry& entry : results.config.entries())
      if (seen.insert(entry.key).second) keys.push_back(entry.key);
  return keys;
}

}  // namespace

CsvExport export_csv(std::span<const std::filesystem::path> runs, const std::filesystem::path& out) {
  make_directories(out);
  Table epochs(out / "epochs.csv", "run,norm,seed,epoch,step,split,loss,accuracy,seconds");
  Table steps(out / "steps.csv", "run,norm,seed,epoch,step,loss,lr,grad_norm");
  std::unique_ptr<Table> layers, histograms;  // only if a run has any
  CsvExport result;
  std::vector<RunResults> all;
  const std::vector<std::string> all_names = unique_names(runs);
  std::vector<std::string> names;  // of those that could be read
  result.left_out = for_each_run(runs, [&](std::size_t place, RunResults results, const Log& log) {
    names.push_back(all_names[place]);
    const std::string run =
        fmt::format("{},{},{}", csv_field(names.back()), csv_field(results.norm), results.seed);
    write_epochs(epochs, run, results);
    write_steps(steps, run, log);
    if (layers == nullptr && has_layer_channels(log))
      layers =
          std::make_unique<Table>(out / "layers.csv", "run,norm,seed,epoch,step,layer,block,metric,value");
    if (histograms == nullptr && has_histograms(log))
      histograms = std::make_unique<Table>(out / "histograms.csv",
                                           "run,norm,seed,epoch,step,block,place,bin,low,high,count");
    if (layers != nullptr) write_rows(*layers, run, log, append_layer_lines);
    if (histograms != nullptr) write_rows(*histograms, run, log, append_histogram_lines);
    result.problems.insert(result.problems.end(), results.problems.begin(), results.problems.end());
    all.push_back(std::move(results));
  });

  for (const std::string& sentence : distinct_runs(all).sentences)
    result.notes.push_back(sentence + " Each of them has its rows.");
  const std::vector<std::string> keys = union_of_keys(all);
  std::vector<std::string> columns = run_columns;
  for (const std::string& key : keys) columns.push_back(csv_field(key));
  Table summary(out / "runs.csv", joined(columns));
  write_runs(summary, names, all, keys);
  for (Table* table : {&epochs, &steps, layers.get(), histograms.get(), &summary})
    if (table != nullptr) result.files.push_back(table->commit());
  // Those of an earlier export would pass for these runs'.
  std::error_code ignored;
  if (layers == nullptr) std::filesystem::remove(out / "layers.csv", ignored);
  if (histograms == nullptr) std::filesystem::remove(out / "histograms.csv", ignored);
  return result;
}

}  // namespace normlab
