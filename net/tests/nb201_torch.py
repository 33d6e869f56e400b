"""Records what nb201.rs compares with: steps of NAS-Bench-201 networks in PyTorch's double precision.

    python net/tests/nb201_torch.py > net/tests/nb201.json

Needs torch; 2.9.1 was used. Parameters are pattern() of their names, rounded to single precision.
"""

import json

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

CHANNELS, CLASSES, SHAPE = 4, 3, [2, 3, 8, 8]
LABELS = [2, 0]
ALL_OPS = "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|"
# Node 1 is zeros, and two convolutions read it.
ZERO_NODE = "|none~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"
DEAD_NODE = "|avg_pool_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"


def pattern(shape, seed):
    n = torch.Size(shape).numel()
    # Exact in single precision up to the division, which both sides round alike.
    values = ((torch.arange(n) * 7919 + seed * 4729) % 10007).float() / 5003.0 - 1.0
    return values.double().reshape(shape)


def single(x):
    return x.float().double()


class Net:
    def __init__(self, affine):
        self.affine, self.parameters, self.statistics = affine, {}, {}

    def parameter(self, name, shape):
        seed = sum(name.encode())
        if name.endswith("bn.weight"):
            value = single(1.0 + single(0.5 * pattern(shape, seed)))
        elif len(shape) == 4:
            fan_in = torch.tensor(float(torch.Size(shape[1:]).numel()), dtype=torch.float32)
            value = single((2.0 / fan_in.sqrt()).double() * pattern(shape, seed))
        else:
            value = single(0.5 * pattern(shape, seed))
        self.parameters[name] = value.requires_grad_()
        return self.parameters[name]

    def conv(self, name, c_out, kernel, stride, x):
        weight = self.parameter(f"{name}.weight", [c_out, x.shape[1], kernel, kernel])
        return F.conv2d(x, weight, stride=stride, padding=kernel // 2)

    def bn(self, name, x, affine=True):
        c = x.shape[1]
        pair = (self.parameter(f"{name}.weight", [c]), self.parameter(f"{name}.bias", [c])) if affine else (None, None)
        mean, variance = torch.zeros(c), torch.ones(c)
        y = F.batch_norm(x, mean, variance, *pair, training=True, momentum=0.1, eps=1e-5)
        self.statistics[name] = [mean.sum().item(), variance.sum().item()]
        return y

    def relu_conv_bn(self, name, c_out, kernel, stride, x, affine=True):
        return self.bn(f"{name}.bn", self.conv(f"{name}.conv", c_out, kernel, stride, F.relu(x)), affine)

    def operation(self, name, op, x):
        if op == "none":
            return x.mul(0.0)
        if op == "skip_connect":
            return x
        if op == "avg_pool_3x3":
            return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return self.relu_conv_bn(f"{name}.{op}", x.shape[1], int(op[-1]), 1, x, self.affine)

    def cell(self, name, arch, x):
        nodes, edge = [x], 0
        for group in arch.split("+"):
            total = 0
            for text in group.strip("|").split("|"):
                op, source = text.split("~")
                total = total + self.operation(f"{name}.edges.{edge}", op, nodes[int(source)])
                edge += 1
            nodes.append(total)
        return nodes[3]

    def residual(self, name, x):
        c = 2 * x.shape[1]
        y = self.relu_conv_bn(f"{name}.conv_a", c, 3, 2, x)
        y = self.relu_conv_bn(f"{name}.conv_b", c, 3, 1, y)
        return self.conv(f"{name}.shortcut.conv", c, 1, 1, F.avg_pool2d(x, 2, 2, 0)) + y

    def forward(self, cells, x):
        x = self.bn("stem.bn", self.conv("stem.conv", CHANNELS, 3, 1, x))
        for number, arch in enumerate(cells):
            x = self.residual(f"residuals.{number}", x) if arch is None else self.cell(f"cells.{number}", arch, x)
        x = F.relu(self.bn("last.bn", x)).mean((2, 3))
        return F.linear(x, self.parameter("classifier.weight", [CLASSES, x.shape[1]]), self.parameter("classifier.bias", [CLASSES]))


def case(affine, archs):
    net = Net(affine)
    cells = [archs[0], None, archs[1], None, archs[2]]
    logits = net.forward(cells, pattern(SHAPE, 11))
    loss = F.cross_entropy(logits, torch.tensor(LABELS))
    loss.backward()
    norms = {name: value.grad.norm().item() for name, value in net.parameters.items()}
    return {
        "supernet": not affine,
        "cells": archs,
        "loss": loss.item(),
        "logits": logits.flatten().tolist(),
        "gradient_norms": norms,
        "statistics": net.statistics,
    }


def nesterov():
    """Weights after each of four steps with weight decay, gradients given."""
    weight = single(pattern([5], 1)).requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.025, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = []
    for step in range(4):
        weight.grad = pattern([5], 20 + step)
        optimizer.step()
        steps.append(weight.tolist())
    return steps


cases = [case(True, [arch] * 3) for arch in (ALL_OPS, ZERO_NODE, DEAD_NODE)] + [case(False, [ALL_OPS, ZERO_NODE, DEAD_NODE])]
print(json.dumps({"labels": LABELS, "shape": SHAPE, "channels": CHANNELS, "classes": CLASSES, "cases": cases, "nesterov": nesterov()}))
