// What people type: lists of norms and seeds, and learning rates by norm.

#include "experiments/options/options.hpp"

#include <gtest/gtest.h>

#include "experiments/options/command_line.hpp"
#include "experiments/options/lists.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

TEST(Options, LearningRatesByNorm) {
  StudyOptions options;
  options.lr = "0.1,none=0.02,gn=0.05,gn:8=0.03,ln-elementwise=1e-3";
  const auto rate = [&](const char* norm) { return options.lr_for(Norm::parse(norm)); };
  EXPECT_EQ(rate("bn"), 0.1);
  EXPECT_EQ(rate("none"), 0.02);
  EXPECT_EQ(rate("gn:4"), 0.05);
  EXPECT_EQ(rate("gn:8"), 0.03);
  EXPECT_EQ(rate("ln"), 0.1);
  EXPECT_EQ(rate("ln-elementwise"), 0.001);
  options.lr = "gn:8=0.03,gn=0.05,0.2";  // the order does not matter
  EXPECT_EQ(rate("gn:8"), 0.03);
  EXPECT_EQ(rate("bn"), 0.2);
}

TEST(Options, LearningRatesByDefault) {
  const StudyOptions options;
  for (const auto& [norm, rate] : {std::pair{"bn", 0.1},
                                   {"in", 0.2},
                                   {"none", 0.02},
                                   {"ln", 0.02},
                                   {"ln-elementwise", 0.02},
                                   {"gn:4", 0.02},
                                   {"rms", 0.02},
                                   {"rms-elementwise", 0.02}}) {
    EXPECT_EQ(options.lr_for(Norm::parse(norm)), rate) << norm;
  }
}

TEST(Options, ListsOfNumbers) {
  EXPECT_EQ(number_list("--batch-size", "16"), std::vector<int>{16});
  EXPECT_EQ(number_list("--batch-size", "128,16,0"), (std::vector<int>{128, 16, 0}));
  EXPECT_EQ(number_list("--batch-size", "16,"), std::vector<int>{16});
  EXPECT_EQ(number_list("--batch-size", " 16 ,\t32 , "), (std::vector<int>{16, 32}));
  for (const char* text : {"", ",", "16,,", ",16", "16,,32", "1.5", "16 32", "16,16", "99999999999"})
    EXPECT_THROW(static_cast<void>(number_list("--batch-size", text)), UsageError) << text;
}

/// What every program makes of a file with options.
TEST(Options, AFractionInAFileIsNoWholeNumber) {
  const test::TemporaryDirectory directory;
  const auto file = directory / "study.toml";
  int count = 1;
  double real = 1;
  std::string seeds = "1", list = "1", reals = "1", text_option = "t";
  const auto apply = [&](const std::string& text) {
    CommandLine line("test", "");
    const OptionGroup group = line.group("Options");
    group.add("--count", &count, "");
    group.add("--real", &real, "");
    group.add("--seeds", &seeds, "").list();
    group.add("--list", &list, "").list();
    group.add("--reals", &reals, "").list();
    group.add("--text", &text_option, "");
    test::write_text(file, text);
    line.apply_file(file);
  };
  EXPECT_HAS(test::message_of([&] { apply("count = 3.0\n"); }),
             "study.toml:1:9: 'count' wants a whole number");
  StudyOptions options;
  for (const auto& [value, says] : {std::pair{"3.0", "'3.0' is no seed; say how many (3) or which (4,7)"},
                                    {"3e2", "'300.0' is no seed"},
                                    {"[4.0, 7]", "'4.0' is no seed"},
                                    {"[4, -7.0]", "'-7.0' is no seed"}}) {
    apply(fmt::format("seeds = {}\n", value));
    EXPECT_HAS(test::message_of([&] { options.seeds = seeds; }), says);
  }
  for (const char* value : {"16.0", "[8, 16.0]", "[16.0]"}) {
    apply(fmt::format("list = {}\n", value));
    EXPECT_HAS(test::message_of([&] { (void)number_list("--list", list); }),
               "--list: '16.0' is no whole number");
  }
  apply("seeds = [4, 7]\nlist = [8, 16]\nreal = 2\nreals = [1.0, 2, 0.5, 1e-3, 1e20]\n");
  options.seeds = seeds;
  EXPECT_EQ(*options.seeds, (std::vector<std::uint64_t>{4, 7}));
  EXPECT_EQ(number_list("--list", list), (std::vector<int>{8, 16}));
  EXPECT_EQ(real, 2);
  EXPECT_EQ(real_list("--reals", reals), (std::vector<double>{1, 2, 0.5, 1e-3, 1e20}));
  // An array is a list, however long.
  apply("seeds = [7]\nlist = [8]\nreals = [0.5]\n");
  options.seeds = seeds;
  EXPECT_EQ(*options.seeds, std::vector<std::uint64_t>{7});
  EXPECT_EQ(number_list("--list", list), std::vector<int>{8});
  EXPECT_EQ(real_list("--reals", reals), std::vector<double>{0.5});
  EXPECT_HAS(test::message_of([&] { apply("text = ['a']\n"); }), "study.toml:1:8: 'text' wants a text");
  apply("real = 5.0\nreals = 4.0\n");
  EXPECT_EQ(real, 5);
  EXPECT_EQ(real_list("--reals", reals), std::vector<double>{4});
}

