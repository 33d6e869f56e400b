#!/usr/bin/env python3
"""DeepLab-v3's parts in PyTorch, in double precision: heads, losses, dilated pools, bilinear resizing, schedule.

The heads are wired as MMSegmentation's ASPPHead and FCNHead (one convolution, nothing concatenated), dropout left out.
What goes in is made from a formula that the tests know too; what is long is recorded as the sum of its squares and its
product with that formula's numbers. usage: python3 deeplab_torch.py > deeplab.json      (torch 2.15.0)
"""
import json

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def pattern(shape, seed):
    n = torch.Size(shape).numel()
    # The tests make these in single precision.
    values = ((torch.arange(n) * 7919 + seed * 4729) % 10007).float() / 5003.0 - 1.0
    return values.double().reshape(shape)


def single(x):
    return x.float().double()


def flat(x):
    return [float(f"{v:.9g}") for v in x.detach().reshape(-1).tolist()]


def summary(x):
    return [(x * x).sum().item(), (x * pattern(x.shape, 1)).sum().item()]


def heads(align_corners):
    c4_channels, c5_channels, c, aux, rates, classes = 16, 32, 4, 6, [1, 2, 5], 3
    p = {}

    def parameter(name, shape):
        seed = sum(name.encode())
        if name.endswith("bn.weight"):
            value = single(1.0 + single(0.5 * pattern(shape, seed)))
        elif len(shape) == 4:
            fan_in = torch.tensor(float(torch.Size(shape[1:]).numel()), dtype=torch.float32)
            size = (2.0 / fan_in.sqrt()).double()
            value = single(size * pattern(shape, seed))
        else:
            value = single(0.5 * pattern(shape, seed))
        p[name] = value.requires_grad_()
        return p[name]

    def block(name, c_in, c_out, kernel, rate, x):
        weight = parameter(f"{name}.conv.weight", [c_out, c_in, kernel, kernel])
        x = F.conv2d(x, weight, padding=rate * (kernel // 2), dilation=rate)
        gamma, beta = parameter(f"{name}.bn.weight", [c_out]), parameter(f"{name}.bn.bias", [c_out])
        return F.relu(F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5))

    def classifier(name, c_in, x):
        weight = parameter(f"{name}.classifier.weight", [classes, c_in, 1, 1])
        return F.conv2d(x, weight, parameter(f"{name}.classifier.bias", [classes]))

    def resize(x, size):
        return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)

    c4 = pattern([3, c4_channels, 7, 9], 11).requires_grad_()
    c5 = pattern([3, c5_channels, 7, 9], 12).requires_grad_()
    branches = [resize(block("head.image_pool", c5_channels, c, 1, 1, F.adaptive_avg_pool2d(c5, 1)), c5.shape[2:])]
    branches.append(block("head.branches.0", c5_channels, c, 1, 1, c5))
    for n, rate in enumerate(rates):
        branches.append(block(f"head.branches.{n + 1}", c5_channels, c, 3, rate, c5))
    logits = classifier("head", c, block("head.bottleneck", 5 * c, c, 3, 1, torch.cat(branches, 1)))
    auxiliary = classifier("auxiliary", aux, block("auxiliary.conv", c4_channels, aux, 3, 1, c4))

    place = torch.arange(3 * 56 * 72)
    squares = place * place
    labels = torch.where(squares % 7 == 1, 255, squares % 11 % 3).reshape(3, 56, 72)
    # Mean over all pixels, ignored ones included: MMSegmentation with avg_non_ignore off.
    losses = [
        F.cross_entropy(resize(x, (56, 72)), labels, ignore_index=255, reduction="none").mean() for x in (logits, auxiliary)
    ]
    (losses[0] + 0.4 * losses[1]).backward()
    gradients = {"c4": summary(c4.grad), "c5": summary(c5.grad)}
    gradients |= {name: summary(value.grad) for name, value in p.items()}
    return {
        "align_corners": align_corners,
        "loss": losses[0].item(),
        "auxiliary_loss": losses[1].item(),
        "logits": flat(logits),
        "auxiliary": flat(auxiliary),
        "gradients": gradients,
    }


def out_and_gradient(x, y):
    g = pattern(y.shape, 3)
    y.backward(g)
    return {"out": flat(y), "gradient": flat(x.grad)}


def resizes():
    found = []
    for align_corners in (False, True):
        for shape, size in [([2, 2, 4, 5], [9, 11]), ([1, 2, 9, 7], [4, 5]), ([1, 3, 1, 1], [3, 4]), ([1, 1, 3, 6], [24, 1])]:
            x = pattern(shape, 2).requires_grad_()
            y = F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)
            found.append({"align_corners": align_corners, "shape": shape, "size": size} | out_and_gradient(x, y))
    return found


def pools():
    found = []
    for dilation in (2, 4):
        for kind in ("max", "mean"):
            shape = [2, 2, 10, 11]
            x = pattern(shape, 5).requires_grad_()
            if kind == "max":
                # PyTorch pads by half of the kernel at most, its dilation not counted.
                padded = F.pad(x, (dilation,) * 4, value=float("-inf"))
                y = F.max_pool2d(padded, 3, stride=1, dilation=dilation)
            else:
                # PyTorch has none: means over what is inside the image.
                def sums(x):
                    return F.unfold(x, 3, dilation, dilation, 1).reshape(x.shape[0], x.shape[1], 9, *shape[2:]).sum(2)

                y = sums(x) / sums(torch.ones(shape))
            found.append({"kind": kind, "dilation": dilation, "shape": shape} | out_and_gradient(x, y))
    return found


def losses():
    found = []
    shape = [2, 4, 3, 5]
    place = torch.arange(30)
    labels = torch.where(place % 4 == 0, 255, place * place % 4).reshape(2, 3, 5)
    for weights in (None, [0.5, 2.0, 0.25, 1.25]):
        for average in ("counted", "all"):
            x = (3.0 * pattern(shape, 7)).float().double().requires_grad_()
            weight = None if weights is None else torch.tensor(weights)
            reduction = "mean" if average == "counted" else "none"
            loss = F.cross_entropy(x, labels, weight=weight, ignore_index=255, reduction=reduction).mean()
            loss.backward()
            found.append({"weights": weights, "average": average, "loss": loss.item(), "gradient": flat(x.grad)})
    return found


def schedule():
    """torch's PolynomialLR ends at 0: the minimum is added, and taken off the base."""
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.01 - 1e-4)
    poly = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=40, power=0.9)
    rates = []
    for _ in range(42):
        rates.append(optimizer.param_groups[0]["lr"] + 1e-4)
        optimizer.step()
        poly.step()
    return {"base": 0.01, "min": 1e-4, "power": 0.9, "steps": 40, "rates": rates}


print(
    json.dumps(
        {
            "heads": [heads(False), heads(True)],
            "resizes": resizes(),
            "pools": pools(),
            "losses": losses(),
            "schedule": schedule(),
        }
    )
)
