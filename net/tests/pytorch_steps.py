#!/usr/bin/env python3
"""Four supernet training steps in PyTorch, in double precision, at a learning rate too small to amplify rounding.

Writes the figures of pytorch_steps.json to stdout, and to stderr by how much PyTorch's own single precision, with
one thread and with two, leaves them: relative, of loss / gradient norm / length of the weights' displacement.
usage: GENAS_SHARED=... python3 pytorch_steps.py > pytorch_steps.json      (torch 2.15.0 and numpy)
"""
import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

BASE = os.environ["GENAS_SHARED"] + "/reference/supernet_c8"
PATHS = json.load(open(BASE + ".json"))["paths"]
DATA = np.load(BASE + ".npz")
LR, MOMENTUM, DECAY, CLIP = 2.5e-5, 0.9, 3e-4, 5.0
FIRST_EDGE = [0, 2, 5, 9]


def bn(p, k, x):
    return F.batch_norm(x, None, None, p[k + ".weight"], p[k + ".bias"], True, 0.1, 1e-5)


def factorized_reduce(p, k, x):
    x = F.relu(x)
    halves = [F.conv2d(x, p[k + ".conv_1.weight"], stride=2), F.conv2d(x[:, :, 1:, 1:], p[k + ".conv_2.weight"], stride=2)]
    return bn(p, k + ".bn", torch.cat(halves, 1))


def relu_conv_bn(p, k, x):
    return bn(p, k + ".op.2", F.conv2d(F.relu(x), p[k + ".op.1.weight"]))


def separable(p, k, n, x, stride, pad, dilation):
    """ReLU, depthwise `n`, pointwise `n + 1`, BatchNorm `n + 2`."""
    x = F.conv2d(F.relu(x), p[f"{k}.op.{n}.weight"], None, stride, pad, dilation, x.shape[1])
    return bn(p, f"{k}.op.{n + 2}", F.conv2d(x, p[f"{k}.op.{n + 1}.weight"]))


def operation(p, k, op, x, stride):
    if op == 1:
        return bn(p, k + ".1", F.max_pool2d(x, 3, stride, 1))
    if op == 2:
        return bn(p, k + ".1", F.avg_pool2d(x, 3, stride, 1, count_include_pad=False))
    if op == 3:
        return x if stride == 1 else factorized_reduce(p, k, x)
    if op in (4, 5):
        pad = op - 3
        return separable(p, k, 5, separable(p, k, 1, x, stride, pad, 1), 1, pad, 1)
    return separable(p, k, 1, x, stride, 2 * (op - 5), 2)


def forward(p, candidate, x):
    x = bn(p, "stem.1", F.conv2d(x, p["stem.0.weight"], padding=1))
    s0 = s1 = x
    after_reduction = False
    for n in range(8):
        reduction = n in (2, 5)
        genes, cell = candidate[14:] if reduction else candidate[:14], f"cells.{n}."
        first = factorized_reduce if after_reduction else relu_conv_bn
        states = [first(p, cell + "preprocess0", s0), relu_conv_bn(p, cell + "preprocess1", s1)]
        for node in range(4):
            edges = [(FIRST_EDGE[node] + s, s) for s in range(node + 2) if genes[FIRST_EDGE[node] + s]]
            states.append(sum(operation(p, f"{cell}_ops.{e}._ops.{genes[e]}", genes[e], states[s], 2 if reduction and s < 2 else 1) for e, s in edges))
        s0, s1, after_reduction = s1, torch.cat(states[2:], 1), reduction
    return F.linear(s1.mean((2, 3)), p["classifier.weight"], p["classifier.bias"])


def length(tensors):
    return sum(t.double().square().sum() for t in tensors).sqrt().item()


def steps(zero_filled, dtype, threads=2):
    torch.set_num_threads(threads)
    state = torch.load(BASE + "_epoch_0.pth.tar", map_location="cpu", weights_only=False)
    state = state.get("state_dict", state)
    p = {k: v.to(dtype).requires_grad_() for k, v in state.items() if v.is_floating_point() and "running" not in k}
    initial = {k: v.detach().clone() for k, v in p.items()}
    buffers, out = {}, {"loss": [], "gradient_norm": [], "displacement": []}
    for step in range(4):
        loss = F.cross_entropy(forward(p, PATHS[step], torch.tensor(DATA["train_x"][step]).to(dtype)), torch.tensor(DATA["train_y"][step]))
        loss.backward()
        norm = length(v.grad for v in p.values() if v.grad is not None)
        scale = min(1.0, CLIP / (norm + 1e-6))
        with torch.no_grad():
            for k, v in p.items():
                if v.grad is None:
                    if not (zero_filled and k in buffers):
                        continue
                    v.grad = torch.zeros_like(v)
                d = v.grad * scale + DECAY * v
                buffers[k] = buffers[k] * MOMENTUM + d if k in buffers else d
                v -= LR * buffers[k]
                v.grad = None
        out["loss"].append(loss.item())
        out["gradient_norm"].append(norm)
        out["displacement"].append(length(v - initial[k] for k, v in p.items()))
    return out


figures = {}
for name in ("zero_filled", "skip_unused"):
    exact = figures[name] = steps(name == "zero_filled", torch.float64)
    for threads in (1, 2):
        single = steps(name == "zero_filled", torch.float32, threads)
        off = [" / ".join(f"{abs(single[k][s] / exact[k][s] - 1):.0e}" for k in exact) for s in range(4)]
        print(f"{name}, f32, {threads} threads: {',  '.join(off)}", file=sys.stderr)
json.dump({"learning_rate": LR, **figures}, sys.stdout, indent=2)
print()
