// The library's implementations are tried: results are right whatever it does, and people hear of it.

#include <algorithm>

#include "experiments/training/trainer.hpp"
#include "host/data/synthetic.hpp"
#include "tests/support/conv_plan.hpp"
#include "tests/support/faulty_library.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using reference::Values;
using test::Definition;
using test::expect_as_defined;
using test::Faulty;
using test::PlanRun;
using test::run_plan;
using test::Which;

class LibraryTrialOf : public ::testing::TestWithParam<std::string> {
 protected:
  static HostBackend host_of(const std::string& name) {
    using Blocks = HostBackend::Blocks;
    return HostBackend(1, test::has_part(name, "nhwc") ? Blocks::nhwc : Blocks::blocked);
  }
  /// Why there is nothing to try; empty: there is.
  static std::string missing(const std::string& name, const Conv2dSpec& spec) {
    HostBackend host = host_of(name);
    if (std::string why = host.why_not(spec.type); !why.empty()) return why;
    return library_plan(host, spec, {}) ? "" : "oneDNN has nothing for blocks of 16 channels on this CPU";
  }
  /// Results are right whatever the library does; returns the notes.
  static std::vector<std::string> right_with(const std::string& name, const Conv2dSpec& spec, ConvPass pass,
                                             Faulty::Fault fault, Which which) {
    HostBackend host = host_of(name);
    host.prefer_library(true);
    host.set_library(test::faulty_library(pass, fault, which));
    reference::Draw draw(5);
    const Shape y = spec.y();
    reference::Tensor x = draw.tensor(spec.x.n, spec.x.c, spec.x.h, spec.x.w);
    reference::Tensor dy = draw.tensor(y.n, y.c, y.h, y.w);
    Values weight = draw.normals(static_cast<std::size_t>(y.c * spec.x.c * spec.kernel * spec.kernel));
    Values offset = draw.normals(static_cast<std::size_t>(y.c));
    for (Values* values : {&x.v, &dy.v, &weight}) test::round_to(spec.type, *values);
    test::round_to_float(offset);
    const PlanRun found = run_plan(host, spec, x, weight, offset, dy, 1);
    const Definition expected(spec, x, weight, offset, dy);
    const std::vector<bool> nowhere(std::max({x.size(), dy.size(), weight.size()}));
    expect_as_defined(spec.type, found.y, expected.y, expected.y_size, nowhere, "y", 1e-5, nowhere);
    expect_as_defined(spec.type, found.dx, expected.dx, expected.dx_size, nowhere, "dx", 1e-5, nowhere);
    expect_as_defined(DataType::f32, found.dweight, expected.dweight, expected.dweight_size, nowhere,
                      "dweight", 1e-5, nowhere);
    return host.notes();
  }
};

TEST_P(LibraryTrialOf, TakesTheNextImplementation) {
  const DataType type = test::precision_of(GetParam());
  const Conv2dSpec spec{.x = {3, 20, 9, 8}, .out_channels = 24, .stride = 2, .bias = true, .type = type};
  if (const std::string why = missing(GetParam(), spec); !why.empty()) GTEST_SKIP() << why;
  using Fault = Faulty::Fault;
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
    for (const Fault fault : {Fault::loses_the_last_value, Fault::reads_scratch, Fault::reads_its_output,
                              Fault::reads_behind_its_input}) {
      SCOPED_TRACE(fmt::format("pass {}, fault {}", static_cast<int>(pass), static_cast<int>(fault)));
      const std::vector<std::string> notes = right_with(GetParam(), spec, pass, fault, Which::first);
      ASSERT_FALSE(notes.empty());
      HostBackend host = host_of(GetParam());
      const bool is_last = !library_plan(host, spec, {{{pass, 2}, 1}});  // 2: the largest piece of 3 samples
      for (const char* part :
           {"3x3 convolution of 20x9x8 to 24 channels, stride 2, padding 1", "oneDNN's ", " is wrong (",
            is_last ? "; our own direct convolution is used" : "; its ", " is used"})
        EXPECT_HAS(notes.front(), part);
    }
  }
}

