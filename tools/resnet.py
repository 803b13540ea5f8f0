"""The residual networks resnet:D in PyTorch, with the names of Normlab's parameter files.

    from safetensors.torch import load_file
    net = ResNet(20, "gn:4").eval()
    net.load_state_dict(load_file("runs/latest/gn4-seed0/final.safetensors"), strict=True)

Its input is what normalized() of net_a.py makes of images.

The CIFAR form of He et al. 2016 with projection shortcuts, see layers/networks.hpp. Needs torch (and safetensors to
load files).
"""

import torch.nn.functional as F
from torch import nn

from net_a import make_norm


class ConvNorm(nn.Module):
    """Convolution and norm; without a norm the convolution has a bias."""

    def __init__(self, norm, inputs, outputs, kernel, stride, size):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=norm == "none")
        if norm != "none":
            self.norm = make_norm(norm, outputs, size)

    def forward(self, x):
        x = self.conv(x)
        return self.norm(x) if hasattr(self, "norm") else x


class Residual(nn.Module):
    def __init__(self, norm, inputs, outputs, stride, size):
        super().__init__()
        self.c1 = ConvNorm(norm, inputs, outputs, 3, stride, size)
        self.c2 = ConvNorm(norm, outputs, outputs, 3, 1, size)
        if stride > 1:
            self.shortcut = ConvNorm(norm, inputs, outputs, 1, stride, size)

    def forward(self, x):
        y = self.c2(F.relu(self.c1(x)))
        return F.relu(y + (self.shortcut(x) if hasattr(self, "shortcut") else x))


class ResNet(nn.Module):
    def __init__(self, depth=20, norm="bn", classes=10):
        super().__init__()
        self.stem = ConvNorm(norm, 3, 16, 3, 1, 32)
        inputs = 16
        for stage in (1, 2, 3):
            outputs, size = 8 << stage, 64 >> stage
            blocks = nn.Module()
            for block in range(1, (depth - 2) // 6 + 1):
                stride = 2 if stage > 1 and block == 1 else 1
                blocks.add_module(f"b{block}", Residual(norm, inputs, outputs, stride, size))
                inputs = outputs
            self.add_module(f"s{stage}", blocks)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for stage in (self.s1, self.s2, self.s3):
            for block in stage.children():
                x = block(x)
        return self.fc(x.mean(dim=(2, 3)))
