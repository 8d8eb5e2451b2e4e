"""What several families are built from."""

from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, kernel, stride=1, groups=1, bias=False):
    """A convolution that keeps the side at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


def mean(x):
    """The mean over each map: vectors `[batch, channels]`."""
    return x.mean((2, 3))


def final_pool(x):
    """The 8×8 average pool that CIFAR networks end in, where it gives one vector; elsewhere the mean over each map."""
    return F.avg_pool2d(x, 8).flatten(1) if 8 <= x.shape[-1] < 16 else mean(x)


def stages(widths):
    """The number, width and first stride of each stage: stages behind the first halve the side."""
    return [(i, width, 1 if i == 1 else 2) for i, width in enumerate(widths, 1)]
