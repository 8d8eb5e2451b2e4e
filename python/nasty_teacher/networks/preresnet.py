"""Pre-activation ResNets for CIFAR (He et al., ECCV 2016): the paper's ResNetC-20 and -32, and deeper ones."""

from torch import nn
from torch.nn import functional as F

from .layers import conv, final_pool, stages


class Block(nn.Module):
    """Batch-norm, ReLU and convolution, twice (basic) or three times (bottleneck), and the shortcut."""

    def __init__(self, inputs, width, expansion, stride):
        super().__init__()
        outputs = width * expansion
        if expansion == 1:
            convs = [conv(inputs, width, 3, stride), conv(width, width, 3)]
        else:
            convs = [conv(inputs, width, 1), conv(width, width, 3, stride), conv(width, outputs, 1)]
        for i, convolution in enumerate(convs, 1):
            self.add_module(f"bn{i}", nn.BatchNorm2d(convolution.in_channels))
            self.add_module(f"conv{i}", convolution)
        self.count = len(convs)
        changes = stride > 1 or inputs != outputs
        self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride)) if changes else None

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"conv{i}")(F.relu(getattr(self, f"bn{i}")(y)))
        return y + (x if self.downsample is None else self.downsample(x))


class PreResNet(nn.Module):
    """Of depth 44 and more the blocks are bottlenecks."""

    def __init__(self, depth, channels, classes):
        super().__init__()
        expansion = 4 if depth >= 44 else 1
        self.conv1 = conv(channels, 16, 3)
        inputs = 16
        for stage, width, stride in stages([16, 32, 64]):
            blocks = []
            for i in range((depth - 2) // 6):
                blocks.append(Block(inputs, width, expansion, stride if i == 0 else 1))
                inputs = width * expansion
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.bn = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.fc(final_pool(F.relu(self.bn(x))))
