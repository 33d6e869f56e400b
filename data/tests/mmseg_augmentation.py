"""What MMSegmentation's training pipeline makes of small generated images for given random numbers.

    python mmseg_augmentation.py > mmseg_augmentation.json
    (opencv-python-headless 5.0.0.93, NumPy 2.4.6, PyTorch 2.15.0)

The steps are written down here from the published code, with the drawn numbers as arguments, so that neither mmcv nor
mmseg is needed. Where they come from:

* mmsegmentation @ 056edc8, mmseg/datasets/transforms/transforms.py: RandomCrop.crop_bbox, PhotoMetricDistortion
* mmsegmentation @ 0067e6d, mmseg/models/segmentors/encoder_decoder.py: EncoderDecoder.slide_inference
* mmcv @ 0395ab2, mmcv/image/geometric.py: rescale_size, _scale_size, imresize; mmcv/image/colorspace.py: bgr2hsv, hsv2bgr
* mmcv @ 0607103, mmcv/transforms/processing.py: RandomResize, RandomFlip
* mmsegmentation, mmseg/models/data_preprocessor.py: SegDataPreProcessor.forward; mmseg/utils/misc.py: stack_batch
* order: configs/_base_/datasets/cityscapes.py: RandomResize, RandomCrop, RandomFlip, PhotoMetricDistortion

Images are interleaved RGB here and BGR where the published code has them so; bytes are hexadecimal. `most` is the largest
difference that is allowed (see mmseg_augmentation.rs). Widths of images whose colours change are multiples of 32: what is
left of a row OpenCV's code for AVX2 rounds instead of truncating.
"""

import json
import sys
import zlib

import cv2
import numpy as np
import torch

cv2.setNumThreads(1)


def photo(width, height, seed):
    y, x = np.mgrid[0:height, 0:width]
    plane = lambda k: 128 + 110 * np.sin(x / (2 + k) + seed) + 60 * np.cos(y / (1.5 + k) + k) + (x * y * (k + 3)) % 37
    return np.dstack([plane(k) for k in range(3)]).clip(0, 255).astype(np.uint8)


def labels(width, height):
    y, x = np.mgrid[0:height, 0:width]
    map = ((x // 5 + y // 4) % 6).astype(np.uint8)
    map[(x + 2 * y) % 11 == 0] = 255
    return map


hexed = lambda a: np.ascontiguousarray(a).tobytes().hex()
out = {}

# --- PhotoMetricDistortion -------------------------------------------------------------------------------------------


def convert(img, alpha=1, beta=0):
    img = img.astype(np.float32) * alpha + beta
    img = np.clip(img, 0, 255)
    return img.astype(np.uint8)


def distort(img, brightness=None, contrast=None, contrast_first=False, saturation=None, hue=None):
    if brightness is not None:
        img = convert(img, beta=brightness)
    if contrast_first and contrast is not None:
        img = convert(img, alpha=contrast)
    if saturation is not None:
        img = cv2.cvtColor(img, cv2.COLOR_BGR2HSV)
        img[:, :, 1] = convert(img[:, :, 1], alpha=saturation)
        img = cv2.cvtColor(img, cv2.COLOR_HSV2BGR)
    if hue is not None:
        img = cv2.cvtColor(img, cv2.COLOR_BGR2HSV)
        img[:, :, 0] = (img[:, :, 0].astype(int) + hue) % 180
        img = cv2.cvtColor(img, cv2.COLOR_HSV2BGR)
    if not contrast_first and contrast is not None:
        img = convert(img, alpha=contrast)
    return img


colours = photo(32, 8, 1.0)
colours[0, :8] = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]]
colours[1, :8] = np.arange(8)[:, None] * 36
out["colours"] = dict(width=32, height=8, rgb=hexed(colours))
out["photometric"] = []
for change in [
    dict(),
    dict(brightness=31.7),
    dict(brightness=-32.0),
    dict(contrast=0.5),
    dict(contrast=1.4321),
    dict(saturation=0.5),
    dict(saturation=1.4999),
    dict(saturation=1.0),
    dict(hue=-18),
    dict(hue=17),
    dict(hue=0),
    dict(brightness=12.3, contrast=1.21, contrast_first=True, saturation=0.77, hue=-7),
    dict(brightness=12.3, contrast=1.21, contrast_first=False, saturation=0.77, hue=-7),
    dict(brightness=-20.02, contrast=0.61, contrast_first=True, saturation=1.3, hue=11),
    dict(contrast=0.9, contrast_first=False, hue=5),
]:
    bgr = distort(np.ascontiguousarray(colours[..., ::-1]), **change)
    out["photometric"].append(dict(change=change, rgb=hexed(bgr[..., ::-1])))

# zlib.adler32 over all colours, first byte slowest; of 180 hues only. For src/segmentation/hsv.rs.
digests = []
for code, first in [(cv2.COLOR_RGB2HSV, 256), (cv2.COLOR_HSV2RGB, 180)]:
    digest = 1
    for a in range(first):
        b, c = np.mgrid[0:256, 0:256]
        block = np.dstack([np.full_like(b, a), b, c]).astype(np.uint8)
        digest = zlib.adler32(cv2.cvtColor(block, code).tobytes(), digest)
    digests.append(digest)
out["hsv_digests"] = digests

# --- RandomResize, RandomCrop, RandomFlip ----------------------------------------------------------------------------


def scale_size(size, scale):
    w, h = size
    return int(w * float(scale) + 0.5), int(h * float(scale) + 0.5)


