"""The networks of the comparison as plain PyTorch definitions: the same structure as ours, parameter for parameter."""

import torch
from torch import nn
from torch.nn import functional as F


def conv(i, o, side, stride=1, groups=1, bias=False):
    return nn.Conv2d(i, o, side, stride, side // 2, groups=groups, bias=bias)


class Cnn(nn.Module):
    """Three convolutions of w, 2w and 4w channels, each with batch-norm, ReLU and 2x2 maxima, and a hidden layer of 4w."""

    def __init__(self, classes, side, w=32):
        super().__init__()
        layers, i = [], 3
        for o in (w, 2 * w, 4 * w):
            layers += [conv(i, o, 3, bias=True), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2)]
            i = o
        flat = 4 * w * (side // 8) ** 2
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 4 * w), nn.ReLU(), nn.Linear(4 * w, classes))

    def forward(self, x):
        return self.layers(x)


class PreBlock(nn.Module):
    """Batch-norm, ReLU, convolution, twice; the shortcut is the raw input or its bare 1x1 convolution."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv(i, o, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), conv(o, o, 3)
        self.shortcut = conv(i, o, 1, stride) if stride > 1 or i != o else None

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x)))
        y = self.conv2(F.relu(self.bn2(y)))
        return y + (x if self.shortcut is None else self.shortcut(x))


class PreResNet(nn.Module):
    def __init__(self, depth, classes):
        super().__init__()
        blocks, i = [conv(3, 16, 3)], 16
        for stage, o in enumerate((16, 32, 64)):
            for n in range((depth - 2) // 6):
                blocks.append(PreBlock(i, o, 2 if stage > 0 and n == 0 else 1))
                i = o
        self.blocks, self.bn, self.fc = nn.Sequential(*blocks), nn.BatchNorm2d(i), nn.Linear(i, classes)

    def forward(self, x):
        return self.fc(F.avg_pool2d(F.relu(self.bn(self.blocks(x))), 8).flatten(1))


class Block(nn.Module):
    """Basic (two 3x3) or bottleneck (1x1, 3x3, 1x1) block with batch-norm after each convolution."""

    def __init__(self, i, width, o, stride, basic, groups=1):
        super().__init__()
        if basic:
            convs = [conv(i, width, 3, stride), conv(width, o, 3)]
        else:
            convs = [conv(i, width, 1), conv(width, width, 3, stride, groups), conv(width, o, 1)]
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c.out_channels) for c in convs)
        change = stride > 1 or i != o
        self.shortcut = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o)) if change else nn.Identity()

    def forward(self, x):
        y = x
        for n, (c, b) in enumerate(zip(self.convs, self.norms)):
            y = b(c(y))
            if n + 1 < len(self.convs):
                y = F.relu(y)
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, depths, basic, classes):
        super().__init__()
        blocks, i = [conv(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU()], 64
        for stage, depth in enumerate(depths):
            width = 64 << stage
            o = width if basic else 4 * width
            for n in range(depth):
                blocks.append(Block(i, width, o, 2 if stage > 0 and n == 0 else 1, basic))
                i = o
        self.blocks, self.linear = nn.Sequential(*blocks), nn.Linear(i, classes)

    def forward(self, x):
        return self.linear(self.blocks(x).mean((2, 3)))


NETWORKS = {
    "cnn": lambda classes, side: Cnn(classes, side),
    "preresnet20": lambda classes, side: PreResNet(20, classes),
    "preresnet32": lambda classes, side: PreResNet(32, classes),
    "resnet18": lambda classes, side: ResNet((2, 2, 2, 2), True, classes),
    "resnet34": lambda classes, side: ResNet((3, 4, 6, 3), True, classes),
    "resnet50": lambda classes, side: ResNet((3, 4, 6, 3), False, classes),
}


def build(name, classes, side):
    torch.manual_seed(0)
    return NETWORKS[name](classes, side)
