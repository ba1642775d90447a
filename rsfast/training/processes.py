"""Training in several processes that torchrun started: each shows the network its share of every batch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import distributed


class Processes:
    """These are the processes of a training; alone, everything here does nothing.

    Attributes
    ----------
    rank, size : int
        This process, and how many there are.
    """

    def __init__(self) -> None:
        there = distributed.is_available() and distributed.is_initialized()
        self.rank, self.size = (distributed.get_rank(), distributed.get_world_size()) if there else (0, 1)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def share(self, rows: torch.Tensor) -> torch.Tensor:
        """Return this process's share of a batch, which may be empty."""
        return rows[self.rank :: self.size]

    def sums(self, *values: float) -> list[float]:
        """Return the sum of each number over all processes."""
        if self.size == 1:
            return list(values)
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        found = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(found)
        return found.tolist()

    def add_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        """Put the sum over all processes into every gradient; what has none counts as zero."""
        if self.size == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for parameter, part in zip(parameters, torch.split(flat, [p.numel() for p in parameters]), strict=True):
            parameter.grad = part.reshape(parameter.shape).clone()

    def share_buffers(self, network: torch.nn.Module) -> None:
        """Give every process the first one's buffers, which batch norms have moved in each by its own images."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def gathered(self, value: torch.Tensor) -> list[torch.Tensor]:
        """Return every process's tensor."""
        if self.size == 1:
            return [value]
        found: list[torch.Tensor] = [torch.empty(0)] * self.size
        distributed.all_gather_object(found, value)
        return found


@contextlib.contextmanager
def joined(device: str | None = None) -> Iterator[Processes]:
    """Join the processes that torchrun's environment names, if it does: by NCCL on GPUs, else by gloo."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Processes()
        return
    on_gpus = torch.cuda.is_available() and (device is None or device.startswith("cuda"))
    if on_gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield Processes()
    finally:
        distributed.destroy_process_group()
