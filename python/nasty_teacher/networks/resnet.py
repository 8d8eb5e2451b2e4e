"""ResNets (He et al., CVPR 2016) with a stem for small images: one 3×3 convolution, no pooling."""

from torch import nn
from torch.nn import functional as F

from .layers import conv, mean, stages


class Block(nn.Module):
    def __init__(self, kind, inputs, width, stride):
        super().__init__()
        if kind == "basic":
            convs = [conv(inputs, width, 3, stride), conv(width, width, 3)]
        else:
            convs = [conv(inputs, width, 1), conv(width, width, 3, stride), conv(width, 4 * width, 1)]
        for i, convolution in enumerate(convs, 1):
            self.add_module(f"conv{i}", convolution)
            self.add_module(f"bn{i}", nn.BatchNorm2d(convolution.out_channels))
        self.count, self.outputs = len(convs), convs[-1].out_channels
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != self.outputs:
            self.shortcut.extend([conv(inputs, self.outputs, 1, stride), nn.BatchNorm2d(self.outputs)])

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.count:
                y = F.relu(y)
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, kind, depths, channels, classes):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, 64, 3), nn.BatchNorm2d(64)
        inputs = 64
        for (stage, width, stride), depth in zip(stages([64, 128, 256, 512]), depths):
            blocks = []
            for i in range(depth):
                blocks.append(Block(kind, inputs, width, stride if i == 0 else 1))
                inputs = blocks[-1].outputs
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(mean(self.layer4(self.layer3(self.layer2(self.layer1(x))))))
