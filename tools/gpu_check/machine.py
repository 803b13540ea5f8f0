"""What is there: compilers, tools that work, and a build with its tests."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from gpu_check.context import TESTS, Missing, last_line
from gpu_check.state import ROOT, Result


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
