"""DenseNets with bottlenecks and compression ½ (Huang et al., CVPR 2017) for small images, as published for CIFAR: a
3×3 stem without pooling, and no ReLU in the transitions."""

import torch
from torch import nn

from .layers import conv, mean


class DenseLayer(nn.Module):
    def __init__(self, inputs, growth):
        super().__init__()
        self.bottle_neck = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            conv(inputs, 4 * growth, 1),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            conv(4 * growth, growth, 3),
        )

    def forward(self, x):
        return torch.cat([x, self.bottle_neck(x)], 1)


class Transition(nn.Module):
    """Half the channels at half the side."""

    def __init__(self, inputs):
        super().__init__()
        self.down_sample = nn.Sequential(nn.BatchNorm2d(inputs), conv(inputs, inputs // 2, 1), nn.AvgPool2d(2))

    def forward(self, x):
        return self.down_sample(x)


class DenseNet(nn.Module):
    def __init__(self, growth, depths, channels, classes):
        super().__init__()
        width = 2 * growth
        self.conv1 = conv(channels, width, 3)
        self.features = nn.Sequential()
        for i, depth in enumerate(depths):
            is_last = i == len(depths) - 1
            block = nn.Sequential()
            for j in range(depth):
                block.add_module(f"bottle_neck_layer_{j}", DenseLayer(width, growth))
                width += growth
            # The last block is named differently in the published definition.
            self.features.add_module(f"dense_block{i}" if is_last else f"dense_block_layer_{i}", block)
            if not is_last:
                self.features.add_module(f"transition_layer_{i}", Transition(width))
                width //= 2
        self.features.add_module("bn", nn.BatchNorm2d(width))
        self.features.add_module("relu", nn.ReLU())
        self.linear = nn.Linear(width, classes)

    def forward(self, x):
        return self.linear(mean(self.features(self.conv1(x))))
