#!/usr/bin/env python3
"""What PyTorch makes of the work that scripts/gpu-check.sh times with genas: a JSON object of milliseconds.

usage: python3 benches/gpu_torch.py [--device cuda|cpu] [--steps 78] [--pairs 3] [--images 1000]
Needs torch and numpy. Random data of the right shapes, PyTorch's own settings (convolutions in TF32 where the GPU has it),
every time up to the device's last operation; the first tenth of the steps, the first pair and the first runs are not
counted.

  step         a supernet's training step as in benches/supernet.py (C = 16, 8 cells, batch 64), another valid path each time
  score        one candidate: 14 batches of recalibration, 3 noise levels over IMAGES images, batch 64
  classifier   the CIFAR network of gpu-check.sh (C = 8, 3 cells), one run of 64 images that come from the host
  difference   largest relative difference of a path's losses, device and CPU, without TF32
"""
import argparse
import json
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from supernet import BATCH, CLASSES, forward, parameters, random_path, torch_score, torch_steps, wait
from torch_network import CifarNetwork


@torch.no_grad()
def classifier(device, runs=50, warm_up=10):
    net, images, times = CifarNetwork(8, CLASSES, 3).eval().to(device), torch.randn(64, 3, 32, 32), []
    for _ in range(warm_up + runs):
        start = time.perf_counter()
        # The copy back waits for the device.
        net(images.to(device)).cpu()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[warm_up:])


@torch.no_grad()
def difference(path, device):
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH) * 7 % CLASSES
    losses = []
    for d in ("cpu", device):
        logits = forward(parameters(False, d), path, images.to(d)).cpu()
        losses.append(F.cross_entropy(logits, labels, reduction="none"))
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
    return ((losses[0] - losses[1]).abs() / losses[0].abs()).max().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--steps", type=int, default=78)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--images", type=int, default=1000)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device here; --device cpu times the CPU")
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    paths = [random_path(rng) + random_path(rng) for _ in range(max(args.steps, 2 * args.pairs, 1))]
    # The mean: paths differ, and a search takes them all.
    steps = torch_steps(paths[: args.steps], args.device)[args.steps // 10 :]
    pairs = torch_score(paths[: 2 * args.pairs], args.device, args.images)[1 if args.pairs > 1 else 0 :]
    wait(args.device)
    print(json.dumps({
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "step_ms": statistics.mean(steps),
        "score_ms": statistics.mean(pairs) / 2,
        "classifier_ms": classifier(args.device),
        "difference": difference(paths[0], args.device),
    }, indent=2))


if __name__ == "__main__":
    main()
