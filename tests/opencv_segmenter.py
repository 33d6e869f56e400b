"""The labels that genas wrote for a folder of images, against OpenCV, Python's onnxruntime and PyTorch's bilinear resize.

Usage: opencv_segmenter.py SEGMENTER.onnx IMAGES PREDICTIONS, with PREDICTIONS from `genas transfer cityscapes --predictions`
on images named NAME.png. Give PNGs: decoders of JPEG differ by a few units, which moves 0.3 % of CamVid's labels. Needs
numpy, opencv-python, onnxruntime and torch.
"""
import json
import pathlib
import sys

import cv2
import numpy as np
import onnxruntime as ort
import torch

model, images, predictions = sys.argv[1:]
session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
how, align_corners = json.loads(about["segmentation"]), json.loads(about["segmenter"])["align-corners"]
mean, std = (np.array(json.loads(about[key]), np.float32) for key in ("mean", "std"))
label_ids = np.uint8(json.loads(about["label_ids"]))
assert how["window"] is None, "whole pictures only"

same = pixels = 0
for file in sorted(pathlib.Path(images).iterdir()):
    picture = cv2.imread(str(file))[:, :, ::-1]
    height, width = picture.shape[:2]
    new = (width, height)
    if how["within"]:  # as MMCV's Resize(keep_ratio=True)
        scale = min(max(how["within"]) / max(new), min(how["within"]) / min(new))
        new = tuple(int(side * scale + 0.5) for side in new)
    x = cv2.resize(picture, new, interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    x = np.pad((x - mean) / std, ((0, -new[1] % how["divisor"]), (0, -new[0] % how["divisor"]), (0, 0)))
    logits = session.run(["logits"], {"input": x.transpose(2, 0, 1)[None].astype(np.float32)})[0]
    logits = torch.from_numpy(logits[:, :, : new[1], : new[0]])
    logits = torch.nn.functional.interpolate(logits, (height, width), mode="bilinear", align_corners=align_corners)
    ours = cv2.imread(str(pathlib.Path(predictions) / f"{file.stem}.png"), cv2.IMREAD_UNCHANGED)
    same += (label_ids[logits[0].argmax(0).numpy()] == ours).sum()
    pixels += ours.size
print(f"the same label on {same / pixels:.4%} of {pixels} pixels")
sys.exit(same / pixels < 0.999)
