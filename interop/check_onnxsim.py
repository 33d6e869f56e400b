"""onnx's checker accepts our files; onnxsim simplifies them, and they then compute the same in ONNX Runtime.

    python check_onnxsim.py MODEL.onnx...        (packages: requirements.txt)
"""
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import onnxsim

# Allowed difference over an output's largest value, or over 1 where that is below one: as `genas verify` has it.
TOLERANCE = {"float32": 1e-4, "float16": 5e-3}


def run(model, images):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"input": images})))


def sizes(model):
    """Input sizes that are compared: what is fixed as it is, what is free at two sizes, one of them odd."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    free = [(2, 1), (3, 3), (64, 71), (64, 83)]
    return sorted({tuple(d.dim_value or free[n][i] for n, d in enumerate(dims)) for i in range(2)})


def check(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    simple, same = onnxsim.simplify(model)
    assert same, "onnxsim itself finds another result"
    onnx.checker.check_model(simple, full_check=True)
    half = model.graph.initializer[0].data_type == onnx.TensorProto.FLOAT16
    dtype = onnx.helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type)
    worst = 0.0
    for size in sizes(model):
        images = np.random.default_rng(0).uniform(-2, 2, size).astype(dtype)
        before, after = run(model, images), run(simple, images)
        assert list(before) == list(after), f"outputs {list(before)} became {list(after)}"
        for name, want in before.items():
            want, got = want.astype(np.float64), after[name].astype(np.float64)
            largest, difference = np.abs(want).max(), np.abs(got - want).max()
            assert largest > 1e-3, f"{name} says nothing"
            allowed = TOLERANCE["float16" if half else "float32"] * max(1, largest)
            assert difference <= allowed, f"{name} at {size}: {difference:.1e}, {allowed:.1e} allowed"
            worst = max(worst, difference)
    return f"{len(model.graph.node)} nodes to {len(simple.graph.node)}, difference {worst:.1e}"


def main():
    failed = 0
    for path in sys.argv[1:]:
        try:
            print(f"ok   {Path(path).name}: {check(path)}", flush=True)
        except Exception as error:  # whatever a package objects to is a failure of that file
            failed += 1
            print(f"FAIL {Path(path).name}: {type(error).__name__}: {error}", flush=True)
    if failed or not sys.argv[1:]:
        sys.exit(f"{failed} failed" if failed else "give ONNX files")


main()
