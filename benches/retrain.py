#!/usr/bin/env python3
"""A training step of the CIFAR network that is retrained: genas and PyTorch in turns, each in a process of its own.

usage: python3 benches/retrain.py BENCH_BINARY OUT_DIR [REPETITIONS]
BENCH_BINARY is what `cargo bench --bench retrain --no-run` names. Needs torch. Writes OUT_DIR/raw.csv and summary.md.
C = 36, 20 cells of GENAS_FLATNESS_CIFAR100, batch 96, auxiliary head, drop path 0.1: forward, backward, clipping, SGD.
Of the STEPS steps of a process the first is not counted. Memory is the most that the process ever held.
"""
import csv
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

CHANNELS, LAYERS, BATCH, STEPS, THREADS = 36, 20, 96, 3, 2


def torch_steps():
    import torch
    import torch.nn.functional as F
    from torch_network import CifarNetwork

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    net = CifarNetwork(CHANNELS, 10, LAYERS).train()
    sgd = torch.optim.SGD(net.parameters(), 0.025, 0.9, weight_decay=3e-4)
    x, y, times = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH) * 7 % 10, []
    for _ in range(STEPS):
        start = time.perf_counter()
        sgd.zero_grad()
        logits, auxiliary = net(x, 0.1)
        (F.cross_entropy(logits, y) + 0.4 * F.cross_entropy(auxiliary, y)).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        sgd.step()
        times.append(1e3 * (time.perf_counter() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"ms": times, "threads": THREADS, "peak_mib": peak}))


def main():
    binary, out = sys.argv[1], pathlib.Path(sys.argv[2])
    repetitions = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    out.mkdir(parents=True, exist_ok=True)
    ours = [binary, *map(str, (CHANNELS, LAYERS, BATCH, STEPS))]
    theirs = [sys.executable, __file__, "--torch"]
    rows = []
    for repetition in range(repetitions):
        pair = [("genas", ours), ("PyTorch", theirs)]
        for name, command in pair if repetition % 2 == 0 else pair[::-1]:
            env = {**os.environ, "RAYON_NUM_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
            found = json.loads(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
            rows += [(repetition, name, step, ms, found["peak_mib"]) for step, ms in enumerate(found["ms"])]
            print(*rows[-1], file=sys.stderr, flush=True)
    with open(out / "raw.csv", "w", newline="") as file:
        csv.writer(file).writerows([("repetition", "program", "step", "ms", "peak_mib"), *rows])
    median = lambda who, column, r=None: statistics.median(row[column] for row in rows if row[1] == who and row[2] > 0 and r in (None, row[0]))
    ratios = [median("genas", 3, r) / median("PyTorch", 3, r) for r in range(repetitions)]
    lines = ["| | genas | PyTorch | ratio |", "|---|---|---|---|"]
    lines.append(f"| training step, ms | {median('genas', 3):.0f} | {median('PyTorch', 3):.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |")
    lines.append(f"| peak memory, MiB | {median('genas', 4):.0f} | {median('PyTorch', 4):.0f} | {median('genas', 4) / median('PyTorch', 4):.2f} |")
    (out / "summary.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


torch_steps() if sys.argv[1:] == ["--torch"] else main()
