#!/usr/bin/env python3
"""Times the ONNX file of `genas export --fold-bn` against the one that torch.onnx.export writes of the same network.

    python3 benches/torch_export.py GENAS OUT [--channels 46] [--classes 1000] [--checkpoint FILE --vectors NPZ]

The network (torch_network.py) has the cells of GENAS_FLATNESS_CIFAR100. Random weights go to both: through
torch.onnx.export (every exporter that this PyTorch has), and through `genas import` and `genas export`. Both files run in onnxruntime, in turns; their logits must agree. With
a published checkpoint and recorded vectors (../shared/reference, 8 channels, 10 classes) the network is first
shown to be the published one. Needs torch, onnxscript, onnxruntime, numpy.
"""
import argparse, csv, pathlib, statistics, subprocess, time

import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from torch_network import Network

CELL = "GENAS_FLATNESS_CIFAR100"


def session(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genas")
    parser.add_argument("out")
    parser.add_argument("--channels", type=int, default=46)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--checkpoint")
    parser.add_argument("--vectors")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--runs", type=int, default=40)
    args = parser.parse_args()
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    if args.checkpoint:
        published = Network(8, 10).eval()
        state = torch.load(args.checkpoint, map_location="cpu", weights_only=False)["state_dict"]
        state = {k.removeprefix("module."): v for k, v in state.items() if "auxiliary" not in k}
        published.load_state_dict(state)
        vectors = np.load(args.vectors)
        with torch.no_grad():
            error = (published(torch.from_numpy(vectors["input"])).numpy() - vectors["logits"]).__abs__().max()
        print(f"the network is the published one: logits differ by {error:.1e}")
        assert error < 1e-6

    torch.manual_seed(0)
    net = Network(args.channels, args.classes).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        want = net(x).numpy()
    files = {}
    for name, dynamo in (("torch (dynamo)", True), ("torch (TorchScript)", False)):
        path = out / f"{name.split('(')[1][:-1].lower()}.onnx"
        try:
            axes = {} if dynamo else {"dynamic_axes": {"input": {0: "batch"}, "logits": {0: "batch"}}}
            if dynamo:
                axes = {"dynamic_shapes": {"x": {0: torch.export.Dim("batch")}}}
            torch.onnx.export(net, (x.repeat(2, 1, 1, 1),), str(path), input_names=["input"], output_names=["logits"],
                              dynamo=dynamo, opset_version=18 if dynamo else 17, external_data=False, **axes)
            files[name] = path
        except Exception as error:  # An exporter that this PyTorch no longer has, or that cannot do this network.
            print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:200]}")
    torch.save({"state_dict": net.state_dict()}, out / "net.pth.tar")
    run = lambda *a: subprocess.run([args.genas, *map(str, a)], check=True, capture_output=True)
    run("import", out / "net.pth.tar", "--cell", CELL, "--network", "imagenet", "--channels", args.channels, "--classes", args.classes, "--out", out / "net.safetensors")
    run("export", "--weights", out / "net.safetensors", "--onnx", out / "genas.onnx", "--fold-bn")
    files["genas"] = out / "genas.onnx"

    rows = []
    for threads in (1, 2):
        for batch in (1, 8):
            data = {"input": np.repeat(x.numpy(), batch, 0)}
            sessions = {name: session(path, threads) for name, path in files.items()}
            for name, runner in sessions.items():
                error = np.abs(runner.run(None, data)[0] - want).max()
                assert error < 1e-4 * max(1, np.abs(want).max()), (name, error)
            for repetition in range(args.repetitions):
                for name in sorted(sessions, reverse=repetition % 2 == 1):
                    times = []
                    for _ in range(max(3, args.runs // batch)):
                        start = time.perf_counter()
                        sessions[name].run(None, data)
                        times.append(time.perf_counter() - start)
                    rows.append((threads, batch, repetition, name, 1e3 * statistics.median(times)))
    with open(out / "raw.csv", "w", newline="") as file:
        csv.writer(file).writerows([("threads", "batch", "repetition", "file", "ms"), *rows])
    lines = ["| threads | batch | " + " | ".join(f"{n}, ms" for n in files) + " | " + " | ".join(f"genas / {n}" for n in files if n != "genas") + " |"]
    lines.append("|" + "---|" * (1 + lines[0].count("|") - 2))
    for threads in (1, 2):
        for batch in (1, 8):
            of = {n: [ms for t, b, r, name, ms in rows if (t, b, name) == (threads, batch, n) and r > 0] for n in files}
            middle = [f"{statistics.median(of[n]):.2f}" for n in files]
            ratio = [f"{statistics.median(a / b for a, b in zip(of['genas'], of[n])):.3f}" for n in files if n != "genas"]
            lines.append(f"| {threads} | {batch} | " + " | ".join(middle + ratio) + " |")
    (out / "summary.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


main()
