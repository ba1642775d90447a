"""Checkpoints as other people save them: which weights are taken, and what is said of the rest."""

import argparse
import pathlib

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast.errors import ModelError, SoundnessWarning
from rsfast.models import build, fingerprint, load
from rsfast.models.fitting import fit
from tests import flat

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def network(name="small-cnn", seed=3, classes=4, channels=3):
    torch.manual_seed(seed)
    return build(name, num_classes=classes, channels=channels)


STATE = network().state_dict()
OTHER = network(seed=4).state_dict()


def under(prefix, state=None):
    return {prefix + name: value for name, value in (STATE if state is None else state).items()}


def statistics(mean="means", std="sds", scale=1.0):
    shaped = [scale * torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD)]
    return {f"0.{mean}": shaped[0], f"0.{std}": shaped[1]}


@pytest.fixture
def loaded(tmp_path):
    def made(checkpoint, spec="small-cnn", classes=4, **more):
        torch.save(checkpoint, tmp_path / "m.pt")
        return load(spec, checkpoint=tmp_path / "m.pt", num_classes=classes, channels=3, **more)

    return made


@pytest.mark.parametrize(
    "prefix",
    ["module.", "module.module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "backbone.", "encoder.net.",
     "1.", "1.module.", "module.1.", "module.1.module."],
)  # fmt: skip
@pytest.mark.parametrize("containers", [(), ("state_dict",), ("net",), ("model_state_dict",), ("model", "state_dict"), ("ema",)])
def test_prefixes_and_containers_are_peeled_as_often_as_they_occur(loaded, prefix, containers):
    checkpoint = under(prefix)
    for name in reversed(containers):
        checkpoint = {"epoch": 3, name: checkpoint, "acc": 93.2}
    assert loaded(checkpoint).sha256 == fingerprint(network())


def test_parts_of_names_that_wrappers_put_in_the_middle_are_left_out(loaded):
    state = {name.replace("features.", "features._orig_mod."): value for name, value in STATE.items()}
    assert loaded(under("module.", state)).sha256 == fingerprint(network())


