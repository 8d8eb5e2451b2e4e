"""MobileNetV2 (Sandler et al., CVPR 2018) for small images, as published for CIFAR: the stem is a 1×1 convolution with
padding 1, every convolution has a bias, and the classifier is a 1×1 convolution."""

from torch import nn

from .layers import conv, mean

# Blocks, output channels, stride of the first block, expansion: one row per stage.
STAGES = [(1, 16, 1, 1), (2, 24, 2, 6), (3, 32, 2, 6), (4, 64, 2, 6), (3, 96, 1, 6), (3, 160, 1, 6), (1, 320, 1, 6)]


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project without activation."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        width = inputs * expansion
        self.residual = nn.Sequential(
            conv(inputs, width, 1, bias=True),
            nn.BatchNorm2d(width),
            nn.ReLU6(),
            conv(width, width, 3, stride, width, bias=True),
            nn.BatchNorm2d(width),
            nn.ReLU6(),
            conv(width, outputs, 1, bias=True),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.residual(x)
        return x + y if self.adds else y


class MobileNetV2(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.pre = nn.Sequential(nn.Conv2d(channels, 32, 1, padding=1), nn.BatchNorm2d(32), nn.ReLU6())
        inputs = 32
        for stage, (repeats, outputs, stride, expansion) in enumerate(STAGES, 1):
            blocks = []
            for i in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
            # A stage of one block is that block, not a list of one.
            self.add_module(f"stage{stage}", blocks[0] if repeats == 1 else nn.Sequential(*blocks))
        self.conv1 = nn.Sequential(conv(inputs, 1280, 1, bias=True), nn.BatchNorm2d(1280), nn.ReLU6())
        self.conv2 = conv(1280, classes, 1, bias=True)

    def forward(self, x):
        x = self.pre(x)
        for stage in range(1, len(STAGES) + 1):
            x = getattr(self, f"stage{stage}")(x)
        features = mean(self.conv1(x))
        return self.conv2(features[:, :, None, None]).flatten(1)
