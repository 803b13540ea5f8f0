#include "host/report/picture.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>

#include "host/record/csv_text.hpp"
#include "host/record/file.hpp"
#include "host/system/paths.hpp"
#include "layers/error.hpp"

namespace normlab {

namespace {

std::string legend_of(const Picture& picture) {
  std::string text;
  int tag = 100;  // labels without a number take the smallest one that is free
  for (const LegendLabel& label : picture.legend)
    text += fmt::format("set label {} {} at screen {:.4f}, screen {:.4f} left textcolor rgb '{}'\n", tag++,
                        gnuplot_string(label.text), label.x / picture.width, 1 - label.y / picture.height,
                        label.color);
  return text;
}

/// Everything that does not depend on the picture's kind. Text is never "enhanced": names may hold anything.
std::string script_of(const Picture& picture, const std::set<std::string>& formats) {
  return fmt::format(
      R"(# {name}: `gnuplot {name}.gp` here draws it again from {name}.dat.
reset
set encoding utf8
do for [format in '{formats}'] {{
if (format eq 'svg') {{
  set terminal svg noenhanced dynamic size {width},{height} font 'sans-serif,14' background '{paper}'
  title_font = 'sans-serif,16'; small_font = 'sans-serif,12'; tiny_font = 'sans-serif,11'
}} else {{
  set terminal pngcairo noenhanced size {width2},{height2} font 'sans-serif,11' fontscale 2 linewidth 2 pointscale 2 background '{paper}'
  title_font = 'sans-serif:Bold,12.5'; small_font = 'sans-serif,9.5'; tiny_font = 'sans-serif,8.5'
}}
set output '{name}.'.format
set border 3 linecolor rgb '{muted}' linewidth 1
set tics nomirror textcolor rgb '{ink}'
set tics scale 0.5
set grid linetype 1 linewidth 1 linecolor rgb '{grid}'
unset key
set multiplot
set label 1 {title} at screen {left:.4f}, screen {title_y:.4f} left font title_font textcolor rgb '{ink}'
set label 2 {subtitle} at screen {left:.4f}, screen {subtitle_y:.4f} left font small_font textcolor rgb '{muted}'
{legend}{body}
unset multiplot
unset output
unset label
unset arrow
unset object
}}
)",
      fmt::arg("name", picture.name), fmt::arg("formats", fmt::join(formats, " ")),
      fmt::arg("width", picture.width), fmt::arg("height", picture.height),
      fmt::arg("width2", 2 * picture.width), fmt::arg("height2", 2 * picture.height),
      fmt::arg("paper", paper_color), fmt::arg("muted", muted_color), fmt::arg("ink", ink_color),
      fmt::arg("grid", grid_color), fmt::arg("left", 14.0 / picture.width),
      fmt::arg("title", gnuplot_string(shortened(picture.title, 60))),
      fmt::arg("title_y", 1 - 22.0 / picture.height),
      fmt::arg("subtitle", gnuplot_string(shortened(picture.subtitle, 92))),
      fmt::arg("subtitle_y", 1 - 43.0 / picture.height), fmt::arg("legend", legend_of(picture)),
      fmt::arg("body", picture.script));
}

/// Checks that a picture is whole, since gnuplot does not notice when it cannot write; cells and pixels of an
/// SVG stay sharp however large it is shown. Throws Error.
void finish(const std::filesystem::path& file) {
  using namespace std::string_view_literals;
  constexpr std::string_view image = "<image ", png_end = "IEND\xAE\x42\x60\x82"sv, svg_end = "</svg>";
  const bool is_png = file.extension() == ".png";
  std::string text = read_text_file(file, std::uint64_t{1} << 30);
  const std::string_view end =
      std::string_view(text).substr(text.size() - std::min<std::size_t>(text.size(), 16));
  if (end.find(is_png ? png_end : svg_end) == end.npos) {
    throw Error(
        "gnuplot could not write all of '{}': free some space, or raise the limit of file sizes (ulimit -f), "
        "and run again",
        file.string());
  }
  if (is_png || text.find(image) == std::string::npos) return;
  for (std::size_t at = 0; (at = text.find(image, at)) != std::string::npos; at += image.size())
    text.insert(at + image.size(), "style=\"image-rendering:pixelated\" ");
  atomic_write_file(file, text);
}

/// Runs gnuplot on scripts in their directory, and no shell in between.
void run_gnuplot(const std::vector<std::string>& scripts, const std::filesystem::path& directory) {
  std::array<int, 2> words{};
  if (::pipe2(words.data(), O_CLOEXEC) != 0) throw_system_error(errno, "make a pipe for", directory);
  File read_end(words[0], "gnuplot"), write_end(words[1], "gnuplot");

  // -d: no start-up files, so a picture is the same for everybody.
  std::vector<std::string> arguments{"gnuplot", "-d"};
  arguments.insert(arguments.end(), scripts.begin(), scripts.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, words[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, words[1], STDERR_FILENO);
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, "gnuplot", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  write_end.close();
  if (failed == EAGAIN)
    throw Error(
        "gnuplot, which draws the pictures, does not start: too many processes; raise the limit (ulimit -u)");
  if (failed != 0)
    throw Error("gnuplot, which draws the pictures, does not start ({}); install the package gnuplot-nox",
                std::generic_category().message(failed));

  std::string said;
  std::array<std::byte, 4096> part{};
  for (std::size_t got = 0; (got = read_end.read(part)) > 0;)
    if (said.size() < 4096) said.append(reinterpret_cast<const char*>(part.data()), got);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  std::replace(said.begin(), said.end(), '\n', ' ');
  if (WIFSIGNALED(status))
    said = fmt::format("it was ended by signal {} ({}); small limits (ulimit -s, -u, -v) do that. {}",
                       WTERMSIG(status), ::strsignal(WTERMSIG(status)), said);
  throw Error("gnuplot failed in '{}': {}", directory.string(), shortened(said, 500));
}

}  // namespace

std::string gnuplot_string(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') result += '\'';
    result += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  }
  return result + '\'';
}

