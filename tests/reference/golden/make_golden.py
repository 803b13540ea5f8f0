#!/usr/bin/env python3
"""Makes the golden values of this directory: what PyTorch computes in float64, on the CPU.

Needs Python 3.9 or later, numpy and torch (made with torch 2.13):

    python3 -m venv venv && venv/bin/pip install numpy torch
    venv/bin/python tests/reference/golden/make_golden.py

It writes layers.txt, training.txt and trajectories.txt beside itself (README.md says what they hold) and
prints, for each norm, how far PyTorch in float32 ends from PyTorch in float64 on the trajectories: the
tolerance of the tests must have room for that.
"""

import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
EPS = 1e-5
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


class Writer:
    """Lines `name dims : values`; repr() gives the shortest decimal that reads back as the same double."""

    def __init__(self, name, about):
        self.path = HERE / name
        self.lines = [f"# {about}", f"# Made by make_golden.py with torch {torch.__version__}, float64."]

    def put(self, name, values):
        array = np.asarray(values.detach() if torch.is_tensor(values) else values, dtype=np.float64)
        dims = "x".join(str(d) for d in array.shape) or "1"
        numbers = " ".join(repr(float(v)).removesuffix(".0") for v in array.reshape(-1))
        self.lines.append(f"{name} {dims} : {numbers}")

    def close(self):
        self.path.write_text("\n".join(self.lines) + "\n")
        print(f"{self.path.name}: {self.path.stat().st_size:,} bytes")


# --- Philox 4x32-10 ------------------------------------------------------------------------------------------


def philox4x32(counters, key):
    """Ten rounds on an array of counters (..., 4) with a 64-bit key; Salmon et al., SC 2011."""
    x = [np.asarray(counters[..., i], dtype=np.uint64) for i in range(4)]
    low = np.uint64(0xFFFFFFFF)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        a = x[0] * np.uint64(0xD2511F53)
        b = x[2] * np.uint64(0xCD9E8D57)
        x = [(b >> np.uint64(32)) ^ x[1] ^ np.uint64(k0), b & low,
             (a >> np.uint64(32)) ^ x[3] ^ np.uint64(k1), a & low]
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(x, axis=-1)


SEED, PROBE = 2026, 6
PARAMETERS, PIXELS, LABELS, SIGNS = 1, 2, 3, 4


def stream(count, epoch, sample):
    """The first `count` numbers of the product's Philox(SEED, Purpose::probe, epoch, sample)."""
    blocks = (count + 3) // 4
    counters = np.zeros((blocks, 4), dtype=np.uint64)
    counters[:, 0] = np.arange(blocks)
    counters[:, 1:] = PROBE, epoch, sample
    return philox4x32(counters, SEED).reshape(-1)[:count]


def uniform(bits):
    return (bits.astype(np.float64) + 0.5) / 4294967296.0


PER_ELEMENT = ("ln-elementwise", "rms-elementwise")
WITHOUT_BETA = ("rms", "rms-elementwise")

# --- layers --------------------------------------------------------------------------------------------------


def rms_norm(x, gamma):
    return gamma.view(1, -1, 1, 1) * (x / torch.sqrt((x * x).mean(dim=(1, 2, 3), keepdim=True) + EPS))


def group_norm(x, groups, gamma, beta):
    return F.group_norm(x, groups, gamma, beta, EPS)


def elementwise(x, gamma, beta):
    return F.layer_norm(x, x.shape[1:], gamma.view(x.shape[1:]), beta.view(x.shape[1:]), EPS)


def rms_elementwise(x, gamma):
    return F.rms_norm(x, x.shape[1:], gamma.view(x.shape[1:]), EPS)


