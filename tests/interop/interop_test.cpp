// What other programs make of our files: pandas, TensorBoard, PyTorch. See README.md in this folder.

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <numeric>
#include <sstream>

#include "experiments/training/device_images.hpp"
#include "host/data/dataset.hpp"
#include "host/data/load_dataset.hpp"
#include "host/record/log_reader.hpp"
#include "host/record/run_config.hpp"
#include "host/record/run_results.hpp"
#include "host/record/safetensors.hpp"
#include "layers/networks.hpp"
#include "layers/softmax_cross_entropy.hpp"
#include "tests/support/layer_check.hpp"
#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;

ProgramResult run_python(const std::string& script, const std::string& arguments) {
  const char* interpreter = std::getenv("NORMLAB_PYTHON");
  const std::string python = interpreter != nullptr && *interpreter != '\0' ? interpreter : "python3";
  return test::run_command("'" + python + "' '" + test::source_dir() + "/tests/interop/" + script + "' " +
                           arguments);
}

/// Passes, or fails with the script's words.
#define EXPECT_PYTHON(script, arguments)                        \
  do {                                                          \
    const ProgramResult python = run_python(script, arguments); \
    ASSERT_EQ(python.status, 0) << python.output;               \
    std::printf("%s", python.output.c_str());                   \
  } while (false)

constexpr int kTestImages = 120;

/// Skips, before anything is trained for a script, where what it imports is missing.
#define SKIP_WITHOUT(script)                                                                         \
  do {                                                                                               \
    const ProgramResult python = run_python(script, "");                                             \
    if (python.status == 127 || python.status == 77) GTEST_SKIP() << "no Python: " << python.output; \
    make_studies();                                                                                  \
  } while (false)

/// A data set on disk, which the scripts read, too, and studies on it: of all norms, and of a residual
/// network.
class Interop : public ::testing::Test {
 protected:
  static void make_studies() {
    if (directory_) return;
    directory_ = std::make_unique<test::TemporaryDirectory>();
    must("dataset synthetic " + data().string() + fmt::format(" --train 320 --test {}", kTestImages));
    must(
        "compare_norms --norms none,bn,ln,ln-elementwise,gn:4,in,rms,rms-elementwise --seeds 1 --epochs 2 "
        "--data " +
        data().string() + " --out " + study().string());
    must("compare_norms --net resnet:8 --norms none,bn,gn:4 --seeds 1 --epochs 1 --data " + data().string() +
         " --out " + residual().string());
  }
  static void TearDownTestSuite() { directory_.reset(); }

  static ProgramResult must(const std::string& command) {
    ProgramResult result = test::run_program(command);
    if (result.status != 0) throw Error("{}: {}", command, result.output);
    return result;
  }
  static fs::path data() { return *directory_ / "data"; }
  static fs::path study() { return *directory_ / "study"; }
  static fs::path residual() { return *directory_ / "residual"; }

  static inline std::unique_ptr<test::TemporaryDirectory> directory_;
};

TEST_F(Interop, PandasReadsTheTables) {
  SKIP_WITHOUT("read_csv.py");
  const fs::path runs = *directory_ / "diverging";
  must("compare_norms --norms none --lr 1e9 --seeds 1 --epochs 2 --data " + data().string() + " --out " +
       runs.string());
  const fs::path csv = *directory_ / "csv";
  must("normlog csv " + study().string() + " " + runs.string() + " --out " + csv.string());
  EXPECT_PYTHON("read_csv.py", csv.string() + " 9 2");
}

TEST_F(Interop, TensorboardReadsTheEvents) {
  SKIP_WITHOUT("read_events.py");
  const fs::path logs = *directory_ / "events", csv = *directory_ / "csv of events";
  must("normlog tensorboard " + study().string() + " --out " + logs.string());
  must("normlog csv " + study().string() + " --out '" + csv.string() + "'");
  EXPECT_PYTHON("read_events.py", logs.string() + " '" + csv.string() + "'");
}

/// A loss that keeps what it is given.
class KeepLogits : public Loss {
 public:
  KeepLogits(std::vector<float>& logits, int classes)
      : Loss("loss", "keep"), logits_(logits), classes_(classes) {}

 private:
  void do_forward(Frame& frame) override {
    backend().download(frame.x[0], logits_.data() + frame.first_sample * classes_);
  }

  std::vector<float>& logits_;
  int classes_;
};

/// One value of "0.4914,0.4822,0.4465" for each channel.
std::array<float, 3> channels_of(const std::string& text) {
  std::istringstream in(text);
  std::array<float, 3> values{};
  char comma = ',';
  in >> values[0] >> comma >> values[1] >> comma >> values[2];
  return values;
}

/// Evaluates a run's final parameters on test images, by what was recorded of it alone.
std::vector<float> logits_of(const fs::path& run, const Images& images) {
  const RunConfig config = RunConfig::read(run / "config.toml");
  const auto backend = test::make_test_backend("cpu_blocked");
  Graph graph(*backend, {1, images.channels, images.height, images.width});
  const int logits = add_network(graph, {config.text("net"), Norm::parse(config.text("norm"))});
  constexpr int kClasses = 10;
  std::vector<float> kept(static_cast<std::size_t>(images.count * kClasses));
  graph.add(std::make_unique<KeepLogits>(kept, kClasses), logits);
  graph.setup({.batch = images.count, .evaluation_batch = images.count});
  const TensorFile file = read_safetensors(run / "final.safetensors");
  const auto load = [&](const std::string& name, float* to) {
    const std::vector<float> values = file.find(name)->floats();
    backend->to_device(values.data(), to, values.size() * sizeof(float));
  };
  for (const Parameter* parameter : graph.parameters())
    load(parameter->name, graph.values() + parameter->offset);
  for (const State* state : graph.states()) load(state->name, graph.state_values() + state->offset);
  DeviceImages device(*backend, images);
  std::vector<std::uint32_t> indices(static_cast<std::size_t>(images.count));
  std::iota(indices.begin(), indices.end(), 0U);
  Batch batch = device.batch(indices);
  batch.mean = channels_of(config.text("pixel_mean"));
  batch.std = channels_of(config.text("pixel_std"));
  graph.evaluate(batch);
  return kept;
}

template <typename T>
void write_values(const fs::path& path, const std::vector<T>& values) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(T)));
}

TEST_F(Interop, PyTorchComputesTheSameLogits) {
  SKIP_WITHOUT("load_parameters.py");
  const Dataset set = load_dataset(data().string());
  std::string runs;
  for (const fs::path& study : {study(), residual()}) {
    for (const fs::path& run : find_runs(std::vector<fs::path>{study})) {
      std::vector<std::int32_t> predicted;
      for (const Prediction& one : read_log(run / "metrics.nlog").last_predictions("test.predictions")) {
        ASSERT_EQ(one.image, predicted.size());
        predicted.push_back(one.predicted);
      }
      write_values(run / "logits.f32", logits_of(run, set.test));
      write_values(run / "predictions.i32", predicted);
      runs += " " + run.string();
    }
  }
  EXPECT_PYTHON("load_parameters.py", "'" + test::source_dir() + "/tools' " + data().string() + runs);
}

}  // namespace
}  // namespace normlab
