"""PyTorch on a GPU for compare_pytorch: a training step of NetA, eager, compiled or as one CUDA graph; norms alone.

Everything also runs with device "cpu" (but for the graph): that is how it is tested where there is no GPU.
"""

import itertools
import statistics
import time
from typing import NamedTuple

import torch
import torch.nn.functional as F

from net_a import NetA, make_norm

FLUSH_BYTES = 256 << 20  # more than any L2 cache holds, as bench has it


class Mode(NamedTuple):
    """numbers: fp32, autocast (bf16 where PyTorch thinks it safe) or bf16."""
    compiled: bool
    graphed: bool
    channels_last: bool
    numbers: str

    def __str__(self):
        words = ["compiled" if self.compiled else "eager"] + (["graphed"] if self.graphed else [])
        return " ".join([*words, "channels_last" if self.channels_last else "NCHW", self.numbers])


def why_no_gpu():
    """Empty where PyTorch can use one."""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} was built without CUDA"
    if not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} sees no GPU here"
    return ""


def modes(precision, compiled=True):
    """All that are tried; the first is plain eager PyTorch."""
    numbers = ["fp32"] if precision == "fp32" else ["autocast", "bf16"]
    every = itertools.product([False, True] if compiled else [False], [False, True], [False, True], numbers)
    return [Mode(*mode) for mode in every]


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


class Training:
    """NetA with a batch of noise on the device; step() enqueues one training step."""

    def __init__(self, norm, batch_size, mode, device):
        torch.manual_seed(0)
        self.mode, self.device, self.batch_size = mode, device, batch_size
        layout = torch.channels_last if mode.channels_last else torch.contiguous_format
        kind = torch.bfloat16 if mode.numbers == "bf16" else torch.float32
        self.net = NetA(norm).to(device=device, dtype=kind, memory_format=layout).train()
        self.x = torch.randn(batch_size, 3, 32, 32).to(device=device, dtype=kind, memory_format=layout)
        self.labels = torch.randint(0, 10, (batch_size,)).to(device)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
        self.forward = torch.compile(self.net) if mode.compiled else self.net
        self.graph = None
        if mode.graphed:
            self.capture()
        else:
            for _ in range(3):
                self.direct()
        wait(device)

    def direct(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.mode.numbers == "autocast"):
            logits = self.forward(self.x)
        loss = F.cross_entropy(logits.float(), self.labels)
        loss.backward()
        self.optimizer.step()

    def capture(self):
        """The whole step as one graph; before that some steps beside the default stream, as PyTorch asks for."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.direct()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self.graph):
            self.direct()

    def step(self):
        if self.graph is not None:
            self.graph.replay()
        else:
            self.direct()

    def rate(self, seconds):
        """Images a second. The device is asked every so many steps only: it works behind the host's back."""
        steps, start = 0, time.perf_counter()
        while True:
            for _ in range(10):
                self.step()
            steps += 10
            wait(self.device)
            if (elapsed := time.perf_counter() - start) >= seconds:
                return steps * self.batch_size / elapsed


class NormAlone:
    """A norm with its ReLU; forward() and backward() as autograd does them."""

    def __init__(self, norm, shape, precision, channels_last, device):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        samples, channels, height, _ = shape
        self.layer = make_norm(norm, channels, height).to(device=device, dtype=kind)

        def noise():
            return torch.randn(shape).to(device=device, dtype=kind, memory_format=layout)

        self.x, self.dy = noise().requires_grad_(), noise()
        self.device = device
        self.flush = torch.empty(FLUSH_BYTES if device == "cuda" else 1, dtype=torch.uint8, device=device)

    def forward(self):
        self.y = F.relu(self.layer(self.x))

    def backward(self):
        self.x.grad = None
        self.layer.zero_grad(set_to_none=True)
        self.y.backward(self.dy)

    def seconds(self, rounds):
        """Medians of forward and backward, each after the caches were flushed."""
        times = {"forward": [], "backward": []}
        for i in range(rounds + 2):
            for name, work in (("forward", self.forward), ("backward", self.backward)):
                self.flush.zero_()
                spent = self.timed(work)
                if i >= 2:
                    times[name].append(spent)
        return [statistics.median(times[name]) for name in ("forward", "backward")]

    def timed(self, work):
        if self.device != "cuda":
            start = time.perf_counter()
            work()
            return time.perf_counter() - start
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3


def norm_seconds(norm, shape, precision, device, rounds=20):
    """Forward and backward together in eager PyTorch, in the better of both layouts."""
    return min(sum(NormAlone(norm, shape, precision, channels_last, device).seconds(rounds)) for channels_last in (False, True))
