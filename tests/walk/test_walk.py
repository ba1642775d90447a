"""A digest changes with everything that an answer depends on, and with nothing else."""

import collections
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from rsfast import walk

FACTOR = 2.0


def scaled(x: torch.Tensor) -> torch.Tensor:
    return x * FACTOR


class Base(nn.Module):
    shift = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.number = np.float32(1)
        self.held = collections.deque([1.0])
        self.table = {(1, 2): 1.0}
        self.act = torch.tensor([1.0]).add

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return scaled(self.layer(x)) + self.shift


class Network(Base):
    pass


def other(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return x


CHANGES: dict[str, Callable[[pytest.MonkeyPatch, Network], object]] = {
    "weights in place": lambda patch, net: net.layer.weight.data.add_(1),
    "a number of numpy": lambda patch, net: setattr(net, "number", np.float32(2)),
    "what a deque holds": lambda patch, net: net.held.append(2.0),
    "a key that is a tuple": lambda patch, net: setattr(net, "table", {(2, 1): 1.0}),
    "the owner of a builtin method": lambda patch, net: setattr(net, "act", torch.tensor([2.0]).add),
    "an attribute of a class that is inherited": lambda patch, net: patch.setattr(Base, "shift", 2.0),
    "forward of the class": lambda patch, net: patch.setattr(Network, "forward", other),
    "forward of a class that is inherited": lambda patch, net: patch.setattr(Base, "forward", other),
    "forward of a library class": lambda patch, net: patch.setattr(nn.Linear, "forward", other),
    "a global number of a function that a method calls": lambda patch, net: patch.setitem(globals(), "FACTOR", 3.0),
    "a global function that a method calls": lambda patch, net: patch.setitem(globals(), "scaled", torch.neg),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_digest_changes_with(change, monkeypatch):
    net = Network()
    before = walk.digest(net)
    assert walk.digest(net) == before
    CHANGES[change](monkeypatch, net)
    assert walk.digest(net) != before


def test_a_method_that_is_put_into_a_library_class_and_taken_out_again_is_noticed(monkeypatch):
    layer = nn.Linear(3, 2)
    before = walk.digest(layer)
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: x)
    there = walk.digest(layer)
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: -x)
    assert len({before, there, walk.digest(layer)}) == 3
    monkeypatch.undo()
    assert walk.digest(layer) == before


def test_however_deep_a_layer_lies_it_is_found():
    layer = nn.Linear(3, 2)
    net = layer
    for _ in range(150):
        net = nn.Sequential(net)
    before = walk.digest(net)
    layer.weight.data.add_(1)
    assert walk.digest(net) != before
    assert len(walk.modules(net)) == 151


TYPED = """
import torch
from torch import nn
from rsfast import walk

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 2)
        self.kinds = {"a", "b", "c"}
    def forward(self, x):
        return self.layer(x).sum(dim=1, keepdim=True) if x.ndim in {2, 3} else x.reshape((1, -1))

print(walk.digest(Network()))
"""


def typed(source: str) -> str:
    """What a class comes to whose source is in no file, as those of notebooks."""
    return subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True).stdout


def test_a_class_without_a_file_is_told_by_its_code():
    first = typed(TYPED)
    assert first == typed(TYPED)
    assert len({first, typed(TYPED.replace("(1, -1)", "(2, -1)")), typed(TYPED.replace("sum(", "mean("))}) == 3


def test_library_classes_that_nobody_changed_say_nothing_but_their_name():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2), torch.nn.Linear(2, 2))
    assert not [path for path, _ in walk.parts(model) if "__class__" in path]
