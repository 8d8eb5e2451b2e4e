"""Wide ResNets (Zagoruyko & Komodakis, BMVC 2016)."""

from torch import nn
from torch.nn import functional as F

from .layers import conv, final_pool, stages


class Block(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, width, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), conv(width, width, 3)
        self.convShortcut = conv(inputs, width, 1, stride) if inputs != width else None

    def forward(self, x):
        normalised = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(normalised))))
        return y + (x if self.convShortcut is None else self.convShortcut(normalised))


class Stage(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.layer = nn.Sequential(*blocks)

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, depth, widen, channels, classes):
        super().__init__()
        self.conv1 = conv(channels, 16, 3)
        inputs = 16
        for stage, width, stride in stages([16 * widen, 32 * widen, 64 * widen]):
            blocks = []
            for i in range((depth - 4) // 6):
                blocks.append(Block(inputs, width, stride if i == 0 else 1))
                inputs = width
            self.add_module(f"block{stage}", Stage(blocks))
        self.bn1 = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(final_pool(F.relu(self.bn1(x))))
