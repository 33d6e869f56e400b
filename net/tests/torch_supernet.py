"""The DARTS-space supernet in PyTorch, as functions of a dictionary with the published names of its parameters."""
import torch
import torch.nn.functional as F

FIRST_EDGE = [0, 2, 5, 9]


def bn(p, k, x):
    """With the batch's statistics while `p` has no running ones or `p["training"]`, else with the running ones."""
    mean, var = p.get(k + ".running_mean"), p.get(k + ".running_var")
    return F.batch_norm(x, mean, var, p[k + ".weight"], p[k + ".bias"], mean is None or p["training"], 0.1, 1e-5)


def factorized_reduce(p, k, x):
    x = F.relu(x)
    halves = [F.conv2d(x, p[k + ".conv_1.weight"], stride=2), F.conv2d(x[:, :, 1:, 1:], p[k + ".conv_2.weight"], stride=2)]
    return bn(p, k + ".bn", torch.cat(halves, 1))


def relu_conv_bn(p, k, x):
    return bn(p, k + ".op.2", F.conv2d(F.relu(x), p[k + ".op.1.weight"]))


def separable(p, k, n, x, stride, pad, dilation):
    """ReLU, depthwise `n`, pointwise `n + 1`, BatchNorm `n + 2`."""
    x = F.conv2d(F.relu(x), p[f"{k}.op.{n}.weight"], None, stride, pad, dilation, x.shape[1])
    return bn(p, f"{k}.op.{n + 2}", F.conv2d(x, p[f"{k}.op.{n + 1}.weight"]))


def operation(p, k, op, x, stride):
    if op == 1:
        return bn(p, k + ".1", F.max_pool2d(x, 3, stride, 1))
    if op == 2:
        return bn(p, k + ".1", F.avg_pool2d(x, 3, stride, 1, count_include_pad=False))
    if op == 3:
        return x if stride == 1 else factorized_reduce(p, k, x)
    if op in (4, 5):
        pad = op - 3
        return separable(p, k, 5, separable(p, k, 1, x, stride, pad, 1), 1, pad, 1)
    return separable(p, k, 1, x, stride, 2 * (op - 5), 2)


def forward(p, candidate, x):
    x = bn(p, "stem.1", F.conv2d(x, p["stem.0.weight"], padding=1))
    s0 = s1 = x
    after_reduction = False
    for n in range(8):
        reduction = n in (2, 5)
        genes, cell = candidate[14:] if reduction else candidate[:14], f"cells.{n}."
        first = factorized_reduce if after_reduction else relu_conv_bn
        states = [first(p, cell + "preprocess0", s0), relu_conv_bn(p, cell + "preprocess1", s1)]
        for node in range(4):
            edges = [(FIRST_EDGE[node] + s, s) for s in range(node + 2) if genes[FIRST_EDGE[node] + s]]
            states.append(sum(operation(p, f"{cell}_ops.{e}._ops.{genes[e]}", genes[e], states[s], 2 if reduction and s < 2 else 1) for e, s in edges))
        s0, s1, after_reduction = s1, torch.cat(states[2:], 1), reduction
    return F.linear(s1.mean((2, 3)), p["classifier.weight"], p["classifier.bias"])
