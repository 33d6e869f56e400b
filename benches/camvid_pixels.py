"""The least that a segmenter should beat: one 1x1 convolution from a pixel's colour to its class.

Usage: camvid_pixels.py CAMVID [STEPS]. Needs torch, numpy and pillow. Trains on the pixels of `train`, measures on `val` as
`genas transfer cityscapes` does: intersections and unions over all pixels, label 11 left out.
"""
import pathlib
import sys

import numpy as np
import torch
from PIL import Image

CLASSES, VOID = 11, 11
folder, steps = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000


def read(split):
    images = sorted((folder / split).iterdir())
    for image in images:
        labels = folder / f"{split}annot" / f"{image.stem}.png"
        pixels = np.asarray(Image.open(image).convert("RGB"), np.float32).reshape(-1, 3) / 255
        yield (pixels - 0.45) / 0.25, np.asarray(Image.open(labels), np.int64).reshape(-1)


torch.manual_seed(0)
pixels, labels = (torch.from_numpy(np.concatenate(part)) for part in zip(*read("train")))
layer = torch.nn.Linear(3, CLASSES)  # a 1x1 convolution
optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
for step in range(steps):
    batch = torch.randint(len(labels), (65536,))
    loss = torch.nn.functional.cross_entropy(layer(pixels[batch]), labels[batch], ignore_index=VOID)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % (steps // 4) == 0:
        print(f"step {step}: loss {loss.item():.4f}")

confusion = np.zeros((CLASSES, CLASSES), np.int64)
with torch.no_grad():
    for pixels, labels in read("val"):
        found = layer(torch.from_numpy(pixels)).argmax(1).numpy()
        counted = labels < CLASSES
        pairs = labels[counted] * CLASSES + found[counted]
        confusion += np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
both = np.diag(confusion)
iou = both / np.maximum(confusion.sum(0) + confusion.sum(1) - both, 1)
print("IoU", " ".join(f"{value:.3f}" for value in iou))
print(f"mIoU {iou.mean():.4f}, pixel accuracy {both.sum() / confusion.sum():.4f}")
