"""The published evaluation networks in PyTorch, written from spec 01 (A6, A7), with the module names of the published
implementation, for the cells of GENAS_FLATNESS_CIFAR100."""
import torch
from torch import nn

# GENAS_FLATNESS_CIFAR100
NORMAL = [("skip_connect", 0), ("sep_conv_5x5", 1), ("sep_conv_3x3", 1), ("sep_conv_3x3", 2),
          ("sep_conv_3x3", 2), ("sep_conv_5x5", 3), ("sep_conv_3x3", 1), ("dil_conv_5x5", 4)]
REDUCE = [("dil_conv_3x3", 0), ("skip_connect", 1), ("avg_pool_3x3", 0), ("sep_conv_5x5", 2),
          ("sep_conv_5x5", 1), ("dil_conv_5x5", 3), ("max_pool_3x3", 1), ("max_pool_3x3", 2)]


def conv(c_in, c_out, k, stride=1, padding=0, dilation=1, groups=1):
    return nn.Conv2d(c_in, c_out, k, stride, padding, dilation, groups, bias=False)


class Op(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.op = nn.Sequential(*layers)

    def forward(self, x):
        return self.op(x)


class FactorizedReduce(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv_1, self.conv_2 = (conv(c_in, c_out // 2, 1, 2) for _ in range(2))
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x):
        x = torch.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], 1))


def operation(name, c, stride):
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(c, c)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    k = int(name[-1])
    if name.startswith("dil"):
        return Op(nn.ReLU(), conv(c, c, k, stride, k - 1, 2, c), conv(c, c, 1), nn.BatchNorm2d(c))
    return Op(nn.ReLU(), conv(c, c, k, stride, k // 2, 1, c), conv(c, c, 1), nn.BatchNorm2d(c),
              nn.ReLU(), conv(c, c, k, 1, k // 2, 1, c), conv(c, c, 1), nn.BatchNorm2d(c))


class Cell(nn.Module):
    def __init__(self, c_prev_prev, c_prev, c, reduction, reduction_prev):
        super().__init__()
        one = lambda c_in: Op(nn.ReLU(), conv(c_in, c, 1), nn.BatchNorm2d(c))
        self.preprocess0 = FactorizedReduce(c_prev_prev, c) if reduction_prev else one(c_prev_prev)
        self.preprocess1 = one(c_prev)
        self.pairs = REDUCE if reduction else NORMAL
        self._ops = nn.ModuleList(operation(n, c, 2 if reduction and i < 2 else 1) for n, i in self.pairs)

    def forward(self, s0, s1, drop_path=0.0):
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for node in range(4):
            branches = []
            for n in (0, 1):
                op = self._ops[2 * node + n]
                x = op(states[self.pairs[2 * node + n][1]])
                if self.training and drop_path > 0 and not isinstance(op, nn.Identity):
                    keep = torch.empty(len(x), 1, 1, 1).bernoulli_(1 - drop_path)
                    x = x / (1 - drop_path) * keep
                branches.append(x)
            states.append(branches[0] + branches[1])
        return torch.cat(states[2:], 1)


class Network(nn.Module):
    def __init__(self, c, classes, layers=14):
        super().__init__()
        self.stem0 = nn.Sequential(conv(3, c // 2, 3, 2, 1), nn.BatchNorm2d(c // 2), nn.ReLU(),
                                   conv(c // 2, c, 3, 2, 1), nn.BatchNorm2d(c))
        self.stem1 = nn.Sequential(nn.ReLU(), conv(c, c, 3, 2, 1), nn.BatchNorm2d(c))
        self.cells, before, prev, reduced = nn.ModuleList(), c, c, True
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            c *= 2 if reduction else 1
            self.cells.append(Cell(before, prev, c, reduction, reduced))
            before, prev, reduced = prev, 4 * c, reduction
        self.classifier = nn.Linear(prev, classes)

    def forward(self, x):
        s0 = self.stem0(x)
        s1 = self.stem1(s0)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1)
        return self.classifier(s1.mean((2, 3)))


class CifarNetwork(nn.Module):
    """Logits, and while it trains those of the auxiliary head."""

    def __init__(self, c, classes, layers=20):
        super().__init__()
        self.stem = nn.Sequential(conv(3, 3 * c, 3, 1, 1), nn.BatchNorm2d(3 * c))
        self.cells, before, prev, reduced = nn.ModuleList(), 3 * c, 3 * c, False
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            c *= 2 if reduction else 1
            self.cells.append(Cell(before, prev, c, reduction, reduced))
            before, prev, reduced = prev, 4 * c, reduction
            if layer == 2 * layers // 3:
                self.auxiliary_at = layer
                self.auxiliary = nn.Sequential(nn.ReLU(), nn.AvgPool2d(5, 3, 0, count_include_pad=False), conv(prev, 128, 1),
                                               nn.BatchNorm2d(128), nn.ReLU(), conv(128, 768, 2), nn.BatchNorm2d(768), nn.ReLU(),
                                               nn.Flatten(), nn.Linear(768, classes))
        self.classifier = nn.Linear(prev, classes)

    def forward(self, x, drop_path=0.0):
        s0 = s1 = self.stem(x)
        for layer, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, drop_path)
            if layer == self.auxiliary_at and self.training:
                auxiliary = self.auxiliary(s1)
        logits = self.classifier(s1.mean((2, 3)))
        return (logits, auxiliary) if self.training else logits
