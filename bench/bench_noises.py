"""Other noises than Gaussian: draws of one image's copies, against NumPy's generators and scipy-style gamma draws, one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from bench import timing
from rsfast import backends
from rsfast.noise import Gaussian, GeneralizedGaussian, Laplace, LatticeGaussian, Noise, Uniform
from rsfast.transforms import Identity

COPIES, SHAPE = 128, (3, 32, 32)


def peers(noise: Noise) -> dict[str, Callable[[], Any]]:
    """NumPy's way of drawing the same, without adding it to the image."""
    generator = np.random.Generator(np.random.SFC64(0))
    size = (COPIES, *SHAPE)
    if isinstance(noise, Laplace):
        return {"numpy": lambda: generator.laplace(size=size)}
    if isinstance(noise, GeneralizedGaussian):
        shape = noise.shape
        return {"numpy": lambda: generator.standard_gamma(1 / shape, size=size, dtype=np.float32) ** np.float32(1 / shape)}
    if isinstance(noise, Uniform):
        return {"numpy": lambda: generator.random(size=size, dtype=np.float32)}
    return {"numpy": lambda: generator.standard_normal(size=size, dtype=np.float32)}


def measure() -> Iterator[dict[str, Any]]:
    torch.set_num_threads(1)
    x = torch.randint(0, 256, (1, *SHAPE)).float() / 255
    out = torch.empty(COPIES, *SHAPE)
    noises = [
        Gaussian(0.25),
        LatticeGaussian(0.25),
        Laplace(0.25),
        *(GeneralizedGaussian(0.25, s) for s in (3, 4, 5)),
        Uniform(0.25),
    ]
    for noise in noises:

        def draw(name: str, noise: Any = noise) -> Callable[[], Any]:
            call = {"part": 0, "sigma": np.array([0.25]), "mean": None, "std": None, "seed": 0, "stream": 1, "ids": np.array([0])}
            return lambda: backends.get(name).perturb(x, noise, Identity(), first=0, count=COPIES, out=out, **call)

        draw("native")()
        ours = out.clone()
        draw("numba")()
        assert torch.equal(ours, out)
        calls = {"native": draw("native"), "numba": draw("numba"), **peers(noise)}
        seconds = timing.interleaved(calls, rounds=31)
        yield {
            "noise": str(noise), "threads": 1, "unit": "ns per pixel",
            "results": timing.summary(seconds, baseline="numpy", per=out.numel(), unit="ns"),
        }  # fmt: skip
