#!/usr/bin/env python3
"""Every kernel at the shapes that matter, genas and PyTorch in turns, with 2 threads each.

usage: python3 benches/vs-pytorch/kernels.py PROGRAM OUT_DIR [--rounds 11] [--only TEXT]
PROGRAM is what `cargo bench --manifest-path kernels/Cargo.toml --bench kernels --no-run` names. Needs torch.

A round asks the program for a few calls, then times as many calls of PyTorch's own operation on equal shapes; the
first round is discarded. Each warms up with 50 ms of the same calls first: they bring data and code back into the
caches and spread the threads over the cores (`kernels/benches/kernels.rs` says why that takes so long). A turn
counts with the median of its calls, a case with the median of its turns, its ratio with the median of the turns' ratios.
The best call of either is given too: it says what the code can do where other work disturbs the machine. Writes
OUT_DIR/raw.csv (a row per turn, with the milliseconds of every call) and OUT_DIR/summary.md, and prints the turns'
medians as it goes. `--summarise` instead of PROGRAM writes summary.md again from OUT_DIR's raw.csv.
"""
import argparse
import csv
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch

THREADS = 2
WARM_UP = 0.05


def cases():
    """(group, kernel, n, ci, co, h, w, k, stride, dilation, passes)"""
    both, conv = ["forward", "backward"], ["forward", "input", "weight"]
    for c, h in [(16, 32), (32, 16), (64, 8)]:
        for k, stride, dilation in [(3, 1, 1), (5, 1, 1), (3, 1, 2), (5, 1, 2), (3, 2, 1), (5, 2, 1)]:
            yield "cells, batch 64", "depthwise", 64, c, c, h, h, k, stride, dilation, conv
        for ci, co in [(c, c), (4 * c, c)]:
            yield "cells, batch 64", "pointwise", 64, ci, co, h, h, 1, 1, 1, both
        yield "cells, batch 64", "batch_norm", 64, c, c, h, h, 1, 1, 1, both
        for stride in (1, 2):
            yield "cells, batch 64", "max_pool", 64, c, c, h, h, 3, stride, 1, both
            yield "cells, batch 64", "avg_pool", 64, c, c, h, h, 3, stride, 1, both
    yield "stem, CIFAR", "dense", 64, 3, 48, 32, 32, 3, 1, 1, conv
    yield "stem, ImageNet", "dense", 16, 3, 24, 224, 224, 3, 2, 1, conv
    yield "stem, ImageNet", "dense", 16, 24, 48, 112, 112, 3, 2, 1, conv
    for h, w in [(100, 136), (50, 68)]:
        yield "RetinaNet tower", "dense", 1, 256, 256, h, w, 3, 1, 1, conv
    yield "RetinaNet P6", "dense", 1, 256, 256, 50, 68, 3, 2, 1, conv
    for dilation in (12, 24, 36):
        yield "DeepLab ASPP", "dense", 2, 736, 512, 32, 64, 3, 1, dilation, conv
    for n, classes in [(64, 10), (128, 1000)]:
        yield "loss", "cross_entropy", n, classes, classes, 1, 1, 1, 1, 1, both
    yield "loss, segmentation", "cross_entropy", 2, 19, 19, 256, 512, 1, 1, 1, both


