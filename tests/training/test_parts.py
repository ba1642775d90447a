"""Training on parts shows what certifying shows."""

import numpy as np
import pytest
import torch

from rsfast.backends.reference import shown as shown_by_reference
from rsfast.models import SmallCNN
from rsfast.training import shown, train_with_noise
from rsfast.transforms import DiagonalSplit, Partition, strided_masks

TRANSFORMS = [DiagonalSplit(fill, layout) for fill in ("nearest", "bilinear", "pooled") for layout in ("diagonal", "released")]
TRANSFORMS += [Partition(strided_masks(2, 2, 8, 12), fill) for fill in ("nearest", "bilinear", "frame")]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_part_looks_as_it_does_when_it_is_certified(transform, rng):
    x = rng.normal(size=(2, 3, 8, 12)).astype(np.float32)
    for part in range(transform.parts):
        view = transform.view(part, 8, 12)
        got = shown(view, torch.from_numpy(x))
        for image, expected in zip(got, x, strict=True):
            kept = expected.reshape(3, -1)[:, view.kept]
            plain = shown_by_reference(view, kept, np.ones(3, np.float32), np.zeros(3, np.float32))
            torch.testing.assert_close(image.reshape(3, -1), torch.from_numpy(plain))


def test_a_classifier_learns_from_one_half(rng):
    x = torch.zeros(64, 1, 8, 8)
    y = torch.arange(64) % 2
    x[y == 1, :, :, ::2] = 1.0  # the classes differ in even columns
    torch.manual_seed(0)
    model = SmallCNN(num_classes=2, channels=1)
    losses = []
    train_with_noise(
        model, x, y, sigma=0.1, epochs=60, transform=DiagonalSplit(), part=1, progress=lambda epoch, loss: losses.append(loss)
    )
    assert losses[-1] < 0.3 * losses[0]
    assert not model.training
