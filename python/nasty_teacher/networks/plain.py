"""A plain convolutional network and a multi-layer perceptron, both of the paper (Ma et al., ICLR 2021)."""

from torch import nn
from torch.nn import functional as F

from .layers import conv


class Cnn(nn.Module):
    """Three rounds of 3×3 convolution, batch-norm, 2×2 max pool and ReLU; a hidden layer."""

    def __init__(self, width, channels, side, classes):
        super().__init__()
        sizes, hidden = [channels, width, 2 * width, 4 * width], 4 * width
        for i in (1, 2, 3):
            self.add_module(f"conv{i}", conv(sizes[i - 1], sizes[i], 3, bias=True))
            self.add_module(f"bn{i}", nn.BatchNorm2d(sizes[i]))
        self.fc1 = nn.Linear(hidden * (side // 8) ** 2, hidden)
        self.fcbn1 = nn.BatchNorm1d(hidden)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, x):
        for convolution, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(F.max_pool2d(norm(convolution(x)), 2))
        return self.fc2(F.relu(self.fcbn1(self.fc1(x.flatten(1)))))


class Mlp(nn.Module):
    """Three linear layers, each with ReLU: behind the logits too, as published."""

    def __init__(self, channels, side, classes):
        super().__init__()
        self.fc1 = nn.Linear(channels * side * side, 512)
        self.fc2 = nn.Linear(512, 512)
        self.fc3 = nn.Linear(512, classes)

    def forward(self, x):
        x = x.flatten(1)
        for layer in (self.fc1, self.fc2, self.fc3):
            x = F.relu(layer(x))
        return x
