#!/usr/bin/env python3
"""Training photos per second: genas's loader and torchvision's in turns, each in a process of its own.

usage: python3 benches/loader.py BENCH_BINARY DATA OUT_DIR [REPETITIONS]
BENCH_BINARY is what `cargo bench --workspace --bench loader --no-run` names; DATA has class folders in val/. Needs torch,
torchvision and Pillow. Writes OUT_DIR/raw.csv and summary.md.
torchvision: ImageFolder, DataLoader with 2 workers that stay between epochs, shuffled, batches of 128; RandomResizedCrop(224),
flip, ColorJitter(.4, .4, .4, .2), ToTensor, Normalize (spec 04-3b). Both have 2 cores. The first epoch of a process (workers
start, files are read from disk) is not counted.
"""
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

BATCH, EPOCHS, THREADS = 128, 4, 2
PIPELINES = ("darts", "genas", "eval")


def torch_epochs(data, pipeline):
    import torch
    from torchvision import datasets
    from torchvision import transforms as T

    torch.set_num_threads(1)
    normalize = [T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    steps = {
        "darts": [T.RandomResizedCrop(224), T.RandomHorizontalFlip(), T.ColorJitter(0.4, 0.4, 0.4, 0.2), *normalize],
        # What torchvision has of the GeNAS pipeline: no lighting, and Pillow's resize.
        "genas": [T.RandomResizedCrop(224, ratio=(1.0, 1.0)), T.RandomHorizontalFlip(), T.ToTensor()],
        "eval": [T.Resize(256), T.CenterCrop(224), *normalize],
    }
    photos = datasets.ImageFolder(os.path.join(data, "val"), T.Compose(steps[pipeline]))
    loader = torch.utils.data.DataLoader(photos, BATCH, shuffle=pipeline != "eval", num_workers=THREADS, persistent_workers=True)
    rates = []
    for _ in range(EPOCHS):
        start, n = time.perf_counter(), 0
        for images, _ in loader:
            n += len(images)
        rates.append(n / (time.perf_counter() - start))
    print(json.dumps({"photos_per_s": rates, "threads": THREADS}))


def main():
    binary, data, out = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    repetitions = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for repetition in range(repetitions):
        for pipeline in PIPELINES:
            pair = [
                ("genas", [binary, data, pipeline, *map(str, (BATCH, EPOCHS, THREADS))]),
                ("torchvision", [sys.executable, __file__, "--torch", data, pipeline]),
            ]
            for name, command in pair if repetition % 2 == 0 else pair[::-1]:
                found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                rows += [(repetition, pipeline, name, epoch, rate) for epoch, rate in enumerate(found["photos_per_s"])]
                print(*rows[-1], file=sys.stderr, flush=True)
    with open(out / "raw.csv", "w", newline="") as file:
        csv.writer(file).writerows([("repetition", "pipeline", "program", "epoch", "photos_per_s"), *rows])
    rates = lambda p, who, r=None: statistics.median(row[4] for row in rows if row[1:3] == (p, who) and row[3] > 0 and r in (None, row[0]))
    lines = ["| photos per second | genas | torchvision | ratio |", "|---|---|---|---|"]
    for p in PIPELINES:
        ratios = [rates(p, "genas", r) / rates(p, "torchvision", r) for r in range(repetitions)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(f"| {p} | {rates(p, 'genas'):.0f} | {rates(p, 'torchvision'):.0f} | {spread} |")
    stages = json.loads(subprocess.run([binary, data, "stages"], check=True, capture_output=True, text=True).stdout)
    lines += ["", "| stage, one thread | ms per photo |", "|---|---|"]
    lines += [f"| {name} | {ms:.3f} |" for name, ms in stages.items()]
    (out / "summary.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


torch_epochs(*sys.argv[2:]) if sys.argv[1:2] == ["--torch"] else main()