@pytest.mark.parametrize(
    "extra",
    [np.float64(93.2), np.int64(3), np.arange(3.0), np.array(["a", "b"]), argparse.Namespace(lr=0.1), pathlib.Path("a/b"), {1, 2},
     {"param_groups": [{"betas": (0.9, 0.99)}], "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.rand(3)}}}, None, "text"],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_people_save_beside_weights_does_not_matter(loaded, extra):
    assert loaded({"net": STATE, "extra": extra}).sha256 == fingerprint(network())


def test_counters_that_old_checkpoints_lack_do_not_matter(loaded):
    model = network("cifar-resnet20", classes=10)
    state = {name: value for name, value in model.state_dict().items() if "num_batches_tracked" not in name}
    assert loaded(state, "cifar-resnet20", 10).sha256 == fingerprint(model)


def test_a_container_that_holds_itself_is_gone_through_once(loaded):
    checkpoint = {"state_dict": STATE}
    checkpoint["self"] = checkpoint
    assert loaded(checkpoint).sha256 == fingerprint(network())


def test_customary_weights_are_taken_before_averaged_ones_and_that_is_said(loaded):
    found = loaded({"state_dict_ema": OTHER, "state_dict": STATE})
    assert found.sha256 == fingerprint(network())
    assert found.notes == ("m.pt: the weights under 'state_dict' are taken, not the different ones under 'state_dict_ema'.",)
    assert loaded({"state_dict_ema": STATE}).sha256 == fingerprint(network())


def test_several_sets_of_weights_are_refused_unless_they_are_equal(loaded):
    with pytest.raises(ModelError, match="2 different sets of weights that fit, under 'a', 'b': save the one that is meant"):
        loaded({"a": STATE, "b": OTHER})
    assert loaded({"a": STATE, "b": dict(STATE)}).sha256 == fingerprint(network())


def test_what_is_not_used_is_named(loaded):
    assert loaded({**under("module."), "n_averaged": torch.tensor(5)}).notes == (
        "m.pt: counters of training are left out (n_averaged).",
    )
    found = loaded({"state_dict": STATE, "optimizer": {"state": {0: {"exp_avg": torch.rand(3)}}}, "mean": torch.rand(3)})
    assert found.notes == ("m.pt: what it holds under mean, optimizer is not used.",)
    assert loaded({"state_dict": STATE, "scaler": {"s": torch.rand(9)}}).notes == (
        "m.pt: what it holds under scaler is not used.",
    )


def test_published_checkpoints_have_their_normalisation(loaded):
    model = network("cifar-resnet20", classes=10).eval()
    found = loaded(
        {"arch": "cifar_resnet20", "epoch": 90, "state_dict": under("1.module.", model.state_dict())}, "cifar-resnet20", 10
    )
    x = torch.rand(2, 3, 32, 32)
    a, b = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        torch.testing.assert_close(found.model.eval()(x), model((x - a) / b))
    assert (found.mean, found.std, found.before) == (MEAN, STD, None)
    assert found.apart().sha256 == fingerprint(model) != found.sha256


def test_published_imagenet_checkpoints_have_theirs():
    with torch.device("meta"):
        model = build("resnet50", num_classes=1000, channels=3)
    checkpoint = {"arch": "resnet50", "state_dict": under("1.module.", model.state_dict())}
    found = fit(checkpoint, model, "m.pt", "resnet50", lambda names: "")
    assert (found.mean, found.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("names", "prefix"),
    [(("means", "sds"), "1.module."), (("mean", "std"), "1."), (("mu", "sigma"), "1."), (("mean", "sd"), "1.")],
)
def test_a_normalisation_that_the_checkpoint_holds_is_applied(loaded, names, prefix):
    found = loaded({"state_dict": {**statistics(*names), **under(prefix)}})
    assert (found.mean, found.std, found.before) == (MEAN, STD, None)
    x = torch.rand(2, 3, 8, 8)
    a, b = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
    torch.testing.assert_close(found.model(x), network()((x - a) / b))


def test_names_of_layers_do_not_matter_for_a_normalisation(loaded):
    values = {"normalizer.new_mean": torch.tensor(MEAN)[None, :, None, None], "normalizer.new_std": torch.tensor(STD)}
    found = loaded({"model": {**values, **under("model.")}})
    assert (found.mean, found.std) == (MEAN, STD)
    assert loaded({"mean": torch.tensor(0.5), "std": torch.tensor(0.25), **under("net.")}).mean == (0.5,)


def test_of_a_layer_without_numbers_certify_warns_unless_the_normalisation_is_given(loaded):
    found = loaded(under("1."))
    assert found.mean is None
    assert "names begin with '1.'" in found.before
    call = {"noise": rs.Gaussian(0.25), "num_classes": 4, "n0": 5, "n": 50, "alpha": 0.01, "seed": 0}
    x = torch.rand(1, 3, 8, 8)
    for run in (flat.certify, flat.sample_counts):
        with pytest.warns(SoundnessWarning, match="layer before the network.*give its --mean and --std"):
            run(found.model, x, **call)
        run(found.model, x, **call, mean=MEAN, std=STD)
    del call["n0"]
    with pytest.warns(SoundnessWarning, match="layer before the network"):
        flat.predict(found.model, x, **call)


def test_arch_tells_the_normalisation_only_of_the_data_set_that_it_was_published_for(loaded):
    model = network("cifar-resnet20", classes=100)
    found = loaded({"arch": "cifar_resnet20", "state_dict": under("1.module.", model.state_dict())}, "cifar-resnet20", 100)
    assert found.mean is None
    assert "layer before the network" in found.before


@pytest.mark.parametrize(
    ("numbers", "said"),
    [(statistics(scale=255.0), "from 0 to 255.*--mean 0.4914,0.4822,0.4465 --std 0.2023,0.1994,0.201"),
     ({"0.scale": torch.tensor([0.5, 0.25, 1.0])}, r"0\.scale = 0\.5,0\.25,1.*give its --mean and --std"),
     ({**statistics(), "0.shift": torch.tensor(1.0)}, r"0\.shift = 1")],
)  # fmt: skip
def test_numbers_of_another_layer_are_warned_of(loaded, numbers, said):
    with pytest.warns(SoundnessWarning, match=said):
        found = loaded({**numbers, **under("1.")})
    assert set(found.unused) == set(numbers)


def test_weights_of_another_layer_are_refused(loaded):
    for more in ({"0.weight": torch.rand(3, 3, 3, 3)}, {"head.weight": torch.rand(7)}):
        with pytest.raises(ModelError, match=r"it also has .*weight \(1 in all\), for which small-cnn has no place"):
            loaded({**more, **under("1.")})


def test_a_misfit_shows_what_was_found_and_expected_and_what_to_do(loaded, tmp_path):
    state = {name.replace("features", "layers"): value for name, value in STATE.items()}
    with pytest.raises(ModelError) as caught:
        loaded({"state_dict": under("module.", state)})
    message = str(caught.value)
    assert message.startswith("m.pt does not fit small-cnn: it has layers.0.weight, layers.0.bias, layers.2.weight, ")
    assert "small-cnn expects features.0.weight, features.0.bias, features.2.weight" in message
    assert message.endswith("or save the part that is meant, alone.")
    assert len(message) <= 600


def test_a_misfit_of_ten_thousand_long_names_is_short(loaded):
    with pytest.raises(ModelError) as caught:
        loaded({f"\x1b[31m{'x' * 300}\n.{i}": torch.zeros(1) for i in range(10_000)})
    assert len(str(caught.value)) <= 600
    assert str(caught.value).isprintable()
    assert "(10000 names in all)" in str(caught.value)


def test_weights_of_another_built_in_architecture_name_it(loaded):
    state = network("cifar-resnet110").state_dict()
    for spec in ("cifar-resnet20", "small-cnn"):
        with pytest.raises(ModelError, match="the file fits cifar-resnet110: give that as the model"):
            loaded({"state_dict": under("module.", state)}, spec)


def test_other_classes_and_channels_are_named(loaded):
    with pytest.raises(ModelError, match=r"classifier.weight is \(7, 256\) instead of \(4, 256\).*give --num-classes 7 if"):
        loaded(network(classes=7).state_dict())
    with pytest.raises(ModelError, match=r"takes images of 1 channel\(s\), these have 3"):
        loaded(network(channels=1).state_dict())


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [([1, 2], "it is a list"), ({}, "it is empty"), ({"a": 1, "b": {"c": 2}}, "it holds a, b, and no tensors"), (3, "it is a int"),
     (None, "it is a NoneType")],
)  # fmt: skip
def test_what_holds_no_weights_says_what_it_holds(loaded, checkpoint, said):
    with pytest.raises(ModelError, match=f"does not hold a state dict.*{said}.*: save model.state_dict"):
        loaded(checkpoint)


@pytest.mark.parametrize(
    ("held", "classes"),
    [({"classes": ["cat", "dog"]}, ("cat", "dog")), ({"class_to_idx": {"dog": 1, "cat": 0}}, ("cat", "dog")),
     ({"idx_to_class": {0: "cat", 1: "dog"}}, ("cat", "dog")), ({"meta": {"categories": ("cat", "dog")}}, ("cat", "dog")),
     ({"args": argparse.Namespace(classes=["cat", "dog"])}, ("cat", "dog")), ({"class_to_idx": {"cat": 0, "dog": 2}}, None),
     ({"classes": 2}, None), ({}, None)],
)  # fmt: skip
def test_a_checkpoint_says_its_classes(loaded, held, classes):
    assert loaded({"state_dict": STATE, **held}).classes == classes


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"<!DOCTYPE html>", "a web page"), (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
     (b"\x1f\x8b123", "gzip"), (b"nothing", "not a file that torch.save wrote"), (b"PK\x03\x04" + bytes(50), "damaged or cut short"),
     (b"\x80\x02", "damaged"), (b"\x93NUMPY123", "NumPy"), (b"\x08\x00\x00\x00\x00\x00\x00\x00{nojson}", "safetensors")],
)  # fmt: skip
def test_what_is_no_checkpoint_says_what_it_is(tmp_path, content, said):
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(ModelError, match=said):
        load("small-cnn", checkpoint=tmp_path / "m.pt", num_classes=4, channels=3)


