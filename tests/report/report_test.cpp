// The report: its words agree with its table, and it is one page that needs nothing else.

#include "host/report/report.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "host/report/html.hpp"
#include "host/report/verdict.hpp"
#include "tests/report/designed_studies.hpp"
#include "tests/report/laboratory_studies.hpp"
#include "tests/support/program.hpp"

namespace normlab {
namespace {

/// EXPECT_HAS would print the whole page.
void expect_has(const std::string& html, const std::string& part) {
  EXPECT_NE(html.find(part), std::string::npos) << part;
}

class Report : public test::StudyTest {
 protected:
  [[nodiscard]] std::array<std::string, 3> words() const { return verdict(summarize(view().results)); }
  [[nodiscard]] std::string page() {
    StudyView study = view();
    write_report(study, directory / "page.html", "");
    return test::read_text(directory / "page.html");
  }
};

TEST_F(Report, ClearWinner) {
  write(test::clear_winner());
  const auto [first, second, third] = words();
  EXPECT_EQ(
      first,
      "bn ends highest, with 91.00 % test accuracy after the last epoch (3 seeds), 25.33 points above none "
      "(95 % interval of the difference, paired by seed: 21.54 to 29.13).");
  EXPECT_EQ(second, "bn reaches 70 % first (mean epoch 1.7); none and ln never do.");
  EXPECT_EQ(third, "Every other norm is below bn by more than the 95 % interval of the difference.");
  const std::string html = page();
  expect_has(html, escaped(first));
  expect_has(html, "91.00 ± 2.48");
  expect_has(html, "-25.33 ± 3.79");
  EXPECT_EQ(html.find(" ?</span>"), std::string::npos);  // nothing is marked as open
}

TEST_F(Report, Tie) {
  write({{"bn", 0, {0.80}},
         {"bn", 1, {0.82}},
         {"bn", 2, {0.81}},
         {"gn:4", 0, {0.82}},
         {"gn:4", 1, {0.81}},
         {"gn:4", 2, {0.815}}});
  const auto [first, second, third] = words();
  EXPECT_HAS(first, "gn:4 ends highest, with 81.50 % test accuracy");
  EXPECT_HAS(first, "0.50 points above bn");
  EXPECT_HAS(first, "cannot be told from no difference");
  EXPECT_EQ(second, "bn and gn:4 reach 70 % first (mean epoch 1.0).");
  EXPECT_EQ(third, "Not distinguishable from gn:4 at the 95 % level: bn.");
  const std::string html = page();
  expect_has(html, "+0.50 ± 3.73 ?</span>");
  expect_has(html, "minus gn:4");
}

TEST_F(Report, DivergedRun) {
  write({{"none", 0, {std::nan("")}, RunStatus::diverged},
         {"none", 1, {0.5}},
         {"bn", 0, {0.8}},
         {"bn", 1, {0.9}},
         {"ln", 0, {0.4}, RunStatus::interrupted}});
  const auto [first, second, third] = words();
  EXPECT_HAS(first, "40.00 points above none; a single pair of runs has no interval");
  EXPECT_HAS(third, "none diverged in 1 of 2 runs and ln did not finish 1 of 1 runs.");
  expect_has(page(), "1 diverged</span>");
}

TEST_F(Report, OneSeed) {
  write({{"none", 0, {0.5}}, {"bn", 0, {0.6}}});
  const auto [first, second, third] = words();
  EXPECT_HAS(first,
             "bn ends highest, with 60.00 % test accuracy after the last epoch (1 seed), 10.00 points above");
  EXPECT_HAS(first, "cannot tell this from chance");
  EXPECT_EQ(second, "No norm reaches 70 % test accuracy.");
  EXPECT_EQ(third, "With fewer than three pairs of seeds no difference can be told from chance.");
  EXPECT_EQ(page().find("60.00 ±"), std::string::npos);
}

TEST_F(Report, TwoSeedsAreTheirValues) {
  write({{"none", 0, {0.5}}, {"none", 1, {0.1}}, {"bn", 0, {0.6}}, {"bn", 1, {0.8}}});
  const auto [first, second, third] = words();
  EXPECT_EQ(first,
            "bn ends highest, with 70.00 % test accuracy after the last epoch (2 seeds: 60.00 and 80.00), "
            "40.00 points "
            "above none (paired by seed: +10.00 and +70.00); two pairs of runs have no interval and cannot "
            "tell this "
            "from chance.");
  EXPECT_EQ(third, "With fewer than three pairs of seeds no difference can be told from chance.");
  const std::string html = page();
  EXPECT_EQ(html.find(" ± "), html.find(" ± half of its"));
  expect_has(html, "60.00, 80.00");
}

TEST_F(Report, IntervalsStayWhereAccuraciesCanBe) {
  write({{"bn", 0, {0.9}},
         {"bn", 1, {0.9}},
         {"bn", 2, {0.99}},
         {"none", 0, {0.9}},
         {"none", 1, {0}},
         {"none", 2, {0}}});
  EXPECT_HAS(words()[0], "paired by seed: -72.99 to 100.00)");
  expect_has(page(), "93.00 [80.09, 100]");
}

/// Norms are compared at rates of their own: who reads the words must see it.
TEST_F(Report, RatesThatDifferAreNamed) {
  std::vector<test::SampleRun> runs = test::clear_winner();
  for (test::SampleRun& run : runs)
    run.config = {{"lr", run.norm == "bn" ? "0.1" : "0.02"}, {"lr_choice", "given"}};
  write(runs);
  EXPECT_EQ(words()[0],
            "bn at learning rate 0.1 ends highest, with 91.00 % test accuracy after the last epoch (3 "
            "seeds), 25.33 "
            "points above none at 0.02 (95 % interval of the difference, paired by seed: 21.54 to 29.13).");
  const std::string html = page();
  expect_has(html, "<th scope=\"col\">learning rate</th>");
  expect_has(html, "<td data-label=\"learning rate\" data-value=\"0.02\"><span>0.02</span></td>");
  expect_has(html, "<dt>learning rate</dt><dd>none 0.02, bn 0.1, ln 0.02: as given</dd>");
  expect_has(html, "Learning rates (peak): as given.");
}

TEST_F(Report, NormsWithoutARateAreNamed) {
  std::vector<test::SampleRun> runs = test::clear_winner();
  for (test::SampleRun& run : runs)
    run.config = {{"lr", "0.1"}, {"lr_choice", run.norm == "ln" ? "auto, at chance" : "auto"}};
  write(runs);
  EXPECT_HAS(words()[2],
             "No learning rate that was tried for ln did better than guessing: the smallest was taken.");
  expect_has(page(), "0.1<br><span class=\"open\">none learned</span>");
}

/// The same study twice is one study: header, table and verdict say the same.
TEST_F(Report, PooledStudiesCountOnceAndSettingsStayApart) {
  write(test::clear_winner());
  const auto again = StudyDirectory::create("x", directory / "again");
  const auto other = StudyDirectory::create("x", directory / "other");
  for (test::SampleRun run : test::clear_winner()) {
    test::write_run(again, run);
    run.config = {{"lr", "0.02"}};
    for (double& accuracy : run.test_accuracies) accuracy -= 0.2;
    test::write_run(other, run);
  }
  StudyView twice = view_study({{path, directory / "again"}});
  EXPECT_EQ(verdict(summaries_of(twice)), words());
  EXPECT_HAS(twice.description(), "3 seeds");
  write_report(twice, directory / "page.html", "");
  expect_has(test::read_text(directory / "page.html"), "<h2>Runs that are there more than once</h2>");
  StudyView both = view_study({{path, directory / "other"}});
  EXPECT_EQ(verdict(summaries_of(both))[0],
            "bn lr=0.1 ends highest, with 91.00 % test accuracy after the last epoch (3 seeds), 25.33 points "
            "above none "
            "lr=0.1 (95 % interval of the difference, paired by seed: 21.54 to 29.13).");
  write_report(both, directory / "page.html", "");
  const std::string html = test::read_text(directory / "page.html");
  for (const char* part : {"bn lr=0.02", "<dd>none lr=0.02, none lr=0.1, bn lr=0.02,",
                           "study/bn-seed0: done, 91.00 %", "other/bn-seed0: done, 71.00 %"})
    expect_has(html, part);
}

TEST_F(Report, SettingsThatAreNotEqualAreNotCompared) {
  std::vector<test::SampleRun> runs = test::clear_winner();
  for (test::SampleRun& run : runs) run.config = {{"augment", run.norm == "ln" ? "true" : "false"}};
  write(runs);
  EXPECT_HAS(words()[0], "above none augment=false (95 %");
  EXPECT_EQ(words()[2],
            "Every other norm is below bn augment=false by more than the 95 % interval of the difference; "
            "not compared, "
            "since other settings differ: ln augment=true.");
}

TEST_F(Report, OneNormAndNoneFinished) {
  write({{"gn:4", 0, {0.75}}, {"gn:4", 1, {0.77}}});
  EXPECT_EQ(
      words()[0],
      "gn:4 reaches 76.00 % test accuracy after the last epoch (2 seeds: 75.00 and 77.00); no other norm has "
      "finished runs to compare it with.");
  EXPECT_EQ(words()[2], "There is nothing to tell apart.");
  expect_has(page(), "</html>");
  EXPECT_EQ(verdict({})[0], "No run finished, so there is no final accuracy to compare.");
}

TEST_F(Report, HostileNamesStayText) {
  const std::string name = "<script>alert(1)</script>\"'&";
  write({{name,
          0,
          {0.5},
          RunStatus::done,
          false,
          {},
          {{"command", "x </pre><img src=//evil>"}, {"data_note", "<i>note</i>"}, {"<b>key", "</dd><b>"}}}});
  const std::string html = page();
  for (const char* bad : {"<script>alert", "<img", "<i>note", "<b>"})
    EXPECT_EQ(html.find(bad), std::string::npos) << bad;
  expect_has(html, "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;");
  expect_has(html, "Data: &lt;i&gt;note&lt;/i&gt;");
}

TEST_F(Report, IsWholeByItself) {
  write(test::clear_winner());
  const std::string html = page();
  for (const char* outside : {"src=", "<link", "@import", "url(", "href='http", "href=\"http"})
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  // Pictures are part of the page, and follow its colours.
  std::size_t svgs = 0;
  for (std::size_t at = 0; (at = html.find("<svg role=\"img\" aria-label=", at)) != std::string::npos; ++at)
    ++svgs;
  EXPECT_EQ(svgs, 11U);
  expect_has(html, "fill=\"var(--card)\"");
  expect_has(html, "prefers-color-scheme: dark");
  // Identifiers are unique.
  std::set<std::string> ids;
  for (std::size_t at = 0; (at = html.find(" id=", at)) != std::string::npos; ++at) {
    const std::string id = html.substr(at + 5, html.find_first_of("'\"", at + 5) - at - 5);
    EXPECT_TRUE(ids.insert(id).second) << id;
  }
  EXPECT_GT(ids.size(), 11U);
}

TEST_F(Report, SectionsAppearWithTheirChannelsAlone) {
  const char* sections[]{"<h2>Gradients, layer by layer</h2>", "<h2>Activations, layer by layer</h2>",
                         "<h2>Weights and updates</h2>"};
  std::vector<test::SampleRun> runs = test::clear_winner();
  runs.resize(3);  // none alone
  for (const int seed : {0, 1}) runs.push_back(test::diagnosed_run("bn", seed, 0.5));
  for (test::SampleRun& run : runs) run.config.emplace_back("epochs", "3");
  write(runs);
  const std::string html = page();
  for (const char* section : sections) expect_has(html, section);
  // 0.5 a layer, over four layers; none has not recorded any.
  expect_has(html, "at initialization → after epoch 3: bn 8 → 8 (1 would be even).");
  for (const char* other : {"<h2>The loss landscape", "<h2>Laws at init", "<h2>What the settings change"})
    EXPECT_EQ(html.find(other), std::string::npos) << other;
  for (std::filesystem::path file : std::filesystem::directory_iterator(path))
    if (file.filename().string().starts_with("bn")) std::filesystem::remove_all(file);
  const std::string without = page();
  for (const char* section : sections) EXPECT_EQ(without.find(section), std::string::npos) << section;
}

TEST_F(Report, LawsHaveTheirTableAndTheirTheory) {
  std::vector<test::SampleRun> runs;
  for (const char* padding : {"circular", "zero"})
    for (const int seed : {0, 1})
      for (const auto& [norm, growth] : {std::pair{"none", 1.0}, {"bn", 1.2111738962}}) {
        test::SampleRun run{norm, seed, {}, RunStatus::done};
        run.config = {{"swept", "padding"}, {"padding", padding}};
        run.more = {test::scalar_sample("law.growth", 0, 0, growth + 0.01 * seed),
                    test::scalar_sample("law.cosine", 0, 0, growth / 2),
                    test::layer_sample("output_grad_norm", ".norm", 1, 0.8, 1, 0),
                    test::layer_sample("cosine", ".norm", 0.3, 1.1, 1, 0)};
        runs.push_back(std::move(run));
      }
  write(runs);
  const std::string html = page();
  expect_has(
      html,
      "Circular padding: going back, the gradient&#39;s norm grows per layer by 1.216 under bn (most) to "
      "1.005 under none; bn&#39;s 1.2162 is +0.41 % from theory&#39;s 1.2112; two samples end most alike "
      "under bn (cosine 0.61), least under none (0.50).");
  expect_has(html, "1.2162 ± 0.0050");  // mean and standard error of two seeds 0.01 apart
  EXPECT_EQ(html.find("No run finished"), std::string::npos);
}

TEST(Html, ValuesForThePointerStayText) {
  Picture picture;
  EXPECT_EQ(hover_data(picture), "");
  HoverChart chart;
  chart.x_name = "</script><b>\"\\";
  chart.lines.push_back({"bn", std::string(ink_color), {{1, 0.5, NAN, NAN}, {2, 1.0 / 3, 0.25, 0.5}}});
  picture.hover.push_back(chart);
  const std::string html = hover_data(picture);
  EXPECT_EQ(html.find("</script>"), html.size() - 9);
  expect_has(html, "\\u003c/script\\u003e\\u003cb\\u003e\\u0022\\u005c");
  expect_has(html, "[1,0.5,null,null],[2,0.3333,0.25,0.5]");
  expect_has(html, "var(--ink)");
}

TEST_F(Report, ProgramWritesThePageAndKeepsThePictures) {
  write(test::clear_winner());
  auto answer = test::run_program("normlog report " + path.string());
  EXPECT_EQ(answer.status, 0) << answer.output;
  EXPECT_TRUE(answer.output.starts_with((path / "report.html").string() + "\n")) << answer.output;
  EXPECT_TRUE(std::filesystem::exists(path / "plots/test-accuracy.png"));
  answer =
      test::run_program("normlog report " + path.string() + " --out " + (directory / "other.html").string());
  EXPECT_EQ(answer.status, 0) << answer.output;
  EXPECT_TRUE(std::filesystem::exists(directory / "other.html"));
}

}  // namespace
}  // namespace normlab
