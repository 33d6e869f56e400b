"""Records what hessian.rs compares with: gradient and whole Hessian of a small cell's loss in JAX's double precision.

    python search/tests/hessian.py > search/tests/hessian.json

Needs jax. BatchNorm normalises by running statistics. Parameters and statistics are pattern() of their names.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

jax.config.update("jax_enable_x64", True)

CHANNELS, CLASSES, SHAPE = 2, 3, [12, 3, 8, 8]
LABELS = [n % CLASSES for n in range(SHAPE[0])]
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"


def pattern(shape, seed):
    n = int(np.prod(shape))
    return (((np.arange(n) * 7919 + seed * 4729) % 10007).astype(np.float32) / np.float32(5003) - np.float32(1)).reshape(shape)


class Net:
    """Declares parameters where `given` has none."""

    def __init__(self, given=None):
        self.given, self.parameters = given, {}

    def value(self, name, shape):
        values = pattern(shape, sum(name.encode()))
        if name.endswith(("bn.weight", "running_var")):
            values = np.float32(1) + np.float32(0.5) * values
        elif len(shape) == 4:
            values = np.float32(2) / np.sqrt(np.float32(np.prod(shape[1:]))) * values
        else:
            values = np.float32(0.5) * values
        return jnp.asarray(values.astype(np.float64))

    def parameter(self, name, shape):
        if self.given is not None:
            return self.given[name]
        self.parameters[name] = self.value(name, shape)
        return self.parameters[name]

    def conv(self, name, c_out, kernel, stride, x):
        weight = self.parameter(f"{name}.weight", [c_out, x.shape[1], kernel, kernel])
        pad = kernel // 2
        return lax.conv_general_dilated(x, weight, (stride, stride), [(pad, pad)] * 2)

    def bn(self, name, x, affine=True):
        c = x.shape[1]
        mean, variance = self.value(f"{name}.running_mean", [c]), self.value(f"{name}.running_var", [c])
        over = lambda v: v.reshape(1, c, 1, 1)
        y = (x - over(mean)) / jnp.sqrt(over(variance) + 1e-5)
        if not affine:
            return y
        return y * over(self.parameter(f"{name}.weight", [c])) + over(self.parameter(f"{name}.bias", [c]))

    def relu_conv_bn(self, name, c_out, kernel, stride, x, affine=True):
        return self.bn(f"{name}.bn", self.conv(f"{name}.conv", c_out, kernel, stride, jax.nn.relu(x)), affine)

    def pool(self, x, size, stride, pad):
        window, strides, pads = (1, 1, size, size), (1, 1, stride, stride), [(0, 0), (0, 0), (pad, pad), (pad, pad)]
        total = lambda v: lax.reduce_window(v, 0.0, lax.add, window, strides, pads)
        return total(x) / total(jnp.ones_like(x))

    def operation(self, name, op, x):
        if op == "none":
            return 0.0 * x
        if op == "skip_connect":
            return x
        if op == "avg_pool_3x3":
            return self.pool(x, 3, 1, 1)
        return self.relu_conv_bn(f"{name}.{op}", x.shape[1], int(op[-1]), 1, x, affine=False)

    def cell(self, name, x):
        nodes, edge = [x], 0
        for group in CELL.split("+"):
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
        return self.conv(f"{name}.shortcut.conv", c, 1, 1, self.pool(x, 2, 2, 0)) + y

    def loss(self):
        x = jnp.asarray(pattern(SHAPE, 11).astype(np.float64))
        x = self.bn("stem.bn", self.conv("stem.conv", CHANNELS, 3, 1, x))
        x = self.cell("cells.0", x)
        x = self.cell("cells.2", self.residual("residuals.1", x))
        x = self.cell("cells.4", self.residual("residuals.3", x))
        x = jax.nn.relu(self.bn("last.bn", x)).mean((2, 3))
        logits = x @ self.parameter("classifier.weight", [CLASSES, x.shape[1]]).T + self.parameter("classifier.bias", [CLASSES])
        log_p = jax.nn.log_softmax(logits)
        return -log_p[jnp.arange(SHAPE[0]), jnp.array(LABELS)].mean()


net = Net()
loss = net.loss()
names = list(net.parameters)


def split(vector):
    parts, at = {}, 0
    for name in names:
        shape = net.parameters[name].shape
        n = int(np.prod(shape))
        parts[name], at = vector[at : at + n].reshape(shape), at + n
    return parts


def listed(vector, keep=lambda name: True):
    return {name: [float(f"{v:.7g}") for v in np.asarray(part).ravel()] for name, part in split(vector).items() if keep(name)}


start = jnp.concatenate([net.parameters[name].ravel() for name in names])
of_vector = lambda vector: Net(split(vector)).loss()
gradient, hessian = jax.grad(of_vector)(start), np.asarray(jax.hessian(of_vector)(start))
assert np.abs(hessian - hessian.T).max() < 1e-9

cases = []
for position in ("all", "cells"):
    keep = lambda name: position == "all" or name.startswith("cells.")
    kept = np.concatenate([np.full(net.parameters[name].size, keep(name)) for name in names])
    values, vectors = np.linalg.eigh(hessian[np.ix_(kept, kept)])
    order = np.argsort(-np.abs(values))
    vector = np.zeros(len(start))
    vector[kept] = vectors[:, order[0]]
    cases.append({"position": position, "eigenvalues": values[order[:3]].tolist(), "vector": listed(vector, keep)})

print(json.dumps({"channels": CHANNELS, "classes": CLASSES, "shape": SHAPE, "labels": LABELS, "cell": CELL, "loss": float(loss), "gradient": listed(gradient), "cases": cases}))
