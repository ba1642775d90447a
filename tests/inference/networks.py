"""Small networks with every arrangement of layers and batch norms that folding has to get right or leave alone."""

import math

import torch
from torch import nn

SHAPE = (3, 8, 8)


def settled(module, seed=0):
    """The module in eval mode, its batch norms with statistics and weights as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for one in module.modules():
            if isinstance(one, nn.modules.batchnorm._BatchNorm):
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


def of_the_batch():
    return Custom(lambda self, x: self.norm(self.conv(x)) if x.shape[0] > 0 else x)


def of_its_dtype():
    """Casts that do nothing in float32, in a network that only torch.export can follow."""
    return Custom(lambda self, x: self.norm(self.conv(x)).float().relu().to(x.dtype) if x.shape[0] > 0 else x)


def untraceable():
    return Custom(lambda self, x: self.norm(self.conv(x)) if x.mean() > 0 else x)


def takes_types_for_granted():
    """Traced, `isinstance` sees a stand-in, so that tracing succeeds and gives another function."""
    return Custom(lambda self, x: self.norm(self.conv(x)) if isinstance(x, torch.Tensor) else 2 * self.norm(self.conv(x)))


def dependent_rows():
    return Custom(lambda self, x: self.norm(x - x.mean(0)))


def random_logits():
    return Custom(lambda self, x: self.norm(x + torch.randn(x.shape)))


class StaticSame(nn.Conv2d):
    """As of efficientnet_pytorch: pads in a module of its own, then calls the function."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.stride = list(self.stride)
        self.before = nn.ZeroPad2d((1, 1, 1, 1)) if self.kernel_size[0] > 1 else nn.Identity()

    def forward(self, x):
        x = self.before(x)
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class DynamicSame(nn.Conv2d):
    """As of efficientnet_pytorch and timm: pads by the size of the image."""

    def forward(self, x):
        pads = []
        for size, stride, kernel in zip(x.size()[:1:-1], self.stride[::-1], self.weight.size()[:1:-1], strict=True):
            pad = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads += [pad // 2, pad - pad // 2]
        if any(pad > 0 for pad in pads):
            x = nn.functional.pad(x, pads)
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class NormAct(nn.BatchNorm2d):
    """As of timm: a batch norm with an activation of its own, through the function."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU6(inplace=True)

    def forward(self, x):
        torch._assert(x.ndim == 4, f"expected 4D input (got {x.ndim}D input)")
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        training = self.training or (self.running_mean is None and self.running_var is None)
        y = nn.functional.batch_norm(
            x,
            self.running_mean if not self.training or self.track_running_stats else None,
            self.running_var if not self.training or self.track_running_stats else None,
            self.weight,
            self.bias,
            training,
            momentum,
            self.eps,
        )
        return self.act(self.drop(y))


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)


class Inverted(nn.Module):
    """As of EfficientNets: expansion, depthwise convolution, squeeze and excitation, projection, drop-connect, skip."""

    def __init__(self, convolution, channels=8, expand=2):
        super().__init__()
        wide = channels * expand
        self.expand, self.norm0 = convolution(channels, wide, 1, bias=False), nn.BatchNorm2d(wide, eps=1e-3)
        self.depthwise, self.norm1 = convolution(wide, wide, 3, groups=wide, bias=False), nn.BatchNorm2d(wide, eps=1e-3)
        self.reduce, self.widen = convolution(wide, 2, 1), convolution(2, wide, 1)
        self.project, self.norm2 = convolution(wide, channels, 1, bias=False), nn.BatchNorm2d(channels, eps=1e-3)

    def forward(self, inputs, drop_connect_rate=None):
        x = Swish.apply(self.norm0(self.expand(inputs)))
        x = nn.functional.relu6(self.norm1(self.depthwise(x)))
        squeezed = nn.functional.adaptive_avg_pool2d(x, 1)
        x = torch.sigmoid(self.widen(Swish.apply(self.reduce(squeezed)))) * x
        x = self.norm2(self.project(x))
        if drop_connect_rate and self.training:
            x = x / (1 - drop_connect_rate) * torch.floor(1 - drop_connect_rate + torch.rand([len(x), 1, 1, 1]))
        return x + nn.functional.interpolate(inputs, x.shape[-2:])


def efficientnet_style(convolution):
    torch.manual_seed(0)
    return settled(nn.Sequential(convolution(3, 8, 3, stride=2), NormAct(8), Inverted(convolution), head()))


def of_attributes():
    """Control flow on what the module knows of itself."""

    def steps(self, x):
        for name in ("conv", "none"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return self.norm(x) if isinstance(self.norm, nn.Module) and not self.training else x

    return Custom(steps)


class Tokens(nn.Module):
    """As of LeViT: a batch norm on the tokens that a linear layer makes, all in one batch."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.head = nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.Linear(64, 5)
        settled(self)

    def forward(self, x):
        x = self.linear(x.flatten(2))
        x = self.norm(x.flatten(0, 1)).reshape_as(x)
        return self.head(x.mean(1))


class Rows(nn.Module):
    """As many rows as columns: the batch norm's channels are the rows, the linear layer's the columns."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.head = nn.Linear(64, 3), nn.BatchNorm1d(3), nn.Linear(9, 5)
        settled(self)

    def forward(self, x):
        return self.head(self.norm(self.linear(x.flatten(2))).flatten(1))


def named_like_methods():
    """Modules whose names are those of methods that read shapes."""

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.size, self.head = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), head(3)

        def forward(self, x):
            y = self.conv(x)
            return self.head(self.norm(y) + self.size(y))

    return settled(Named())