std::string number(double value) {
  return std::isfinite(value) ? csv_number(value) : "NaN";
}

std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  return std::string(text.substr(0, most)) + "…";
}

double text_width(std::string_view text, double font) {
  const auto characters = std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
  return 0.62 * font * static_cast<double>(characters);
}

namespace {

/// In the directory of pictures: which files an export wrote.
constexpr const char* kWritten = ".pictures";

/// Removes what an earlier export wrote and this one does not: it would pass for a picture of these runs.
void replace_list(const std::filesystem::path& out, const std::set<std::string>& written) {
  const std::filesystem::path list = out / kWritten;
  if (is_there(list)) {
    std::istringstream names(read_text_file(list, std::uint64_t{1} << 20));
    for (std::string name; std::getline(names, name);) {
      const bool is_plain = name.find('/') == name.npos && !name.starts_with('.');
      std::error_code ignored;
      if (is_plain && !written.contains(name)) std::filesystem::remove(out / name, ignored);
    }
  }
  atomic_write_file(list, fmt::format("{}\n", fmt::join(written, "\n")));
}

}  // namespace

std::vector<std::filesystem::path> write_pictures(std::span<const Picture> pictures,
                                                  const std::filesystem::path& out,
                                                  const std::set<std::string>& formats) {
  for (const std::string& format : formats)
    if (!all_formats.contains(format)) throw UsageError("no pictures as '{}'; there are svg and png", format);
  make_directories(out);
  std::vector<std::string> scripts;
  std::vector<std::filesystem::path> drawn;
  for (const Picture& picture : pictures) {
    atomic_write_file(out / (picture.name + ".dat"), picture.data);
    scripts.push_back(picture.name + ".gp");
    atomic_write_file(out / scripts.back(), script_of(picture, formats));
    for (const std::string& format : formats) drawn.push_back(out / (picture.name + "." + format));
  }
  if (!scripts.empty()) run_gnuplot(scripts, out);
  std::set<std::string> written;
  for (const Picture& picture : pictures) written.insert({picture.name + ".dat", picture.name + ".gp"});
  for (const auto& file : drawn) {
    finish(file);
    written.insert(file.filename().string());
  }
  replace_list(out, written);
  return drawn;
}

}  // namespace normlab
