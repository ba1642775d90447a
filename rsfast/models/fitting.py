"""Which weights of a checkpoint belong to which names of a network, and what the file holds besides."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import ModelError
from ..files import printable

Tensors = dict[str, torch.Tensor]

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
"""Parts of names that DataParallel, torch.compile and their like put in; they compute nothing."""
CUSTOMARY = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
"""Containers, in the order in which they are preferred."""
AVERAGED = re.compile(r"(?:^|[._])(?:ema|swa|averaged?|teacher|momentum|target)(?=[._]|$)", re.IGNORECASE)
COUNTERS = {"num_batches_tracked", "n_averaged", "num_updates", "decay"}
"""Numbers that training counts and that no answer depends on."""
PAIRS = (
    ("mean", "std"), ("means", "sds"), ("mean", "sd"), ("means", "stds"), ("mu", "sigma"), ("new_mean", "new_std"),
    ("_mean", "_std"), ("pixel_mean", "pixel_std"), ("norm_mean", "norm_std"), ("image_mean", "image_std"),
)  # fmt: skip
"""Names of what (x - mean) / std takes from a state dict."""
PUBLISHED = {
    "cifar_resnet20": (10, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar_resnet110": (10, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "resnet50": (1000, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""By `arch` of checkpoints of Cohen et al. and who follows them: classes, and the layer in front, which they do not store."""
DEEPEST = 5
SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Fit:
    """A fit holds the weights for every name of a network, and what stands before it in the file.

    `mean` and `std` are those of a normalisation that the file says is applied first; `before` is a sentence on something
    that is applied first and is not known, and `unused` names what the file holds of it.  `notes` are sentences on what else the
    file holds.
    """

    state: Tensors
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    before: str | None = None
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """Names of the file by names of the network: those under `prefix`, in the container `home`."""

    prefix: str
    home: str
    picked: dict[str, str]

    @property
    def inside(self) -> str:
        """The prefix within the container."""
        return self.prefix[len(self.home) :] if self.prefix.startswith(self.home) else ""


def fit(checkpoint: Any, network: torch.nn.Module, file: str, spec: str, hint: Callable[[set[str]], str]) -> Fit:
    """Find the weights of a checkpoint for a network.

    Parameters
    ----------
    checkpoint : object
        What a file held: a state dict, or containers with one in them.
    network : torch.nn.Module
    file, spec : str
        Names for messages.
    hint : callable
        For names of weights that do not fit: a sentence on what they do fit, or "".

    Raises
    ------
    ModelError
        There are no such weights, several, or more than the network has places for.
    """
    wanted: Mapping[str, torch.Tensor] = {
        name: value for name, value in network.state_dict().items() if isinstance(value, torch.Tensor)
    }
    found, homes = _flat(checkpoint)
    if not found:
        raise ModelError(f"{file} does not hold a state dict ({_described(checkpoint)}): save model.state_dict().")
    candidates = _candidates(found, homes, wanted)
    if not candidates:
        raise ModelError(_misfit(found, homes, wanted, file, spec, hint))
    chosen, notes = _chosen(candidates, found, file)
    state = {name: found[key] for name, key in chosen.picked.items()}
    _check_shapes(state, wanted, file, spec)
    used = {key for one in candidates for key in one.picked.values()}
    container = [key for key in found if homes[key] == chosen.home and key not in used]
    left = [key for key in container if key.rpartition(".")[2] not in COUNTERS or found[key].numel() != 1]
    if len(left) < len(container):
        notes.append(
            f"{file}: counters of training are left out ({_keys([k for k in container if k not in left], chosen.home)})."
        )
    elsewhere = sorted({key.partition(".")[0] for key in found if key not in used and homes[key] != chosen.home})
    if elsewhere:
        notes.append(f"{file}: what it holds under {', '.join(map(_short, elsewhere[:SHOWN]))} is not used.")
    if any(found[key].numel() > 4 for key in left):
        names = {key[len(chosen.prefix) :] if key.startswith(chosen.prefix) else key for key in (*left, *chosen.picked.values())}
        advice = hint(names) or "make that one in a module:factory, or save the part that is meant, alone"
        raise ModelError(
            f"{file} does not fit {spec}: it also has {_keys(left, chosen.home)} ({len(left)} in all), for which {spec} has no "
            f"place, so that the network in it computes something else; {advice}."
        )
    arch = checkpoint.get("arch") if isinstance(checkpoint, Mapping) else None
    return _with_what_stands_before(chosen, state, {key: found[key] for key in left}, arch, notes, file, spec)


def _flat(checkpoint: Any) -> tuple[Tensors, dict[str, str]]:
    """Every tensor under a dotted name, and the container of each ("", "state_dict.", …)."""
    found: Tensors = {}
    homes: dict[str, str] = {}
    seen: set[int] = set()

    def walk(value: Any, home: str, depth: int) -> None:
        if isinstance(value, torch.nn.Module):
            value = value.state_dict()
        if not isinstance(value, Mapping) or depth > DEEPEST or id(value) in seen:
            return
        seen.add(id(value))
        for key, one in value.items():
            if isinstance(one, torch.Tensor):
                if isinstance(key, str) and f"{home}{key}" not in found:
                    found[f"{home}{key}"] = one.detach()
                    homes[f"{home}{key}"] = home
            elif isinstance(key, (str, int)):
                walk(one, f"{home}{key}.", depth + 1)

    walk(checkpoint, "", 0)
    return found, homes


