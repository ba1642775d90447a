"""Parts of images: every backend × every transform gives the reference's bits, and the reference is what torch's operations give."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import interpolate, max_pool2d

from rsfast import backends
from rsfast.backends.reference import standard_normal
from rsfast.errors import InvalidArgumentError
from rsfast.transforms import DiagonalSplit, Identity, Partition, strided_masks

from .by_name import NATIVE
from .test_conformance import DTYPES, FAST, INTERPRETED, LAYOUTS, images, perturbed

DIAGONALS = [
    DiagonalSplit(interpolation, layout)
    for layout in ("diagonal", "released")
    for interpolation in ("nearest", "bilinear", "pooled")
]


def random_masks(rng, parts, height, width):
    owner = rng.integers(0, parts, height * width)
    owner[rng.permutation(height * width)[:parts]] = np.arange(parts)
    return owner.reshape(1, height, width) == np.arange(parts)[:, None, None]


def partitions(rng, height, width):
    yield Partition(random_masks(rng, 3, height, width), "frame")
    for interpolation in ("nearest", "bilinear"):
        yield Partition(strided_masks(2, 2, height, width), interpolation)
        yield Partition(strided_masks(1, min(3, width), height, width), interpolation)
        yield Partition(np.ones((1, height, width), bool), interpolation)


def by_torch(transform, part, x, z, sigma):
    """The same image from gathered pixels and torch's own resizing."""
    channels, height, width = x.shape
    view = transform.view(part, height, width)
    v = x.reshape(channels, -1)[:, view.kept] + sigma * z.reshape(channels, -1)
    interpolation = transform.interpolation
    if interpolation in ("frame", "pooled"):
        frame = torch.zeros(channels, height * width)
        frame[:, view.kept] = v
        frame = frame.reshape(x.shape)
        if interpolation == "frame":
            return frame
        mask = torch.zeros(height * width)
        mask[view.kept] = 1
        return mask.reshape(height, width) * (frame + interpolate(max_pool2d(frame[None], 2), scale_factor=2)[0])
    rows = np.unique(view.kept // width).size
    small = v.reshape(1, channels, rows, -1)
    return interpolate(
        small, size=(height, width), mode=interpolation, align_corners=False if interpolation == "bilinear" else None
    )[0]


def all_transforms(rng, height, width):
    yield from DIAGONALS
    yield from partitions(rng, height, width)


@pytest.mark.parametrize("size", [(3, 4, 6), (1, 2, 2), (2, 12, 2), (1, 8, 12), (3, 32, 30)])
def test_the_reference_is_what_torch_computes(size, rng):
    channels, height, width = size
    x = images(rng, 1, *size)
    mean, std = [0.2 + 0.1 * c for c in range(channels)], [0.3 + 0.2 * c for c in range(channels)]
    for transform in all_transforms(rng, height, width):
        if transform.interpolation != "frame" and (width % transform.parts and transform.parts == 3):
            continue  # columns of unequal number: torch's nearest is exact for whole factors only
        for part in range(transform.parts):
            got = perturbed("reference", x, transform=transform, part=part, ids=[7], first=5, count=1, stream=3)
            kept = channels * transform.pixels(part, height, width)
            z = torch.from_numpy(standard_normal(kept, seed=1, stream=3, image=7, sample=5))
            expected = by_torch(transform, part, x[0], z, 0.37)
            torch.testing.assert_close(got[0], expected, rtol=0, atol=5e-6)
            normalised = perturbed(
                "reference", x, transform=transform, part=part, ids=[7], first=5, count=1, stream=3, mean=mean, std=std
            )
            shift, divisor = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
            torch.testing.assert_close(normalised[0], (expected - shift) / divisor, rtol=0, atol=2e-5)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 1, 2, 2), (1, 2, 6, 10), (1, 3, 4, 34), (1, 1, 32, 32)])