def make_layers():
    out = Writer("layers.txt", "Single layers: inputs (three decimals), outputs and gradients.")
    random = np.random.default_rng(20)

    def draw(*shape, scale=1.0, shift=0.0):
        return torch.tensor(np.round(random.standard_normal(shape) * scale + shift, 3))

    def backward(name, inputs, y, dy=None):
        """Puts the inputs, y, dy and the gradient of sum(y * dy) in each input."""
        dy = draw(*y.shape) if dy is None else dy
        gradients = torch.autograd.grad(y, list(inputs.values()), dy)
        for key, value in inputs.items():
            out.put(f"{name}/{key}", value)
        out.put(f"{name}/y", y)
        out.put(f"{name}/dy", dy)
        for key, value in zip(inputs, gradients):
            out.put(f"{name}/d{key}", value)

    def leaf(*tensors):
        return [t.requires_grad_() for t in tensors]

    def norms(first, cases):
        for number, (norm, shape) in enumerate(cases, first):
            n, c, h, w = shape
            name = f"norm/{number:02d}/{norm}"
            x = draw(*shape, scale=2.0, shift=3.0)
            affine = c * h * w if norm in PER_ELEMENT else c
            gamma, beta = draw(affine, shift=1.5), draw(affine)
            leaf(x, gamma, beta)
            inputs = {"x": x, "gamma": gamma, "beta": beta}
            if norm == "bn":
                mean, var = draw(c), draw(c, scale=0.1, shift=2.0)
                out.put(name + "/running_mean_before", mean)
                out.put(name + "/running_var_before", var)
                evaluated = F.batch_norm(x, mean.clone(), var.clone(), gamma, beta, False, 0.1, EPS)
                backward(f"norm-eval/{number:02d}/{norm}", {k: v for k, v in inputs.items()}, evaluated)
                y = F.batch_norm(x, mean, var, gamma, beta, True, 0.1, EPS)
                backward(name, inputs, y)
                out.put(name + "/running_mean", mean)
                out.put(name + "/running_var", var)
                continue
            if norm in WITHOUT_BETA:
                del inputs["beta"]
            if norm == "rms":
                y = rms_norm(x, gamma)
            elif norm == "rms-elementwise":
                y = rms_elementwise(x, gamma)
            elif norm == "ln-elementwise":
                y = elementwise(x, gamma, beta)
            elif norm == "ln":
                y = group_norm(x, 1, gamma, beta)
            elif norm == "in":
                y = F.instance_norm(x, None, None, gamma, beta, True, 0.1, EPS)
            else:
                y = group_norm(x, int(norm[3:]), gamma, beta)
            backward(name, inputs, y)

    cases = [("bn", (2, 3, 3, 5)), ("bn", (3, 2, 1, 1)), ("bn", (1, 4, 3, 3)), ("gn:1", (2, 3, 3, 3)),
             ("gn:2", (3, 6, 3, 1)), ("gn:3", (2, 6, 2, 3)), ("gn:4", (1, 8, 3, 3)), ("gn:5", (2, 5, 3, 2)),
             ("ln", (2, 5, 3, 3)), ("ln", (3, 7, 1, 1)), ("in", (2, 3, 3, 5)), ("in", (1, 4, 1, 3)),
             ("ln-elementwise", (2, 3, 3, 4)), ("ln-elementwise", (1, 5, 1, 1)), ("rms", (2, 3, 3, 5)),
             ("rms", (3, 4, 1, 1))]
    norms(0, cases)

    for number, (shape, outputs, k, stride, pad) in enumerate(
            [((2, 3, 5, 4), 2, 3, 1, 1), ((1, 2, 7, 5), 3, 3, 2, 1), ((2, 3, 3, 3), 4, 1, 1, 0),
             ((1, 1, 5, 6), 2, 3, 1, 0), ((1, 2, 6, 5), 2, 1, 2, 0)]):
        x, weight, bias = leaf(draw(*shape), draw(outputs, shape[1], k, k), draw(outputs))
        out.put(f"conv/{number}/geometry", [k, stride, pad])
        backward(f"conv/{number}", {"x": x, "weight": weight, "bias": bias},
                 F.conv2d(x, weight, bias, stride=stride, padding=pad))

    x, weight, bias = leaf(draw(3, 5), draw(4, 5), draw(4))
    backward("linear/0", {"x": x, "weight": weight, "bias": bias}, F.linear(x, weight, bias))

    for number, shape in enumerate([(2, 2, 5, 7), (1, 3, 4, 4)]):
        x, = leaf(torch.tensor(random.integers(-2, 3, shape).astype(np.float64)))  # many ties
        backward(f"max_pool/{number}", {"x": x}, F.max_pool2d(x, 2))
    x, = leaf(draw(2, 3, 3, 5))
    backward("global_average_pool/0", {"x": x}, F.adaptive_avg_pool2d(x, 1))
    x, = leaf(draw(1, 2, 3, 4))
    backward("wrap/0", {"x": x}, F.pad(x, (1, 1, 1, 1), mode="circular"))

    for number, (n, classes, smoothing) in enumerate([(4, 10, 0.0), (3, 7, 0.1), (1, 10, 0.3)]):
        logits, = leaf(draw(n, classes, scale=3.0))
        labels = torch.tensor(random.integers(0, classes, n))
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        name = f"cross_entropy/{number}"
        out.put(name + "/smoothing", smoothing)
        out.put(name + "/labels", labels)
        out.put(name + "/logits", logits)
        out.put(name + "/loss", loss)
        out.put(name + "/dlogits", torch.autograd.grad(loss, logits)[0])

    counters = np.array([[0] * 4, [0xFFFFFFFF] * 4], dtype=np.uint64)
    out.put("philox/zeros", philox4x32(counters[:1], 0))
    out.put("philox/ones", philox4x32(counters[1:], 0xFFFFFFFFFFFFFFFF))
    out.put("philox/stream", stream(8, 5, 3))
    norms(len(cases), [("rms-elementwise", (2, 3, 4, 3)), ("rms-elementwise", (1, 5, 1, 1))])
    out.close()


