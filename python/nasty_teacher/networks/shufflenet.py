"""ShuffleNetV2 ×1.0 (Ma et al., ECCV 2018) for small images, as published for CIFAR: no ReLU and no pooling behind the
stem, a bias in every convolution, and the channel shuffle behind the concatenation."""

import torch
from torch import nn

from .layers import conv, mean

# Channels and units of each stage.
STAGES = [(116, 4), (232, 8), (464, 4)]


class Unit(nn.Module):
    """With stride 2, both branches see all channels; with stride 1, the first half of them passes unchanged."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        half = outputs // 2
        width = inputs if stride == 2 else half
        self.residual = nn.Sequential(
            conv(width, width, 1, bias=True),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            conv(width, width, 3, stride, width, bias=True),
            nn.BatchNorm2d(width),
            conv(width, half, 1, bias=True),
            nn.BatchNorm2d(half),
            nn.ReLU(),
        )
        self.shortcut = nn.Sequential()
        if stride == 2:
            self.shortcut.extend(
                [
                    conv(inputs, inputs, 3, stride, inputs, bias=True),
                    nn.BatchNorm2d(inputs),
                    conv(inputs, half, 1, bias=True),
                    nn.BatchNorm2d(half),
                    nn.ReLU(),
                ]
            )

    def forward(self, x):
        first, second = (x, x) if len(self.shortcut) else x.chunk(2, 1)
        # The channels of both branches in turn.
        return torch.stack([self.shortcut(first), self.residual(second)], 2).flatten(1, 2)


class ShuffleNetV2(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.pre = nn.Sequential(conv(channels, 24, 3, bias=True), nn.BatchNorm2d(24))
        inputs = 24
        for stage, (outputs, repeats) in enumerate(STAGES, 2):
            units = [Unit(inputs, outputs, 2)] + [Unit(outputs, outputs, 1) for _ in range(1, repeats)]
            self.add_module(f"stage{stage}", nn.Sequential(*units))
            inputs = outputs
        self.conv5 = nn.Sequential(conv(inputs, 1024, 1, bias=True), nn.BatchNorm2d(1024), nn.ReLU())
        self.fc = nn.Linear(1024, classes)

    def forward(self, x):
        x = self.stage4(self.stage3(self.stage2(self.pre(x))))
        return self.fc(mean(self.conv5(x)))
