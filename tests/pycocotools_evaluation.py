"""Records what pycocotools says about random detections, for transfer/src/coco/evaluation/tests.rs.

Recorded with pycocotools 2.0.11, numpy 2.4, Python 3.11. Run: python tests/pycocotools_evaluation.py
With a path of genas as argument: compares `genas transfer coco` with pycocotools on many larger random sets.
"""
import contextlib
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

KEYS = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
KEYS += ["ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"]


def scene(seed, images, classes, per_image):
    """Objects and detections: crowds, equal scores, equal boxes, images and classes without either, more than 100
    detections of one class, sizes on the limits, unknown categories, ids with gaps in no order."""
    r = random.Random(seed)
    ids = r.sample(range(1, 50 * images), images)
    class_ids = r.sample(range(1, 91), classes)
    objects, found = [], []
    for image in ids:
        kind = r.random()
        n = 0 if kind < 0.15 else r.randint(1, per_image)
        for _ in range(n):
            side = r.choice([r.uniform(4, 40), r.uniform(20, 120), r.uniform(80, 300), 32.0, 96.0])
            w, h = side, side if r.random() < 0.2 else side * r.uniform(0.4, 2.5)
            box = [round(r.uniform(0, 600), 2), round(r.uniform(0, 440), 2), round(w, 2), round(h, 2)]
            category = r.choice(class_ids[: max(1, classes - 1)])
            area = box[2] * box[3] * r.choice([1.0, r.uniform(0.4, 1.0)])
            objects.append(dict(id=len(objects) + 1, image_id=image, category_id=category, bbox=box, area=area,
                                iscrowd=int(r.random() < 0.12)))
            if r.random() < 0.15:
                objects.append(dict(objects[-1], id=len(objects) + 1, iscrowd=0))
            for _ in range(r.choice([0, 1, 1, 1, 2, 3])):
                j = r.choice([0.0, 1.0, side * 0.05, side * 0.3])
                shifted = [round(v + r.uniform(-j, j), 2) for v in box]
                score = r.choice([r.random(), round(r.random(), 1), 0.5])
                found.append(dict(image_id=image, category_id=category if r.random() < 0.9 else r.choice(class_ids),
                                  bbox=shifted, score=score))
        if kind > 0.1:
            for _ in range(r.randint(0, per_image)):
                box = [round(r.uniform(0, 600), 2), round(r.uniform(0, 440), 2), round(r.uniform(0, 150), 2), r.choice([0, 9, 32, 96])]
                found.append(dict(image_id=image, category_id=r.choice(class_ids + [99]), bbox=box, score=round(r.random(), 1)))
    if images > 50:
        for n in range(150):
            found.append(dict(image_id=ids[0], category_id=class_ids[0], bbox=[n, n, 40, 40], score=round(r.random(), 2)))
    r.shuffle(objects), r.shuffle(found)
    gt = dict(images=[dict(id=i, file_name=f"{i}.jpg", width=640, height=480) for i in ids], annotations=objects,
              categories=[dict(id=i, name=f"class {i}") for i in class_ids])
    return gt, found


def pycocotools(gt, found):
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as d:
        path = pathlib.Path(d) / "gt.json"
        path.write_text(json.dumps(gt))
        coco = COCO(str(path))
        e = COCOeval(coco, coco.loadRes([dict(f) for f in found]), "bbox")
        e.evaluate(), e.accumulate(), e.summarize()
    precision = e.eval["precision"][:, :, :, 0, 2]
    of = lambda p: float(p.mean()) if (p > -1).all() else -1.0
    classes = {int(c): [of(precision[:, :, k]), of(precision[0, :, k])] for k, c in enumerate(e.params.catIds)}
    return [float(v) for v in e.stats], classes


def compare(genas):
    worst = 0.0
    with tempfile.TemporaryDirectory() as d:
        gt_path, dt_path = pathlib.Path(d) / "gt.json", pathlib.Path(d) / "dt.json"
        for seed in range(40):
            gt, found = scene(1000 + seed, *random.Random(seed).choice([(3, 2, 3), (20, 5, 10), (120, 20, 30)]))
            gt_path.write_text(json.dumps(gt)), dt_path.write_text(json.dumps(found))
            out = subprocess.run([genas, "transfer", "coco", "--json", "--per-class", "--results", dt_path, "--data", gt_path],
                                 capture_output=True, text=True, check=True)
            ours = json.loads(out.stdout)
            stats, classes = pycocotools(gt, found)
            theirs = stats + [v for c in ours["per_class"] for v in classes[c["id"]]]
            mine = [ours[k] for k in KEYS] + [c[k] for c in ours["per_class"] for k in ("ap", "ap50")]
            worst = max(worst, float(np.abs(np.array(mine) - np.array(theirs)).max()))
    print(f"largest difference in 40 sets: {worst:.3g}")
    assert worst < 1e-9


if __name__ == "__main__":
    if len(sys.argv) > 1:
        compare(sys.argv[1])
        sys.exit()
    cases = []
    for name, seed, size in [("small", 1, (4, 2, 3)), ("ties and crowds", 2, (14, 4, 5)), ("one class", 7, (6, 1, 4))]:
        gt, found = scene(seed, *size)
        stats, classes = pycocotools(gt, found)
        cases.append(dict(name=name, annotations=gt, detections=found, stats=dict(zip(KEYS, stats)), per_class=classes))
    out = pathlib.Path(__file__).parent.parent / "transfer/src/coco/evaluation/pycocotools.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
    print(out, out.stat().st_size, [c["stats"] for c in cases])
