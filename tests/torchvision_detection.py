"""Records what torchvision computes for RetinaNet, for transfer/src/retinanet: testdata/torchvision.json.

Recorded with torch 2.15.0, torchvision 0.29.2, Python 3.11, on the CPU. Run: python tests/torchvision_detection.py

Detectron2 is no package of an index. Where it differs from torchvision, its formula stands here, from its documented
definition (spec 06, section 3):
- anchors: sizes are not cut to integers, corners not rounded, sizes outside and ratios inside (torchvision's grid is
  used, with these cells);
- an object list that is empty makes all anchors background (torchvision's RetinaNet does the same outside of Matcher);
- IoU of two boxes without area is 0 (torchvision: NaN, not recorded);
- detections: score > .05, the best of each level, decode, batched_nms, the best of the image, scale, clip, drop empty.
"""
import json
import math
import pathlib

import torch
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import batched_nms, box_iou, sigmoid_focal_loss

torch.manual_seed(0)
CLAMP = math.log(1000.0 / 16)
SIZES = [[x, x * 2 ** (1.0 / 3), x * 2 ** (2.0 / 3)] for x in (32, 64, 128, 256, 512)]
STRIDES = [8, 16, 32, 64, 128]


def boxes(n, extent=200.0, smallest=2.0, largest=120.0):
    centre, size = torch.rand(n, 2) * extent, smallest + torch.rand(n, 2) * (largest - smallest)
    return torch.cat([centre - size / 2, centre + size / 2], 1).mul(4).round().div(4)


def cell(sizes, ratios=(0.5, 1.0, 2.0)):
    """Detectron2's DefaultAnchorGenerator.generate_cell_anchors."""
    rows = []
    for size in sizes:
        for ratio in ratios:
            w = math.sqrt(size**2.0 / ratio)
            h = ratio * w
            rows.append([-w / 2.0, -h / 2.0, w / 2.0, h / 2.0])
    return torch.tensor(rows)


def anchors():
    cells = [cell(s) for s in SIZES]
    generator = AnchorGenerator()
    generator.cell_anchors = cells
    maps = [[64 // s if 64 % s == 0 else 64 // s + 1, 96 // s if 96 % s == 0 else 96 // s + 1] for s in STRIDES]
    grids = generator.grid_anchors(maps, [[torch.tensor(s)] * 2 for s in STRIDES])
    return dict(cells=[c.tolist() for c in cells], grids=[g.tolist() for g in grids[2:]])


def iou():
    a, b = boxes(9), boxes(8)
    b[0], b[1] = a[0], torch.tensor([10.0, 10.0, 10.0, 30.0])
    a[2] = torch.tensor([b[3][2], b[3][1], b[3][2] + 5, b[3][3]])
    return dict(a=a.tolist(), b=b.tolist(), iou=box_iou(a, b).tolist())


def matcher():
    grid = torch.cat([cell(SIZES[0]) + torch.tensor([x, y, x, y]) for y in range(0, 64, 8) for x in range(0, 64, 8)])
    grid = torch.cat([grid, torch.cat([cell(SIZES[1]) + torch.tensor([x, y, x, y]) for y in (0, 16, 32) for x in (0, 16, 32)])])
    sets = {
        "objects of several sizes": torch.tensor([[3.0, 5, 40, 33], [10, 10, 60, 60], [30, 2, 50, 61.5], [1, 50, 9, 60]]),
        # between four anchors: equal IoU with all of them
        "ties": torch.tensor([[4.0, 4, 20, 20], [16, 16, 48, 48]]),
        # small enough that its best anchors are below every threshold, and belong to another object
        "low quality": torch.tensor([[20.0, 20, 24, 24], [8, 8, 40, 40]]),
        "one object twice": torch.tensor([[8.0, 8, 40, 40], [8, 8, 40, 40]]),
        "no objects": torch.zeros(0, 4),
        "random": boxes(5, 64, 8, 60),
    }
    cases = []
    for name, objects in sets.items():
        for low in (True, False):
            if len(objects):
                matches = Matcher(0.5, 0.4, allow_low_quality_matches=low)(box_iou(objects, grid))
            else:
                matches = torch.full((len(grid),), -1)
            cases.append(dict(name=f"{name}, low quality {low}", low_quality=low,
                              objects=objects.tolist(), matches=matches.tolist()))
    return dict(anchors=grid.tolist(), cases=cases)


def coding():
    cases = []
    for weights in ((1.0, 1, 1, 1), (10.0, 10, 5, 5)):
        a, o, d = boxes(12), boxes(12), torch.randn(12, 4) * 2
        d[0], d[1], d[2] = torch.zeros(4), torch.tensor([0, 0, 9.0, 99.0]), torch.tensor([50.0, -50, -30, -80])
        coder = BoxCoder(weights, CLAMP)
        cases.append(dict(weights=weights, anchors=a.tolist(), objects=o.tolist(), encoded=coder.encode_single(o, a).tolist(),
                          deltas=d.tolist(), decoded=coder.decode_single(d, a).tolist()))
    return cases


def focal():
    cases = []
    for alpha, gamma in ((0.25, 2.0), (0.6, 1.5)):
        x = torch.tensor([-12.0, -4.5951, -2, -0.5, 0, 0.1, 1, 3, 8], dtype=torch.float64).repeat(2).requires_grad_()
        t = torch.cat([torch.zeros(9), torch.ones(9)]).double()
        loss = sigmoid_focal_loss(x, t, alpha, gamma, "none")
        loss.sum().backward()
        cases.append(dict(alpha=alpha, gamma=gamma, logits=x.tolist(), objects=t.tolist(), loss=loss.tolist(), gradient=x.grad.tolist()))
    return cases


def smooth_l1():
    cases = []
    for beta in (0.0, 0.1, 1.0):
        x = torch.tensor([-3.0, -0.1, -0.05, 0, 0.02, 0.5, 1, 7], dtype=torch.float64, requires_grad=True)
        loss = torch.nn.functional.smooth_l1_loss(x, torch.zeros(8).double(), reduction="none", beta=beta)
        loss.sum().backward()
        cases.append(dict(beta=beta, differences=x.tolist(), loss=loss.tolist(), gradient=x.grad.tolist()))
    return cases


def keep(b, s, c, threshold):
    """batched_nms class by class (its trick with offsets rounds), best first, equal scores in their order."""
    kept = torch.zeros(len(b), dtype=torch.bool)
    for k in c.unique():
        at = torch.where(c == k)[0]
        kept[at[batched_nms(b[at], s[at], c[at], threshold)]] = True
    at = torch.where(kept)[0]
    return at[s[at].sort(descending=True, stable=True)[1]]


def nms():
    cases = []
    sets = [("random", boxes(40, 60, 10, 50), torch.rand(40), torch.randint(0, 3, (40,)), 0.5)]
    sets.append(("equal scores", boxes(30, 40, 10, 50), torch.rand(30).mul(4).round().div(4), torch.randint(0, 2, (30,)), 0.3))
    twice = torch.tensor([[0.0, 0, 10, 10]] * 4 + [[5, 5, 5, 9]] * 2)
    sets.append(("equal and degenerate", twice, torch.tensor([0.5, 0.9, 0.5, 0.2, 0.3, 0.1]), torch.tensor([0, 0, 1, 1, 0, 0]), 0.5))
    # IoU exactly at the threshold stays
    sets.append(("on the threshold", torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 20]]), torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3).long(), 0.5))
    sets.append(("none", torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), 0.5))
    for name, b, s, c, threshold in sets:
        cases.append(dict(name=name, boxes=b.tolist(), scores=s.tolist(), classes=c.tolist(), threshold=threshold, kept=keep(b, s, c, threshold).tolist()))
    return cases


