#!/usr/bin/env python3
"""Two steps of the published ImageNet recipe (spec 04-1) in PyTorch, on a small ImageNet network, in double precision.

Auxiliary loss of weight 0.4, label smoothing 0.1, global norm clipped to 5, SGD of rate 0.5 (and once more of 0.02), momentum 0.9 and
decay 3e-5 on all parameters, images in [0, 1]. Weights and images follow from a formula of their name and index that imagenet_step.rs
has too, so only figures are recorded: to stdout, those of imagenet_step.json. To stderr, by how much PyTorch's own single
precision, with one thread and with two, leaves them: loss, gradient norm and the tensors' figures, of both steps.
usage: python3 imagenet_step.py > imagenet_step.json      (torch 2.15.0 and numpy)
       python3 imagenet_step.py salts                     (how those of several salts do, to stderr)
"""
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))
from torch_network import Network, conv

# 224 is the smallest side whose halves are even down to the 7x7 map of the head; of four cells the third has the head.
CHANNELS, LAYERS, CLASSES, BATCH, SIDE, STEPS = 4, 4, 7, 6, 224, 2
MOMENTUM, DECAY, CLIP, SMOOTHING, AUXILIARY = 0.9, 3e-5, 5.0, 0.1, 0.4
# After a step of the published rate, rounding takes some values to the other side of a ReLU's zero or of another maximum:
# single precision then leaves the gradient norm by up to 1e-3 and a tensor's displacement by 1e-1. At the smaller rate the
# second step is as sharp as the first.
RATES = [0.5, 0.02]
# Changes all weights and images.
SALT = 0


class Head(nn.Module):
    """The ImageNet head of DARTS: no BatchNorm after the second convolution."""

    def __init__(self, c):
        super().__init__()
        self.features = nn.Sequential(nn.ReLU(), nn.AvgPool2d(5, 2, 0, count_include_pad=False), conv(c, 128, 1),
                                      nn.BatchNorm2d(128), nn.ReLU(), conv(128, 768, 2), nn.Identity(), nn.ReLU())
        self.classifier = nn.Linear(768, CLASSES)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class WithHead(Network):
    def __init__(self):
        super().__init__(CHANNELS, CLASSES, LAYERS)
        self.auxiliary_head = Head(4 * 4 * CHANNELS)  # two reductions have doubled the width twice

    def forward(self, x):
        s0 = self.stem0(x)
        s1 = self.stem1(s0)
        for n, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1)
            if n == 2 * LAYERS // 3:
                auxiliary = self.auxiliary_head(s1)
        return self.classifier(s1.mean((2, 3))), auxiliary


def uniform(name, n):
    """n numbers in [0, 1): splitmix64 of the name's FNV-1a hash and the index, upper 24 bits."""
    state = 0xCBF29CE484222325
    for byte in f"{SALT}/{name}".encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2**24


def initial(name, shape):
    """A parameter, rounded to single precision: a weight within 1/sqrt(fan_in), BatchNorm within 0.2 of 1 and 0."""
    u = 2 * uniform(name, math.prod(shape)) - 1
    if len(shape) > 1:
        u = u / math.sqrt(math.prod(shape[1:]))
    else:
        u = 0.2 * u + (1 if name.endswith("weight") else 0)
    return torch.tensor(u.astype(np.float32).reshape(shape))


def length(tensors):
    return math.sqrt(sum(t.double().square().sum().item() for t in tensors))


def steps(rate, dtype, threads=2):
    torch.set_num_threads(threads)
    net = WithHead().to(dtype).train()
    before = {}
    for name, p in net.named_parameters():
        p.data.copy_(initial(name, tuple(p.shape)))
        before[name] = p.detach().clone()
    sgd = torch.optim.SGD(net.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=DECAY)
    out = {"rate": rate, "loss": [], "gradient_norm": [], "tensors": []}
    for step in range(STEPS):
        x = torch.tensor(uniform(f"images.{step}", BATCH * 3 * SIDE * SIDE).astype(np.float32))
        y = torch.tensor([(3 * n + step) % CLASSES for n in range(BATCH)])
        logits, auxiliary = net(x.reshape(BATCH, 3, SIDE, SIDE).to(dtype))
        loss = F.cross_entropy(logits, y, label_smoothing=SMOOTHING)
        loss = loss + AUXILIARY * F.cross_entropy(auxiliary, y, label_smoothing=SMOOTHING)
        sgd.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        sgd.step()
        out["loss"].append(loss.item())
        out["gradient_norm"].append(norm.item())
        figures = {}
        for name, t in net.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            start = before.get(name, torch.full_like(t, 1.0 if name.endswith("running_var") else 0.0))
            moved = (t - start).double().flatten()
            values = [t.flatten()[k * (t.numel() - 1) // 3].item() for k in range(4)]
            # Length and sum of the displacement, and four of the values.
            figures[name] = [length([moved]), moved.sum().item(), *values]
        out["tensors"].append(figures)
    return out


def distance(a, b):
    """Largest difference of a tensor's figures, relative to its displacement or to a thousandth of all."""
    worst = []
    for step in range(STEPS):
        floor = 1e-3 * math.sqrt(sum(f[0] ** 2 for f in b["tensors"][step].values()))
        off = [max(abs(x - y) for x, y in zip(f[:1] + f[2:], b["tensors"][step][k][:1] + b["tensors"][step][k][2:])) / max(b["tensors"][step][k][0], floor)
               for k, f in a["tensors"][step].items()]
        worst.append(max(off))
    relative = lambda k: [abs(x / y - 1) for x, y in zip(a[k], b[k])]
    return "  ".join(f"{v:.0e}" for v in relative("loss") + relative("gradient_norm") + worst)


for SALT in range(12) if sys.argv[1:2] == ["salts"] else [SALT]:
    runs = [steps(rate, torch.float64) for rate in RATES]
    for exact in runs:
        for threads in (1, 2):
            off = distance(steps(exact["rate"], torch.float32, threads), exact)
            print(f"salt {SALT}, rate {exact['rate']}, f32, {threads} threads: {off}", file=sys.stderr, flush=True)
if sys.argv[1:2] != ["salts"]:
    for run in runs:
        run["tensors"] = [{k: [float(f"{v:.9g}") for v in f] for k, f in step.items()} for step in run["tensors"]]
    runs[0]["tensors"].pop()  # the second step of the published rate
    about = {"salt": SALT, "channels": CHANNELS, "layers": LAYERS, "classes": CLASSES, "batch": BATCH, "side": SIDE}
    print(json.dumps({**about, "runs": runs}, separators=(",", ":")))