@pytest.mark.parametrize("name", FAST)
def test_bits_equal_the_reference_in_every_dtype_and_layout(name, shape, rng):
    x = images(rng, *shape)
    channels, height, width = shape[1:]
    few = {"dtypes": DTYPES, "layouts": LAYOUTS} if name != "triton" else {"dtypes": DTYPES[:2], "layouts": LAYOUTS}
    for i, transform in enumerate(all_transforms(rng, height, width) if width > 2 else DIAGONALS):
        part = int(rng.integers(transform.parts))
        call = {"transform": transform, "part": part, "seed": int(rng.integers(0, 2**64, dtype=np.uint64)), "first": 2**32 - 5}
        call |= {"ids": rng.integers(0, 2**32, len(x)), "count": 2, "sigma": rng.uniform(0.01, 1, len(x))}
        ways = itertools.product(
            [(None, None), ([0.4] * channels, [0.21 + 0.01 * c for c in range(channels)])],
            [(few["dtypes"][0], few["layouts"][1]), (few["dtypes"][-1], few["layouts"][0])],
        )
        for j, ((mean, std), (dtype, layout)) in enumerate(ways):
            if name in INTERPRETED and (j in (0, 3)) == (i + sum(shape)) % 2:
                continue  # the interpreter is slow: two of the ways, the other two with the next transform and in other shapes
            call |= {"dtype": dtype, "layout": layout, "mean": mean, "std": std}
            expected = perturbed("reference", x, **call)
            assert torch.isfinite(expected).all()
            assert torch.equal(perturbed(name, x, **call), expected), (transform, mean, dtype, layout)


@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 9),
    half=st.integers(1, 9),
    split=st.sampled_from(DIAGONALS),
    part=st.integers(0, 1),
    seed=st.integers(0, 2**64 - 1),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(LAYOUTS),
)
def test_native_and_numba_agree_on_diagonals_everywhere(channels, height, half, split, part, seed, dtype, layout):
    x = torch.linspace(-1, 1, channels * 4 * height * half).reshape(1, channels, 2 * height, 2 * half)
    call = {"transform": split, "part": part, "seed": seed, "count": 3, "dtype": dtype, "layout": layout}
    expected = perturbed("reference", x, **call)
    for name in ("native", "numba"):
        assert torch.equal(perturbed(name, x, **call), expected), name


@pytest.mark.parametrize("name", ["native", "numba"])
def test_large_images_are_drawn_in_many_groups_of_tiles(name, rng):
    x = images(rng, 1, 3, 96, 64)
    for transform in DIAGONALS:
        call = {"transform": transform, "part": 1, "count": 1}
        assert torch.equal(perturbed(name, x, **call), perturbed("reference", x, **call))


@pytest.mark.parametrize("fill", ["bilinear", "pooled"])
@pytest.mark.parametrize("width", [64, 150])
def test_triton_programs_that_share_rows_agree(fill, width, monkeypatch, rng):
    """On a device a program draws few tiles: neighbours and partners lie in the next program's."""
    from rsfast.backends import triton

    monkeypatch.setattr(triton, "_tiles", lambda all_tiles, on_a_device: on_a_device)
    x = images(rng, 1, 2, 24, width)
    call = {"transform": DiagonalSplit(fill), "part": 1, "count": 1}
    assert torch.equal(perturbed("triton", x, **call), perturbed("reference", x, **call))


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_a_part_does_not_depend_on_the_other_parts_pixels(name, rng):
    x = images(rng, 1, 3, 8, 8)
    for transform in [*DIAGONALS, *partitions(rng, 8, 8)]:
        for part in range(min(transform.parts, 2)):
            changed = x.clone().reshape(3, 64)
            others = np.setdiff1d(np.arange(64), transform.view(part, 8, 8).kept)
            changed[:, others] = 5.0
            call = {"transform": transform, "part": part, "count": 1}
            assert torch.equal(perturbed(name, x, **call), perturbed(name, changed.reshape(x.shape), **call))


@pytest.mark.parametrize("layout", ["diagonal", "released"])
def test_the_two_diagonals_partition_the_pixels(layout):
    for height, width in ((2, 2), (8, 6), (32, 32)):
        kept = [DiagonalSplit(layout=layout).kept(part, height, width) for part in (0, 1)]
        assert sorted(np.concatenate(kept)) == list(range(height * width))
        for part in (0, 1):  # one pixel of every pair of columns, each row
            assert (kept[part] // 2 == np.arange(height * width // 2)).all()
            assert (np.diff(kept[part]) > 0).all()


def test_diagonals_are_those_of_every_block_and_the_released_mask_has_its_flaw():
    plain = DiagonalSplit().kept(0, 4, 8) % 8
    assert plain.reshape(4, 4).tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]] * 2
    released = DiagonalSplit(layout="released").kept(0, 4, 8) % 8
    assert released.reshape(4, 4).tolist() == [[0, 3, 5, 7], [1, 2, 4, 6]] * 2


