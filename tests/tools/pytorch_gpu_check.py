"""Runs what tools/pytorch_gpu.py has for GPUs on the CPU, where there is PyTorch: status 77 says that there is none."""

import sys
from pathlib import Path

try:
    import torch
except ImportError as error:
    print(error)
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import pytorch_gpu  # noqa: E402

torch.set_num_threads(1)
modes = pytorch_gpu.modes("bf16")
assert len(modes) == len(set(modes)) == 16, modes
assert str(pytorch_gpu.modes("fp32")[0]) == "eager NCHW fp32", modes[0]
assert not any(mode.compiled for mode in pytorch_gpu.modes("fp32", compiled=False))

# Every kind of numbers and both layouts train: parameters move, the loss is finite, the rate is positive.
for mode in pytorch_gpu.modes("fp32", False) + pytorch_gpu.modes("bf16", False):
    if mode.graphed:
        continue
    training = pytorch_gpu.Training("gn:4", 4, mode, "cpu")
    before = [parameter.detach().clone() for parameter in training.net.parameters()]
    training.step()
    assert any((a != b).any() for a, b in zip(before, training.net.parameters())), mode
    assert all(torch.isfinite(parameter).all() for parameter in training.net.parameters()), mode
    assert training.net.c1.conv.weight.is_contiguous(memory_format=torch.channels_last) or not mode.channels_last
assert training.rate(0.01) > 0

# Norms alone: what is timed is a norm with a ReLU and its whole backward pass.
for norm in ("gn:4", "in", "ln", "bn"):
    alone = pytorch_gpu.NormAlone(norm, (2, 16, 4, 4), "fp32", True, "cpu")
    alone.forward()
    alone.backward()
    assert (alone.y >= 0).all() and 0.3 < float(alone.y.detach().pow(2).mean()) < 0.7, norm
    assert alone.x.grad is not None and alone.layer.weight.grad is not None, norm
    assert pytorch_gpu.norm_seconds(norm, (2, 16, 4, 4), "bf16", "cpu", rounds=2) > 0
if not torch.cuda.is_available():
    assert "PyTorch" in pytorch_gpu.why_no_gpu()
print("pytorch_gpu: fine on the CPU")
