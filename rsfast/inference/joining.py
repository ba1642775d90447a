"""Batch norms of a graph, joined to the layers before them.

For a convolution or linear layer with weight W and bias b followed by a batch norm with mean m, variance v, scale g and
shift s, the two together are the layer with weight W g / sqrt(v + eps) and bias (b - m) g / sqrt(v + eps) + s.  The new
weights are computed in float64 and rounded once.

A graph shows layers as modules, or as calls with weights: of torch's functions (torch.fx) or of its operators (torch.export).
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import fx, nn

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
TRANSPOSED_LAYERS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_F, _ATEN = nn.functional, torch.ops.aten
CALLS: dict[Any, str] = {
    **dict.fromkeys((_F.linear, _ATEN.linear.default), "layer"),
    **dict.fromkeys((_F.conv1d, _ATEN.conv1d.default, _ATEN.conv1d.padding), "layer"),
    **dict.fromkeys((_F.conv2d, _ATEN.conv2d.default, _ATEN.conv2d.padding), "layer"),
    **dict.fromkeys((_F.conv3d, _ATEN.conv3d.default, _ATEN.conv3d.padding), "layer"),
    **dict.fromkeys((_F.conv_transpose1d, _ATEN.conv_transpose1d.default), "transposed"),
    **dict.fromkeys((_F.conv_transpose2d, _ATEN.conv_transpose2d.input), "transposed"),
    **dict.fromkeys((_F.conv_transpose3d, _ATEN.conv_transpose3d.input), "transposed"),
    **dict.fromkeys((_F.batch_norm, _ATEN.batch_norm.default), "norm"),
}
"""What a function or an operator is."""
ARGUMENTS = {  # of functions; an operator says its own
    "layer": ("input", "weight", "bias"),
    "transposed": ("input", "weight", "bias", "stride", "padding", "output_padding", "groups"),
    "norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
}
FLATTENS = ("flatten", torch.flatten, _ATEN.flatten.using_ints)
LIKE = ("reshape_as", "view_as", "expand_as", _ATEN.reshape_as.default, _ATEN.view_as.default, _ATEN.expand_as.default)
SIZES = ("size", "dim", _ATEN.sym_size.int)
SHAPES = ("shape", "ndim", "dtype", "device")


def join(traced: fx.GraphModule, x: torch.Tensor) -> tuple[int, int]:
    """Join in place, for inputs like `x`: how many batch norms went and how many stayed, one that runs twice counted twice."""
    return _Joining(traced, x).run()


class _Layer(NamedTuple):
    """A convolution or linear layer, and how its weight lies."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    groups: int | None  # of a transposed convolution

    @property
    def channels(self) -> int:
        return self.weight.shape[0] if self.groups is None else self.weight.shape[1] * self.groups


class _Norm(NamedTuple):
    """A batch norm with running statistics, in eval mode."""

    mean: torch.Tensor
    variance: torch.Tensor
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    eps: float


