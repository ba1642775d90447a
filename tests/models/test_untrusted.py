"""Files of models that would run code: none is executed unless it is trusted."""

import io
import json
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch

from rsfast import models
from rsfast.errors import BackendUnavailableError, ModelError
from rsfast.models import build, from_exported, load
from rsfast.models.pickles import unpickled

NODES = ("graph_module", "graph", "nodes")


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return (os.mkdir, (self.marker,))


def pickled(value):
    made = io.BytesIO()
    torch.save(value, made)
    return made.getvalue()


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The entries of an honest file, by name without the folder."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("honest") / "m.pt2"
    dim = torch.export.Dim("batch", min=2, max=4096)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()
    torch.export.save(torch.export.export(model, (torch.rand(4, 1, 2, 2),), dynamic_shapes=({0: dim},)), file)
    with zipfile.ZipFile(file) as found:
        return {name.partition("/")[2]: found.read(name) for name in found.namelist()}


def written(entries, file, root="m/"):
    with zipfile.ZipFile(file, "w") as out:
        for name, content in entries.items():
            out.writestr(f"{root}{name}", content)
    return file


def graph(entries, change):
    """The entries with a changed graph."""
    program = json.loads(entries["models/model.json"])
    change(program)
    return {**entries, "models/model.json": json.dumps(program).encode()}


def config(entries, kind, **more):
    """The entries with a tensor (of weights or constants) that is described otherwise."""
    name = f"data/{kind}/model_{kind}_config.json"
    found = json.loads(entries[name])
    first = next(iter(json.loads(entries["data/weights/model_weights_config.json"])["config"].items()))
    found["config"] = {**found["config"], first[0]: {**first[1], **more}}
    return {**entries, name: json.dumps(found).encode()}


def calls(marker, target="torch.os.mkdir"):
    def change(program):
        node = program["graph_module"]["graph"]["nodes"][-1]
        node["target"] = target
        node["inputs"] = [{"name": "", "arg": {"as_string": str(marker)}, "kind": 1}]

    return change


def renamed(program, old, new):
    text = json.dumps(program).replace(json.dumps(old), json.dumps(new))
    program.clear()
    program.update(json.loads(text))


def with_expression(entries, text):
    """The entries with another expression for every size that is one."""

    def change(program):
        found = re.search(r'"expr_str": ("[^"]*")', json.dumps(program))
        renamed(program, json.loads(found[1]), text)

    return graph(entries, change)


def attacks(entries, marker):
    trap, code = pickled(Trap(marker)), f"__import__('os').mkdir({str(marker)!r})"
    yield "weights", {**config(entries, "weights", use_pickle=True), "data/weights/weight_0": trap}
    yield "constants", {**config(entries, "constants", use_pickle=True, path_name="tensor_0"), "data/constants/tensor_0": trap}
    opaque = config(entries, "constants", use_pickle=True, path_name="opaque_obj_0")
    yield "opaque", {**opaque, "data/constants/opaque_obj_0": pickle.dumps(Trap(marker))}
    yield "legacy weights", {**entries, "data/weights/model.pt": trap}
    yield "inputs", {**entries, "data/sample_inputs/model.pt": trap}
    yield "operator", graph(entries, calls(marker))
    yield "wrapped operator", graph(entries, calls(marker, "torch.utils._pytree.os.mkdir"))

    yield "expression", with_expression(entries, code)
    yield "parameter name", graph(entries, lambda program: renamed(program, "input", f"x={code}"))

    def shape(program):
        for call in program["graph_module"]["module_call_graph"]:
            if call["signature"]:
                call["signature"]["forward_arg_names"] = [f"x={code}"]

    yield "argument name", graph(entries, shape)


def test_no_part_of_an_exported_program_is_executed(honest, tmp_path):
    tried = {}
    for name, entries in attacks(honest, tmp_path / "marker"):
        file = written(entries, tmp_path / "m.pt2")
        with pytest.raises(ModelError, match="(?s)cannot be loaded: it holds .* --trust-files") as caught:
            load(str(file)).model(torch.rand(4, 1, 2, 2))
        tried[name] = str(caught.value)
        assert not (tmp_path / "marker").exists(), name
    assert len(tried) == 10


