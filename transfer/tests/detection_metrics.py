"""Scores of generated detectors, and what scikit-learn makes of them.

    python detection_metrics.py > detection_metrics.json      (scikit-learn 1.9.1, NumPy 2.4.6)

A detector gives every image a score; the positive class is "out of distribution". `aupr` is the average
precision, `fpr95` the false positive rate at the first threshold of `roc_curve` whose recall reaches 0.95.
"""

import json

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

rng = np.random.default_rng(5)


def record(name, out, inside):
    out, inside = [np.asarray(v, dtype=np.float64) for v in (out, inside)]
    truth = np.r_[np.ones(len(out)), np.zeros(len(inside))]
    scores = np.r_[out, inside]
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    return {
        "name": name,
        "out": out.tolist(),
        "inside": inside.tolist(),
        "aupr": float(average_precision_score(truth, scores)),
        "auroc": float(roc_auc_score(truth, scores)),
        "fpr95": float(fpr[np.argmax(tpr >= 0.95)]),
    }


rows = [
    record("overlapping", rng.normal(0.5, 1, 40), rng.normal(0, 1, 90)),
    record("worse than chance", rng.normal(-0.5, 1, 33), rng.normal(0, 1, 60)),
    record("ties", rng.integers(0, 6, 37), rng.integers(0, 5, 71)),
    record("two values", rng.integers(0, 2, 20), rng.integers(0, 2, 30)),
    record("all equal", np.zeros(7), np.zeros(13)),
    record("perfect", 2 + rng.random(20), rng.random(20)),
    record("inverted", rng.random(20), 2 + rng.random(20)),
    record("one of each", [0.25], [0.5]),
    record("recall of exactly 0.95", np.arange(20), np.arange(40) / 2 - 3),
    record("as 1 - max softmax", -rng.beta(2, 4, 50), -rng.beta(4, 2, 120)),
]
print(json.dumps(rows, indent=0))
