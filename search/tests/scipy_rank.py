#!/usr/bin/env python3
"""Rank statistics by scipy and numpy, and precision among the best by trying every way to break ties.

Prints scipy_rank.json. usage: python3 scipy_rank.py > scipy_rank.json      (numpy, scipy)
"""
import itertools
import json

import numpy as np
from scipy.stats import kendalltau, spearmanr


def draws():
    """The linear congruential generator that the Rust tests draw cells with."""
    state = 1
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


def ways(values, k):
    """Every set of the k best."""
    last = sorted(values, reverse=True)[k - 1]
    above = [i for i, v in enumerate(values) if v > last]
    tied = [i for i, v in enumerate(values) if v == last]
    return [set(above) | set(chosen) for chosen in itertools.combinations(tied, k - len(above))]


def precision(k, scores, truth):
    pairs = list(itertools.product(ways(scores, k), ways(truth, k)))
    return sum(len(a & b) for a, b in pairs) / len(pairs) / k


def case(name, scores, truth):
    scores, truth = [float(v) for v in scores], [float(v) for v in truth]
    return {
        "name": name,
        "scores": scores,
        "truth": truth,
        "tau": kendalltau(scores, truth).statistic,
        "spearman": spearmanr(scores, truth).statistic,
        "precision": [[k, precision(k, scores, truth)] for k in sorted({1, 2, len(scores) // 2, len(scores)}) if k],
    }


rng = np.random.default_rng(1)
x = rng.normal(size=40)
accuracy = np.round(90 + rng.normal(size=40), 1)
cases = [
    case("two", [1, 2], [5, 6]),
    case("reversed", range(9), range(9, 0, -1)),
    case("no ties", x, x + rng.normal(size=40)),
    case("truth rounded", x, np.round(x + rng.normal(size=40))),
    case("metric rounded", np.round(x), x + rng.normal(size=40)),
    case("both rounded", np.round(x), np.round(x + rng.normal(size=40))),
    case("two values each", [0, 1] * 6, [0, 0, 1] * 4),
    case("nearly constant", [0] * 11 + [1], rng.normal(size=12)),
    case("signed zeros", [0.0, -0.0, 1, -1, 0.0, 2], [1, 2, 3, 4, 5, 6]),
    case("large and small", [1e308, -1e308, 1e-308, 0, -1e-308, 5e-324], [3, 1, 2, 2, 1, 3]),
    case("neighbouring doubles", [1, np.nextafter(1, 2), 1, np.nextafter(1, 0)], [1, 2, 3, 4]),
    case("accuracies", accuracy, np.round(accuracy + rng.normal(size=40), 1)),
    case("independent", rng.integers(0, 9, 30), rng.integers(0, 9, 30)),
]

truth = np.round(rng.normal(size=60), 2)
a, b = np.round(truth + rng.normal(size=60), 1), truth + 2 * rng.normal(size=60)
draw, taus_a, taus_b, rhos_a = draws(), [], [], []
for _ in range(150):
    cells = [next(draw) % 60 for _ in range(60)]
    taus_a.append(kendalltau(a[cells], truth[cells]).statistic)
    taus_b.append(kendalltau(b[cells], truth[cells]).statistic)
    rhos_a.append(spearmanr(a[cells], truth[cells]).statistic)


def interval(values):
    return [float(v) for v in np.percentile(values, [2.5, 97.5])]


bootstrap = {
    "truth": truth.tolist(),
    "a": a.tolist(),
    "b": b.tolist(),
    "resamples": 150,
    "tau_a": interval(taus_a),
    "tau_b": interval(taus_b),
    "difference": interval(np.subtract(taus_a, taus_b)),
    "spearman_a": interval(rhos_a),
}
print(json.dumps({"cases": cases, "bootstrap": bootstrap}, indent=None).replace('{"name"', '\n{"name"'))