@pytest.mark.parametrize("name", ["weights", "opaque", "legacy weights", "inputs", "expression"])
def test_a_trusted_program_is_opened_with_what_it_holds(honest, tmp_path, name):
    marker = tmp_path / "marker"
    file = written(dict(attacks(honest, marker))[name], tmp_path / "m.pt2")
    with pytest.raises(ModelError):  # the traps make no tensors
        from_exported(file, trust=True)(torch.rand(4, 1, 2, 2))
        raise ModelError("it was opened")
    assert marker.exists()


def test_an_honest_program_computes_the_same_with_and_without_trust(honest, tmp_path):
    file = written(honest, tmp_path / "m.pt2")
    x = torch.rand(7, 1, 2, 2)
    assert torch.equal(from_exported(file)(x), from_exported(file, trust=True)(x))


def old_layout(entries, state, **more):
    """As torch 2.4 to 2.7 wrote them."""
    return {"serialized_exported_program.json": entries["models/model.json"], "version": b"8.7", **more,
            "serialized_state_dict.pt": pickled(state), "serialized_constants.pt": pickled({}),
            "serialized_example_inputs.pt": pickled(((torch.rand(4, 1, 2, 2),), {}))}  # fmt: skip


def test_programs_of_older_versions_are_looked_at_as_well(honest, tmp_path):
    weights = {name: torch.nn.Parameter(torch.rand(shape)) for name, shape in (("1.weight", (3, 4)), ("1.bias", 3))}
    x = torch.rand(5, 1, 2, 2)
    found = from_exported(written(old_layout(honest, weights), tmp_path / "old.pt2", ""))(x)
    torch.testing.assert_close(found, x.flatten(1) @ weights["1.weight"].T + weights["1.bias"])
    trap = old_layout(honest, {**weights, "x": Trap(tmp_path / "marker")})
    with pytest.raises(ModelError, match="serialized_state_dict.pt.*--trust-files"):
        from_exported(written(trap, tmp_path / "trap.pt2", ""))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data/aotinductor/model/a.wrapper.so", b"\x7fELF", "a compiled library"),
        ("data/constants/custom_obj_0", b"x", "custom_obj_0"),
        ("data/weights/../../x", b"x", "the entry"),
    ],
)
def test_entries_that_are_not_known_are_refused(honest, tmp_path, name, content, said):
    file = written({**honest, name: content}, tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=said):
        from_exported(file)


@pytest.mark.parametrize(
    "target",
    ["torch.ops.aten.from_file.default", "torch.hub.load", "builtins.eval", "torch.ops.load_library", "_operator.methodcaller",
     "torch.ops.aten.__class__", "torch.ops.image.write_file.default", "torch.ops.higher_order.wrap", "#extension:x", ""],
)  # fmt: skip
def test_only_operators_that_compute_may_be_called(honest, tmp_path, target):
    file = written(graph(honest, calls(tmp_path, target)), tmp_path / "m.pt2")
    with pytest.raises(ModelError, match="a call of"):
        from_exported(file)


@pytest.mark.parametrize(
    "text",
    ["eval('1')", "Symbol('s77').__class__", "[x for x in ()]", "lambda: 1", "Mul('__import__(\"os\")', 2)", "f(s0)", "s0; s1",
     "Symbol", "(" * 5000, "__builtins__", "'a' * 2 ** 3 if 1 else 2"],
)  # fmt: skip
def test_expressions_are_arithmetic(honest, tmp_path, text):
    file = written(with_expression(honest, text), tmp_path / "m.pt2")
    if text == "Symbol":  # a symbol's name, which torch then does not find
        with pytest.raises(ModelError):
            from_exported(file)
        return
    with pytest.raises(ModelError, match="the expression"):
        from_exported(file)


@pytest.mark.parametrize(
    "spec",
    ['[1, {"type": "collections.defaultdict", "context": "{}", "children_spec": []}]',
     '[1, {"type": "builtins.dict", "context": "[\\"x=print(1)\\"]", "children_spec": []}]',
     '[1, {"type": "builtins.tuple", "context": {"__enum__": true}, "children_spec": []}]', "[1]", "nothing"],
)  # fmt: skip
def test_inputs_are_nested_in_plain_containers(honest, tmp_path, spec):
    def change(program):
        for call in program["graph_module"]["module_call_graph"]:
            if call["signature"]:
                call["signature"]["in_spec"] = spec

    with pytest.raises(ModelError, match="inputs or outputs of the type"):
        from_exported(written(graph(honest, change), tmp_path / "m.pt2"))