def test_the_released_pooling_keeps_the_frame():
    """M (v + nearest_upsample(maxpool2(v))), v = M (x + noise), with the authors' mask: dropped pixels stay 0."""
    split = DiagonalSplit("pooled", "released")
    x = torch.full((1, 1, 4, 4), -0.5)
    x[0, 0, 0, 0] = 0.75
    got = perturbed("reference", x, transform=split, sigma=[1e-6], count=1).reshape(4, 4)
    expected = torch.tensor([[1.5, 0, 0, -0.5], [0, 0.25, -0.5, 0], [-0.5, 0, 0, -0.5], [0, -0.5, -0.5, 0]])
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-5)


def test_noise_is_drawn_for_kept_pixels_only_and_parts_of_different_streams_are_independent(rng):
    x = torch.zeros(1, 1, 64, 64)
    split = DiagonalSplit()
    left = perturbed("native", x, transform=split, part=0, stream=1, sigma=[1.0], count=1)
    assert torch.equal(left[0, 0, :, ::2].flatten(), torch.from_numpy(standard_normal(2048, seed=1, stream=1, image=0, sample=0)))
    right = perturbed("native", x, transform=split, part=1, stream=257, sigma=[1.0], count=1)
    a, b = left[0, 0, :, ::2].flatten(), right[0, 0, :, ::2].flatten()
    assert abs(float((a * b).mean())) < 5 / 2048**0.5


@pytest.mark.parametrize("shape", [(1, 1, 3, 4), (1, 1, 4, 5)])
def test_odd_sizes_are_refused_for_diagonals(shape, rng):
    with pytest.raises(InvalidArgumentError, match="takes even sizes"):
        perturbed("native", images(rng, *shape), transform=DiagonalSplit())


def test_masks_that_are_no_partition_or_no_rectangle_are_refused(rng):
    whole = np.ones((1, 4, 4), bool)
    for masks in (np.ones((2, 4, 4), bool), ~whole, np.concatenate([whole, ~whole]), whole[0], whole.astype(int)):
        with pytest.raises(InvalidArgumentError, match="masks are"):
            Partition(masks)
    uneven = np.zeros((2, 4, 4), bool)
    uneven[0, 0, :] = uneven[0, 1, 0] = True
    uneven[1] = ~uneven[0]
    with pytest.raises(InvalidArgumentError, match="no rectangle"):
        Partition(uneven, "nearest")
    assert Partition(uneven, "frame").pixels(0, 4, 4) == 5
    with pytest.raises(InvalidArgumentError, match="masks 4x4"):
        perturbed("native", images(rng, 1, 1, 8, 8), transform=Partition(uneven, "frame"))
    with pytest.raises(InvalidArgumentError, match="part=2"):
        perturbed("native", images(rng, 1, 1, 8, 8), transform=DiagonalSplit(), part=2)


def test_transforms_are_read_back_as_they_were_written(rng):
    from rsfast import transforms

    for transform in (Identity(), *DIAGONALS, *partitions(rng, 6, 6)):
        again = transforms.from_dict(transform.to_dict())
        assert again == transform
        assert hash(again) == hash(transform)


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("shape", [(1, 3, 48, 52), (2, 2, 34, 66), (1, 1, 8, 1032), (1, 5, 40, 32)])
def test_parts_drawn_in_several_steps_equal_the_reference(name, shape, rng):
    x = images(rng, *shape)
    for transform in DIAGONALS:
        for dtype, layout in ((torch.float32, torch.contiguous_format), (torch.bfloat16, torch.channels_last)):
            call = {
                "transform": transform,
                "part": 1,
                "dtype": dtype,
                "layout": layout,
                "mean": [0.5] * shape[1],
                "std": [0.3] * shape[1],
            }
            assert torch.equal(perturbed(name, x, **call), perturbed("reference", x, **call)), (transform, dtype)
