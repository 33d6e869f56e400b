"""Checks a segmenter's two files as Python sees them: `python onnxruntime_segmenter.py LOGITS.onnx LABELS.onnx
[IMAGE.f32 BURN.f32]`.

Both must pass onnx's checker. The labels of the one must be numpy's argmax of the logits of the other; sizes of the input
and the number of images vary. Where they are given, IMAGE.f32 is an input 1 x 3 x 257 x 513 and BURN.f32 the logits that
genas computes for it in training: at least 99.9 % of the pixels must get the same label. Latencies are printed. Needs
numpy, onnx and onnxruntime. The test `files_for_python` of genas-export writes such files into the folder that
`GENAS_SEGMENTERS` names.
"""

import json
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort

SHAPES = [(2, 32, 32), (1, 97, 65), (2, 96, 160), (1, 256, 512), (2, 256, 512), (1, 512, 1024)]
RECORDED = (1, 3, 257, 513)
AGREEMENT = 0.999


def timed(session, images):
    start = time.perf_counter()
    found = session.run(None, {"input": images})[0]
    return found, time.perf_counter() - start


def main():
    sessions = []
    for path in sys.argv[1:3]:
        onnx.checker.check_model(onnx.load(path), full_check=True)
        sessions.append(ort.InferenceSession(path, providers=["CPUExecutionProvider"]))
    by_logits, by_labels = sessions
    about = by_logits.get_modelmeta().custom_metadata_map
    names = json.loads(about["class_names"])
    assert about["kind"] == "segmenter" and len(names) == len(json.loads(about["label_ids"]))
    generator = np.random.default_rng(0)
    for batch, height, width in SHAPES:
        images = generator.uniform(-2, 2, (batch, 3, height, width)).astype(np.float32)
        logits, seconds = timed(by_logits, images)
        labels, labels_seconds = timed(by_labels, images)
        assert logits.shape == (batch, len(names), height, width), logits.shape
        assert labels.shape == (batch, height, width) and labels.dtype == np.int64, labels.shape
        assert (labels == logits.argmax(1)).all(), "labels are not the classes of the largest logits"
        print(
            f"{batch} x {height} x {width}: {len(np.unique(labels))} classes; logits {seconds:.2f} s, "
            f"labels {labels_seconds:.2f} s",
            flush=True,
        )
    if len(sys.argv) > 3:
        image, burn = (np.fromfile(path, "<f4") for path in sys.argv[3:5])
        burn = burn.reshape(RECORDED[0], len(names), *RECORDED[2:])
        labels, _ = timed(by_labels, image.reshape(RECORDED))
        expected = burn.argmax(1)
        same = (labels == expected).mean()
        logits, _ = timed(by_logits, image.reshape(RECORDED))
        print(
            f"same label as genas on {100 * same:.4f} % of {labels.size} pixels, of {len(np.unique(expected))} classes, "
            f"{100 * (expected[..., 1:] != expected[..., :-1]).mean():.1f} % beside another; "
            f"logits within {np.abs(logits - burn).max():.1e} of up to {np.abs(burn).max():.1f}"
        )
        assert same >= AGREEMENT, same


if __name__ == "__main__":
    main()