@pytest.mark.parametrize("trust", [False, True])
def test_torchscript_is_named_with_what_to_do(tmp_path, trust):
    import io
    import zipfile

    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as script:  # the entries that torch.jit.save writes
        for name in ("data.pkl", "code/__torch__/net.py", "code/__torch__/net.py.debug_pkl", "constants.pkl", "version"):
            script.writestr(f"m/{name}", b"3")
    (tmp_path / "m.pt").write_bytes(made.getvalue())
    with pytest.raises(ModelError, match=r"it is a TorchScript program, .* or save model\.state_dict\(\)"):
        load("small-cnn", checkpoint=tmp_path / "m.pt", num_classes=4, channels=3, trust=trust)


def test_compressed_arrays_are_named_as_what_they_are(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", weight=np.zeros((3, 4)))
    with pytest.raises(ModelError, match=r"it is an \.npz file of arrays"):
        load("small-cnn", checkpoint=tmp_path / "m.npz", num_classes=4, channels=3)


def test_damaged_and_foreign_zip_files_are_named(tmp_path):
    import io
    import zipfile

    made = io.BytesIO()
    torch.save(STATE, made)
    whole = made.getvalue()
    weights = STATE["classifier.weight"].numpy().tobytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("m/data.pkl", bytes(10_000_000))
    script = io.BytesIO()
    with zipfile.ZipFile(script, "w") as out:
        out.writestr("m/constants.pkl", b"")
    arrays = io.BytesIO()
    np.savez(arrays, a=np.ones(3))
    for content, said in ((whole[: len(whole) // 2], "damaged"), (whole.replace(weights, bytes(len(weights))), "damaged"),
                          (packed.getvalue(), "compressed"), (script.getvalue(), "TorchScript program, which is not read"),
                          (arrays.getvalue(), ".npz file")):  # fmt: skip
        (tmp_path / "m.pt").write_bytes(content)
        with pytest.raises(ModelError, match=f"cannot be loaded as a checkpoint: it is .*{said}"):
            load("small-cnn", checkpoint=tmp_path / "m.pt", num_classes=4, channels=3)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    for name, said in (
        ("pipe", "it is a pipe"),
        (".", "directory"),
        ("none", "No such file"),
        ("a\x00b", "NUL"),
        ("x" * 300, "too long"),
    ):
        for given in (
            {"spec": "small-cnn", "checkpoint": tmp_path / name},
            {"spec": f"{tmp_path / name}.pt2"} if name == "none" else None,
        ):
            if given is not None:
                with pytest.raises(ModelError, match=f"cannot be read: .*{said}"):
                    load(**given, **({"num_classes": 4, "channels": 3} if "checkpoint" in given else {}))


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "last.ckpt", "model.safetensors"])
def test_a_file_of_weights_as_the_model_says_where_it_belongs(name):
    with pytest.raises(rs.InvalidArgumentError, match="give the architecture as the model, and the file with --checkpoint"):
        load(name, num_classes=4, channels=3)
