"""Reads paths of photos, one a line, and writes what a network sees of each, as bytes in planes of 224 x 224:
torchvision's `Resize(256)` and `CenterCrop(224)` on Pillow. For the test `photos_are_what_pillow_makes_of_them`.
"""

import sys

import numpy as np
from PIL import Image

for path in sys.stdin.read().splitlines():
    image = Image.open(path).convert("RGB")
    w, h = image.size
    size = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    image = image.resize(size, Image.BILINEAR)
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    crop = np.asarray(image.crop((left, top, left + 224, top + 224)))
    sys.stdout.buffer.write(crop.transpose(2, 0, 1).tobytes())
