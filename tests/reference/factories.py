"""Models that the command line can load as module:factory."""

import os
import time

import torch


def pixels(num_classes=10):
    """The first num_classes pixels as logits."""
    return lambda x: x.flatten(1)[:, :num_classes]


def linear():
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))


def slow():
    """As `linear`, taking its time, so that a run can be killed in the middle."""
    model = linear()

    def forward(x):
        time.sleep(0.01)
        return model(x)

    return forward


def fails_on_the_third_image():
    seen = []

    def forward(x):
        seen.append(len(x))
        if sum(seen) > 2 * int(os.environ["SAMPLES_PER_IMAGE"]):
            raise RuntimeError("device lost")
        return x.flatten(1)[:, :10]

    return forward


def broken():
    raise RuntimeError("no weights here")


not_a_function = 3


def returns_nothing():
    return None


def exits():
    raise SystemExit("no licence")


def other_linear():
    torch.manual_seed(8)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))


def level_by_brightness(x):
    """Rises by less than 2 % per unit of distance: the mean of 64 pixels moves by at most distance / 8."""
    return 0.25 * torch.exp(0.1 * x.flatten(1).mean(dim=1)).double().numpy()
