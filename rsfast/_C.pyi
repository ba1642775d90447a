import numpy as np

sources: str
openmp: bool

def perturb(
    pixels: np.ndarray,
    scale: np.ndarray,
    ids: np.ndarray,
    seed: int,
    stream: int,
    first: int,
    count: int,
    out: np.ndarray,
    cast: str,
    channels_last: bool,
    kind: int,
    table: np.ndarray,
    thresholds: np.ndarray,
    high: np.ndarray,
    step: float,
    begin: int,
    end: int,
    threads: int,
) -> None: ...
def perturb_part(
    pixels: np.ndarray,
    scale: np.ndarray,
    ids: np.ndarray,
    seed: int,
    stream: int,
    first: int,
    count: int,
    out: np.ndarray,
    cast: str,
    channels_last: bool,
    kind: int,
    table: np.ndarray,
    thresholds: np.ndarray,
    high: np.ndarray,
    step: float,
    begin: int,
    end: int,
    threads: int,
    fill: int,
    width: int,
    gain: np.ndarray,
    offset: np.ndarray,
    kept: np.ndarray,
    indices: np.ndarray,
    weights: np.ndarray,
) -> None: ...
def count(logits: np.ndarray, votes: np.ndarray, rows: np.ndarray | None) -> None: ...  # logits float32 or float64
def philox(block: int, n: int, sample: int, image: int, stream: int, seed: int) -> np.ndarray: ...
def simd() -> str: ...
def simd_levels() -> list[str]: ...
def use_simd(name: str) -> None: ...
