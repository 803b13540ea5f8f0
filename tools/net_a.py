"""NetA in PyTorch, with the names of Normlab's parameter files.

    from safetensors import safe_open
    from safetensors.torch import load_file
    file = "runs/latest/gn4-seed0/final.safetensors"
    net = NetA("gn:4").eval()
    net.load_state_dict(load_file(file), strict=True)
    logits = net(normalized(images, safe_open(file, "pt").metadata()))

Needs torch (and safetensors to load files).
"""

import torch
import torch.nn.functional as F
from torch import nn


# By what pixels are normalized; files of earlier versions do not say so.
PIXELS = {"pixel_mean": "0.4914,0.4822,0.4465", "pixel_std": "0.247,0.2435,0.2616"}


def normalized(images, metadata):
    """The input of a network for images of bytes, (N, 3, H, W), red, green, blue.

    metadata: that of the network's final.safetensors, or its config.toml.
    """
    mean, std = (
        torch.tensor([float(value) for value in metadata.get(key, PIXELS[key]).split(",")]).view(3, 1, 1)
        for key in ("pixel_mean", "pixel_std")
    )
    return (images.float() / 255 - mean) / std


class RMSNorm(nn.Module):
    """Second moment over C, H, W of each sample; gamma per channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        rstd = torch.rsqrt(x.pow(2).mean(dim=(1, 2, 3), keepdim=True) + 1e-5)
        return x * rstd * self.weight.view(1, -1, 1, 1)


def make_norm(norm, channels, size):
    kinds = {
        "none": nn.Identity,
        "bn": lambda: nn.BatchNorm2d(channels),
        "ln": lambda: nn.GroupNorm(1, channels),
        "ln-elementwise": lambda: nn.LayerNorm([channels, size, size]),
        "in": lambda: nn.GroupNorm(channels, channels),
        "rms": lambda: RMSNorm(channels),
        "rms-elementwise": lambda: nn.RMSNorm([channels, size, size], eps=1e-5),
    }
    return nn.GroupNorm(int(norm[3:]), channels) if norm.startswith("gn:") else kinds[norm]()


class Block(nn.Module):
    """Convolution, and (3x3) norm and ReLU."""

    def __init__(self, norm, inputs, outputs, kernel, size, bias):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        if kernel == 3 and norm != "none":
            self.norm = make_norm(norm, outputs, size)
        self.activation = F.relu if kernel == 3 else (lambda x: x)

    def forward(self, x):
        x = self.conv(x)
        return self.activation(self.norm(x) if hasattr(self, "norm") else x)


class NetA(nn.Module):
    def __init__(self, norm="bn", classes=10):
        super().__init__()
        widths = [16, 32, 16, 16, 32, 32, 16, 32, 32, 32]
        if norm in ("ln-elementwise", "rms-elementwise"):
            widths = [4, 4, 8, 8, 8, 8, 8, 16, 24, 24]
        inputs = 3
        for i, outputs in enumerate(widths, start=1):
            size = 32 if i <= 3 else 16 if i <= 7 else 8
            kernel = 1 if i in (3, 7) else 3
            self.add_module(f"c{i}", Block(norm, inputs, outputs, kernel, size, norm == "none"))
            inputs = outputs
        self.c11 = Block(norm, inputs, classes, 1, 1, True)

    def forward(self, x):
        for i in range(1, 11):
            x = getattr(self, f"c{i}")(x)
            if i in (3, 7):
                x = F.max_pool2d(x, 2)
        return self.c11(x.mean(dim=(2, 3), keepdim=True)).flatten(1)
