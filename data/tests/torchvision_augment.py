"""What torchvision, Pillow, OpenCV and NumPy make of small generated photos for given random numbers.

    python torchvision_augment.py > torchvision_augment.json
    (torchvision 0.29.2, PyTorch 2.15.0, Pillow 13.0.0, opencv-python-headless 5.0.0.93, NumPy 2.4.6)

Photos are interleaved RGB, results are R, G, B planes, all in hexadecimal. Nothing here is taken from anywhere:
pixels are formulae. `most` is the largest difference that is allowed (see tests/torchvision.rs).
"""

import json

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F
from torchvision.transforms import transforms as T

LAMBDA = np.array([0.2175, 0.0188, 0.0045])
V = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def photo(width, height, seed):
    y, x = np.mgrid[0:height, 0:width]
    plane = lambda k: 128 + 110 * np.sin(x / (2 + k) + seed) + 60 * np.cos(y / (1.5 + k) + k) + (x * y * (k + 3)) % 37
    return np.dstack([plane(k) for k in range(3)]).clip(0, 255).astype(np.uint8)


photos = {"wide": photo(37, 26, 0.0), "square": photo(16, 16, 1.0), "tall": photo(9, 50, 2.0)}
# Saturated colours, greys, black and white: where hue and saturation have their special cases.
special = photos["square"]
special[0, :8] = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]]
special[1, :8] = np.arange(8)[:, None] * 36
planes = lambda image: np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)).tobytes().hex()
cases, evals = [], []


def case(name, crop, key, size, window, most, out, lighting=None, flip=False, colors=()):
    cases.append(dict(name=name, crop=crop, photo=key, size=size, window=window, lighting=lighting, flip=flip, colors=colors, most=most, out=planes(out)))


# RandomResizedCrop.forward for given numbers.
for key, size, window, flip in [
    ("wide", 12, (0, 0, 37, 26), False), ("wide", 12, (5, 3, 24, 19), False), ("wide", 12, (20, 11, 17, 15), True),
    ("wide", 12, (9, 2, 12, 20), False), ("wide", 20, (30, 4, 5, 6), False), ("tall", 12, (0, 17, 9, 12), True),
    ("tall", 7, (2, 1, 1, 1), False), ("square", 16, (0, 0, 16, 16), True),
]:
    left, top, w, h = window
    image = F.resized_crop(Image.fromarray(photos[key]), top, left, h, w, [size, size], InterpolationMode.BILINEAR)
    case(f"resized {window}", "random-resized", key, size, window, 0 if (w, h) == (size, size) else 1, F.hflip(image) if flip else image, flip=flip)

# ColorJitter.forward for given numbers, without a resize before it, so that bytes must be equal.
apply = dict(brightness=F.adjust_brightness, contrast=F.adjust_contrast, saturation=F.adjust_saturation, hue=F.adjust_hue)
steps = [[(name, f)] for name in ("brightness", "contrast", "saturation") for f in (0.0, 0.61, 1.0, 1.37)]
steps += [[("hue", f)] for f in (0.0, 0.2, -0.2, 0.5, -0.0371)]
steps += [
    [("contrast", 0.73), ("hue", 0.11), ("brightness", 1.31), ("saturation", 0.66)],
    [("saturation", 1.4), ("brightness", 0.6), ("hue", -0.17), ("contrast", 1.4)],
    [("hue", 0.199), ("saturation", 1.21), ("contrast", 1.05), ("brightness", 0.93)],
]
for colors in steps:
    # As Rust holds them.
    colors = [(name, float(np.float32(f))) for name, f in colors]
    image = Image.fromarray(photos["square"])
    for name, f in colors:
        image = apply[name](image, f)
    case(str(colors), "random-resized", "square", 16, (0, 0, 16, 16), 0, image, colors=colors)

# Square windows of the GeNAS code: zero padding outside, OpenCV's bilinear, lighting on the result.
for key, size, window in [
    ("wide", 12, (0, 0, 26, 26)), ("wide", 12, (7, 3, 20, 20)), ("wide", 12, (7, 3, 13, 13)), ("wide", 12, (2, 1, 24, 24)),
    ("wide", 16, (30, 20, 5, 5)), ("wide", 12, (11, 9, 12, 12)), ("tall", 12, (-3, 30, 15, 15)), ("tall", 10, (-6, -7, 33, 33)),
]:
    left, top, edge, _ = window
    image, out = photos[key], np.zeros((edge, edge, 3), np.uint8)
    for y in range(edge):
        for x in range(edge):
            if 0 <= y + top < image.shape[0] and 0 <= x + left < image.shape[1]:
                out[y, x] = image[y + top, x + left]
    case(f"square {window}", "square", key, size, window, 1, cv2.resize(out, (size, size), interpolation=cv2.INTER_LINEAR))
for a in ([0.0, 0.0, 0.0], [0.1, -0.05, 0.2], [-0.31, 0.12, -0.07]):
    lit = (photos["square"] / 255.0 + V @ (LAMBDA * np.array(a))) * 255.0
    case(f"lighting {a}", "square", "square", 16, (0, 0, 16, 16), 0, np.clip(lit, 0, 255).astype(np.uint8), lighting=a)

for key in photos:
    for resize, crop in [(14, 12), (21, 16)]:
        image = T.CenterCrop(crop)(T.Resize(resize)(Image.fromarray(photos[key])))
        evals.append(dict(photo=key, resize=resize, crop=crop, interpolation="pillow", out=planes(image)))
        h, w = photos[key].shape[:2]
        half_up = lambda long, short: int(np.floor(long * resize / short + 0.5))
        size = (resize, half_up(h, w)) if w <= h else (half_up(w, h), resize)
        image = Image.fromarray(cv2.resize(photos[key], size, interpolation=cv2.INTER_LINEAR))
        evals.append(dict(photo=key, resize=resize, crop=crop, interpolation="opencv", out=planes(T.CenterCrop(crop)(image))))

# ToTensor and Normalize of every 15th byte.
grey = Image.fromarray(np.repeat(np.arange(0, 256, 15, dtype=np.uint8)[None, :, None], 3, 2))
normalized = F.normalize(F.to_tensor(grey), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])[:, 0]
shape = lambda a: dict(width=a.shape[1], height=a.shape[0], rgb=a.tobytes().hex())
print(json.dumps(dict(photos={k: shape(a) for k, a in photos.items()}, cases=cases, evals=evals, normalized=normalized.tolist()), indent=0))
