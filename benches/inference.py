#!/usr/bin/env python3
"""Times what a deployer and an evaluator do, in turns with what they would use instead.

    python3 benches/inference.py GENAS MODEL FOLDER OUT [--repetitions 6] [--threads 2]

GENAS is the program; MODEL a classifier of 224 pixels that it exported; FOLDER an ImageFolder of photos, such as
imagenet1k-sample/val; OUT a folder for raw.csv and summary.md. Needs torchvision, onnxruntime, numpy.

evaluate   `genas evaluate`, against a torchvision DataLoader with two workers (Resize 256, CenterCrop 224, ToTensor,
           Normalize) that feeds onnxruntime in Python: images per second, from file to class.
loader     the same two without a network that costs anything (an average and a linear layer).
session    `genas bench`, against onnxruntime's session in Python: milliseconds per run.
"""
import argparse, csv, json, pathlib, statistics, subprocess, sys, tempfile, time

import numpy as np
import onnxruntime as ort


def genas(program, threads, *args):
    command = [program, "--json", "--no-progress", "--threads", str(threads), "--provider", "cpu", *map(str, args)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def session(model, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def described(model):
    meta = session(model, 1).get_modelmeta().custom_metadata_map
    return [json.loads(meta[key]) for key in ("mean", "std")]


def torchvision_evaluate(model, folder, threads, batch=64, workers=2):
    import torch
    from torchvision import datasets, transforms

    mean, std = described(model)
    chain = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(mean, std)]
    data = datasets.ImageFolder(str(folder), transforms.Compose(chain))
    runner = session(model, threads)
    start = time.perf_counter()
    loader = torch.utils.data.DataLoader(data, batch_size=batch, num_workers=workers)
    n = 0
    for images, _ in loader:
        n += len(runner.run(["logits"], {"input": images.numpy()})[0].argmax(1))
    return n / (time.perf_counter() - start)


def python_session(model, batch, threads, seconds=3.0):
    runner = session(model, threads)
    shape = [batch, *runner.get_inputs()[0].shape[1:]]
    x = {"input": np.random.default_rng(0).normal(size=shape).astype(np.float32)}
    for _ in range(3):
        runner.run(None, x)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        runner.run(None, x)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def cheap_model(model, path):
    """A classifier of the same input and description that computes next to nothing."""
    import onnx
    from onnx import TensorProto, helper

    described = onnx.load(str(model))
    classes = len(json.loads({p.key: p.value for p in described.metadata_props}["class_names"]))
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, classes], np.linspace(-1, 1, 3 * classes))
    nodes = [helper.make_node("GlobalAveragePool", ["input"], ["a"]), helper.make_node("Flatten", ["a"], ["f"]),
             helper.make_node("MatMul", ["f", "w"], ["logits"])]
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "cheap", [value("input", ["batch", 3, 224, 224])], [value("logits", ["batch", classes])], [weight])
    cheap = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    cheap.metadata_props.extend(p for p in described.metadata_props if p.key not in ("network", "opset"))
    onnx.save(cheap, str(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("genas", "model", "folder", "out"):
        parser.add_argument(name)
    parser.add_argument("--repetitions", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    cheap = pathlib.Path(tempfile.mkdtemp()) / "cheap.onnx"
    cheap_model(args.model, cheap)

    def evaluate(model):
        flags = ("--set", "folder", "--data", args.folder, "--ignore-labels")
        return lambda: genas(args.genas, args.threads, "evaluate", model, *flags)["images_per_second"]

    def bench(batch, threads):
        flags = ("--batch", batch, "--seconds", 3)
        return lambda: genas(args.genas, threads, "bench", args.model, *flags)["rows"][0]["median_ms"]

    cases = [("evaluate, images/s", evaluate(args.model), lambda: torchvision_evaluate(args.model, args.folder, args.threads)),
             ("loader, images/s", evaluate(cheap), lambda: torchvision_evaluate(cheap, args.folder, args.threads))]
    for threads in (1, args.threads):
        for batch in (1, 8):
            cases.append((f"session, batch {batch}, {threads} threads, ms", bench(batch, threads),
                          lambda batch=batch, threads=threads: python_session(args.model, batch, threads)))
    rows = []
    for repetition in range(args.repetitions):
        for name, ours, theirs in cases:
            # In turns, and by turns first.
            pair = [("genas", ours), ("python", theirs)]
            for who, measure in pair if repetition % 2 == 0 else pair[::-1]:
                rows.append((repetition, name, who, measure()))
                print(*rows[-1], file=sys.stderr, flush=True)
    with open(out / "raw.csv", "w", newline="") as file:
        csv.writer(file).writerows([("repetition", "case", "program", "value"), *rows])
    with open(out / "summary.md", "w") as file:
        file.write("Medians of the repetitions but the first, and the median of genas over Python within a repetition.\n\n")
        file.write("| case | genas | Python | genas / Python | smallest | largest |\n|---|---|---|---|---|---|\n")
        for name, *_ in cases:
            of = lambda who: [value for r, case, w, value in rows if r > 0 and case == name and w == who]
            ratios = [a / b for a, b in zip(of("genas"), of("python"))]
            middle = [statistics.median(x) for x in (of("genas"), of("python"), ratios)]
            file.write("| {} | {:.4g} | {:.4g} | {:.3f} | {:.3f} | {:.3f} |\n".format(name, *middle, min(ratios), max(ratios)))
    print((out / "summary.md").read_text())


main()
