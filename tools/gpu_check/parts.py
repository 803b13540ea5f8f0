"""The parts of gpu-check, in the order in which they run."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Callable, NamedTuple

from gpu_check.state import ROOT, Result

BIN = ROOT / "build/release/bin"
TESTS = ROOT / "build/release/tests"
NORMS = ["none", "bn", "ln", "gn:4", "in"]
RECIPE = ["--batch-size", "512", "--init", "he", "--diagnose", "0"]
SANITIZERS = ["memcheck", "racecheck", "initcheck", "synccheck"]
# Programs whose tests named cuda run on a GPU where there is one; of random draws the first ten. Then whole trainings.
GPU_FILTER = ":".join(f"*/cuda{kind}{what}" for kind in ("", "_bf16")
                      for what in ("", "_?", "_image", "_native", "_sgd*", "_nesterov", "_clipped", "_adamw*"))
SMALL_STUDY = ["--device", "cuda", "--norms", "none,bn,ln,ln-elementwise,gn:4,in,rms", "--seeds", "1", "--epochs", "1",
               "--limit-train", "56", "--limit-test", "32", "--batch-size", "16", "--augment"]
GPU_TESTS = ["group_norm_test", "batch_norm_test", "conv2d_test", "max_pool_test", "optimizer_test", "images_test",
             "softmax_cross_entropy_test", "linear_test"]


class Part(NamedTuple):
    name: str
    about: str
    needs_gpu: bool
    seconds: int  # what it may take; less left: it does not begin
    work: Callable


class Missing(Exception):
    """Why a part cannot run here; it is 'not run'."""


class Context:
    """What the parts share: options, state, time, and what the machine has."""

    def __init__(self, options, state, budget):
        self.options, self.state, self.budget = options, state, budget
        self.machine = {}
        self.limit = 0.0  # when the running part must have ended

    def run(self, part):
        kept = self.state.load(part.name)
        # The machine is always asked; what was built may be gone while its result is still there.
        fresh = part.name == "machine" or (part.name == "build" and not (BIN / "bench").exists())
        if self.state.is_done(part.name) and not fresh:
            print(f"gpu-check: {part.name}: {kept.status} before", flush=True)
            return
        start = time.monotonic()
        result = self.result_of(part)
        result.seconds = round(time.monotonic() - start, 1)
        self.state.save(part.name, result)
        print(f"gpu-check: {part.name}: {result.status}{': ' + result.reason if result.reason else ''} "
              f"({result.seconds:.0f} s)", flush=True)

    def result_of(self, part):
        if part.name != "machine":
            if part.needs_gpu and not self.machine.get("gpu"):
                return Result("not run", "no GPU" + (f" ({self.machine['no_gpu']})" if self.machine.get("no_gpu") else ""))
            if self.options.dry_run:
                return Result("not run", "dry run")
            if self.budget.left() < min(part.seconds, 60):
                return Result("not run", "out of time; call gpu-check again to go on")
        self.limit = time.monotonic() + max(min(part.seconds, self.budget.left()), 10)
        try:
            return part.work(self)
        except Missing as missing:
            return Result("not run", str(missing))
        except subprocess.TimeoutExpired as expired:
            return Result("not run", f"out of time in {Path(str(expired.cmd[0])).name}; call gpu-check again to go on")
        except (OSError, ValueError, KeyError, IndexError, tarfile.TarError) as error:
            return Result("failed", f"{type(error).__name__}: {error}")

    def call(self, *command, env=None, cwd=None):
        """(status, output) of a program, which may take until the part must end."""
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, text=True, errors="replace", env=env, cwd=cwd,
                                   start_new_session=True)
        try:
            output, _ = process.communicate(timeout=max(self.limit - time.monotonic(), 1))
        except BaseException:  # it and all that it started
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return process.returncode, output

    def program(self, name):
        path = BIN / name
        if not path.exists():
            raise Missing(f"{path.relative_to(ROOT)} was not built")
        return path

    def deps(self):
        """The unpacked archive of stage-deps, or None."""
        if self.options.deps is None:
            return None
        target = ROOT / "build/deps"
        mark = target / "unpacked"
        name = f"{self.options.deps.resolve()} {self.options.deps.stat().st_size}"
        if not mark.exists() or mark.read_text() != name:
            shutil.rmtree(target, ignore_errors=True)
            with tarfile.open(self.options.deps, "r:xz") as archive:
                archive.extractall(target, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))
            mark.write_text(name)
        return target

    def data(self):
        """Options that name the training images, and what they are called."""
        if self.options.data is not None:
            return ["--data", str(self.options.data.resolve())], str(self.options.data)
        deps = self.deps()
        packed = deps / "data" if deps is not None else None
        if packed is None or not packed.is_dir():
            return [], "synthetic images"
        target = ROOT / "build/deps-data"
        if not (target / "test_batch.bin").exists():
            unpack = next((path for path in sorted(packed.glob("unpack*")) if os.access(path, os.X_OK)), None)
            if unpack is None:
                return ["--data", str(packed)], "the data in --deps"
            status, output = self.call(sys.executable if unpack.read_bytes()[:2] == b"#!" and
                                       b"python" in unpack.read_bytes()[:40] else unpack,
                                       *([unpack] if b"python" in unpack.read_bytes()[:40] else []), target)
            if status != 0:
                raise ValueError(f"{unpack.name}: {last_line(output)}")
        return ["--data", str(target)], "the data in --deps"


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def version(context, *command):
    try:
        status, output = context.call(*command)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    wanted = next((line for line in lines if re.search(r"\d+\.\d+", line)), "")
    return wanted if status == 0 else ""


PROBE = """
#include <cstdio>
__global__ void probe(float* x) { x[threadIdx.x] = static_cast<float>(threadIdx.x); }
int main() {
  float* x = nullptr;
  cudaMalloc(&x, 128);
  probe<<<1, 32>>>(x);
  const cudaError_t status = cudaDeviceSynchronize();
  std::printf("%s\\n", cudaGetErrorString(status));
  return status == cudaSuccess ? 0 : 1;
}
"""


def profilers(context, nvcc):
    """Which of NVIDIA's tools work on a kernel here: name -> empty, or why not."""
    work = {}
    folder = context.state.directory / "probe"
    folder.mkdir(exist_ok=True)
    (folder / "probe.cu").write_text(PROBE)
    program = folder / "probe"
    status, output = context.call(nvcc, "-arch=native", "-o", program, folder / "probe.cu")
    why_not = "" if status == 0 else f"nvcc cannot build for this GPU: {last_line(output)}"
    if not why_not and (found := context.call(program))[0] != 0:
        why_not = f"a kernel does not run: {last_line(found[1])}"
    commands = {
        "compute-sanitizer": ["compute-sanitizer", "--error-exitcode=9", program],
        "ncu": ["ncu", "--metrics", "gpu__time_duration.sum,dram__bytes_read.sum", "--clock-control=none", program],
        "nsys": ["nsys", "profile", "--force-overwrite=true", "--stats=true", f"--output={folder}/probe_nsys", program],
    }
    for tool, command in commands.items():
        if shutil.which(tool) is None:
            work[tool] = "not installed"
        elif why_not:
            work[tool] = why_not
        else:
            status, output = context.call(*command)
            # ncu ends with 0 even where it may not read the counters.
            bad = next((line.strip() for line in output.splitlines() if "==ERROR==" in line or "ERR_NVGPUCTRPERM" in line), "")
            if tool == "nsys" and "Time (%)" not in output:
                bad = bad or "no report came of what it recorded"
            work[tool] = bad or ("" if status == 0 else f"status {status}: {last_line(output)}")
    return why_not, work


