"""What gpu-check has found so far, part by part, in files that outlive it; and the time that it may take."""

import hashlib
import json
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def fingerprint():
    """Of everything that is built or run: results of other sources do not count."""
    digest = hashlib.sha256()
    for room in ("CMakeLists.txt", "cmake", "layers", "host", "cuda", "experiments", "tools", "tests"):
        top = ROOT / room
        for path in sorted([top] if top.is_file() else top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class Budget:
    """Seconds until nothing new may begin."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()


class Result:
    """Of one part. status: passed, failed, or not run, which `reason` explains; figures: (what, value, unit)."""

    def __init__(self, status, reason="", figures=(), lines=(), seconds=0.0):
        self.status, self.reason, self.seconds = status, reason, seconds
        self.figures = [tuple(figure) for figure in figures]
        self.lines = list(lines)  # for people, in the report

    @property
    def is_final(self):
        return self.status != "not run"


class State:
    """Results in DIR/PART.json, and files that parts leave for the report in DIR/files."""

    def __init__(self, directory, again=()):
        self.directory = directory
        self.files = directory / "files"
        self.files.mkdir(parents=True, exist_ok=True)
        self.sources = fingerprint()
        self.again = set(again)

    def path(self, part):
        return self.directory / f"{part}.json"

    def load(self, part):
        """The result of this part with these sources, or None."""
        try:
            kept = json.loads(self.path(part).read_text())
            if kept.pop("sources") != self.sources:
                return None
            return Result(**kept)
        except (OSError, ValueError, KeyError, TypeError):
            return None  # none yet, or a file that was cut short

    def is_done(self, part):
        if part in self.again or "all" in self.again:
            return False
        result = self.load(part)
        return result is not None and result.is_final

    def save(self, part, result):
        kept = {"sources": self.sources, **vars(result)}
        half = self.path(part).with_suffix(".part")
        half.write_text(json.dumps(kept, indent=1))
        half.replace(self.path(part))