def detect(name, classes, maps, top, most, shift, size, original):
    coder, levels, found = BoxCoder((1.0, 1, 1, 1), CLAMP), [], []
    for level, (h, w) in enumerate(maps):
        s = STRIDES[level + 1]
        grid = torch.cat([cell(SIZES[level + 1]) + torch.tensor([x * s, y * s] * 2) for y in range(h) for x in range(w)])
        logits, deltas = torch.randn(len(grid), classes) * 2 - shift, torch.randn(len(grid), 4) * 0.3
        logits[1:4] = logits[0]
        levels.append(dict(anchors=grid.tolist(), logits=logits.flatten().tolist(), deltas=deltas.tolist()))
        scores = logits.sigmoid()
        at = torch.nonzero(scores > 0.05)
        s, order = scores[at[:, 0], at[:, 1]].sort(descending=True, stable=True)
        at, s = at[order[:top]], s[:top]
        found.append((coder.decode_single(deltas[at[:, 0]], grid[at[:, 0]]), s, at[:, 1]))
    b, s, c = (torch.cat(v) for v in zip(*found))
    k = keep(b, s, c, 0.5)[:most]
    b, s, c = b[k], s[k], c[k]
    b = b * torch.tensor([original[0] / size[0], original[1] / size[1]] * 2)
    b = torch.stack([b[:, 0].clamp(0, original[0]), b[:, 1].clamp(0, original[1]), b[:, 2].clamp(0, original[0]), b[:, 3].clamp(0, original[1])], 1)
    full = ((b[:, 2] - b[:, 0]) > 0) & ((b[:, 3] - b[:, 1]) > 0)
    return dict(name=name, classes=classes, top_per_level=top, max_detections=most, input=size, original=original, levels=levels,
                boxes=b[full].tolist(), scores=s[full].tolist(), labels=c[full].tolist())


if __name__ == "__main__":
    vectors = dict(anchors=anchors(), iou=iou(), matcher=matcher(), coding=coding(), focal=focal(), smooth_l1=smooth_l1(), nms=nms(),
                   detect=[detect("two levels", 3, [(3, 4), (2, 2)], 60, 30, 2.0, (64, 48), (100, 80)),
                           detect("all", 2, [(2, 2)], 1000, 100, 1.0, (32, 32), (32, 32)),
                           detect("nothing", 2, [(1, 2)], 1000, 100, 30.0, (32, 16), (64, 32))])
    out = pathlib.Path(__file__).parent.parent / "transfer/src/retinanet/testdata/torchvision.json"

    def short(v):
        """Numbers of 32 bits need nine digits; losses are of 64."""
        if isinstance(v, float):
            s = float(f"{v:.9g}")
            return int(s) if s == int(s) and abs(s) < 1e9 else s
        if isinstance(v, dict):
            return {k: (w if k in ("loss", "gradient") else short(w)) for k, w in v.items()}
        return [short(w) for w in v] if isinstance(v, (list, tuple)) else v

    out.write_text(json.dumps(short(vectors), separators=(",", ":")) + "\n")
    print(out, out.stat().st_size, [len(d["boxes"]) for d in vectors["detect"]])
