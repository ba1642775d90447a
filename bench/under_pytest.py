"""The same candidates under pytest-benchmark, for looking at one change:

pytest bench/under_pytest.py --benchmark-save=before        # and later --benchmark-compare
"""

import pytest

from bench import bench_confidence, bench_noise_path, bench_votes


@pytest.mark.parametrize("name", ["native", "numba", "in_place", "published"])
@pytest.mark.parametrize("dtype", bench_noise_path.DTYPES)
@pytest.mark.parametrize("size", bench_noise_path.SIZES)
def test_noise(benchmark, size, dtype, name):
    benchmark.group = f"noise {size} {dtype}"
    benchmark(bench_noise_path.candidates(size, dtype)[0][name])


@pytest.mark.parametrize("name", ["native", "numba", "torch_bincount", "published"])
@pytest.mark.parametrize("shape", bench_votes.SHAPES, ids=str)
def test_votes(benchmark, shape, name):
    benchmark.group = f"votes {shape}"
    benchmark(bench_votes.candidates(*shape)[name])


@pytest.mark.parametrize("name", ["rsfast", "scipy"])
@pytest.mark.parametrize("case", bench_confidence.CASES, ids=str)
def test_confidence(benchmark, case, name):
    benchmark.group = f"clopper-pearson {case}"
    benchmark(bench_confidence.candidates(*case)[name])
