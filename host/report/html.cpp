#include "host/report/html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

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

/// The same colour in the page: ink and paper follow light and dark.
std::string page_color(const std::string& color) {
  const std::string_view variable = variable_of(color);
  return variable.empty() ? color : std::string(variable);
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
    text.append(svg.substr(0, at)).append(page_color(color));
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

/// A text as JSON within a script element: what could end that is written as a code.
std::string json_string(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '<' || c == '>' || c == '&' || c == '"' || c == '\\')
      json += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      json += c;
  }
  return json + '"';
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

std::string hover_data(const Picture& picture) {
  const auto json_number = [](double value) {
    return std::isfinite(value) ? fmt::format("{:.4g}", value) : "null";
  };
  std::string charts;
  for (const HoverChart& chart : picture.hover) {
    std::string lines;
    for (const HoverChart::Line& line : chart.lines) {
      std::string points;
      for (const HoverChart::Point& p : line.points)
        points += fmt::format("{}[{:.7g},{},{},{}]", points.empty() ? "" : ",", p.x, json_number(p.y),
                              json_number(p.low), json_number(p.high));
      lines += fmt::format("{}{{\"name\":{},\"color\":\"{}\",\"points\":[{}]}}", lines.empty() ? "" : ",",
                           json_string(line.name), page_color(line.color), points);
    }
    charts += fmt::format(
        "{}{{\"box\":[{:.4f},{:.4f},{:.4f},{:.4f}],\"x\":[{:.7g},{:.7g}],\"log\":{},\"name\":{},\"lines\":[{}"
        "]}}",
        charts.empty() ? "" : ",", chart.left, chart.right, chart.top, chart.bottom, chart.x_low,
        chart.x_high, chart.log_x, json_string(chart.x_name), lines);
  }
  if (charts.empty()) return "";
  return fmt::format("<script type=\"application/json\" class=\"values\">[{}]</script>", charts);
}

}  // namespace normlab
