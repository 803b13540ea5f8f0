"""The parts of gpu-check, in the order in which they run."""

import csv
import hashlib
import re
import shutil
import sys
import time

from gpu_check.context import BIN, TESTS, Context, Missing, Part, last_line  # noqa: F401
from gpu_check.machine import build, machine, tests
from gpu_check.state import ROOT, Result

NORMS = ["none", "bn", "ln", "gn:4", "in"]
RECIPE = ["--batch-size", "512", "--init", "he", "--diagnose", "0"]
SANITIZERS = ["memcheck", "racecheck", "initcheck", "synccheck"]
# Programs whose tests named cuda run on a GPU where there is one; of random draws the first ten. Then whole trainings.
GPU_FILTER = ":".join(f"*/cuda{kind}{what}" for kind in ("", "_bf16")
                      for what in ("", "_?", "_image", "_native", "_sgd*", "_nesterov", "_clipped", "_adamw*"))
SMALL_STUDY = ["--device", "cuda", "--norms", "none,bn,ln,ln-elementwise,gn:4,in,rms,rms-elementwise", "--seeds", "1", "--epochs", "1",
               "--limit-train", "56", "--limit-test", "32", "--batch-size", "16", "--augment"]
GPU_TESTS = ["group_norm_test", "batch_norm_test", "conv2d_test", "max_pool_test", "optimizer_test", "images_test",
             "softmax_cross_entropy_test", "linear_test", "diagnostics_test"]


def sanitizer(tool):
    def work(context):
        why = context.machine["tools"].get("compute-sanitizer", "not asked")
        if why:
            raise Missing(f"compute-sanitizer: {why}")
        reports, lines = 0, []
        log = context.state.files / "sanitizer.log"
        out = context.state.directory / "studies" / tool
        shutil.rmtree(out, ignore_errors=True)
        commands = {name: [TESTS / name, "--gtest_brief=1", f"--gtest_filter={GPU_FILTER}"] for name in GPU_TESTS}
        commands["compare_norms"] = [BIN / "compare_norms", *SMALL_STUDY, "--out", out]
        for name, command in commands.items():
            if not command[0].exists():
                raise Missing(f"{name} was not built")
            status, output = context.call("compute-sanitizer", f"--tool={tool}", "--error-exitcode=9", "--print-limit=5",
                                          *command)
            found = re.findall(r"ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard", output)
            count = sum(int(a or b) for a, b in found)
            if status != 0 or count or not found:
                count = max(count, 1)
                lines.append(f"{name}: {count} reports, status {status}: {last_line(output)}")
                with log.open("a") as file:
                    file.write(f"== {tool} {name}\n{output[-20000:]}\n")
            reports += count
        return Result("failed" if reports else "passed", f"{reports} reports" if reports else "",
                      [(f"{tool}: reports", reports, "")], lines)
    return work


def bench(context):
    program = context.program("bench")
    figures, lines = [], []
    every = [*NORMS, "rms"]
    for precision, sections, norms, kernels in (("bf16", "norms,convolutions,training", every, "own"),
                                                ("fp32", "norms,training", every, "own"),
                                                ("bf16", "norms,training", ["bn"], "cudnn")):
        status, output = context.call(program, "--device", "cuda", "--csv", "--layers", "--sections", sections, "--batch-size",
                                      "512", "--precision", precision, "--norms", ",".join(norms), "--bn", kernels)
        if status != 0 and kernels == "cudnn":  # only compared with
            lines.append(f"batch norm by cuDNN: {last_line(output)}")
            continue
        if status != 0:
            return Result("failed", last_line(output), figures, lines)
        name = precision if kernels == "own" else f"{precision}-{kernels}"
        (context.state.files / f"bench-{name}.csv").write_text(output)
        found, said = figures_of(list(csv.DictReader(output.splitlines())), name)
        figures += found
        lines += said
    return Result("passed", "", figures, lines)


# Norms that read their input once: bn's figures count it once and the kernel reads it twice.
OWN = ["ln", "gn:4", "in", "rms"]


def figures_of(rows, precision):
    """What the report asks of bench's CSV. Large maps: those that no L2 cache holds.

    precision: as --precision, with -cudnn behind it where batch norm is cuDNN's.
    """
    size = 2 if precision.startswith("bf16") else 4
    figures, lines = [], []

    def extent(row):
        return int(row["n"]) * int(row["c"]) * int(row["h"]) * int(row["w"]) * size

    if rows:
        figures.append((f"copy, {precision}", float(rows[0]["copy_gigabytes_per_second"]), "GB/s"))
    for way in ("forward", "backward"):
        large = [row for row in rows if row["section"] == "norm" and row["pass"] == way and extent(row) >= 100e6]
        for norm in OWN:
            shares = [float(row["percent_of_copy"]) for row in large if row["norm"] == norm]
            if shares:
                figures.append((f"{norm} {way} on large maps, {precision}", min(shares), "% of copy"))
        lines += [f"batch norm, {way}, {row['n']}x{row['c']}x{row['h']}x{row['w']}, {precision}: {row['microseconds']} us"
                  for row in large if row["norm"] == "bn"]
    for row in rows:
        milliseconds = float(row["microseconds"]) / 1e3
        if row["section"] in ("step", "epoch"):
            figures.append((f"NetA {row['section']} {row['pass']}, {row['norm']}, {precision}", milliseconds, "ms"))
        if row["section"] == "convolution":
            lines.append(f"convolution {row['name']}, {row['n']}x{row['c']}x{row['h']}x{row['w']}, {row['pass']}: "
                         f"{float(row['teraflops']):.1f} TFLOP/s, {float(row['percent_of_copy']):.0f} % of copy")
    return figures, lines