def test_what_differs_between_readers_of_zip_files_is_refused(honest, tmp_path):
    file = written(honest, tmp_path / "m.pt2")
    whole = file.read_bytes()
    with zipfile.ZipFile(tmp_path / "packed.pt2", "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in honest.items():
            out.writestr(f"m/{name}", content)
    with zipfile.ZipFile(tmp_path / "twice.pt2", "w") as out, pytest.warns(UserWarning, match="Duplicate"):
        for name in [*honest, "models/model.json"]:
            out.writestr(f"m/{name}", honest[name])
    (tmp_path / "short.pt2").write_bytes(whole[:-50])
    (tmp_path / "flipped.pt2").write_bytes(
        whole.replace(honest["data/weights/weight_0"], bytes(len(honest["data/weights/weight_0"])))
    )
    for name, said in (("packed", "compressed"), ("twice", "overlap"), ("short", "without"), ("flipped", "damaged")):
        with pytest.raises(ModelError, match=f"is not a torch.export file: it is .*{said}"):
            from_exported(tmp_path / f"{name}.pt2")


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("where", [lambda trap: trap, lambda trap: {"state_dict": {"w": torch.ones(1)}, "args": trap}])
def test_a_checkpoint_runs_code_only_if_it_is_trusted(tmp_path, new, where):
    file, marker = tmp_path / "m.pt", tmp_path / "marker"
    torch.save(where(Trap(marker)), file, _use_new_zipfile_serialization=new)
    with pytest.raises(ModelError, match=r"it holds posix.mkdir besides weights.*--trust-files"):
        load("small-cnn", checkpoint=file, num_classes=3, channels=1)
    assert not marker.exists()
    with pytest.raises(ModelError, match="does not"):
        load("small-cnn", checkpoint=file, num_classes=3, channels=1, trust=True)
    assert marker.exists()


def test_a_trusted_file_may_hold_the_whole_module(tmp_path):
    model = build("small-cnn", num_classes=3, channels=1)
    torch.save({"net": model, "epoch": 3}, tmp_path / "m.pt")
    with pytest.raises(ModelError, match="rsfast.models.small_cnn.SmallCNN besides weights"):
        load("small-cnn", checkpoint=tmp_path / "m.pt", num_classes=3, channels=1)
    loaded = load("small-cnn", checkpoint=tmp_path / "m.pt", num_classes=3, channels=1, trust=True)
    assert loaded.sha256 == models.fingerprint(model)


def test_traps_under_other_names_are_not_executed(tmp_path):
    data, marker = pickled({"state_dict": Trap(tmp_path / "marker")}), tmp_path / "marker"
    for name in ("m.safetensors", "m.ckpt", "m.bin", "m.tar", "m"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match="cannot be loaded"):
            load("small-cnn", checkpoint=tmp_path / name, num_classes=3, channels=1)
    for name in ("m.pt2", "m.onnx"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises((ModelError, BackendUnavailableError)):
            load(str(tmp_path / name))
    assert not marker.exists()


def test_a_program_that_torch_refuses_prints_nothing(honest, tmp_path, capfd):
    def change(program):
        program["range_constraints"] = {}
        for node in program["graph_module"]["graph"]["nodes"]:
            node["target"] = "torch.ops.aten.relu.default"

    for entries in (graph(honest, change), with_expression(honest, "Ge(s0, 3)"), {**honest, "models/model.json": b"{}"}):
        with pytest.raises(ModelError, match="is not a torch.export file"):
            from_exported(written(entries, tmp_path / "m.pt2"))
    assert capfd.readouterr() == ("", "")


class Called:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "trap",
    [
        Called(np.ndarray, (2**33,)),  # eight GiB, of which nothing is in the file
        Called(np.ndarray, (10,), "i8"),  # whatever lies in memory, as weights
        Called(np.arange(1).__reduce__()[0], np.ndarray, (2**33,), b"b"),
    ],
)
def test_arrays_are_made_of_the_numbers_in_the_file_alone(tmp_path, trap):
    honest = {"mean": np.arange(6.0).reshape(2, 3), "epoch": np.float64(2.5), "order": np.array([1, 2], dtype=">i4")}
    torch.save(honest, tmp_path / "honest.pt")
    found = unpickled((tmp_path / "honest.pt").read_bytes())
    assert all(np.array_equal(found[name], value) for name, value in honest.items())
    torch.save({"classifier.weight": trap}, tmp_path / "trap.pt")
    with pytest.raises(ModelError, match="an array (is made by its name|begins with a shape)"):
        load("small-cnn", checkpoint=tmp_path / "trap.pt", num_classes=10, channels=1)