# --- optimizers and schedules --------------------------------------------------------------------------------


def make_training():
    out = Writer("training.txt", "Optimizers on a small vector, clipping, learning-rate schedules.")
    random = np.random.default_rng(21)
    steps, size = 6, 5
    start = np.round(random.standard_normal(size), 3)
    gradients = np.round(random.standard_normal((steps, size)), 3)
    out.put("optimizer/start", start)
    out.put("optimizer/gradients", gradients)
    optimizers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-4),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.05),
    }
    for name, make in optimizers.items():
        w = torch.tensor(start, requires_grad=True)
        optimizer = make([w])
        history = []
        for g in gradients:
            w.grad = torch.tensor(g)
            optimizer.step()
            history.append(w.detach().numpy().copy())
        out.put(f"optimizer/{name}", history)

    # One-cycle drives SGD, momentum cycle included.
    w = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
    history = []
    for step, g in enumerate(gradients):
        w.grad = torch.tensor(g)
        optimizer.step()
        if step + 1 < steps:
            scheduler.step()
        history.append(w.detach().numpy().copy())
    out.put("optimizer/sgd-one-cycle", history)

    for name, max_norm in [("clipped", 0.5), ("unclipped", 100.0)]:
        a, b = torch.tensor(gradients[0]), torch.tensor(gradients[1])
        p, q = torch.zeros(size, requires_grad=True), torch.zeros(size, requires_grad=True)
        p.grad, q.grad = a.clone(), b.clone()
        norm = torch.nn.utils.clip_grad_norm_([p, q], max_norm)
        out.put(f"clip/{name}/max_norm", max_norm)
        out.put(f"clip/{name}/norm", norm)
        out.put(f"clip/{name}/gradients", torch.stack([p.grad, q.grad]))

    def schedule(name, total, every, make):
        """Rows of step, lr, momentum, as the optimizer sees them in step 0, 1, ..."""
        w = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9)
        scheduler = make(optimizer)
        rows = []
        for step in range(total):
            group = optimizer.param_groups[0]
            if step % every == 0 or step == total - 1:
                rows.append([step, group["lr"], group["momentum"]])
            optimizer.step()
            if step + 1 < total:
                scheduler.step()
        out.put(name, rows)

    lr = torch.optim.lr_scheduler
    for total, every in [(5, 1), (10, 1), (37, 1), (1173, 37), (3128, 101)]:
        schedule(f"one_cycle/{total}", total, every,
                 lambda o, t=total: lr.OneCycleLR(o, max_lr=0.1, total_steps=t))
    schedule("cosine/30", 30, 1, lambda o: lr.CosineAnnealingLR(o, T_max=30))
    schedule("step/30", 30, 1, lambda o: lr.StepLR(o, step_size=7, gamma=0.3))
    out.close()