class _Joining:
    """This joins all batch norms of a graph, in place."""

    def __init__(self, traced: fx.GraphModule, x: torch.Tensor) -> None:
        self.traced = traced
        self.dimensions = _Dimensions(traced).of(x)
        self.prefix = "folded"
        while any(name.startswith(self.prefix) for name in dir(traced)):  # of a network that was folded before, in part
            self.prefix += "_again"

    def run(self) -> tuple[int, int]:
        """How many batch norms went and how many stayed."""
        count = left = 0
        for node in list(self.traced.graph.nodes):
            norm = self._norm(node)
            if norm is None:
                continue
            before = self._before(node)
            layer = None if before is None else self._layer(before)
            if before is None or layer is None or not self._fit(layer, node, norm):
                left += 1
                continue
            self._replace(before, _joined(layer, norm), f"{self.prefix}_{count}")
            node.replace_all_uses_with(self._argument(node, "input"))
            self.traced.graph.erase_node(node)
            count += 1
        for node in list(self.traced.graph.nodes):
            node.meta.clear()  # of the tensors that it was followed with
            if node.op == "get_attr" and not node.users:
                self.traced.graph.erase_node(node)
        self.traced.graph.lint()
        self.traced.delete_all_unused_submodules()
        self.traced.recompile()
        return count, left

    def _before(self, reader: fx.Node) -> fx.Node | None:
        """What computes the values that only this reader reads: what it is given, or what that flattens, (0, 1)."""
        given = self._argument(reader, "input")
        if not isinstance(given, fx.Node) or not all(user is reader or _reads_shape(user, given) for user in given.users):
            return None
        if _called(given) not in FLATTENS:
            return given
        inside, *how = given.args
        if how != [0, 1] or given.kwargs or not isinstance(inside, fx.Node) or self.dimensions.get(inside) != 3:
            return None
        return inside if all(user is given or _reads_shape(user, inside) for user in inside.users) else None

    def _fit(self, layer: _Layer, reader: fx.Node, norm: _Norm) -> bool:
        """Whether a layer's channels are what a batch norm takes for them: the second dimension of as many as the weight has."""
        dimensions = self.dimensions.get(self._argument(reader, "input"))
        return dimensions == layer.weight.ndim and layer.channels == norm.mean.numel() == norm.variance.numel()

    def _module(self, node: fx.Node, kinds: tuple[type, ...]) -> Any:
        """The module that a node calls, with one argument, if it is one of these."""
        if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
            return None
        module = self.traced.get_submodule(str(node.target))
        return module if type(module) in kinds and "forward" not in module.__dict__ else None

    def _layer(self, node: fx.Node) -> _Layer | None:
        module: Any = self._module(node, LAYERS + TRANSPOSED_LAYERS)
        if module is not None:
            return _Layer(module.weight, module.bias, module.groups if isinstance(module, TRANSPOSED_LAYERS) else None)
        kind = CALLS.get(_called(node))
        weight, bias = self._tensor(node, "weight"), self._tensor(node, "bias")
        if kind not in ("layer", "transposed") or weight is None or (bias is None and self._argument(node, "bias") is not None):
            return None
        groups = self._argument(node, "groups", 1) if kind == "transposed" else None
        return _Layer(weight, bias, groups) if groups is None or type(groups) is int else None

    def _norm(self, node: fx.Node) -> _Norm | None:
        module: Any = self._module(node, NORMS)
        if module is not None:
            if module.running_mean is None or module.running_var is None:
                return None
            return _Norm(module.running_mean, module.running_var, module.weight, module.bias, module.eps)
        if CALLS.get(_called(node)) != "norm" or self._argument(node, "training", False) is not False:
            return None
        mean, variance, weight, bias = (self._tensor(node, name) for name in ("running_mean", "running_var", "weight", "bias"))
        known = all(
            tensor is not None or self._argument(node, name) is None for name, tensor in (("weight", weight), ("bias", bias))
        )
        eps = self._argument(node, "eps", 1e-5)
        if mean is None or variance is None or not known or not isinstance(eps, float):
            return None
        return _Norm(mean, variance, weight, bias, eps)

    def _argument(self, node: fx.Node, name: str, default: Any = None) -> Any:
        """What a call is given under a name."""
        names = _names(node)
        place = names.index(name) if name in names else len(node.args)
        return node.args[place] if place < len(node.args) else node.kwargs.get(name, default)

    def _tensor(self, node: fx.Node, name: str) -> torch.Tensor | None:
        """The parameter or buffer that a call is given under a name."""
        given = self._argument(node, name)
        if not isinstance(given, fx.Node) or given.op != "get_attr":
            return None
        owner, _, leaf = str(given.target).rpartition(".")
        found = getattr(self.traced.get_submodule(owner), leaf, None)
        return found if isinstance(found, torch.Tensor) else None

    def _replace(self, node: fx.Node, joined: dict[str, nn.Parameter], name: str) -> None:
        """Give a layer, in this place only, other weights."""
        if node.op == "call_module":
            layer = copy.deepcopy(self.traced.get_submodule(str(node.target)))
            for which, tensor in joined.items():
                setattr(layer, which, tensor)
            self.traced.add_submodule(name, layer)
            node.target = name
            return
        for which, tensor in joined.items():
            self.traced.register_parameter(f"{name}_{which}", tensor)
            with self.traced.graph.inserting_before(node):
                held = self.traced.graph.get_attr(f"{name}_{which}")
            place = _names(node).index(which)
            if place < len(node.args):
                node.update_arg(place, held)
            else:
                node.update_kwarg(which, held)


def _reads_shape(user: fx.Node, node: fx.Node) -> bool:
    """Whether a user of a node depends on its shape and kind alone."""
    called = _called(user)
    if called is getattr:
        return user.args[1] in SHAPES
    return called in SIZES or (called in LIKE and node not in user.args[:1])


def _called(node: fx.Node) -> Any:
    """The function, operator or method (by name) that a node calls; None for a module."""
    return node.target if node.op in ("call_function", "call_method") else None


class _Dimensions(fx.Interpreter):
    """How many dimensions each node's tensor has."""

    def of(self, x: torch.Tensor) -> dict[fx.Node, int]:
        self.found: dict[fx.Node, int] = {}
        self.run(x)
        return self.found

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.found[n] = value.ndim
        return value


def _names(node: fx.Node) -> tuple[str, ...]:
    """Names of the arguments of a call, in order."""
    called = _called(node)
    if isinstance(called, torch._ops.OpOverload):
        return tuple(argument.name for argument in called._schema.arguments)
    return ("input",) if node.op == "call_module" else ARGUMENTS.get(CALLS.get(called, ""), ())


def _joined(layer: _Layer, norm: _Norm) -> dict[str, nn.Parameter]:
    """Weight and bias of a layer that does what the batch norm does after it."""
    dtype, weight = layer.weight.dtype, layer.weight.double()
    scale = (norm.variance.double() + norm.eps).rsqrt()  # [channels]
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.mean.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    if layer.bias is not None:
        shift = shift + scale * layer.bias.double()
    if layer.groups is not None:  # weight [in, channels / groups, …]; a group has its own rows and its own channels
        rows = weight.reshape(layer.groups, -1, *weight.shape[1:])  # [groups, in / groups, channels / groups, …]
        weight = (rows * scale.view(layer.groups, 1, -1, *[1] * (weight.ndim - 2))).flatten(0, 1)
    else:  # weight [channels, …]
        weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
    return {name: nn.Parameter(made.to(dtype), requires_grad=False) for name, made in (("weight", weight), ("bias", shift))}
