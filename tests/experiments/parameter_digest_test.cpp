// The bits that training ends with, as tests/data/parameter_digests.txt keeps them: whatever changes them
// must mean to. By default a short study of all norms, for each instruction set that this CPU has; with
// NORMLAB_WHOLE_STUDY=1 the default study, too. NORMLAB_UPDATE_DIGESTS=1 runs both and writes what they gave
// into the file instead (with --gtest_filter='*Short*' those of the short study alone).

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>

#include "host/cpu/isa.hpp"
#include "host/record/run_config.hpp"
#include "host/report/parameter_digest.hpp"
#include "tests/support/places.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_command;

const fs::path kFile = fs::path(test::source_dir()) / "tests/data/parameter_digests.txt";

bool asked_for(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0' && std::string(value) != "0";
}

/// What stands in the file: its first lines, and for each title what `normlog digest` printed.
struct Kept {
  std::string head;
  std::map<std::string, std::string> sections;
};

Kept read_kept() {
  Kept kept;
  std::string* into = &kept.head;
  std::ifstream file(kFile);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('[')) {
      into = &kept.sections[line];
    } else if (into == &kept.head || !line.empty()) {
      *into += line + "\n";
    }
  }
  return kept;
}

void keep(const std::string& title, const std::string& lines) {
  Kept kept = read_kept();
  kept.sections[title] = lines;
  std::string text = kept.head;
  std::string between;
  for (const auto& [name, section] : kept.sections) {
    text += between + name + "\n" + section;
    between = "\n";
  }
  test::write_text(kFile, text);
}

struct Study {
  std::string name, options;
};
const Study kShort{"short",
                   "--norms none,bn,ln,ln-elementwise,gn:4,in,rms,rms-elementwise --seeds 1 --epochs 1 "
                   "--limit-train 320 --limit-test 100"};
const Study kDefault{"default", ""};

class ParameterBits : public ::testing::TestWithParam<Isa> {
 protected:
  /// The study's digests against those in the file.
  static void check(const Study& study) {
#ifdef NORMLAB_SANITIZED
    GTEST_SKIP() << "compiled with other flags, which may round differently";
#endif
    const test::TemporaryDirectory directory;
    const fs::path out = directory / "study";
    const ProgramResult trained =
        run_command(fmt::format("NORMLAB_ISA={} {}/compare_norms --device cpu {} --out {}",
                                isa_name(GetParam()), test::bin_dir(), study.options, out.string()));
    ASSERT_EQ(trained.status, 0) << trained.output;
    const ProgramResult found = run_command(test::bin_dir() + "/normlog digest " + out.string());
    ASSERT_EQ(found.status, 0) << found.output;
    const RunConfig config = RunConfig::parse(test::read_text(out / "bn-seed0/config.toml"), "config.toml");
    const std::string title =
        fmt::format("[{} study, {}, {}]", study.name, config.text("isa"), config.text("build"));
    const std::string section = title + "\n" + found.output;
    if (asked_for("NORMLAB_UPDATE_DIGESTS")) {
      keep(title, found.output);
      return;
    }
    const Kept kept = read_kept();
    const auto expected = kept.sections.find(title);
    if (expected == kept.sections.end()) {
      GTEST_SKIP() << kFile << " says nothing about this instruction set and compiler, which gave\n"
                   << section;
    }
    EXPECT_EQ(found.output, expected->second)
        << "Final parameters have other bits than before. Where that is meant:\n"
        << "  NORMLAB_UPDATE_DIGESTS=1 build/release/tests/parameter_digest_test\n"
        << "which puts into " << kFile << "\n"
        << section;
  }
};

TEST_P(ParameterBits, OfAShortStudyAreThoseThatWereKept) {
  check(kShort);
}

TEST_P(ParameterBits, OfTheDefaultStudyAreThoseThatWereKept) {
  if (!asked_for("NORMLAB_WHOLE_STUDY") && !asked_for("NORMLAB_UPDATE_DIGESTS")) {
    GTEST_SKIP() << "takes minutes; NORMLAB_WHOLE_STUDY=1 runs it";
  }
  check(kDefault);
}