# --- trajectories --------------------------------------------------------------------------------------------

CHANNELS = [16, 32, 16, 16, 32, 32, 16, 32, 32, 32]
CHANNELS_ELEMENTWISE = [4, 4, 8, 8, 8, 8, 8, 16, 24, 24]
BATCH, RATE, MOMENTUM = 32, 0.001, 0.9
PROJECTIONS, TENSOR_PROJECTIONS = 64, 16


def net_a_shapes(norm):
    """(name, shape) of every parameter, in the order of the network: of each layer weight, then bias."""
    channels = CHANNELS_ELEMENTWISE if norm in PER_ELEMENT else CHANNELS
    shapes, inputs, side = [], 3, 32
    for block, outputs in enumerate(channels, 1):
        pointwise = block in (3, 7)
        k = 1 if pointwise else 3
        shapes.append((f"c{block}.conv.weight", (outputs, inputs, k, k)))
        if norm == "none":
            shapes.append((f"c{block}.conv.bias", (outputs,)))
        elif not pointwise:
            affine = (outputs, side, side) if norm in PER_ELEMENT else (outputs,)
            shapes.append((f"c{block}.norm.weight", affine))
            if norm not in WITHOUT_BETA:
                shapes.append((f"c{block}.norm.bias", affine))
        if pointwise:
            side //= 2
        inputs = outputs
    return shapes + [("c11.conv.weight", (10, inputs, 1, 1)), ("c11.conv.bias", (10,))]


def initial_parameters(shapes):
    parameters = {}
    for ordinal, (name, shape) in enumerate(shapes):
        u = uniform(stream(int(np.prod(shape)), ordinal, PARAMETERS))
        if name.endswith("norm.weight"):
            values = 0.5 + u
        elif name.endswith("conv.weight"):
            values = (2.0 * u - 1.0) * np.sqrt(6.0 / np.prod(shape[1:]))
        else:
            values = (2.0 * u - 1.0) * 0.125
        parameters[name] = torch.tensor(values.reshape(shape))
    return parameters


def batch_of(step):
    raw = (stream(BATCH * 3 * 32 * 32, step, PIXELS) >> np.uint64(24)).reshape(BATCH, 3, 32, 32)
    mean = np.array([.4914, .4822, .4465]).reshape(1, 3, 1, 1)
    deviation = np.array([.247, .2435, .2616]).reshape(1, 3, 1, 1)
    labels = (stream(BATCH, step, LABELS) * np.uint64(10)) >> np.uint64(32)
    return torch.tensor((raw / 255.0 - mean) / deviation), torch.tensor(labels.astype(np.int64))


def net_a(x, p, norm, running, training=True):
    for block in range(1, 11):
        name = f"c{block}"
        x = F.conv2d(x, p[name + ".conv.weight"], p.get(name + ".conv.bias"), padding=0 if block in (3, 7) else 1)
        if block in (3, 7):
            x = F.max_pool2d(x, 2)
            continue
        gamma, beta = p.get(name + ".norm.weight"), p.get(name + ".norm.bias")
        if norm == "bn":
            mean, var = running.setdefault(name, (torch.zeros(x.shape[1], dtype=x.dtype),
                                                  torch.ones(x.shape[1], dtype=x.dtype)))
            x = F.batch_norm(x, mean, var, gamma, beta, training, 0.1, EPS)
        elif norm == "ln":
            x = group_norm(x, 1, gamma, beta)
        elif norm == "in":
            x = F.instance_norm(x, None, None, gamma, beta, True, 0.1, EPS)
        elif norm == "rms":
            x = rms_norm(x, gamma)
        elif norm == "rms-elementwise":
            x = rms_elementwise(x, gamma)
        elif norm == "ln-elementwise":
            x = elementwise(x, gamma, beta)
        elif norm != "none":
            x = group_norm(x, int(norm[3:]), gamma, beta)
        x = F.relu(x)
    x = F.adaptive_avg_pool2d(x, 1)
    return F.conv2d(x, p["c11.conv.weight"], p["c11.conv.bias"]).flatten(1)


