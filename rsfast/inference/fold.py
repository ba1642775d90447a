"""Folding: a batch norm in eval mode is one multiplication and one addition per channel, which the layer before it can do.

A module is followed in one of two ways: torch.fx, which takes a moment, or, where that cannot follow it, torch.export, which
takes seconds.  What comes of it must give the same logits.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from ..errors import ModelError, reason
from .joining import join
from .outputs import taken
from .probe import difference, evaluating, logits_of, precisely

WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
TOLERANCE = 1e-4  # float32 sums over some thousand terms in another order, through a hundred layers, stay below 1e-5


@dataclass(frozen=True)
class Folded:
    """A module, how many batch norms were folded in it, and why not (all of) them."""

    module: nn.Module
    count: int
    reason: str | None = None


def fold_batch_norms(module: nn.Module, x: torch.Tensor, tolerance: float = TOLERANCE) -> Folded:
    """An eval-mode copy of a module in which every batch norm that follows a convolution or linear layer is part of it.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed; the copy shares nothing with it.
    x : Tensor [N, C, H, W]
        Inputs as the model will see them: normalised and noisy.  The copy takes others of this shape, of any N.
    tolerance : float
        The largest difference of a logit on `x` that is allowed, in units of the spread (largest minus smallest logit) of the
        module's, which is in float32.  The default leaves room for float32 sums in another order and for nothing else.

    Returns
    -------
    Folded
        With `count` 0 its module is the one that was given, and `reason` says why.  `reason` is also there when some batch
        norms were left alone.

    Notes
    -----
    Layers and batch norms may be torch's own modules, subclasses of them, or calls of functions with weights of the module.
    A batch norm stays where it is if it has no running statistics, if its input does not come from a layer of its own (which
    nothing else reads), or if weights are computed on the way (parametrised ones are).  Following a module fixes what Python
    decides by attributes and by the shape of an image, which does not change.  What depends on the data cannot be followed;
    modules with hooks, DataParallel and TorchScript are left alone as a whole.
    """
    refusal = _refusal(module)
    if refusal is not None:
        return Folded(module, 0, refusal)
    found = []
    for name, follow in WAYS.items():
        try:
            return _folded(follow, module, x, tolerance)
        except _NotFollowedError as error:
            found.append(f"{name} {error}")
    return Folded(module, 0, "; ".join(found))


Follow = Callable[[nn.Module, torch.Tensor], fx.GraphModule]


class _NotFollowedError(Exception):
    """One way to follow a module did not show what it does; the text completes "torch.fx …"."""


def _folded(follow: Follow, module: nn.Module, x: torch.Tensor, most: float) -> Folded:
    """Folded as one way to follow the module shows it."""
    try:
        copied = copy.deepcopy(module)
        for one in copied.modules():
            one.training = False
        with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = follow(copied, x[:2].clone())
            count, left = join(traced, x[:2].clone())
    except Exception as error:
        raise _NotFollowedError(f"cannot follow it ({type(error).__name__}: {reason(error)})") from error
    if count + left == 0:
        raise _NotFollowedError("finds no batch norm in it")
    why = f"{left} of {count + left} do not follow a convolution or linear layer of their own" if left else None
    if count == 0:
        return Folded(module, 0, why)
    apart = _apart(traced.eval(), module, x, most)
    if apart is not None:
        raise _NotFollowedError(f"gives another network: {apart}")
    return Folded(traced, count, why)


def _refusal(module: nn.Module) -> str | None:
    """Why a module is not even to be followed."""
    if isinstance(module, torch.jit.ScriptModule) or any(isinstance(one, torch.jit.ScriptModule) for one in module.modules()):
        return "it is TorchScript"
    if any(isinstance(one, WRAPPERS) for one in module.modules()):
        return "it is wrapped in DataParallel"
    if not any(name.endswith("running_var") for name, _ in module.named_buffers()):
        return "there is no batch norm with running statistics"
    if any(one._forward_hooks or one._forward_pre_hooks for one in module.modules()):
        return "it has hooks, which following it would lose"
    return None


def _by_fx(module: nn.Module, x: torch.Tensor) -> fx.GraphModule:
    return fx.symbolic_trace(module)


def _by_export(module: nn.Module, x: torch.Tensor) -> fx.GraphModule:
    x = torch.cat([x, x])[:2]  # one copy would be taken for the only number of copies
    program = torch.export.export(_Logits(module), (x,), dynamic_shapes=({0: torch.export.Dim("copies")},), strict=False)
    unguarded = {"check_guards": False} if "check_guards" in inspect.signature(program.module).parameters else {}
    inside = program.module(**unguarded)
    (output,) = (node for node in inside.graph.nodes if node.op == "output")
    (logits,) = output.args[0]
    output.args = (logits,)
    inside.graph.set_codegen(fx.graph.CodeGen())  # one tensor in, one out
    _castable(inside.graph)
    return fx.GraphModule(inside, inside.graph)  # without what it checks before every call


_ATEN = torch.ops.aten
CASTS = (_ATEN.to.dtype, _ATEN.to.dtype_layout, _ATEN.to.device, _ATEN.to.other, _ATEN.type_as.default)


def _castable(graph: fx.Graph) -> None:
    """Leave out casts that do nothing here, and checks of dtypes: what `.to(x.dtype)` says is fixed, and x may be cast later."""
    for node in list(graph.nodes):
        if node.target is _ATEN._assert_tensor_metadata.default:
            graph.erase_node(node)
        elif node.target in CASTS:
            before, after = (one.meta.get("val") for one in (node.args[0], node))
            kinds = [(one.dtype, one.device) for one in (before, after) if isinstance(one, torch.Tensor)]
            if len(kinds) == 2 and kinds[0] == kinds[1]:
                node.replace_all_uses_with(node.args[0])
                graph.erase_node(node)


class _Logits(nn.Module):
    """Just the logits of a module."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: torch.Tensor) -> Any:
        return taken(self.inside(x))


WAYS = {"torch.fx": _by_fx, "torch.export": _by_export}
"""How a module is followed, the quickest first."""


def _apart(folded: nn.Module, original: nn.Module, x: torch.Tensor, most: float) -> str | None:
    """How a copy differs from the original, if it does: on a batch, or on one of its rows alone."""
    with evaluating([*original.modules()]), torch.inference_mode(), precisely():
        for batch in (x, x[:1]):
            try:
                expected = logits_of(original, batch.clone()).clone()
            except ModelError:
                if batch is x:
                    raise
                continue  # it insists on its batch
            try:
                found = difference(logits_of(folded, batch.clone()), expected)
            except Exception as error:
                return f"it raises {type(error).__name__}, {reason(error)}"
            if not found <= most:
                return f"its logits differ by {found:.2g} of their spread, more than {most:g}"
    return None
