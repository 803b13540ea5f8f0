#include "host/report/html.hpp"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>

#include "host/report/picture.hpp"

namespace normlab {

namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

/// The page's variable for a colour that is ink or paper; empty for a colour that means something.
std::string_view variable_of(std::string_view color) {
  if (color == ink_color) return "var(--ink)";
  if (color == muted_color) return "var(--muted)";
  if (color == grid_color) return "var(--grid)";
  if (color == paper_color) return "var(--card)";
  return "";
}

/// gnuplot writes colours as rgb(1, 2, 3), with spaces here and there.
std::string with_page_colors(std::string_view svg) {
  constexpr std::string_view open = "rgb(";
  std::string text;
  while (true) {
    const std::size_t at = svg.find(open);
    const std::size_t end = at == std::string_view::npos ? at : svg.find(')', at);
    if (end == std::string_view::npos) return text.append(svg);
    std::string color = "#";
    const char* next = svg.data() + at + open.size();
    for (int part = 0; part < 3; ++part) {
      while (next < svg.data() + end && std::isdigit(static_cast<unsigned char>(*next)) == 0) ++next;
      int value = 0;
      next = std::from_chars(next, svg.data() + end, value).ptr;
      color += fmt::format("{:02x}", value & 0xFF);
    }
    const std::string_view variable = variable_of(color);
    text.append(svg.substr(0, at)).append(variable.empty() ? color : variable);
    svg.remove_prefix(end + 1);
  }
}

/// Without what lies from `open` up to and including the next `close`, everywhere.
void remove_between(std::string& text, std::string_view open, std::string_view close) {
  for (std::size_t at = 0; (at = text.find(open, at)) != std::string::npos;) {
    const std::size_t end = text.find(close, at);
    if (end == std::string::npos) return;
    text.erase(at, end + close.size() - at);
  }
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '&')
      html += "&amp;";
    else if (c == '<')
      html += "&lt;";
    else if (c == '>')
      html += "&gt;";
    else if (c == '"')
      html += "&quot;";
    else if (c == '\'')
      html += "&#39;";
    else
      html += (code < 0x20 && c != '\n' && c != '\t') || code == 0x7F ? ' ' : c;
  }
  return html;
}

std::string inline_svg(std::string_view svg, std::string_view name, std::string_view alt) {
  std::string text = with_page_colors(svg.substr(std::min(svg.find("<svg"), svg.size())));
  remove_between(text, "<title>", "</title>");  // gnuplot's own, which browsers show as a hint
  remove_between(text, "<desc>", "</desc>");
  replace_all(text, fmt::format("fill=\"{}\"", paper_color), "fill=\"var(--card)\"");
  // Only the title has this size; SVG as gnuplot writes it knows no bold.
  replace_all(text, "font-size=\"16.00\"", "font-size=\"16\" font-weight=\"600\"");
  replace_all(text, "xlink:href='#gp", fmt::format("xlink:href='#{}-gp", name));
  replace_all(text, "id='", fmt::format("id='{}-", name));
  replace_all(text, "id=\"", fmt::format("id=\"{}-", name));
  if (text.starts_with("<svg")) text.insert(4, fmt::format(" role=\"img\" aria-label=\"{}\"", escaped(alt)));
  return text;
}

const std::string_view page_style = R"(
:root { color-scheme: light dark; --ink: #24262b; --muted: #62666e; --grid: #e2e4e8; --card: #ffffff;
  --page: #f4f5f7; --link: #0067a3; --mark: #b04a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e9ec; --muted: #a3a8b1; --grid: #34383f;
  --card: #1d2025; --page: #131519; --link: #6bb8ea; --mark: #f0a35e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 78rem; margin: 0 auto; padding: 1.2rem; }
h1 { font-size: 1.7rem; margin: .4rem 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .7rem; }
p { margin: .4rem 0; }
.lead, .note, figcaption { color: var(--muted); }
.note { font-size: .875rem; }
.card { background: var(--card); border: 1px solid var(--grid); border-radius: .6rem; padding: 1rem; }
.verdict { border-left: .35rem solid var(--link); font-size: 1.06rem; margin: 1rem 0; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; break-inside: avoid; }
figure.card { padding: .3rem; }
figure svg { display: block; width: 100%; height: auto; }
figure image { image-rendering: pixelated; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .55rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; white-space: normal; }
th:first-child, td:first-child { text-align: left; }
tbody tr:last-child td { border-bottom: 0; }
th button { all: unset; cursor: pointer; }
th button:hover, th button:focus-visible { text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: .2em; margin-right: .5em; }
.best { font-weight: 700; }
.open { color: var(--mark); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin: .5rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
details > :not(summary) { margin: .6rem 0; }
.scroll { overflow-x: auto; }
@media (max-width: 46rem) {
  main { padding: .7rem; }
  h1 { font-size: 1.35rem; }
  .card.scroll { font-size: 1rem; }
  .norms thead { position: absolute; clip-path: inset(50%); }
  .norms, .norms tbody, .norms tr, .norms td { display: block; }
  .norms tr { padding: .5rem 0; border-bottom: 1px solid var(--grid); }
  .norms tbody tr:last-child { border-bottom: 0; }
  .norms td > span { text-align: right; }
  .norms td { display: flex; justify-content: space-between; gap: 1rem; border: 0; }
  .scroll .norms td { padding: .1rem 0; }
  .norms td::before { content: attr(data-label); color: var(--muted); }
  .norms td:first-child { font-weight: 600; justify-content: flex-start; gap: 0; }
  .norms td:first-child::before { content: none; }
  dl, .scroll { font-size: .9rem; }
  .scroll th, .scroll td { padding: .3rem .3rem; }
}
@media print {
  :root { --ink: #000; --muted: #444; --grid: #ccc; --card: #fff; --page: #fff; --link: #0067a3; --mark: #8a3a00; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .grid { grid-template-columns: 1fr 1fr; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
}
)";

const std::string_view page_script = R"(
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => parseFloat(row.cells[column].dataset.value);
      const order = (a, b) => isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : down ? b - a : a - b;
      body.append(...[...body.rows].sort((a, b) => order(key(a), key(b))));
    });
  });
}
)";

}  // namespace normlab
