"""The ResNets for CIFAR (He et al., CVPR 2016, section 4.2), with shortcuts without parameters (option A)."""

from torch import nn
from torch.nn import functional as F

from .layers import conv, mean, stages


class Block(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.stride, self.zeros = stride, (width - inputs) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        # Every second pixel, between channels of zeros.
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return F.relu(y + F.pad(shortcut, (0, 0, 0, 0, self.zeros, self.zeros)))


class CifarResNet(nn.Module):
    def __init__(self, depth, channels, classes):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, 16, 3), nn.BatchNorm2d(16)
        inputs = 16
        for stage, width, stride in stages([16, 32, 64]):
            blocks = [Block(inputs, width, stride)]
            blocks += [Block(width, width, 1) for _ in range(1, (depth - 2) // 6)]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            inputs = width
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(mean(self.layer3(self.layer2(self.layer1(x)))))