std::vector<Isa> isas() {
  std::vector<Isa> all;
  for (const Isa isa : {Isa::avx512, Isa::avx2, Isa::portable}) {
    if (isa <= best_isa()) all.push_back(isa);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, ParameterBits, ::testing::ValuesIn(isas()),
                         [](const auto& info) { return isa_name(info.param); });

TEST(ParameterBitsKept, AreWholeSectionsOfDigests) {
  if (asked_for("NORMLAB_UPDATE_DIGESTS")) GTEST_SKIP() << "they are being written";
  const Kept kept = read_kept();
  EXPECT_FALSE(kept.sections.empty());
  for (const auto& [title, section] : kept.sections) {
    EXPECT_TRUE(std::regex_match(title, std::regex(R"(\[(short|default) study, \S+, .+\])"))) << title;
    EXPECT_TRUE(std::regex_match(section, std::regex(R"(([0-9a-f]{64}  \S+\n)+)"))) << title << "\n"
                                                                                    << section;
    const auto lines = std::count(section.begin(), section.end(), '\n');
    EXPECT_EQ(lines, title.starts_with("[short") ? 8 : 15) << title;
  }
}

TEST(ParameterDigest, IsOfNamesTypesShapesAndDataInTheOrderOfNames) {
  const float weight[] = {1, -2.5F, 0, 3, 4, 5}, bias[] = {0.5F, 7};
  const TensorFile file{
      {{"net", "net_a"}},
      {NamedTensor::of("c1.weight", {2, 3}, weight), NamedTensor::of("c1.bias", {2}, bias)}};
  // python3: h = hashlib.sha256(); h.update(b"c1.bias F32 2\n" + struct.pack("<2f", .5, 7)), then
  // b"c1.weight F32 2x3\n" and struct.pack("<6f", 1, -2.5, 0, 3, 4, 5)
  const std::string known = "b59b0480a4ce1d218525d5caa969b3edc938a124dd8d952e20878039a501acb6";
  EXPECT_EQ(parameter_digest(file), known);
  TensorFile other = file;
  other.metadata.clear();
  std::swap(other.tensors[0], other.tensors[1]);
  EXPECT_EQ(parameter_digest(other), known);
  const auto changed = [&](auto change) {
    TensorFile with = file;
    change(with.tensors[0]);
    return parameter_digest(with);
  };
  EXPECT_NE(changed([](NamedTensor& t) { t.name = "c2.weight"; }), known);
  EXPECT_NE(changed([](NamedTensor& t) { t.shape = {3, 2}; }), known);
  EXPECT_NE(changed([](NamedTensor& t) { t.data[8] ^= std::byte{0x80}; }), known);  // 0 to -0
}

TEST(ParameterDigest, NormlogPrintsALineForEachRun) {
  const test::TemporaryDirectory directory;
  const fs::path out = directory / "study";
  const std::string train = test::bin_dir() +
                            "/compare_norms --device cpu --norms none,gn:4 --seeds 1 --epochs 1 "
                            "--limit-train 64 --limit-test 20 --out " +
                            out.string();
  ASSERT_EQ(run_command(train).status, 0);
  const std::string digest = test::bin_dir() + "/normlog digest " + out.string();
  const ProgramResult whole = run_command(digest);
  EXPECT_EQ(whole.status, 0);
  std::string expected;
  for (const char* run : {"none-seed0", "gn4-seed0"}) {
    expected +=
        fmt::format("{}  {}\n", parameter_digest(read_safetensors(out / run / "final.safetensors")), run);
  }
  EXPECT_EQ(whole.output, expected);
  fs::remove(out / "none-seed0/final.safetensors");
  const ProgramResult part = run_command(digest);
  EXPECT_EQ(part.status, 1);
  EXPECT_HAS(part.output, "none-seed0: no final parameters; finish the run (--resume)");
  EXPECT_HAS(part.output, "  gn4-seed0\n");
}

}  // namespace
}  // namespace normlab
