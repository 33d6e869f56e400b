#!/usr/bin/env python3
"""A training step of RetinaNet on the ImageNet network: genas and PyTorch in turns, each in a process of its own.

usage: python3 benches/detector.py BENCH_BINARY OUT_DIR [REPETITIONS]
BENCH_BINARY is what `cargo bench --bench detector --no-run` names. Needs torch and torchvision. Writes OUT_DIR/raw.csv and
summary.md. GENAS_FLATNESS_CIFAR100 in 14 cells, C = 16; a pyramid and heads of 256 channels, 4 convolutions each, 9
anchors, 80 classes; 2 images of 320 x 416. BatchNorm and stem0 frozen: forward, backward, focal loss and L1, SGD. Labels
are given. Of the STEPS steps of a process the first is not counted. Memory is the most that the process ever held.
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

CHANNELS, LAYERS, HEIGHT, WIDTH, BATCH, STEPS, THREADS = 16, 14, 320, 416, 2, 3, 2


def torch_steps():
    import torch
    import torch.nn.functional as F
    from torch import nn
    from torch_network import Network
    from torchvision.ops import sigmoid_focal_loss

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)

    class RetinaNet(nn.Module):
        def __init__(self, c=256, anchors=9, classes=80):
            super().__init__()
            self.backbone = Network(CHANNELS, 1, LAYERS)
            widths = [4 * CHANNELS, 8 * CHANNELS, 16 * CHANNELS]
            self.lateral = nn.ModuleList(nn.Conv2d(w, c, 1) for w in widths)
            self.output = nn.ModuleList(nn.Conv2d(c, c, 3, 1, 1) for _ in widths)
            self.p6, self.p7 = nn.Conv2d(widths[2], c, 3, 2, 1), nn.Conv2d(c, c, 3, 2, 1)
            tower = lambda out: nn.Sequential(*(m for _ in range(4) for m in (nn.Conv2d(c, c, 3, 1, 1), nn.ReLU())), nn.Conv2d(c, out, 3, 1, 1))
            self.classes, self.boxes = tower(anchors * classes), tower(anchors * 4)

        def forward(self, x):
            b = self.backbone
            s0 = b.stem0(x)
            s1, maps = b.stem1(s0), []
            for n, cell in enumerate(b.cells):
                s0, s1 = s1, cell(s0, s1)
                if n in (LAYERS // 3 - 1, 2 * LAYERS // 3 - 1, LAYERS - 1):
                    maps.append(s1)
            m3, m4, m5 = (lateral(x) for lateral, x in zip(self.lateral, maps))
            m4 = m4 + F.interpolate(m5, scale_factor=2)
            m3 = m3 + F.interpolate(m4, scale_factor=2)
            pyramid = [output(x) for output, x in zip(self.output, (m3, m4, m5))]
            pyramid.append(self.p6(maps[2]))
            pyramid.append(self.p7(torch.relu(pyramid[3])))
            return [(self.classes(x), self.boxes(x)) for x in pyramid]

    net = RetinaNet().train()
    for module in net.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().requires_grad_(False)
    net.backbone.stem0.requires_grad_(False)
    net.backbone.classifier.requires_grad_(False)
    sgd = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 1e-6, 0.9, weight_decay=1e-4)
    x, times, targets = torch.randn(BATCH, 3, HEIGHT, WIDTH), [], None
    for _ in range(STEPS):
        start = time.perf_counter()
        sgd.zero_grad()
        maps = net(x)
        if targets is None:
            targets = []
            for logits, boxes in maps:
                n = torch.arange(BATCH * 9 * logits.shape[2] * logits.shape[3])
                label = torch.where(n % 100 == 0, n // 100 % 80, torch.where(n % 100 < 3, -2, -1)).view(BATCH, 9, *logits.shape[2:])
                one_hot = F.one_hot(label.clamp(min=0), 80).permute(0, 1, 4, 2, 3) * (label >= 0)[:, :, None]
                targets.append((one_hot.float(), (label != -2)[:, :, None].expand_as(one_hot), torch.arange(0, boxes.numel(), 100)))
        loss = 0
        for (logits, boxes), (one_hot, counted, places) in zip(maps, targets):
            loss = loss + sigmoid_focal_loss(logits.view_as(one_hot)[counted], one_hot[counted], reduction="sum")
            loss = loss + (boxes.flatten()[places] - 0.1).abs().sum()
        (0.01 * loss).backward()
        sgd.step()
        times.append(1e3 * (time.perf_counter() - start))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"ms": times, "threads": THREADS, "peak_mib": peak}))


def main():
    binary, out = sys.argv[1], pathlib.Path(sys.argv[2])
    repetitions = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    out.mkdir(parents=True, exist_ok=True)
    ours = [binary, *map(str, (CHANNELS, LAYERS, HEIGHT, WIDTH, BATCH, STEPS))]
    theirs = [sys.executable, __file__, "--torch"]
    rows, macs = [], 0
    for repetition in range(repetitions):
        pair = [("genas", ours), ("PyTorch", theirs)]
        for name, command in pair if repetition % 2 == 0 else pair[::-1]:
            env = {**os.environ, "RAYON_NUM_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
            found = json.loads(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
            macs = found.get("macs", macs)
            rows += [(repetition, name, step, ms, found["peak_mib"]) for step, ms in enumerate(found["ms"])]
            print(*rows[-1], file=sys.stderr, flush=True)
    with open(out / "raw.csv", "w", newline="") as file:
        csv.writer(file).writerows([("repetition", "program", "step", "ms", "peak_mib"), *rows])
    median = lambda who, column, r=None: statistics.median(row[column] for row in rows if row[1] == who and row[2] > 0 and r in (None, row[0]))
    ratios = [median("genas", 3, r) / median("PyTorch", 3, r) for r in range(repetitions)]
    lines = ["| | genas | PyTorch | ratio |", "|---|---|---|---|"]
    lines.append(f"| training step, ms | {median('genas', 3):.0f} | {median('PyTorch', 3):.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |")
    lines.append(f"| peak memory, MiB | {median('genas', 4):.0f} | {median('PyTorch', 4):.0f} | {median('genas', 4) / median('PyTorch', 4):.2f} |")
    lines.append(f"\nForward pass of one image: {macs / 1e9:.1f} G multiply-accumulates; a step is about three times that for each image.")
    (out / "summary.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


torch_steps() if sys.argv[1:] == ["--torch"] else main()
