"""Folding: a batch norm in eval mode is one multiplication and one addition per channel, which the layer before it can do.

For a convolution or linear layer with weight W and bias b followed by a batch norm with mean m, variance v, scale g and
shift s, the two together are the layer with weight W g / sqrt(v + eps) and bias (b - m) g / sqrt(v + eps) + s.  The new
weights are computed in float64 and rounded once.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from ..errors import reason
from .probe import difference, evaluating, logits_of, precisely

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, *TRANSPOSED)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
TOLERANCE = 1e-4  # float32 sums over some thousand terms in another order, through a hundred layers, stay below 1e-5


@dataclass(frozen=True)
class Folded:
    """A module, how many batch norms were folded in it, and why not (all of) them."""

    module: nn.Module
    count: int
    reason: str | None = None


def fold_batch_norms(module: nn.Module) -> Folded:
    """An eval-mode copy of a module in which every batch norm that follows a convolution or linear layer is part of it.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed; the copy shares nothing with it.

    Returns
    -------
    Folded
        With `count` 0 its module is the one that was given, and `reason` says why.  `reason` is also there when some batch
        norms were left alone.

    Notes
    -----
    A batch norm stays where it is if it has no running statistics or an input that something else reads too, if its layer
    runs twice, or if either is of a subclass (parametrised ones are).  Modules that torch.fx cannot trace (control flow that
    depends on the data) or that have hooks, DataParallel and TorchScript are left alone as a whole.  Tracing follows Python
    once, so the result is to be compared with the original (`verify`).
    """
    norms = [one for one in module.modules() if isinstance(one, NORMS)]
    refusal = _refusal(module, norms)
    if refusal is not None:
        return Folded(module, 0, refusal)
    try:
        copied = copy.deepcopy(module)
        for one in copied.modules():
            one.training = False
        with torch.no_grad():
            traced = fx.symbolic_trace(copied)
    except Exception as error:
        return Folded(module, 0, f"torch.fx cannot trace it: {type(error).__name__}, {reason(error)}")
    with torch.inference_mode(False), torch.no_grad():
        count, left = _fold(traced)
    why = f"{left} of {count + left} do not follow a convolution or linear layer of their own" if left else None
    if count == 0:
        return Folded(module, 0, why or "its batch norms do not run as modules")
    return Folded(traced.eval(), count, why)


def verify(folded: Folded, original: nn.Module, x: torch.Tensor, tolerance: float = TOLERANCE) -> Folded:
    """`folded`, or the original module with the reason if their logits differ on `x`.

    Parameters
    ----------
    folded : Folded
        Of `fold_batch_norms`.
    original : torch.nn.Module
        What was folded, in the same dtype; float32 is what `tolerance` is meant for.
    x : Tensor [N, C, H, W]
        Inputs as the model will see them: normalised and noisy.
    tolerance : float
        The largest difference of a logit that is allowed, in units of the spread (largest minus smallest logit) of the
        original's.  The default leaves room for float32 sums in another order and for nothing else.
    """
    if folded.count == 0:
        return folded
    with evaluating([*original.modules()]), torch.inference_mode(), precisely():
        expected = logits_of(original, x.clone()).clone()
        try:
            apart = difference(logits_of(folded.module, x.clone()), expected)
        except Exception as error:
            return Folded(original, 0, f"the folded copy raised {type(error).__name__}: {reason(error)}")
    if not apart <= tolerance:
        return Folded(original, 0, f"folded logits differ by {apart:.2g} of their spread, more than {tolerance:g}")
    return folded


def _refusal(module: nn.Module, norms: Sequence[nn.Module]) -> str | None:
    """Why a module is not even to be traced."""
    if isinstance(module, torch.jit.ScriptModule) or any(isinstance(one, torch.jit.ScriptModule) for one in module.modules()):
        return "it is TorchScript"
    if any(isinstance(one, WRAPPERS) for one in module.modules()):
        return "it is wrapped in DataParallel"
    if not norms:
        return "there is no batch norm module"
    if any(one._forward_hooks or one._forward_pre_hooks for one in module.modules()):
        return "it has hooks, which tracing would lose"
    return None


def _fold(traced: fx.GraphModule) -> tuple[int, int]:
    """Fold in place; how many batch norms went and how many stayed, one that runs twice counted twice."""
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    read = [str(node.target) for node in traced.graph.nodes if node.op == "get_attr"]
    count = left = 0
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or type(norm := traced.get_submodule(str(node.target))) not in NORMS:
            continue
        left += 1
        before = node.args[0] if len(node.args) == 1 and not node.kwargs else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        name = str(before.target)
        layer = traced.get_submodule(name)
        if calls[before.target] != 1 or any(attribute.startswith(f"{name}.") for attribute in read):
            continue
        if type(layer) not in LAYERS or "forward" in (layer.__dict__ | norm.__dict__) or not _fits(layer, norm):
            continue
        parent, _, leaf = name.rpartition(".")
        setattr(traced.get_submodule(parent), leaf, _joined(layer, norm))
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
        count, left = count + 1, left - 1
    traced.graph.lint()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return count, left


def _fits(layer: Any, norm: Any) -> bool:
    has_statistics = norm.running_mean is not None and norm.running_var is not None and norm.track_running_stats
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    return bool(has_statistics and channels == norm.num_features)


def _joined(layer: Any, norm: Any) -> nn.Module:  # torch types every attribute as Tensor | Module
    """A copy of `layer` that does what `norm` does after it."""
    joined = copy.deepcopy(layer)
    dtype, weight = layer.weight.dtype, layer.weight.double()
    scale = (norm.running_var.double() + norm.eps).rsqrt()  # [channels]
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    if layer.bias is not None:
        shift = shift + scale * layer.bias.double()
    if isinstance(layer, TRANSPOSED):  # weight [in, channels / groups, …]; a group has its own rows and its own channels
        rows = weight.unflatten(0, (layer.groups, -1))  # [groups, in / groups, channels / groups, …]
        weight = (rows * scale.view(layer.groups, 1, -1, *[1] * (weight.ndim - 2))).flatten(0, 1)
    else:  # weight [channels, …]
        weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
    joined.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    joined.bias = nn.Parameter(shift.to(dtype), requires_grad=False)
    return joined
