#!/usr/bin/env python3
"""Writes sums.txt: how far PyTorch's float32 norms and gradients of convolutions on a CPU are from its float64 ones
where sums are long.

  python3 make_sums.py > sums.txt      # PyTorch 2.13; one minute

The inputs are made by the same formulas as in ../../sums_test.cpp, which reads the result. An error is the largest
|float32 - float64| / size over a tensor, where size is what is added up:

  y       |gamma| max(1, |xhat|) + |beta|
  dx      rstd (|gamma dy| + mean |gamma dy| + |xhat| mean |gamma dy xhat|), means over the group
  dgamma  sum |dy| max(|xhat|, mean |xhat| of the group)
  dbeta   sum |dy|
  mean    mean |x|               var    var + eps      (bn's running statistics, from 0 with momentum 1)

and of convolutions, whose dy is one more, so that most of what is added up has one sign:

  dweight sum |x dy|             dbias  sum |dy|
"""
import numpy as np
import torch

EPS = 1e-5
SHAPES = {"maps": (8, 16, 32, 32), "large": (1, 16, 224, 224), "many": (4096, 16, 4, 4)}
CONTENTS = ["normal", "constant", "mean-1e4", "mean-1e6", "outlier-first", "outlier-last"]
NORMS = ["bn", "ln", "ln-elementwise", "gn:4", "in", "rms"]


def mix(h):
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))


def draw(count, stream):
    """Near-normal numbers: the sum of 12 uniform ones, less 6. Exact in double."""
    i = np.arange(count, dtype=np.uint32)
    total = np.zeros(count)
    for k in range(12):
        total += (mix(i * np.uint32(12) + np.uint32(k) + np.uint32(stream * 0x9E3779B9 & 0xFFFFFFFF)) >> np.uint32(8)) / 2.0**24
    return total - 6


def make_input(content, shape):
    n, c, h, w = shape
    x = draw(n * c * h * w, 1).reshape(shape)
    if content == "constant":
        x[:] = 1.2345678
    elif content.startswith("mean-"):
        x += float(content[5:])
    elif content == "outlier-first":
        x[0, :, 0, 0] = 1e4
    elif content == "outlier-last":
        x[-1, :, -1, -1] = 1e4
    return torch.from_numpy(x.astype(np.float32))


def run(norm, x, gamma, beta, dy):
    x, gamma, beta = (t.clone().requires_grad_() for t in (x, gamma, beta))
    c = x.shape[1]
    mean = torch.zeros(c, dtype=x.dtype)
    var = torch.zeros(c, dtype=x.dtype)
    if norm == "bn":
        y = torch.nn.functional.batch_norm(x, mean, var, gamma, beta, True, 1.0, EPS)
    elif norm == "rms":
        xhat = torch.nn.functional.rms_norm(x, x.shape[1:], eps=EPS)
        y = xhat * gamma.view(1, -1, 1, 1) + 0 * beta.view(1, -1, 1, 1)
    elif norm == "ln-elementwise":
        y = torch.nn.functional.layer_norm(x, x.shape[1:], gamma, beta, EPS)
    else:
        groups = {"ln": 1, "in": c}.get(norm) or int(norm[3:])
        y = torch.nn.functional.group_norm(x, groups, gamma, beta, EPS)
    y.backward(dy)
    result = {"y": y.detach(), "dx": x.grad, "dgamma": gamma.grad, "dbeta": beta.grad, "mean": mean, "var": var}
    for name in ["dbeta"] * (norm == "rms") + ["mean", "var"] * (norm != "bn"):
        del result[name]
    return result


def sizes(norm, x, gamma, beta, dy):
    n, c, h, w = x.shape
    groups = {"bn": 0, "ln": 1, "ln-elementwise": 1, "in": c, "rms": 1}.get(norm)
    groups = int(norm[3:]) if groups is None else groups
    grouped = (lambda t: t.transpose(0, 1).reshape(c, -1)) if norm == "bn" else (lambda t: t.reshape(n * groups, -1))

    def spread(v):  # a value of each group to its elements
        if norm == "bn":
            return v.view(1, c, 1, 1).expand(n, c, h, w)
        return v.view(n, groups, 1).expand(n, groups, c // groups * h * w).reshape(n, c, h, w)

    mean = torch.zeros_like(grouped(x)[:, 0]) if norm == "rms" else grouped(x).mean(1)
    centred = x - spread(mean)
    var = (grouped(centred) ** 2).mean(1)
    rstd = spread((var + EPS).rsqrt())
    xhat = centred * rstd
    shared = (0,) if norm == "ln-elementwise" else (0, 2, 3)  # what shares gamma and beta
    g, b = (t.abs() if len(shared) == 1 else t.view(1, -1, 1, 1).abs() for t in (gamma, beta))
    if norm == "rms":
        b = 0 * b
    terms = g * dy.abs()
    return {
        "y": g * xhat.abs().clamp(min=1) + b,
        "dx": rstd * (terms + spread(grouped(terms).mean(1)) + xhat.abs() * spread(grouped(terms * xhat.abs()).mean(1))),
        "dgamma": (dy.abs() * xhat.abs().maximum(spread(grouped(xhat.abs()).mean(1)))).sum(shared),
        "dbeta": dy.abs().sum(shared),
        "mean": x.abs().mean((0, 2, 3)),
        "var": var + EPS,
    }


def convolution(x, dy, kernel):
    weight = torch.zeros(dy.shape[1], x.shape[1], kernel, kernel, dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(dy.shape[1], dtype=x.dtype, requires_grad=True)
    torch.nn.functional.conv2d(x, weight, bias, padding=kernel // 2).backward(dy)
    return {"dweight": weight.grad, "dbias": bias.grad}


def print_convolutions(shape_name, shape):
    n, c, h, w = shape
    dy = torch.from_numpy((draw(n * c * h * w, 2) + 1.2).astype(np.float32)).reshape(shape)
    for content in ["normal", "constant"]:
        for channels, kernel in [(c, 1), (c, 3), (3, 3)]:
            x = make_input(content, (n, channels, h, w))
            single, double = convolution(x, dy, kernel), convolution(x.double(), dy.double(), kernel)
            size = convolution(x.double().abs(), dy.double().abs(), kernel)
            for name, value in single.items():
                error = ((value.double() - double[name]).abs() / size[name]).max().item()
                print(f"{shape_name}/{content}/conv-{channels}-{kernel}/{name} 1 : {error:.3g}")


def main():
    print("# The largest errors of PyTorch", torch.__version__, "in float32, as make_sums.py has them.")
    for shape_name, shape in SHAPES.items():
        n, c, h, w = shape
        dy = torch.from_numpy((draw(n * c * h * w, 2) + 0.2).astype(np.float32)).reshape(shape)
        for content in CONTENTS:
            x = make_input(content, shape)
            for norm in NORMS:
                affine = (c, h, w) if norm == "ln-elementwise" else (c,)
                gamma = torch.from_numpy((draw(int(np.prod(affine)), 3) / 4 + 1).astype(np.float32)).reshape(affine)
                beta = torch.from_numpy(draw(int(np.prod(affine)), 4).astype(np.float32)).reshape(affine)
                single = run(norm, x, gamma, beta, dy)
                double = run(norm, x.double(), gamma.double(), beta.double(), dy.double())
                size = sizes(norm, x.double(), gamma.double(), beta.double(), dy.double())
                for name, value in single.items():
                    error = ((value.double() - double[name]).abs() / size[name].clamp(min=1e-30)).max().item()
                    print(f"{shape_name}/{content}/{norm}/{name} 1 : {error:.3g}")
        print_convolutions(shape_name, shape)


main()
