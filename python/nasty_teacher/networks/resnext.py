"""ResNeXt-29, 8×64d (Xie et al., CVPR 2017)."""

from torch import nn
from torch.nn import functional as F

from .layers import conv, mean, stages

CARDINALITY, BASE_WIDTH = 8, 64


class Block(nn.Module):
    def __init__(self, inputs, width, outputs, stride):
        super().__init__()
        self.conv_reduce, self.bn_reduce = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv_conv, self.bn = conv(width, width, 3, stride, CARDINALITY), nn.BatchNorm2d(width)
        self.conv_expand, self.bn_expand = conv(width, outputs, 1), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if inputs != outputs:
            self.shortcut.add_module("shortcut_conv", conv(inputs, outputs, 1, stride))
            self.shortcut.add_module("shortcut_bn", nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn_reduce(self.conv_reduce(x)))
        y = F.relu(self.bn(self.conv_conv(y)))
        return F.relu(self.bn_expand(self.conv_expand(y)) + self.shortcut(x))


class ResNext(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv_1_3x3, self.bn_1 = conv(channels, 64, 3), nn.BatchNorm2d(64)
        inputs = 64
        for stage, outputs, stride in stages([256, 512, 1024]):
            width, blocks = CARDINALITY * BASE_WIDTH << (stage - 1), nn.Sequential()
            for i in range(3):
                block = Block(inputs, width, outputs, stride if i == 0 else 1)
                blocks.add_module(f"stage_{stage}_bottleneck_{i}", block)
                inputs = outputs
            self.add_module(f"stage_{stage}", blocks)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.relu(self.bn_1(self.conv_1_3x3(x)))
        return self.classifier(mean(self.stage_3(self.stage_2(self.stage_1(x)))))
