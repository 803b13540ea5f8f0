// The page's style and script: what every report has in common.

#include "host/report/html.hpp"

namespace normlab {

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
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .4rem 0; }
.lead, .note, figcaption { color: var(--muted); }
.note { font-size: .875rem; }
.card { background: var(--card); border: 1px solid var(--grid); border-radius: .6rem; padding: 1rem; }
.verdict { border-left: .35rem solid var(--link); font-size: 1.06rem; margin: 1rem 0; }
.grid { columns: 2 28rem; column-gap: 1rem; }
figure { margin: 0 0 1rem; break-inside: avoid; position: relative; }
figure.card { padding: .3rem; }
figure svg { display: block; width: 100%; height: auto; }
.hint { position: absolute; pointer-events: none; z-index: 1; background: var(--card); border: 1px solid var(--grid);
  border-radius: .4rem; padding: .3rem .5rem; font-size: .8rem; box-shadow: 0 .1rem .5rem #0003; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.hint[hidden] { display: none; }
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
  .grid { columns: 2; }
  h2, h3, h2 + p { break-after: avoid; }
  .scroll { overflow: visible; }
  .card.scroll { padding: .4rem; }
  table { font-size: 7.5pt; }
  th, td { padding: .2rem .25rem; }
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

// The values at the x below the pointer, of every line of that chart.
for (const figure of document.querySelectorAll("figure")) {
  const data = figure.querySelector("script.values"), svg = figure.querySelector("svg");
  if (!data || !svg) continue;
  const charts = JSON.parse(data.textContent);
  const hint = document.createElement("div");
  hint.className = "hint";
  hint.hidden = true;
  figure.append(hint);
  const show = event => {
    const box = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    const chart = charts.find(c => x >= c.box[0] - .01 && x <= c.box[1] + .01 && y >= c.box[2] && y <= c.box[3]);
    hint.hidden = true;
    if (!chart) return;
    const scale = v => chart.log ? Math.log(v) : v, [low, high] = chart.x.map(scale);
    const at = low + (x - chart.box[0]) / (chart.box[1] - chart.box[0]) * (high - low);
    const near = chart.lines.flatMap(line => line.points.map(p => p[0]))
      .reduce((a, b) => a === null || Math.abs(scale(b) - at) < Math.abs(scale(a) - at) ? b : a, null);
    if (near === null) return;
    hint.replaceChildren(`${chart.name} ${near}`);
    const rows = chart.lines.map(line => [line, line.points.find(p => p[0] === near)]).filter(row => row[1]);
    for (const [line, [, value, least, most]] of rows.sort((a, b) => b[1][1] - a[1][1])) {
      const row = document.createElement("div");
      row.style.color = line.color;
      row.textContent = `${line.name} ${value}` + (least === null ? "" : ` (${least} to ${most})`);
      hint.append(row);
    }
    hint.hidden = false;
    const left = event.clientX - outer.left + 14;
    hint.style.left = `${left + hint.offsetWidth > outer.width ? Math.max(0, left - hint.offsetWidth - 28) : left}px`;
    hint.style.top = `${Math.max(0, event.clientY - outer.top - hint.offsetHeight / 2)}px`;
  };
  figure.addEventListener("pointermove", show);
  figure.addEventListener("pointerdown", show);
  figure.addEventListener("pointerleave", () => hint.hidden = true);
}
)";

}  // namespace normlab
