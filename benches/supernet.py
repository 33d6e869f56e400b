#!/usr/bin/env python3
"""One supernet step and the scoring of candidates: genas and PyTorch in turns, on the same paths and threads.

usage: python3 benches/supernet.py BENCH_BINARY OUT_DIR [REPETITIONS (default 6, the first is discarded)]
BENCH_BINARY is what `cargo bench --bench supernet --no-run` names. Needs torch and numpy. Writes OUT_DIR/raw.csv and
prints medians. Both programs get the same random but valid paths of the supernet (C = 16, 8 cells, 10 classes):

  step    forward, backward, clipping, SGD with zero-filled gradients; batch 64
  score   14 batches of recalibration, 3 noise levels over IMAGES images: batch 64 in PyTorch (what the published
          code does), genas as it searches (two candidates side by side)
"""
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "net/tests"))
from torch_supernet import FIRST_EDGE, forward  # noqa: E402

C, CLASSES, BATCH, IMAGES, THREADS = 16, 10, 64, 5120, 2
SIGMAS = [1e-3, 3e-3, 6e-3]


def random_path(rng):
    """A valid half: two inputs per node, as after the published repair."""
    genes = []
    for node in range(4):
        ops = rng.integers(0, 8, node + 2)
        while (ops > 0).sum() != 2:
            ops = rng.integers(0, 8, node + 2)
        genes += ops.tolist()
    return genes


def parameters(requires_grad, device="cpu"):
    """Every parameter of the supernet under its published name, and running statistics."""
    p, g = {}, torch.Generator().manual_seed(0)

    def conv(name, *shape):
        p[name + ".weight"] = torch.randn(shape, generator=g) * (2 / np.prod(shape[1:])) ** 0.5

    def bn(name, c):
        p[name + ".weight"], p[name + ".bias"] = torch.ones(c), torch.zeros(c)
        p[name + ".running_mean"], p[name + ".running_var"] = torch.zeros(c), torch.ones(c)

    def factorized(k, c_in, c):
        conv(k + ".conv_1", c // 2, c_in, 1, 1), conv(k + ".conv_2", c // 2, c_in, 1, 1), bn(k + ".bn", c)

    conv("stem.0", 3 * C, 3, 3, 3), bn("stem.1", 3 * C)
    before, last, width, was_reduction = 3 * C, 3 * C, C, False
    for n in range(8):
        reduction = n in (2, 5)
        width *= 2 if reduction else 1
        k = f"cells.{n}."
        if was_reduction:
            factorized(k + "preprocess0", before, width)
        else:
            conv(k + "preprocess0.op.1", width, before, 1, 1), bn(k + "preprocess0.op.2", width)
        conv(k + "preprocess1.op.1", width, last, 1, 1), bn(k + "preprocess1.op.2", width)
        for node in range(4):
            for source in range(node + 2):
                edge = FIRST_EDGE[node] + source
                for op in range(1, 8):
                    o = f"{k}_ops.{edge}._ops.{op}"
                    if op < 3:
                        bn(o + ".1", width)
                    elif op == 3 and reduction and source < 2:
                        factorized(o, width, width)
                    elif op in (4, 5):
                        size = 3 if op == 4 else 5
                        for i in (1, 5):
                            conv(f"{o}.op.{i}", width, 1, size, size), conv(f"{o}.op.{i + 1}", width, width, 1, 1), bn(f"{o}.op.{i + 2}", width)
                    elif op > 5:
                        size = 3 if op == 6 else 5
                        conv(o + ".op.1", width, 1, size, size), conv(o + ".op.2", width, width, 1, 1), bn(o + ".op.3", width)
        before, last, was_reduction = last, 4 * width, reduction
    p["classifier.weight"], p["classifier.bias"] = torch.randn(CLASSES, last, generator=g) * 0.05, torch.zeros(CLASSES)
    p = {name: v.to(device).requires_grad_(requires_grad and "running" not in name) for name, v in p.items()}
    p["training"] = True
    return p


def wait(device):
    """Returns when the device has done what it was told."""
    if device != "cpu":
        torch.cuda.synchronize()


def torch_steps(paths, device="cpu"):
    p = parameters(True, device)
    weights = [v for v in p.values() if isinstance(v, torch.Tensor) and v.requires_grad]
    sgd = torch.optim.SGD(weights, 0.025, 0.9, weight_decay=3e-4)
    images, labels, times = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH) * 7 % CLASSES, []
    for path in paths:
        wait(device)
        start = time.perf_counter()
        # A training's batches come from the host.
        x, y = images.to(device), labels.to(device)
        sgd.zero_grad(set_to_none=False)
        F.cross_entropy(forward(p, path, x), y).backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        sgd.step()
        wait(device)
        times.append(1e3 * (time.perf_counter() - start))
    return times