def _candidates(found: Tensors, homes: Mapping[str, str], wanted: Mapping[str, torch.Tensor]) -> list[_Candidate]:
    """Every place in the file that has all names of the network; if none has, without the names of wrappers on either side."""
    plain = {_bare(key): key for key in found}
    sought = {_bare(name): name for name in wanted}
    made = list(_matching({key: key for key in found}, homes, {name: name for name in wanted}))
    if not made and len(plain) == len(found) and len(sought) == len(wanted):
        made = list(_matching(plain, homes, sought))
    if not made and "." in (shared := _shared(list(sought))):  # the network stands in a container, the weights do not
        made = list(_matching(plain, homes, {name[len(shared) :]: full for name, full in sought.items()}))
    return made


def _matching(keys: Mapping[str, str], homes: Mapping[str, str], sought: Mapping[str, str]) -> Iterator[_Candidate]:
    """`keys` and `sought` say for a name to compare by what it is called in the file and in the network."""
    needed = [name for name in sought if name.rpartition(".")[2] != "num_batches_tracked"] or list(sought)
    if not needed:
        return
    anchor = max(needed, key=lambda name: (name.count("."), len(name)))
    for key in keys:
        if key != anchor and not key.endswith(f".{anchor}"):
            continue
        prefix = key[: len(key) - len(anchor)]
        if all(f"{prefix}{name}" in keys for name in needed):
            picked = {full: keys[f"{prefix}{name}"] for name, full in sought.items() if f"{prefix}{name}" in keys}
            yield _Candidate(prefix, homes[keys[key]], picked)