def digest_of(run):
    return hashlib.sha256((run / "final.safetensors").read_bytes()).hexdigest()


def study(context, name, *options):
    out = context.state.directory / "studies" / name
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(exist_ok=True)
    status, output = context.call(context.program("compare_norms"), *options, *RECIPE, "--out", out)
    if status != 0:
        raise ValueError(f"compare_norms: {last_line(output)}")
    return out


def repeats(context):
    """One epoch of each norm on 8,192 images, again and again: the same bits?"""
    images, what = context.data()
    figures, different, wanted = [], [], 20
    first, count = {}, 0
    for i in range(wanted):
        if i >= 3 and context.limit - time.monotonic() < 20:
            break
        out = study(context, "repeat", "--device", "cuda", "--norms", ",".join(NORMS), "--seeds", "1", "--epochs", "1",
                    "--precision", "bf16", "--jobs", "1", "--limit-train", "8192", "--limit-test", "1000", *images)
        for run in sorted(path for path in out.iterdir() if (path / "final.safetensors").exists()):
            digest = digest_of(run)
            if first.setdefault(run.name, digest) != digest:
                different.append(f"{run.name}, repeat {i + 1}")
        count += 1
    figures.append(("bitwise equal repeats", 0 if different else count, ""))
    return Result("failed" if different or not first else "passed", f"{len(different)} differ" if different else "", figures,
                  [f"one epoch of 8,192 images of {what}: {', '.join(NORMS)}, bf16", *different[:20]])


def accuracy(context):
    """Each norm on the GPU and on the CPU: final test accuracy, mean over three seeds."""
    images, what = context.data()
    options = ["--norms", ",".join(NORMS), "--seeds", "3", "--epochs", "8", "--lr", "0.1,none=0.02", *images]
    gpu = study(context, "gpu", "--device", "cuda", *options)
    cpu = study(context, "cpu", "--device", "cpu", *options)
    means = {}
    for device, out in (("cuda", gpu), ("cpu", cpu)):
        status, output = context.call(context.program("normlog"), "csv", out)
        if status != 0:
            raise ValueError(f"normlog csv: {last_line(output)}")
        table = next(out.rglob("epochs.csv"))
        last = {}
        for row in csv.DictReader(table.open()):
            if row["split"] == "test":
                last[row["run"]] = (row["norm"], 100 * float(row["accuracy"]))
        for norm in NORMS:
            values = [value for name, value in last.values() if name == norm]
            means[device, norm] = sum(values) / len(values)
    figures = [(f"accuracy, {norm}: |cuda - cpu|", abs(means["cuda", norm] - means["cpu", norm]), "points") for norm in NORMS]
    lines = [f"{norm}: {means['cuda', norm]:.2f} % on the GPU, {means['cpu', norm]:.2f} % on the CPU" for norm in NORMS]
    return Result("passed", "", figures, [f"8 epochs, 3 seeds, batch 512, fp32, on {what}", *lines])


def pytorch(context):
    if not context.machine["torch"].endswith("True"):
        raise Missing(f"PyTorch sees no GPU here ({context.machine['torch'] or 'it is not installed'})")
    status, output = context.call(sys.executable, ROOT / "tools/compare_pytorch", "--device", "cuda", "--csv", "--precision",
                                  "bf16", "--batch-sizes", "512", "--rounds", "3", "--seconds", "0.5", "--norms", ",".join(NORMS))
    if status != 0:
        return Result("failed", last_line(output))
    (context.state.files / "pytorch.csv").write_text(output)
    figures = []
    for row in csv.DictReader(output.splitlines()):
        what = "NetA step" if row["what"] == "step" else f"{row['what']} {row['shape']}"
        figures.append((f"{what} against PyTorch, {row['norm']}", float(row["ratio"]), "times"))
    return Result("passed", "", figures)


def profile(context):
    tools = context.machine["tools"]
    tool = next((name for name in ("ncu", "nsys") if not tools.get(name, "not asked")), None)
    if tool is None:
        raise Missing("; ".join(f"{name}: {tools.get(name)}" for name in ("ncu", "nsys")))
    status, output = context.call(sys.executable, ROOT / "tools/profile", tool, "--sort", "time", "--out",
                                  context.state.directory / "profile")
    if status != 0:
        return Result("failed", last_line(output))
    (context.state.files / "profile.txt").write_text(output)
    return Result("passed", f"by {tool}", [], output.splitlines()[-45:])


ALL = [
    Part("machine", "what is there, and which tools work", False, 90, machine),
    Part("build", "the release build, for this GPU", False, 400, build),
    Part("bench", "copy, norms, convolutions, training", True, 140, bench),
    Part("repeats", "trainings repeated, compared bit by bit", True, 120, repeats),
    Part("tests", "all tests", False, 300, tests),
    *[Part(tool, f"compute-sanitizer --tool={tool}", True, 90, sanitizer(tool)) for tool in SANITIZERS],
    Part("pytorch", "NetA and norms against PyTorch", True, 150, pytorch),
    Part("profile", "three steps under ncu, or nsys", True, 90, profile),
    Part("accuracy", "each norm on the GPU and on the CPU", True, 300, accuracy),
]
