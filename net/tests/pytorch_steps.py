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

from torch_supernet import forward

BASE = os.environ["GENAS_SHARED"] + "/reference/supernet_c8"
PATHS = json.load(open(BASE + ".json"))["paths"]
DATA = np.load(BASE + ".npz")
LR, MOMENTUM, DECAY, CLIP = 2.5e-5, 0.9, 3e-4, 5.0


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
