"""A small convolutional network for small images; trains in seconds on a CPU."""

from __future__ import annotations

import torch
from torch import nn

from .. import checks


class SmallCNN(nn.Module):
    """This has three 3x3 convolutions (16, 32 and 64 channels, the last two with stride 2), a linear layer and no normalisation.

    It takes [N, channels, height, width], any height and width of at least 4.
    """

    def __init__(self, num_classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        num_classes, channels = checks.whole("num_classes", num_classes, 1), checks.whole("channels", channels, 1)
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(64 * 4, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.features(x)
        if features.shape[-2:] != (2, 2):  # for 8x8 images they are 2x2 already
            features = nn.functional.adaptive_avg_pool2d(features, 2)
        return self.classifier(features.flatten(1))
