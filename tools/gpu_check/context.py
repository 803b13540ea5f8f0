"""What the parts of gpu-check share: options, state, time, and what the machine has."""

import os
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
