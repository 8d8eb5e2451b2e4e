"""The networks of the comparison as plain PyTorch definitions (`tv-…`: torchvision's): the same structure as ours, parameter for parameter."""

import torch
from torch import nn
from torch.nn import functional as F


def conv(i, o, side, stride=1, groups=1, bias=False):
    return nn.Conv2d(i, o, side, stride, side // 2, groups=groups, bias=bias)


class Cnn(nn.Module):
    """Three convolutions of w, 2w and 4w channels with batch-norm, 2x2 maxima and ReLU; a hidden layer of 4w."""

    def __init__(self, classes, side, w=32):
        super().__init__()
        layers, i = [], 3
        for o in (w, 2 * w, 4 * w):
            layers += [conv(i, o, 3, bias=True), nn.BatchNorm2d(o), nn.MaxPool2d(2), nn.ReLU()]
            i = o
        flat = 4 * w * (side // 8) ** 2
        hidden = [nn.Flatten(), nn.Linear(flat, 4 * w), nn.BatchNorm1d(4 * w), nn.ReLU()]
        self.layers = nn.Sequential(*layers, *hidden, nn.Linear(4 * w, classes))

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


class CifarBlock(nn.Module):
    """Basic block whose shortcut takes every second pixel and lays the channels between zeros."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(i, o, 3, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3), nn.BatchNorm2d(o)
        self.stride, self.zeros = stride, (o - i) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.zeros, self.zeros))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    def __init__(self, depth, classes):
        super().__init__()
        blocks, i = [conv(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU()], 16
        for stage, o in enumerate((16, 32, 64)):
            for n in range((depth - 2) // 6):
                blocks.append(CifarBlock(i, o, 2 if stage > 0 and n == 0 else 1))
                i = o
        self.blocks, self.linear = nn.Sequential(*blocks), nn.Linear(i, classes)

    def forward(self, x):
        return self.linear(self.blocks(x).mean((2, 3)))


def conv_bn(i, o, side, stride=1, groups=1, act=None):
    layers = [conv(i, o, side, stride, groups, bias=True), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, *([act()] if act else []))


class InvertedResidual(nn.Module):
    def __init__(self, i, o, stride, expansion):
        super().__init__()
        w = i * expansion
        self.layers = nn.Sequential(
            conv_bn(i, w, 1, act=nn.ReLU6), conv_bn(w, w, 3, stride, w, nn.ReLU6), conv_bn(w, o, 1)
        )
        self.residual = stride == 1 and i == o

    def forward(self, x):
        return self.layers(x) + x if self.residual else self.layers(x)


class MobileNetV2(nn.Module):
    # Blocks, output channels, stride of the first block, expansion.
    STAGES = (
        *((1, 16, 1, 1), (2, 24, 2, 6), (3, 32, 2, 6), (4, 64, 2, 6)),
        *((3, 96, 1, 6), (3, 160, 1, 6), (1, 320, 1, 6)),
    )

    def __init__(self, classes):
        super().__init__()
        stem = nn.Conv2d(3, 32, 1, padding=1)
        blocks, i = [stem, nn.BatchNorm2d(32), nn.ReLU6()], 32
        for repeats, o, stride, expansion in self.STAGES:
            for n in range(repeats):
                blocks.append(InvertedResidual(i, o, stride if n == 0 else 1, expansion))
                i = o
        self.blocks = nn.Sequential(*blocks, conv_bn(i, 1280, 1, act=nn.ReLU6))
        self.classifier = nn.Conv2d(1280, classes, 1)

    def forward(self, x):
        return self.classifier(self.blocks(x).mean((2, 3), keepdim=True)).flatten(1)


class ShuffleUnit(nn.Module):
    def __init__(self, i, o, strided):
        super().__init__()
        half = o // 2
        w, stride = (i, 2) if strided else (half, 1)
        self.residual = nn.Sequential(
            conv_bn(w, w, 1, act=nn.ReLU), conv_bn(w, w, 3, stride, w), conv_bn(w, half, 1, act=nn.ReLU)
        )
        both = [conv_bn(i, i, 3, 2, i), conv_bn(i, half, 1, act=nn.ReLU)]
        self.shortcut = nn.Sequential(*both) if strided else None

    def forward(self, x):
        shortcut, x = (self.shortcut(x), x) if self.shortcut else x.chunk(2, 1)
        y = torch.cat((shortcut, self.residual(x)), 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleNetV2(nn.Module):
    # Output channels, units.
    STAGES = ((116, 4), (232, 8), (464, 4))

    def __init__(self, classes):
        super().__init__()
        units, i = [conv_bn(3, 24, 3)], 24
        for o, repeats in self.STAGES:
            for n in range(repeats):
                units.append(ShuffleUnit(i, o, n == 0))
                i = o
        self.units = nn.Sequential(*units, conv_bn(i, 1024, 1, act=nn.ReLU))
        self.fc = nn.Linear(1024, classes)

    def forward(self, x):
        return self.fc(self.units(x).mean((2, 3)))


class ResNext(nn.Module):
    """ResNeXt-29 8x64d."""

    def __init__(self, classes):
        super().__init__()
        blocks, i = [conv(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU()], 64
        for stage in range(3):
            width, o = 512 << stage, 256 << stage
            for n in range(3):
                blocks.append(Block(i, width, o, 2 if stage > 0 and n == 0 else 1, False, groups=8))
                i = o
        self.blocks, self.classifier = nn.Sequential(*blocks), nn.Linear(i, classes)

    def forward(self, x):
        return self.classifier(self.blocks(x).mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, i, growth):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.BatchNorm2d(i), nn.ReLU(), conv(i, 4 * growth, 1)),
            *(nn.BatchNorm2d(4 * growth), nn.ReLU(), conv(4 * growth, growth, 3)),
        )

    def forward(self, x):
        return torch.cat((x, self.layers(x)), 1)


class DenseNet(nn.Module):
    """DenseNet-121 for small images."""

    def __init__(self, classes, growth=32, depths=(6, 12, 24, 16)):
        super().__init__()
        i = 2 * growth
        blocks = [conv(3, i, 3)]
        for block, depth in enumerate(depths):
            for _ in range(depth):
                blocks.append(DenseLayer(i, growth))
                i += growth
            if block + 1 < len(depths):
                blocks += [nn.BatchNorm2d(i), conv(i, i // 2, 1), nn.AvgPool2d(2)]
                i //= 2
        self.blocks = nn.Sequential(*blocks, nn.BatchNorm2d(i), nn.ReLU())
        self.linear = nn.Linear(i, classes)

    def forward(self, x):
        return self.linear(self.blocks(x).mean((2, 3)))


NETWORKS = {
    "cnn": lambda classes, side: Cnn(classes, side),
    "preresnet20": lambda classes, side: PreResNet(20, classes),
    "preresnet32": lambda classes, side: PreResNet(32, classes),
    "resnet20": lambda classes, side: CifarResNet(20, classes),
    "mobilenetv2": lambda classes, side: MobileNetV2(classes),
    "shufflenetv2": lambda classes, side: ShuffleNetV2(classes),
    "resnext29": lambda classes, side: ResNext(classes),
    "densenet121": lambda classes, side: DenseNet(classes),
    "resnet18": lambda classes, side: ResNet((2, 2, 2, 2), True, classes),
    "resnet34": lambda classes, side: ResNet((3, 4, 6, 3), True, classes),
    "resnet50": lambda classes, side: ResNet((3, 4, 6, 3), False, classes),
}


def torchvision_network(name, classes):
    """torchvision's own definition; whole residual branches are never left out, as with ours by default."""
    import torchvision

    network = torchvision.models.get_model(name, weights=None, num_classes=classes)
    for module in network.modules():
        if isinstance(module, torchvision.ops.StochasticDepth):
            module.p = 0.0
    return network


def build(name, classes, side):
    torch.manual_seed(0)
    if name.startswith("tv-"):
        return torchvision_network(name.removeprefix("tv-"), classes)
    return NETWORKS[name](classes, side)