TEST(Options, WrongLearningRatesAreRefused) {
  for (const char* lr : {"", "0", "-1", "fast", "0.1,,", ",0.1", "0.1,bn=", "0.1,batch=0.1", "nan"}) {
    StudyOptions options;
    EXPECT_THROW(options.lr = lr, UsageError) << lr;
  }
}

TEST(Options, Seeds) {
  StudyOptions options;
  options.seeds = "3";
  EXPECT_EQ(*options.seeds, (std::vector<std::uint64_t>{0, 1, 2}));
  options.seeds = "4,7";
  EXPECT_EQ(*options.seeds, (std::vector<std::uint64_t>{4, 7}));
  options.seeds = "4, 7";
  EXPECT_EQ(*options.seeds, (std::vector<std::uint64_t>{4, 7}));
  for (const char* one : {"7,", "7 ,", " 7, "}) {
    options.seeds = one;
    EXPECT_EQ(*options.seeds, std::vector<std::uint64_t>{7}) << one;
  }
  options.seeds = "2000,";
  EXPECT_EQ(*options.seeds, std::vector<std::uint64_t>{2000});
  for (const char* seeds : {"0", "", ",", "7,,", "4,4", "-1", "1.5", "2000"}) {
    EXPECT_THROW(options.seeds = seeds, UsageError) << seeds;
  }
}

TEST(Options, Jobs) {
  StudyOptions options;
  EXPECT_EQ(*options.jobs, std::nullopt);
  options.jobs = "3";
  EXPECT_EQ(*options.jobs, 3);
  for (const char* jobs : {"0", "-1", "", "Auto", "2.0", "99999999999"}) {
    EXPECT_THROW(options.jobs = jobs, UsageError) << jobs;
  }
}

TEST(Options, ConvolutionsAreAutoOrDirect) {
  StudyOptions options;
  EXPECT_FALSE(options.device_choices().direct_convolutions);
  options.conv = "direct";
  EXPECT_NO_THROW(options.check());
  EXPECT_TRUE(options.device_choices().direct_convolutions);
  options.device = "cuda";
  const std::string says = test::message_of([&] { options.check(); });
  for (const char* part : {"--conv direct", "--device cpu", "--conv auto"}) EXPECT_HAS(says, part);
  options.device = "cpu";
  EXPECT_THROW(options.conv = "winograd", UsageError);
}

TEST(Options, NormsStandOnce) {
  StudyOptions options;
  options.norms = "none,gn:4,gn:8,rms";
  EXPECT_EQ(options.norms->size(), 4U);
  EXPECT_THROW(options.norms = "bn,bn", UsageError);
}

TEST(Options, ListsSurviveTheirText) {
  for (const char* text : {"7", "7,", "4,7", "bn,ln", "bn,"}) {
    const std::vector<std::string> items = split_list(text);
    EXPECT_EQ(split_list(join_list(items)), items) << text;
  }
  EXPECT_EQ(join_list({"7"}), "7,");
}

}  // namespace
}  // namespace normlab