def rescale_size(old_size, scale):
    w, h = old_size
    max_long_edge, max_short_edge = max(scale), min(scale)
    scale_factor = min(max_long_edge / max(h, w), max_short_edge / min(h, w))
    return scale_size((w, h), scale_factor)


def random_resize(size, scale, ratio):
    return rescale_size(size, (int(scale[0] * ratio), int(scale[1] * ratio)))


out["sizes"] = []
rng = np.random.default_rng(1)
for _ in range(60):
    size = [int(v) for v in rng.integers(100, 3000, 2)]
    ratio = float(rng.uniform(0.5, 2.0))
    scale = [[2048, 1024], [2049, 1025], [480, 360]][int(rng.integers(3))]
    out["sizes"].append(dict(size=size, scale=scale, ratio=ratio, to=random_resize(size, scale, ratio)))

image, map = photo(37, 26, 0.0), labels(37, 26)
out["image"] = dict(width=37, height=26, rgb=hexed(image))
out["labels"] = dict(width=37, height=26, labels=hexed(map))
out["geometric"] = []
for to, window, flip, change in [
    ((37, 26), (0, 0, 37, 26), False, {}),
    ((37, 26), (5, 3, 20, 12), True, {}),
    ((74, 52), (30, 20, 24, 16), False, {}),
    ((55, 39), (31, 27, 24, 12), True, {}),
    ((19, 13), (0, 0, 19, 13), False, {}),
    ((23, 16), (3, 2, 16, 12), True, {}),
    ((30, 21), (0, 5, 30, 12), False, {}),
    ((60, 42), (11, 9, 32, 12), True, dict(brightness=9.5, contrast=0.8, contrast_first=True, saturation=1.2, hue=-4)),
]:
    left, top, width, height = window
    cut = (slice(top, top + height), slice(left, left + width))
    bgr = cv2.resize(np.ascontiguousarray(image[..., ::-1]), to, interpolation=cv2.INTER_LINEAR)[cut]
    seg = cv2.resize(map, to, interpolation=cv2.INTER_NEAREST)[cut]
    if flip:
        bgr, seg = np.flip(bgr, axis=1), np.flip(seg, axis=1)
    bgr = distort(np.ascontiguousarray(bgr), **change)
    # OpenCV has several paths for resizing bytes, whose roundings differ; changes of colour enlarge the difference.
    most = 0 if to == (37, 26) else 4 if change else 1
    out["geometric"].append(
        dict(to=to, window=window, flip=flip, change=change, most=most, rgb=hexed(bgr[..., ::-1]), labels=hexed(seg))
    )

# INTER_NEAREST's positions for all pairs of sizes, in their order, one byte each.
digest = 1
for source in range(1, 61):
    row = np.arange(source, dtype=np.uint8)[None]
    for to in range(1, 131):
        digest = zlib.adler32(cv2.resize(row, (to, 1), interpolation=cv2.INTER_NEAREST).tobytes(), digest)
out["nearest_digest"] = digest

# RandomCrop.crop_bbox: whether a crop is taken.
out["varied"] = []
for window in [(0, 0, 5, 4), (0, 0, 6, 4), (3, 2, 8, 6), (10, 10, 7, 3), (0, 0, 37, 26), (2, 1, 3, 3)]:
    left, top, width, height = window
    for ratio in (0.75, 0.5, 0.3):
        values, counts = np.unique(map[top : top + height, left : left + width], return_counts=True)
        counts = counts[values != 255]
        taken = len(counts) > 1 and np.max(counts) / np.sum(counts) < ratio
        out["varied"].append(dict(window=window, ratio=ratio, taken=bool(taken)))

# --- SegDataPreProcessor ---------------------------------------------------------------------------------------------
small = photo(5, 3, 2.0)
mean, std = torch.tensor([123.675, 116.28, 103.53]).view(-1, 1, 1), torch.tensor([58.395, 57.12, 57.375]).view(-1, 1, 1)
tensor = (torch.from_numpy(small.transpose(2, 0, 1).copy()).float() - mean) / std
padded = torch.nn.functional.pad(tensor, (0, 3, 0, 1), value=0)
out["normalized"] = dict(width=5, height=3, rgb=hexed(small), values=[round(v, 7) for v in padded.flatten().tolist()])

# --- slide_inference -------------------------------------------------------------------------------------------------
out["slides"] = []
for size, crop, stride in [
    ((2048, 1024), (769, 769), (513, 513)),
    ((2049, 1025), (769, 769), (513, 513)),
    ((480, 360), (256, 256), (170, 170)),
    ((100, 60), (128, 32), (85, 21)),
    ((64, 64), (64, 64), (1, 1)),
]:
    (w_img, h_img), (w_crop, h_crop), (w_stride, h_stride) = size, crop, stride
    h_grids = max(h_img - h_crop + h_stride - 1, 0) // h_stride + 1
    w_grids = max(w_img - w_crop + w_stride - 1, 0) // w_stride + 1
    windows = []
    for h_idx in range(h_grids):
        for w_idx in range(w_grids):
            y1, x1 = h_idx * h_stride, w_idx * w_stride
            y2, x2 = min(y1 + h_crop, h_img), min(x1 + w_crop, w_img)
            y1, x1 = max(y2 - h_crop, 0), max(x2 - w_crop, 0)
            windows.append((x1, y1, x2 - x1, y2 - y1))
    out["slides"].append(dict(size=size, crop=crop, stride=stride, windows=windows))

json.dump(out, sys.stdout, separators=(",", ":"))
