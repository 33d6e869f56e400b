#!/usr/bin/env python3
"""Angles of the reference supernet's candidates in double precision, without any code of this project or of PyTorch.

Reads the two checkpoints as the pickles that they are, builds the published weight vectors (spec 02-6), and prints
angles.json. usage: GENAS_SHARED=... python3 angles.py > angles.json      (numpy)
"""
import collections
import io
import json
import os
import pickle
import zipfile

import numpy as np

BASE = os.environ["GENAS_SHARED"] + "/reference/supernet_c8"
FIRST_EDGE = [0, 2, 5, 9]
INPUT_EDGES = (0, 1, 2, 3, 5, 6, 9, 10)
MAX_POOL, AVG_POOL, SKIP, SEP_3, SEP_5 = 1, 2, 3, 4, 5


def state_dict(path):
    archive = zipfile.ZipFile(path)
    root = next(n for n in archive.namelist() if n.endswith("data.pkl"))[: -len("data.pkl")]

    def tensor(storage, offset, size, stride, *_):
        kind, key = storage
        if kind != "FloatStorage":
            return None
        values = np.frombuffer(archive.read(root + "data/" + key), np.float32)
        return values[offset : offset + int(np.prod(size))].reshape(size)

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if name == "OrderedDict":
                return collections.OrderedDict
            return tensor if name == "_rebuild_tensor_v2" else name if name.endswith("Storage") else lambda *a, **k: name

        def persistent_load(self, about):
            return about[1], about[2]

    return Unpickler(io.BytesIO(archive.read(root + "data.pkl"))).load()["state_dict"]


def vector(weights, candidate, width=8):
    out = []
    for n in range(8):
        reduction = n in (2, 5)
        width *= 2 if reduction else 1
        genes = candidate[14:] if reduction else candidate[:14]
        paths = [[[]], [[]]]
        for node in range(4):
            edges = [(FIRST_EDGE[node] + s, s) for s in range(node + 2)]
            paths.append([p + [e] for e, s in edges if genes[e] for p in paths[s]])
        for edge in (e for ending in paths[2:] for path in ending for e in path):
            op, at = genes[edge], f"cells.{n}._ops.{edge}._ops.{genes[edge]}."
            add = lambda *names: out.extend(weights[at + name] for name in names)
            if op in (MAX_POOL, AVG_POOL):
                out.append(np.full(width * 9, 1 / 9, np.float32))
                add("1.weight", "1.bias")
            elif op == SKIP and reduction and edge in INPUT_EDGES:
                add("conv_1.weight", "conv_2.weight", "bn.weight", "bn.bias")
            elif op == SKIP:
                out.append(np.eye(width, dtype=np.float32))
            elif op in (SEP_3, SEP_5):
                add(*(f"op.{i}.weight" for i in (1, 2, 5, 6)), "op.3.weight", "op.3.bias", "op.7.weight", "op.7.bias")
            else:  # dil_conv: the published code takes the scale twice
                add("op.1.weight", "op.2.weight", "op.3.weight", "op.3.weight")
        for q in (0, 1):
            names = ("op.1.weight", "op.2.weight", "op.2.bias", "conv_1.weight", "conv_2.weight", "bn.weight", "bn.bias")
            out += [weights[k] for k in (f"cells.{n}.preprocess{q}.{name}" for name in names) if k in weights]
    out += [weights[k] for k in ("stem.0.weight", "stem.1.weight", "stem.1.bias", "classifier.weight")]
    return np.concatenate([v.ravel() for v in out])


initial, trained = state_dict(BASE + "_epoch_0.pth.tar"), state_dict(BASE + "_final.pth.tar")
angles = {}
for name, about in json.load(open(BASE + ".json"))["candidates"].items():
    a, b = (vector(w, about["candidate"]).astype(np.float64) for w in (initial, trained))
    angles[name] = {"vector_length": len(a), "radians": float(np.arccos(a @ b / np.sqrt((a @ a) * (b @ b))))}
print(json.dumps(angles, indent=2))
