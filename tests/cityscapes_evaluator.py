"""Cityscapes' own evaluator on the predictions that genas wrote, against what genas printed.

Usage: cityscapes_evaluator.py CITYSCAPES PREDICTIONS RESULT.json SEGMENTER.json. Needs cityscapesScripts (2.3 was used).
`genas --json transfer cityscapes --model SEGMENTER.onnx --data CITYSCAPES --predictions PREDICTIONS > RESULT.json` makes them.
"""
import glob
import json
import os
import sys

data, predictions, result, about = sys.argv[1:]
# Read when the module is imported.
os.environ["CITYSCAPES_DATASET"] = os.path.abspath(data)
os.environ["CITYSCAPES_RESULTS"] = os.path.abspath(predictions)
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as evaluator  # noqa: E402
from cityscapesscripts.helpers.labels import id2label  # noqa: E402

evaluator.args.evalInstLevelScore = False
evaluator.args.JSONOutput = False
evaluator.args.quiet = True
truth = sorted(glob.glob(f"{data}/gtFine/val/*/*_gtFine_labelIds.png"))
theirs = evaluator.evaluateImgLists(
    [evaluator.getPrediction(evaluator.args, file) for file in truth], truth, evaluator.args
)
ours, about = json.load(open(result)), json.load(open(about))
labels = dict(zip(about["class_names"], about["label_ids"]))
assert len(truth) == ours["n_images"], (len(truth), ours["n_images"])
for ours_of, theirs_of in [(ours["miou"], theirs["averageScoreClasses"])] + [
    (one["iou"], theirs["classScores"][id2label[labels[one["name"]]].name]) for one in ours["classes"] if one["iou"] is not None
]:
    assert abs(ours_of - theirs_of) < 1e-12, (ours_of, theirs_of)
print(f"mIoU {ours['miou']:.6f} and the IoU of {len(ours['classes'])} classes are those of cityscapesScripts, {len(truth)} images")