TEST_P(LibraryTrialOf, FallsBackToTheDefinition) {
  const DataType type = test::precision_of(GetParam());
  const Conv2dSpec spec{.x = {2, 5, 6, 7}, .out_channels = 3, .bias = true, .type = type};
  if (const std::string why = missing(GetParam(), spec); !why.empty()) GTEST_SKIP() << why;
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_weights}) {
    const auto notes = right_with(GetParam(), spec, pass, Faulty::Fault::loses_the_last_value, Which::all);
    ASSERT_FALSE(notes.empty());
    EXPECT_HAS(notes.back(), "our own direct convolution is used");
  }
}

/// Where oneDNN 2.6 reads what nobody has written.
TEST_P(LibraryTrialOf, TriesTheWeightGradientOfATallImage) {
  const DataType type = test::precision_of(GetParam());
  const Conv2dSpec spec{.x = {2, 2, 6, 1}, .out_channels = 10, .stride = 2, .bias = true, .type = type};
  if (const std::string why = missing(GetParam(), spec); !why.empty()) GTEST_SKIP() << why;
  const auto notes =
      right_with(GetParam(), spec, ConvPass::backward_weights, Faulty::Fault::reads_scratch, Which::first);
  ASSERT_FALSE(notes.empty());
  EXPECT_HAS(notes.front(), "3x3 convolution of 2x6x1 to 10 channels, stride 2, padding 1");
  EXPECT_HAS(notes.front(), "backward to the weights: oneDNN's ");
}

/// What oneDNN 2.6 computes there depends on what its scratch held.
TEST(LibraryTrial, TheWeightGradientOfATallImageIsRight) {
  for (const auto blocks : {HostBackend::Blocks::blocked, HostBackend::Blocks::nhwc}) {
    HostBackend host(1, blocks);
    if (const std::string missing = host.why_not(DataType::bf16); !missing.empty()) GTEST_SKIP() << missing;
    const Conv2dSpec spec{
        .x = {2, 2, 6, 1}, .out_channels = 10, .stride = 2, .bias = true, .type = DataType::bf16};
    reference::Draw draw(5);
    reference::Tensor x = draw.tensor(2, 2, 6, 1), dy = draw.tensor(2, 10, 3, 1);
    Values weight = draw.normals(10 * 2 * 9), offset = draw.normals(10);
    for (Values* values : {&x.v, &dy.v, &weight}) test::round_to(DataType::bf16, *values);
    const PlanRun found = run_plan(host, spec, x, weight, offset, dy, 1);
    const Definition expected(spec, x, weight, offset, dy);
    test::expect_within(found.dweight, expected.dweight, test::scaled(expected.dweight_size, 1e-5),
                        "dweight");
  }
}

/// And what people are told of it: once, by the run.
TEST(LibraryTrial, ARunSaysWhatFailed) {
  StudyOptions options;
  options.experiment = "compare_norms";
  options.net = "plain:1";
  options.epochs = 1;
  options.batch_size = 4;
  options.diagnose = 0;
  const RunSpec spec = run_of(options, Norm::parse("none"), 0);
  const Dataset data = make_synthetic(0, 8, 4);
  const test::TemporaryDirectory directory;
  std::filesystem::create_directories(directory / spec.name());
  HostBackend host(1);
  host.prefer_library(true);
  if (!library_plan(host, {.x = {4, 3, 32, 32}, .out_channels = 32}, {}))
    GTEST_SKIP() << "oneDNN has nothing for blocks of 16 channels on this CPU";
  host.set_library(
      test::faulty_library(ConvPass::backward_weights, Faulty::Fault::reads_scratch, Which::first));
  StudyPlan plan;
  plan.runs = {{spec.name(), 0, 8, 1}};
  plan.kinds = {{100, 1}};
  ::testing::internal::CaptureStdout();
  {
    Progress progress(plan);
    const RunOutcome outcome = train(
        {host, options, spec, data, [] { return 1; }, RunDirectory(directory / spec.name()), progress, 0});
    EXPECT_EQ(outcome.status, RunOutcome::Status::done);
  }
  const std::string said = ::testing::internal::GetCapturedStdout();
  EXPECT_HAS(said, "note: 3x3 convolution of 3x32x32 to 32 channels, stride 1, padding 1, fp32");
  EXPECT_HAS(said, "backward to the weights: oneDNN's ");
  EXPECT_EQ(said.find("note: "), said.rfind("note: ")) << said;
}

INSTANTIATE_TEST_SUITE_P(Backends, LibraryTrialOf,
                         ::testing::Values("cpu_blocked", "cpu_nhwc", "cpu_blocked_bf16", "cpu_nhwc_bf16"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace normlab
