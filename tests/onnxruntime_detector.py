"""Checks a detector's two files as Python sees them: `python onnxruntime_detector.py RAW.onnx END_TO_END.onnx`.

Both must pass onnx's checker. The raw file's numbers are turned into objects by torchvision's functions, and must be the
end-to-end file's objects; sizes of the input and the number of images vary. Latencies are printed. Needs numpy, onnx,
onnxruntime, torch and torchvision. The test `files_for_python` of genas-export writes such files into the folder that
`GENAS_DETECTORS` names.
"""

import json
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torchvision.ops import nms

LEVELS = ["p3", "p4", "p5", "p6", "p7"]
SHAPES = [(2, 32, 32), (2, 96, 160), (1, 480, 640), (2, 480, 640), (1, 800, 1333), (2, 800, 1344)]


def decoded(anchors, deltas, detection):
    weights = torch.tensor(detection["box_weights"])
    limit = float(np.log(np.float32(detection["max_scale"])))
    size = anchors[:, 2:] - anchors[:, :2]
    centre = anchors[:, :2] + 0.5 * size
    deltas = deltas / weights
    centre = deltas[:, :2] * size + centre
    size = deltas[:, 2:].clamp(max=limit).exp() * size
    return torch.cat([centre - 0.5 * size, centre + 0.5 * size], 1)


def objects(numbers, image, height, width, detection):
    """As detectron2's RetinaNet does it, but for its trick of moving classes apart."""
    boxes, scores, labels = [], [], []
    for level in LEVELS:
        logits = numbers[f"logits_{level}"][image]
        anchors, deltas = numbers[f"anchors_{level}"], numbers[f"deltas_{level}"][image]
        classes = logits.shape[1]
        scored = logits.flatten().sigmoid()
        pairs = torch.where(scored > detection["score_above"])[0]
        order = scored[pairs].sort(descending=True, stable=True).indices[: detection["top_per_level"]]
        pairs = pairs[order]
        anchor = pairs // classes
        boxes.append(decoded(anchors[anchor], deltas[anchor], detection))
        scores.append(scored[pairs])
        labels.append(pairs % classes)
    boxes, scores, labels = torch.cat(boxes), torch.cat(scores), torch.cat(labels)
    kept = torch.zeros(len(scores), dtype=torch.bool)
    for label in labels.unique():
        own = torch.where(labels == label)[0]
        kept[own[nms(boxes[own], scores[own], detection["nms_iou"])]] = True
    kept = torch.where(kept)[0]
    kept = kept[scores[kept].sort(descending=True, stable=True).indices][: detection["max_detections"]]
    boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
    limits = torch.tensor([width, height, width, height], dtype=torch.float32)
    boxes = torch.minimum(boxes.clamp(min=0), limits)
    there = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return boxes[there].numpy(), scores[there].numpy(), labels[there].numpy()


def timed(session, images):
    start = time.perf_counter()
    found = session.run(None, {"input": images})
    return dict(zip([o.name for o in session.get_outputs()], found)), time.perf_counter() - start


def main():
    sessions = []
    for path in sys.argv[1:3]:
        onnx.checker.check_model(onnx.load(path), full_check=True)
        sessions.append(ort.InferenceSession(path, providers=["CPUExecutionProvider"]))
    raw, end_to_end = sessions
    detection = json.loads(raw.get_modelmeta().custom_metadata_map["detection"])
    generator = np.random.default_rng(0)
    for batch, height, width in SHAPES:
        images = generator.uniform(-2, 2, (batch, 3, height, width)).astype(np.float32)
        numbers, raw_seconds = timed(raw, images)
        found, seconds = timed(end_to_end, images)
        numbers = {name: torch.from_numpy(value) for name, value in numbers.items()}
        assert (np.diff(found["batch_index"]) >= 0).all()
        counts, worst = [], [0.0, 0.0]
        for image in range(batch):
            boxes, scores, labels = objects(numbers, image, height, width, detection)
            own = found["batch_index"] == image
            assert own.sum() == len(scores), (own.sum(), len(scores))
            assert (np.diff(found["scores"][own]) <= 0).all()
            assert (found["labels"][own] == labels).all(), "labels differ"
            if len(scores):
                worst[0] = max(worst[0], np.abs(found["boxes"][own] - boxes).max())
                worst[1] = max(worst[1], np.abs(found["scores"][own] - scores).max())
            counts.append(len(scores))
        assert worst[0] <= 1e-3 and worst[1] <= 1e-6, worst
        print(
            f"{batch} x {height} x {width}: {counts} objects, boxes {worst[0]:.1e}, scores {worst[1]:.1e}; "
            f"raw {raw_seconds:.2f} s, end to end {seconds:.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