def train(norm, dtype, steps):
    """Losses, and the parameters, running statistics and evaluation loss after 5 and 20 steps."""
    p = {name: value.to(dtype).requires_grad_() for name, value in initial_parameters(net_a_shapes(norm)).items()}
    optimizer = torch.optim.SGD(p.values(), lr=RATE, momentum=MOMENTUM)
    running, losses, kept = {}, [], {}
    for step in range(steps):
        x, labels = batch_of(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(net_a(x.to(dtype), p, norm, running), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step + 1 in (5, 20):
            with torch.no_grad():
                x, labels = batch_of(step)
                evaluation = F.cross_entropy(net_a(x.to(dtype), p, norm, running, training=False), labels).item()
            copies = {k: (m.clone(), v.clone()) for k, (m, v) in running.items()}
            kept[step + 1] = ({k: v.detach().double().clone() for k, v in p.items()}, copies, evaluation)
    return losses, kept


def sign_bits(ordinal, count):
    """(count, 64) and (count, 16) signs, the bits of the Philox block of each element."""
    blocks = stream(4 * count, ordinal, SIGNS).reshape(count, 4)

    def signs(words, bits):
        return ((words[:, None] >> np.arange(bits, dtype=np.uint64)) & np.uint64(1)).astype(np.float64) * 2.0 - 1.0

    return np.hstack([signs(blocks[:, 0], 32), signs(blocks[:, 1], 32)]), signs(blocks[:, 2], TENSOR_PROJECTIONS)


def make_trajectories(norms):
    out = Writer("trajectories.txt", "NetA, batch 32, lr 0.001, momentum 0.9: see README.md.")
    for norm in norms:
        shapes = net_a_shapes(norm)
        start = initial_parameters(shapes)
        losses, kept = train(norm, torch.float64, 20)
        out.put(f"trajectory/{norm}/losses", losses)
        for steps, (parameters, running, evaluation) in kept.items():
            prefix = f"trajectory/{norm}/{steps}/"
            whole, squares, change_squares = np.zeros(PROJECTIONS), 0.0, 0.0
            for ordinal, (name, shape) in enumerate(shapes):
                w = parameters[name].numpy().reshape(-1)
                change = w - start[name].numpy().reshape(-1)
                of_whole, of_tensor = sign_bits(ordinal, w.size)
                whole += change @ of_whole
                squares += float(w @ w)
                change_squares += float(change @ change)
                out.put(f"{prefix}{name}/norm", np.linalg.norm(w))
                out.put(f"{prefix}{name}/projections", change @ of_tensor)
            out.put(prefix + "norm", np.sqrt(squares))
            out.put(prefix + "change", np.sqrt(change_squares))
            out.put(prefix + "projections", whole)
            out.put(prefix + "evaluation_loss", evaluation)
            for name in ("c1", "c10"):
                if name in running:
                    out.put(f"{prefix}{name}.norm.running_mean", running[name][0])
                    out.put(f"{prefix}{name}.norm.running_var", running[name][1])
        single = train(norm, torch.float32, 20)[1]
        for steps in (5, 20):
            a = torch.cat([v.flatten() for v in kept[steps][0].values()])
            b = torch.cat([v.flatten() for v in single[steps][0].values()])
            s = torch.cat([v.flatten() for v in start.values()])
            print(f"{norm:15} {steps:2} steps: float32 is {(a - b).norm() / a.norm():.1e} away (L2, relative), "
                  f"the change {(a - s).norm() / a.norm():.1e}; losses {losses[0]:.4f} -> {losses[steps - 1]:.4f}",
                  flush=True)
    out.close()


if __name__ == "__main__":
    make_layers()
    make_training()
    make_trajectories(sys.argv[1:] or ["none", "bn", "ln", "ln-elementwise", "gn:4", "in", "rms", "rms-elementwise"])