def machine(context):
    found = context.machine
    found["python"] = sys.version.split()[0]
    for name, command in {"g++": ["g++", "--version"], "cmake": ["cmake", "--version"], "ninja": ["ninja", "--version"]}.items():
        found[name] = version(context, *command)
    nvcc = shutil.which("nvcc") or next((str(path) for path in [Path("/usr/local/cuda/bin/nvcc")] if path.exists()), "")
    found["nvcc"] = next((line for line in ([version(context, nvcc, "--version")] if nvcc else [])), "") and \
        re.sub(r".*(release [\d.]+).*", r"\1", " ".join(context.call(nvcc, "--version")[1].split()))
    status, output = context.call(sys.executable, "-c", "import torch; print(torch.__version__, torch.cuda.is_available())")
    found["torch"] = last_line(output) if status == 0 else ""
    if shutil.which("nvidia-smi") is None:
        found["gpu"], found["no_gpu"] = "", "no nvidia-smi"
    else:
        status, output = context.call("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
        found["gpu"] = output.splitlines()[0].strip() if status == 0 and output.strip() else ""
        found["no_gpu"] = "" if found["gpu"] else last_line(output)
    lines = [f"GPU: {found['gpu'] or 'none: ' + found['no_gpu']}", f"processors: {len(os.sched_getaffinity(0))}"]
    lines += [f"{name}: {found[name] or 'not there'}" for name in ("nvcc", "g++", "cmake", "ninja", "python", "torch")]
    found["tools"] = {}
    if found["gpu"] and nvcc:
        why_not, found["tools"] = profilers(context, nvcc)
        if why_not:
            found["gpu"], found["no_gpu"] = "", why_not
    else:
        for tool in ("compute-sanitizer", "ncu", "nsys"):
            found["tools"][tool] = "not installed" if shutil.which(tool) is None else "not asked: no GPU"
    lines += [f"{tool}: {why or 'works'}" for tool, why in found["tools"].items()]
    return Result("passed", lines=lines)


def wheel_options():
    """CMake's options for a cuDNN and a cuBLAS that came with PyTorch, where the toolkit has none."""
    roots = [Path(path) / "nvidia" for path in sys.path if (Path(path) / "nvidia").is_dir()]

    def first(pattern):
        return next((path for root in roots for path in sorted(root.glob(pattern))), None)

    options, includes = [], []
    toolkit = Path(shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc").resolve().parent.parent
    header, library = first("*/include/cudnn.h"), first("*/lib/libcudnn.so*")
    if not list(toolkit.glob("**/include/cudnn.h")) and not Path("/usr/include/cudnn.h").exists() and header and library:
        includes.append(str(header.parent))
        options.append(f"-DNORMLAB_CUDNN_LIBRARY={library}")
    header, library = first("*/include/cublas_v2.h"), first("*/lib/libcublas.so*")
    if not list(toolkit.glob("**/lib*/libcublas.so")) and header and library:
        includes.append(str(header.parent))
        options += [f"-DNORMLAB_CUBLAS_LIBRARY={library}", f"-DCUDA_cublas_LIBRARY={library}"]
    if includes:
        options.append(f"-DNORMLAB_CUDNN_INCLUDE={';'.join(includes)}")
    return options


def build(context):
    env = dict(os.environ)
    deps = context.deps()
    if deps is not None:  # as its `environment` does for a shell
        usr = deps / "usr"
        libraries = next(path.parent for path in usr.glob("lib/*/libdnnl.so"))
        env["CMAKE_PREFIX_PATH"] = str(usr)
        env["OPENSSL_ROOT_DIR"] = str(usr)
        env["LDFLAGS"] = f"-Wl,--disable-new-dtags -Wl,-rpath,{libraries}"
    options = wheel_options()
    if context.machine.get("gpu"):
        status, output = context.call("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader")
        if status == 0 and re.fullmatch(r"\d+\.\d", last_line(output)):
            options.append(f"-DNORMLAB_CUDA_ARCHITECTURES={last_line(output).replace('.', '')}")
    log = context.state.files / "build.log"
    status, output = context.call("cmake", "--preset", "release", *options, env=env, cwd=ROOT)
    log.write_text(output)
    gpu = next((line.removeprefix("-- ") for line in output.splitlines() if line.startswith("-- GPU: ")), "")
    if status != 0:
        return Result("failed", f"cmake: {last_line(output)}")
    status, built = context.call("cmake", "--build", "--preset", "release", env=env, cwd=ROOT)
    log.write_text(output + built)
    if status != 0:
        return Result("failed", f"the build ended with status {status}; see build.log")
    return Result("passed", lines=[gpu] if gpu else [])


def tests(context):
    """All tests; those that want a GPU run where there is one."""
    if not TESTS.is_dir():
        raise Missing("nothing was built")
    for old in TESTS.glob("*.json"):
        old.unlink()
    context.call("ctest", "--test-dir", ROOT / "build/release", "-j", str(len(os.sched_getaffinity(0))), "--timeout", "240")
    counts, failed, drawn = {"tests": 0, "failures": 0, "skipped": 0}, [], []
    for path in sorted(TESTS.glob("*_test")):
        found = TESTS / f"{path.name}.json"
        try:
            data = json.loads(found.read_text())
        except (OSError, ValueError):
            failed.append(f"{path.name}: it ended without a result")
            continue
        counts["tests"] += data["tests"]
        for suite in data["testsuites"]:
            for test in suite["testsuite"]:
                name = f"{path.name} {suite['name']}.{test['name']}"
                counts["skipped"] += test["result"] == "SKIPPED"
                said = " ".join(failure["failure"] for failure in test.get("failures", []))
                if said:
                    counts["failures"] += 1
                    (drawn if "gnuplot" in said and shutil.which("gnuplot") is None else failed).append(name)
    lines = [f"{name}: {value}" for name, value in counts.items()] + [f"FAILED {name}" for name in failed[:40]]
    if drawn:
        lines.append(f"not run: {len(drawn)} tests want gnuplot, which is not here")
    figures = [("tests run", counts["tests"], ""), ("tests failed", len(failed), "")]
    reason = f"{len(failed)} failed" if failed else ""
    return Result("failed" if failed else "passed", reason, figures, lines)


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
    for precision, sections in (("bf16", "norms,convolutions,training"), ("fp32", "norms,training")):
        status, output = context.call(program, "--device", "cuda", "--csv", "--layers", "--sections", sections, "--batch-size",
                                      "512", "--precision", precision, "--norms", ",".join([*NORMS, "rms"]))
        if status != 0:
            return Result("failed", last_line(output), figures, lines)
        file = context.state.files / f"bench-{precision}.csv"
        file.write_text(output)
        found, said = figures_of(list(csv.DictReader(output.splitlines())), precision)
        figures += found
        lines += said
    return Result("passed", "", figures, lines)


# Own kernels; bn may be cuDNN's, and none has none.
OWN = ["ln", "gn:4", "in", "rms"]


def figures_of(rows, precision):
    """What the report asks of bench's CSV. Large maps: those that no L2 cache holds."""
    size = 2 if precision == "bf16" else 4
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
    Part("bench", "copy, norms, convolutions, training", True, 120, bench),
    Part("repeats", "trainings repeated, compared bit by bit", True, 120, repeats),
    Part("tests", "all tests", False, 300, tests),
    *[Part(tool, f"compute-sanitizer --tool={tool}", True, 90, sanitizer(tool)) for tool in SANITIZERS],
    Part("pytorch", "NetA and norms against PyTorch", True, 150, pytorch),
    Part("profile", "three steps under ncu, or nsys", True, 90, profile),
    Part("accuracy", "each norm on the GPU and on the CPU", True, 300, accuracy),
]