class Genas:
    def __init__(self, program):
        self.program = subprocess.Popen(
            [program, "--serve"], env={**os.environ, "GENAS_THREADS": str(THREADS)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )

    def times(self, kernel, which, shape, calls):
        self.program.stdin.write(" ".join(map(str, [kernel, which, *shape, calls])) + "\n")
        answer = self.program.stdout.readline()
        if not answer or answer.startswith("error"):
            sys.exit(f"{self.program.args[0]}: no times for {kernel} {which} {shape}: {answer}")
        return [float(v) for v in answer.split(",")]


def torch_operation(kernel, which, shape):
    """A function that does what the kernel does, on PyTorch's own layout and choice of algorithm."""
    n, ci, co, h, w, k, stride, dilation = shape
    aten, pad = torch.ops.aten, dilation * (k - 1) // 2
    x = torch.rand(n, ci, h, w) * 2 - 1
    if kernel in ("dense", "depthwise", "pointwise"):
        groups = ci if kernel == "depthwise" else 1
        weight = torch.rand(co, ci // groups, k, k) * 2 - 1
        bias = torch.rand(co) if kernel == "dense" else None
        arguments = [stride] * 2, [pad] * 2, [dilation] * 2, False, [0, 0], groups
        if which == "forward":
            return lambda: aten.convolution(x, weight, bias, *arguments)
        g = torch.rand_like(aten.convolution(x, weight, bias, *arguments)) * 2 - 1
        mask = {"backward": [True, True, False], "input": [True, False, False]}.get(which)
        mask = mask or [False, True, kernel == "dense"]
        return lambda: aten.convolution_backward(g, x, weight, [co] if bias is not None else None, *arguments, mask)
    if kernel == "batch_norm":
        gamma, beta, mean, variance = torch.rand(ci), torch.rand(ci), torch.zeros(ci), torch.ones(ci)
        if which == "forward":
            return lambda: aten.native_batch_norm(x, gamma, beta, mean, variance, True, 0.1, 1e-5)
        _, save_mean, save_inverse = aten.native_batch_norm(x, gamma, beta, mean, variance, True, 0.1, 1e-5)
        g, saved = torch.rand_like(x), (mean, variance, save_mean, save_inverse)
        return lambda: aten.native_batch_norm_backward(g, x, gamma, *saved, True, 1e-5, [True] * 3)
    if kernel == "cross_entropy":
        maps = h * w > 1
        labels = torch.arange(n * h * w) * 7919 % ci
        x, labels = (x, labels.view(n, h, w)) if maps else (x.view(n, ci), labels)
        if which == "forward":
            return lambda: torch.nn.functional.cross_entropy(x, labels)
        loss, back = (aten.nll_loss2d_forward, aten.nll_loss2d_backward) if maps else (
            aten.nll_loss_forward, aten.nll_loss_backward)
        log_p, one = aten._log_softmax(x, 1, False), torch.ones(())
        _, total = loss(log_p, labels, None, 1, -100)
        return lambda: aten._log_softmax_backward_data(
            back(one, log_p, labels, None, 1, -100, total), log_p, 1, torch.float32)
    window = [k] * 2, [stride] * 2, [pad] * 2
    if kernel == "max_pool":
        if which == "forward":
            return lambda: aten.max_pool2d_with_indices(x, *window)
        y, places = aten.max_pool2d_with_indices(x, *window)
        g = torch.rand_like(y)
        return lambda: aten.max_pool2d_with_indices_backward(g, x, *window, [1, 1], False, places)
    if which == "forward":
        return lambda: aten.avg_pool2d(x, *window, False, False)
    g = torch.rand_like(aten.avg_pool2d(x, *window, False, False))
    return lambda: aten.avg_pool2d_backward(g, x, *window, False, False, None)


def clock(f):
    start = time.perf_counter()
    f()
    return 1e3 * (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", default="")
    parser.add_argument("--summarise", action="store_true")
    args = parser.parse_args()
    if args.summarise:
        return summarise(args.out)
    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    args.out.mkdir(parents=True, exist_ok=True)
    genas, raw = Genas(args.program), []
    for group, kernel, *shape, passes in cases():
        n, ci, co, h, w, k, stride, dilation = shape
        name = f"{kernel} {k}x{k}" if k > 1 else kernel
        name += f" {ci}->{co}" if kernel in ("dense", "pointwise") else f" C={ci}"
        name += f" at {h}x{w}" + f" stride {stride}" * (stride > 1) + f" dilation {dilation}" * (dilation > 1)
        if args.only not in f"{group} {name}":
            continue
        for which in passes:
            operation = torch_operation(kernel, which, shape)
            operation()
            calls = max(3, min(20, int(100 / max(clock(operation), 1e-3))))
            turns = []
            for turn in range(args.rounds):
                # PyTorch's threads wait actively for a while after each operation.
                time.sleep(0.03)
                times = {"genas": genas.times(kernel, which, shape, calls)}
                start = time.perf_counter()
                while time.perf_counter() - start < WARM_UP:
                    operation()
                times["pytorch"] = [clock(operation) for _ in range(calls)]
                for who, values in times.items():
                    raw.append([group, name, which, n, who, turn, " ".join(f"{v:.4f}" for v in values)])
                turns.append([statistics.median(v) for v in times.values()])
            print("{} | {} | {} | {} | {:.3f} | {:.3f} | {:.2f} ({:.2f} to {:.2f})".format(
                group, name, which, n, *figures(turns[1:])), flush=True)
    with open(args.out / "raw.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["group", "case", "pass", "batch", "program", "turn", "ms of each call"], *raw]
        )
    summarise(args.out)


def figures(turns):
    """Medians of both, and of their ratio with its least and largest, of (genas, PyTorch) per turn."""
    ratios = sorted(a / b for a, b in turns)
    middle = [statistics.median(t) for t in zip(*turns)]
    return [*middle, statistics.median(ratios), ratios[0], ratios[-1]]


def summarise(out):
    cases = {}
    with open(out / "raw.csv", newline="") as file:
        for *case, who, turn, calls in list(csv.reader(file))[1:]:
            if turn != "0":
                turns = cases.setdefault(tuple(case), {"genas": [], "pytorch": []})
                turns[who].append([float(v) for v in calls.split()])
    with open(out / "summary.md", "w") as file:
        file.write("# Milliseconds\n\nRatios: genas / PyTorch, below 1 genas is faster.\n\n")
        file.write("| | kernel | pass | batch | genas, median | PyTorch, median | ratio (least to largest turn) ")
        file.write("| genas, best | PyTorch, best | ratio |\n|---|---|---|---|---|---|---|---|---|---|\n")
        for case, turns in cases.items():
            best = [min(v for turn in turns[who] for v in turn) for who in turns]
            medians = [[statistics.median(turn) for turn in turns[who]] for who in turns]
            row = [*case, *figures(list(zip(*medians))), *best, best[0] / best[1]]
            file.write("| {} | {} | {} | {} | {:.3f} | {:.3f} | {:.2f} ({:.2f} to {:.2f}) ".format(*row))
            file.write("| {:.3f} | {:.3f} | {:.2f} |\n".format(*row[-3:]))


if __name__ == "__main__":
    main()