def _bare(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _shared(names: Sequence[str]) -> str:
    """What all dotted names begin with."""
    first = names[0].split(".")[:-1] if names else []
    length = 0
    while length < len(first) and all(name.startswith(".".join(first[: length + 1]) + ".") for name in names):
        length += 1
    return "".join(f"{part}." for part in first[:length])


def _chosen(candidates: list[_Candidate], found: Tensors, file: str) -> tuple[_Candidate, list[str]]:
    """The one place that is meant, and sentences on the others."""

    def rank(one: _Candidate) -> tuple[bool, int]:
        container = one.home.rstrip(".").rpartition(".")[2]
        return bool(AVERAGED.search(one.prefix)), CUSTOMARY.index(container) if container in CUSTOMARY else len(CUSTOMARY)

    chosen = min(candidates, key=rank)
    others = [one for one in candidates if not _equal(one, chosen, found)]
    rivals = [one for one in others if rank(one) == rank(chosen)]
    if rivals:
        places = ", ".join(repr(_label(one.prefix)) for one in (chosen, *rivals)[:SHOWN])
        raise ModelError(
            f"{file} holds {len(rivals) + 1} different sets of weights that fit, under {places}: save the one that is meant."
        )
    notes = [f"{file}: the weights under {_label(chosen.prefix)!r} are taken."] if _bare(chosen.inside).strip(".") else []
    if others:
        places = ", ".join(repr(_label(one.prefix)) for one in others[:SHOWN])
        notes = [f"{file}: the weights under {_label(chosen.prefix)!r} are taken, not the different ones under {places}."]
    return chosen, notes


def _equal(one: _Candidate, other: _Candidate, found: Tensors) -> bool:
    if one is other:
        return True
    for name, key in one.picked.items():
        a, b = found[key], found[other.picked.get(name, key)]
        if a is not b and (a.shape != b.shape or a.dtype != b.dtype or not torch.equal(a, b)):
            return False
    return True


def _check_shapes(state: Tensors, wanted: Mapping[str, torch.Tensor], file: str, spec: str) -> None:
    wrong = [name for name, value in state.items() if value.shape != wanted[name].shape]
    if not wrong:
        return
    shown = ", ".join(
        f"{_short(name)} is {tuple(state[name].shape)} instead of {tuple(wanted[name].shape)}" for name in wrong[:3]
    )
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    advice = "give the architecture that the weights were trained for"
    name = wrong[0]
    have, want = tuple(state[name].shape), tuple(wanted[name].shape)
    if len(wrong) <= 2 and have[1:] == want[1:] and all(state[one].shape[:1] == have[:1] for one in wrong):
        advice = f"the file's network has {have[0]} classes; give --num-classes {have[0]} if they are the data's"
    elif len(wrong) == 1 and len(have) == len(want) == 4 and have[0] == want[0] and have[2:] == want[2:]:
        advice = f"the file's network takes images of {have[1]} channel(s), these have {want[1]}"
    raise ModelError(f"{file} does not fit {spec}: {shown}{more}; {advice}.")


def _misfit(
    found: Tensors,
    homes: Mapping[str, str],
    wanted: Mapping[str, torch.Tensor],
    file: str,
    spec: str,
    hint: Callable[[set[str]], str],
) -> str:
    """What was found, what was expected, and what to do."""
    by_home: dict[str, list[str]] = {}
    for key in found:
        by_home.setdefault(homes[key], []).append(key)
    home = max(by_home, key=lambda one: (sum(_bare(k[len(one) :]) in wanted for k in by_home[one]), len(by_home[one])))
    names = [_bare(key[len(home) :]) for key in by_home[home]]
    shared = _shared(names)
    advice = hint({name[len(shared) :] for name in names} | set(names))
    names = [name[len(shared) :] for name in names] if not set(names) & set(wanted) else names
    extra, missing = [name for name in names if name not in wanted], [name for name in wanted if name not in set(names)]
    advice = (
        advice or "give the architecture of the file, or a module:factory that makes it, or save the part that is meant, alone"
    )
    has = f"it has {_keys(extra or names, '')} ({len(names)} names in all)"
    lacks = f"{spec} expects {_keys(missing or list(wanted), '')} ({len(wanted)} in all)"
    return f"{file} does not fit {spec}: {has}, {lacks}; {advice}."


def _with_what_stands_before(
    chosen: _Candidate, state: Tensors, left: Tensors, arch: Any, notes: list[str], file: str, spec: str
) -> Fit:
    """The fit, with the normalisation before the network if the file says or implies one."""
    channels = next((value.shape[1] for value in state.values() if value.ndim == 4), 3)
    identity = f"--mean {','.join('0' * channels)} --std {','.join('1' * channels)} says that it does nothing."

    def unknown(sentence: str) -> Fit:
        return Fit(state, before=f"{file} {sentence}", unused=tuple(left), notes=tuple(notes))

    pair = _pair(left)
    if pair is not None:
        mean, std = pair
        if max(map(abs, mean)) <= 3.0 and max(std) <= 3.0:
            return Fit(state, mean, std, notes=tuple(notes))
        scaled = f"--mean {_numbers(mean, 255)} --std {_numbers(std, 255)}"
        return unknown(f"normalises images from 0 to 255 first, and here they are from 0 to 1: give {scaled}, if it does that.")
    if left:
        shown = [f"{_short(key[len(chosen.home) :])} = {_numbers(left[key].flatten().tolist())}" for key in list(left)[:SHOWN]]
        return unknown(
            f"holds numbers of a layer that {spec} does not have ({'; '.join(shown)}). If it normalises images first, give its "
            f"--mean and --std; {identity}"
        )
    if not _follows_a_layer(chosen.inside):
        return Fit(state, notes=tuple(notes))
    classes, mean, std = PUBLISHED.get(arch if isinstance(arch, str) else "", (0, (), ()))
    if classes and list(state.values())[-1].shape[:1] == (classes,):
        return Fit(state, mean, std, notes=tuple(notes))
    return unknown(
        f"was saved with a layer before the network, whose numbers it does not hold (its names begin with {chosen.inside!r}). "
        f"It normalises images, customarily: give its --mean and --std; {identity}"
    )


def _follows_a_layer(inside: str) -> bool:
    """Whether a prefix says that another layer of a Sequential comes first: "1.", "1.module.", "model.2."."""
    return any(part.isdigit() and int(part) >= 1 for part in inside.split("."))


def _pair(left: Tensors) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and standard deviation, if a layer that holds these and nothing else is all that is left."""
    names = {key.rpartition(".")[2]: key for key in left}
    if len(names) != 2 or len({key.rpartition(".")[0] for key in left}) != 1:
        return None
    for mean, std in PAIRS:
        if set(names) == {mean, std}:
            values = [_rounded(left[names[name]]) for name in (mean, std)]
            length = max(map(len, values))
            spread = [value * length if len(value) == 1 else value for value in values]
            if all(len(value) == length and all(map(math.isfinite, value)) for value in spread) and min(spread[1]) > 0.0:
                return spread[0], spread[1]
    return None


def _rounded(value: torch.Tensor) -> tuple[float, ...]:
    """Numbers in as many digits as they were given with: 0.4914, not 0.49140000343."""
    flat = value.flatten()
    if not flat.is_floating_point():
        return tuple(float(one) for one in flat.tolist())
    if flat.dtype == torch.float64:
        return tuple(flat.tolist())
    return tuple(float(str(one)) for one in flat.float().numpy().astype(np.float32))


def _numbers(values: Sequence[float], divisor: float = 1.0) -> str:
    return ",".join(f"{value / divisor:.5g}" for value in values)


def _label(prefix: str) -> str:
    return prefix.rstrip(".") or "its top"


def _short(name: str) -> str:
    name = printable(name)
    return name if len(name) <= 40 else f"{name[:18]}…{name[-19:]}"


def _keys(names: Sequence[str], home: str) -> str:
    return ", ".join(_short(name[len(home) :] if name.startswith(home) else name) for name in names[:SHOWN])


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        keys = ", ".join(_short(str(key)) for key in list(value)[:SHOWN])
        return f"it holds {keys}, and no tensors" if value else "it is empty"
    return f"it is a {type(value).__name__}"
