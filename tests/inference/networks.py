"""Small networks with every arrangement of layers and batch norms that folding has to get right or leave alone."""

import torch
from torch import nn

SHAPE = (3, 8, 8)


def settled(module, seed=0):
    """The module in eval mode, its batch norms with statistics and weights as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in module.modules():
            if isinstance(one, (nn.BatchNorm1d, nn.BatchNorm2d)):
                if one.running_mean is not None:
                    one.running_mean.normal_(0, 0.5, generator=generator)
                    one.running_var.uniform_(0.5, 2, generator=generator)
                if one.weight is not None:
                    one.weight.uniform_(0.5, 1.5, generator=generator)
                    one.bias.normal_(0, 0.5, generator=generator)
    return module.eval()


def head(channels=8):
    return nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 5))


def with_batch_norm_1d():
    return settled(nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5)))


def depthwise():
    return settled(nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6), head(6)))


def transposed():
    return settled(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 8, 3, stride=2, groups=2), nn.BatchNorm2d(8), head()))


def without_weights():
    return settled(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, affine=False), head()))


def without_statistics():
    return settled(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False), head()))


def after_activation():
    return settled(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), head()))


class Custom(nn.Module):
    """One convolution, one batch norm, and a forward pass that is given."""

    def __init__(self, forward):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), head(3)
        self.steps = forward
        settled(self)

    def forward(self, x):
        return self.head(self.steps(self, x))


def shared_layer():
    return Custom(lambda self, x: self.norm(self.conv(self.conv(x))))


def shared_norm():
    """The convolution runs once and the batch norm twice."""
    return Custom(lambda self, x: self.norm(self.norm(self.conv(x))))


def read_twice():
    return Custom(lambda self, x: self.norm(y := self.conv(x)) + y)


def weights_read():
    return Custom(lambda self, x: self.norm(self.conv(x)) + self.conv.weight.sum())


def functional():
    return Custom(
        lambda self, x: nn.functional.batch_norm(
            self.conv(x), self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias
        )
    )


def untraceable():
    return Custom(lambda self, x: self.norm(self.conv(x)) if x.shape[0] > 0 else x)


def takes_types_for_granted():
    """Traced, `isinstance` sees a stand-in, so that tracing succeeds and gives another function."""
    return Custom(lambda self, x: self.norm(self.conv(x)) if isinstance(x, torch.Tensor) else 2 * self.norm(self.conv(x)))


def dependent_rows():
    return Custom(lambda self, x: self.norm(x - x.mean(0)))


def random_logits():
    return Custom(lambda self, x: self.norm(x + torch.randn(x.shape)))
