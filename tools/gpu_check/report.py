"""The report: floors and goals beside what was reached, part by part what was found, and what was not run."""

import csv
import datetime
import shutil

from gpu_check import parts

# (what, pattern of figures, which of them counts, better, floor, goal, unit)
TARGETS = [
    ("NetA epoch, bf16, batch 512: none, ln, gn:4, in", ["NetA epoch replayed, %s, bf16"], ["none", "ln", "gn:4", "in"],
     "lower", 60, 25, "ms"),
    ("NetA epoch, bf16, batch 512: bn", ["NetA epoch replayed, %s, bf16"], ["bn"], "lower", 70, 30, "ms"),
    ("own norm forward on large maps", ["%s forward on large maps, bf16", "%s forward on large maps, fp32"],
     parts.OWN, "higher", 75, 88, "% of copy"),
    ("own norm backward on large maps", ["%s backward on large maps, bf16", "%s backward on large maps, fp32"],
     parts.OWN, "higher", 60, 75, "% of copy"),
    ("gn:4 and in, 16 to 96 channels, against PyTorch eager", ["norm 512x16x32x32 against PyTorch, %s",
                                                              "norm 512x32x32x32 against PyTorch, %s",
                                                              "norm 512x96x16x16 against PyTorch, %s"],
     ["gn:4", "in"], "higher", 3, 5, "times"),
    ("NetA training step against the best PyTorch", ["NetA step against PyTorch, %s"], parts.NORMS, "higher", 1.5, 3, "times"),
    ("accuracy against the CPU backend, 8 epochs, 3 seeds", ["accuracy, %s: |cuda - cpu|"], parts.NORMS, "lower", 1, 0.5,
     "points"),
    ("bitwise equal repeats", ["bitwise equal repeats"], [""], "higher", 3, 20, ""),
    *[(f"compute-sanitizer {tool}", [f"{tool}: reports"], [""], "lower", 0, 0, "reports") for tool in parts.SANITIZERS],
]


def worst(figures, patterns, names, better):
    """(value, name) of the one farthest from its goal; None: not all of them are there."""
    wanted = {pattern % name if "%s" in pattern else pattern for pattern in patterns for name in names}
    found = [(value, what) for what, value, _ in figures if what in wanted]
    if len(found) < len(wanted):
        return None
    return max(found) if better == "lower" else min(found)


def verdict(value, better, floor, goal):
    reaches = (lambda limit: value <= limit) if better == "lower" else (lambda limit: value >= limit)
    return "goal" if reaches(goal) else "floor" if reaches(floor) else "BELOW THE FLOOR"


def shown(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(head, rows):
    return "".join("| " + " | ".join(line) + " |\n" for line in [head, ["---"] * len(head), *rows])


def targets(figures):
    """Rows of the table of floors and goals, and how many stay below."""
    rows, below = [], 0
    for what, patterns, names, better, floor, goal, unit in TARGETS:
        found = worst(figures, patterns, names, better)
        if found is None:
            rows.append([what, f"{floor} {unit}".strip(), f"{goal} {unit}".strip(), "", "not measured"])
            continue
        judged = verdict(found[0], better, floor, goal)
        below += judged.startswith("BELOW")
        rows.append([what, f"{floor} {unit}".strip(), f"{goal} {unit}".strip(), f"{shown(found[0])} {unit}".strip(), judged])
    return rows, below


def write(out, state, names):
    """Writes the report on these parts and prints where it is. Returns gpu-check's exit status."""
    results = {part.name: state.load(part.name) for part in parts.ALL if part.name in names}
    figures = [figure for result in results.values() if result for figure in result.figures]
    rows, below = targets(figures)
    failed = [name for name, result in results.items() if result and result.status == "failed"]
    missing = [name for name, result in results.items() if result is None or result.status == "not run"]
    text = [f"# Normlab on a GPU\n\n{datetime.datetime.now():%Y-%m-%d %H:%M}, sources {state.sources}. "
            f"{len(results) - len(failed) - len(missing)} parts passed, {len(failed)} failed, {len(missing)} were not run.\n\n"]
    text.append(table(["part", "", "result", "seconds"],
                      [[part.name, part.about, describe(results[part.name]),
                        f"{results[part.name].seconds:.0f}" if results[part.name] else ""]
                       for part in parts.ALL if part.name in results]))
    text.append("\n## Floors and goals\n\nOf several figures the one farthest from its goal counts.\n\n")
    text.append(table(["", "floor", "goal", "reached", ""], rows))
    for part in parts.ALL:
        result = results.get(part.name)
        if result and result.lines:
            text.append(f"\n## {part.name}\n\n```\n" + "\n".join(result.lines) + "\n```\n")
    if figures:
        text.append("\n## All figures\n\n" + table(["", "", ""], [[what, shown(value), unit] for what, value, unit in figures]))
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.md").write_text("".join(text))
    with (out / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["part", "status", "reason", "what", "value", "unit"])
        for name, result in results.items():
            if result is None:
                writer.writerow([name, "not run", "", "", "", ""])
                continue
            for what, value, unit in result.figures or [("", "", "")]:
                writer.writerow([name, result.status, result.reason, what, value, unit])
    for file in sorted(state.files.iterdir())[:6]:  # with the two above: 8
        shutil.copyfile(file, out / file.name)
    print(f"gpu-check: {len(failed)} failed, {len(missing)} not run, {below} below the floor: {out / 'report.md'}")
    return 1 if failed or below else 0


def describe(result):
    if result is None:
        return "not run"
    return result.status + (f": {result.reason}" if result.reason else "")
