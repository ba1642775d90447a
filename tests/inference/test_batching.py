"""Batch sizes, by a clock that the tests turn, and running out of memory."""

import pytest
import torch

from rsfast.errors import InvalidArgumentError, ModelError
from rsfast.inference import batching, best_batch, default_batch, halving, is_out_of_memory

SHAPE = (1, 2, 2)
CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"


class Clock:
    """A clock that moves only when a model runs."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def model(self, seconds):
        """A classifier whose pass over n rows takes seconds(n)."""

        def classify(x):
            self.now += seconds(len(x))
            return x.flatten(1)[:, :2]

        return classify


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(batching, "clock", made)
    return made


def test_the_batch_with_the_most_images_per_second_is_taken(clock):
    costs = {8: 8.0, 16: 12.0, 32: 16.0, 64: 64.0}
    assert best_batch(clock.model(costs.__getitem__), SHAPE, candidates=[64, 8, 32, 16]) == 32


def test_of_batches_within_three_percent_the_smallest_is_taken(clock):
    costs = {8: 1.1 * 8, 16: 1.02 * 16, 32: 1.01 * 32, 64: 64.0}
    assert best_batch(clock.model(costs.__getitem__), SHAPE, candidates=list(costs)) == 16


def test_padding_of_the_last_batch_counts_as_lost(clock):
    model = clock.model(lambda n: float(n))
    assert batching.batch_rates(
        lambda n: lambda: model(torch.zeros(n, 4)), [32, 64], total=65, seconds=0, device=torch.device("cpu")
    ) == {
        32: pytest.approx(65 / 96),
        64: pytest.approx(65 / 128),
    }


def test_two_hopeless_batches_in_a_row_end_the_search(clock):
    tried = []
    model = clock.model(lambda n: n * (1.0 if n <= 8 else 10.0))

    def passes(n):
        tried.append(n)
        return lambda: model(torch.zeros(n, 4))

    batching.batch_rates(passes, [8, 16, 32, 64, 128], total=None, seconds=0, device=torch.device("cpu"))
    assert tried == [8, 16, 32]


def test_a_batch_that_does_not_fit_ends_the_search(clock):
    model = clock.model(lambda n: 1.0)

    def small_memory(x):
        if len(x) > 16:
            raise RuntimeError(CPU_MESSAGE)
        return model(x)

    assert best_batch(small_memory, SHAPE) == 16


def test_no_batch_at_all_that_fits_is_said():
    def no_memory(x):
        raise RuntimeError(CPU_MESSAGE)

    with pytest.raises(ModelError, match="does not fit in memory with a batch of 8: use a smaller dtype or another device"):
        best_batch(no_memory, SHAPE)


def test_another_error_of_the_model_is_not_taken_for_full_memory():
    with pytest.raises(ModelError, match="the model raised ZeroDivisionError on input"):
        best_batch(lambda x: 1 / 0, SHAPE)


def test_no_batch_exceeds_the_number_of_copies(clock):
    seen = []
    model = clock.model(lambda n: 1.0)

    def watched(x):
        seen.append(len(x))
        return model(x)

    assert best_batch(watched, SHAPE, total=20) == 20
    assert max(seen) == 20


@pytest.mark.parametrize(
    ("dim", "total", "device", "expected"),
    [
        (3 * 32 * 32, None, "cpu", [8, 16, 32, 64, 128, 256, 512]),
        (3 * 224 * 224, None, "cpu", [8, 16]),
        (2**20, None, "cpu", [1, 2, 4]),
        (2**30, None, "cpu", [1]),
        (784, 100, "cpu", [8, 16, 32, 64, 100]),
        (3 * 224 * 224, None, "cuda", [16, 32, 64, 128, 256, 512, 1024]),
    ],
)
def test_candidates_are_powers_of_two_by_image_size(dim, total, device, expected):
    assert batching.candidate_batches(dim, total, device) == expected


@pytest.mark.parametrize(("dim", "total"), [(3072, 100_100), (150_528, 100_100), (784, 1100), (1, 1)])
def test_the_default_batch_wastes_less_than_one_row_per_batch(dim, total):
    batch = default_batch(dim, total, "cpu")
    batches = -(-total // batch)
    assert 1 <= batch <= 1024 and batches * batch - total < batches


def test_an_unknown_dtype_is_refused():
    with pytest.raises(InvalidArgumentError, match="dtype='int8' is not known: give one of float32, bfloat16, float16"):
        best_batch(lambda x: x, SHAPE, dtype="int8")


def chained():
    try:
        try:
            raise RuntimeError(CPU_MESSAGE)
        except RuntimeError as error:
            raise ModelError("the model raised RuntimeError") from error
    except ModelError as error:
        return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError(CPU_MESSAGE), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (MemoryError(), True),
        (chained(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError(CPU_MESSAGE), False),
        (None, False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_torch_itself_says_so_on_a_cpu():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_halving_goes_on_until_the_batch_fits():
    tried = []

    def call(batch):
        tried.append(batch)
        if batch > 12:
            raise RuntimeError(CPU_MESSAGE)
        return "fits"

    assert halving(call, 100) == ("fits", 12)
    assert tried == [100, 50, 25, 12]


def test_halving_ends_with_one():
    def call(batch):
        raise MemoryError

    with pytest.raises(ModelError, match=r"does not fit in memory with a batch of 1 \(first tried: 5\)"):
        halving(call, 5)


def test_halving_passes_other_errors_on():
    with pytest.raises(ZeroDivisionError):
        halving(lambda batch: batch / 0, 5)