@torch.no_grad()
def torch_score(paths, device="cpu", images=IMAGES):
    """Milliseconds of each pair of candidates."""
    p = parameters(False, device)
    x, y = torch.randn(images, 3, 32, 32).to(device), (torch.arange(images) * 7 % CLASSES).to(device)
    batches, times = torch.randn(14, BATCH, 3, 32, 32).to(device), []
    for pair in zip(paths[::2], paths[1::2]):
        wait(device)
        start = time.perf_counter()
        for path in pair:
            q = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in p.items()}
            q["training"] = True
            for batch in batches:
                forward(q, path, batch)
            q["training"] = False
            for sigma, before in zip(SIGMAS, [0] + SIGMAS):
                for k, v in q.items():
                    if isinstance(v, torch.Tensor) and "running" not in k:
                        v += torch.randn_like(v) * (sigma - before)
                for a, b in zip(x.split(BATCH), y.split(BATCH)):
                    F.cross_entropy(forward(q, path, a), b)
        wait(device)
        times.append(1e3 * (time.perf_counter() - start))
    return times


def main():
    binary, out = sys.argv[1], pathlib.Path(sys.argv[2])
    repetitions = int(sys.argv[3]) if len(sys.argv) > 3 else 6
    torch.set_num_threads(THREADS)
    rng = np.random.default_rng(1)
    paths = [random_path(rng) + random_path(rng) for _ in range(6)]
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as task:
        env = {**os.environ, "RAYON_NUM_THREADS": str(THREADS)}
        ours = lambda mode: json.loads(subprocess.run([binary, mode, task.name], check=True, capture_output=True, text=True, env=env).stdout)["ms"]
        for repetition in range(repetitions):
            for mode, theirs in (("steps", torch_steps), ("score", torch_score)):
                subset = paths if mode == "steps" else paths[:2]
                task.seek(0), task.truncate()
                json.dump({"channels": C, "classes": CLASSES, "paths": subset, "images": IMAGES}, task), task.flush()
                for program, times in (("genas", ours(mode)), ("pytorch", theirs(subset))):
                    rows += [(mode, program, repetition, n, round(ms, 3)) for n, ms in enumerate(times)]
    with open(out / "raw.csv", "w", newline="") as f:
        csv.writer(f).writerows([("what", "program", "repetition", "path", "ms"), *rows])
    for mode, unit in (("steps", 1), ("score", 2 * IMAGES * len(SIGMAS))):
        total = {p: [sum(r[4] for r in rows if r[0] == mode and r[1] == p and r[2] == n) for n in range(1, repetitions)] for p in ("genas", "pytorch")}
        count = len({r[3] for r in rows if r[0] == mode}) * unit
        medians = {p: statistics.median(t) / count for p, t in total.items()}
        ratios = [g / t for g, t in zip(total["genas"], total["pytorch"])]
        what = "ms per step" if mode == "steps" else "ms per image and pass, everything included"
        print(f"{mode}: genas {medians['genas']:.3f}, pytorch {medians['pytorch']:.3f} {what}; ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
