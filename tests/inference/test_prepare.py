"""Preparing a classifier."""

import importlib
import importlib.util
import json

import pytest
import torch
from torch import nn

from rsfast.errors import BackendUnavailableError, InvalidArgumentError, ModelError
from rsfast.inference import DTYPES, batching, fold_batch_norms, preparation, prepare, probe, runtimes

from . import networks

EXTRAS = {"openvino": ("openvino",), "onnxruntime": ("onnxruntime", "onnx", "onnxscript")}
INSTALLED = ["torch", *[name for name, needed in EXTRAS.items() if all(map(importlib.util.find_spec, needed))]]


def network():
    torch.manual_seed(0)
    return nn.Sequential(networks.depthwise()[:2], networks.head(6)).eval()


def inputs(prepared, shape=networks.SHAPE, seed=1):
    x = torch.rand(prepared.batch, *shape, generator=torch.Generator().manual_seed(seed)).to(DTYPES[prepared.dtype])
    return x.contiguous(memory_format=torch.channels_last if prepared.channels_last else torch.contiguous_format)


def logits(prepared, **kwargs):
    with torch.inference_mode():
        return prepared.model(inputs(prepared, **kwargs))


@pytest.fixture
def turned_clock(monkeypatch):
    """A clock that a module turns by what a pass costs: seconds[dtype, channels_last], times its rows to the power 0.9."""
    now = [0.0]
    monkeypatch.setattr(batching, "clock", lambda: now[0])
    seconds = {(dtype, layout): 4.0 for dtype in DTYPES for layout in (False, True)}

    class Timed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = network()

        def forward(self, x):
            layout = x.is_contiguous(memory_format=torch.channels_last)
            now[0] += seconds[str(x.dtype).removeprefix("torch."), layout] * len(x) ** 0.9
            return self.inside(x)

    return Timed(), seconds


def test_with_nothing_asked_for_the_module_itself_comes_back():
    model = network()
    prepared = prepare(model, networks.SHAPE)
    assert prepared.model is model
    assert (prepared.dtype, prepared.channels_last) == ("float32", False)
    assert prepared.batch == batching.default_batch(192, 2**20, "cpu")
    assert prepared.record["difference"] == 0 and prepared.record["folded"] == 0 and prepared.record["measured"] == {}


def test_preparing_leaves_the_module_alone():
    model = network().train()
    model[0][0].eval()
    handle = model[1].register_forward_hook(lambda *_: None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    prepared = prepare(model, networks.SHAPE, dtype="bfloat16", channels_last=True, fold=True, batch=4)
    assert prepared.model is not model and not any(module.training for module in prepared.model.modules())
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert list(model[1]._forward_hooks) == [handle.id]


@pytest.mark.parametrize("runtime", INSTALLED)
def test_a_runtime_gives_the_logits_of_torch(runtime):
    model = network()
    for channels_last in (False, True):
        prepared = prepare(model, networks.SHAPE, runtime=runtime, channels_last=channels_last, fold=True, batch=5)
        x = inputs(prepared)
        with torch.inference_mode():
            expected = model(x)
        torch.testing.assert_close(logits(prepared), expected, rtol=1e-4, atol=1e-5)
        assert prepared.record["runtime"] == runtime and prepared.record["folded"] == 1


@pytest.mark.parametrize("runtime", [name for name in INSTALLED if name != "onnxruntime"])
def test_a_runtime_computes_in_bfloat16(runtime):
    model = network()
    for channels_last in (False, True):
        prepared = prepare(model, networks.SHAPE, runtime=runtime, dtype="bfloat16", channels_last=channels_last, batch=5)
        with torch.inference_mode():
            expected = model(inputs(prepared).float())
        # 8 bits of precision and three layers: a few times 2^-8 of the spread
        torch.testing.assert_close(logits(prepared).float(), expected, rtol=0, atol=0.03 * float(expected.max() - expected.min()))
        assert inputs(prepared).dtype == torch.bfloat16


@pytest.mark.parametrize("runtime", INSTALLED)
def test_a_runtime_keeps_logits_of_earlier_batches(runtime):
    prepared = prepare(network(), networks.SHAPE, runtime=runtime, batch=5)
    first = logits(prepared, seed=1)
    kept = first.clone()
    logits(prepared, seed=2)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("given", [torch.zeros(4, 3, 8, 8), torch.zeros(5, 3, 8, 8, dtype=torch.bfloat16)])
def test_a_runtime_refuses_another_input_than_it_was_prepared_for(given):
    with pytest.raises(
        ModelError, match=r"was prepared for input \[5, 3, 8, 8\] float32 on the CPU and was given \[\d, 3, 8, 8\]"
    ):
        runtimes._fitting(given, 5, torch.zeros(2, 3, 8, 8), "openvino")


@pytest.mark.parametrize("runtime", INSTALLED)
def test_what_auto_chose_is_made_again_without_measuring(runtime, monkeypatch):
    model = network()
    prepared = prepare(model, networks.SHAPE, runtime=runtime, dtype="auto", batch="auto", fold=True, total=16, seconds=0)
    assert json.loads(json.dumps(prepared.record)) == prepared.record
    assert set(prepared.record["measured"]) == {"dtypes", "batches"}
    monkeypatch.setattr(batching, "clock", lambda: pytest.fail("measured"))
    again = prepare(model, networks.SHAPE, **prepared.arguments())
    assert (again.dtype, again.channels_last, again.batch) == (prepared.dtype, prepared.channels_last, prepared.batch)
    assert torch.equal(logits(again), logits(prepared))
    what_counts = set(prepared.record) - {"measured"}
    assert {name: again.record[name] for name in what_counts} == {name: prepared.record[name] for name in what_counts}


@pytest.mark.parametrize("fastest", [("float32", False), ("float32", True), ("bfloat16", False), ("bfloat16", True)])
def test_auto_takes_the_fastest_dtype_and_layout(fastest, turned_clock, monkeypatch):
    monkeypatch.setattr(preparation, "fast_dtypes", lambda device: ["bfloat16"])
    model, seconds = turned_clock
    seconds[fastest] = 1.0
    prepared = prepare(model, networks.SHAPE, dtype="auto", batch=8)
    assert (prepared.dtype, prepared.channels_last) == fastest
    tried = {
        (row["dtype"], row["channels_last"]): row["images_per_second"] for row in prepared.record["measured"]["dtypes"]["tried"]
    }
    assert len(tried) == 4 and max(tried, key=tried.get) == fastest


def test_auto_keeps_the_dtype_and_layout_of_the_model_in_a_tie(turned_clock, monkeypatch):
    monkeypatch.setattr(preparation, "fast_dtypes", lambda device: ["bfloat16"])
    model, seconds = turned_clock
    seconds["bfloat16", True] = 3.95
    prepared = prepare(model, networks.SHAPE, dtype="auto", batch=8)
    assert (prepared.dtype, prepared.channels_last) == ("float32", False)


def test_auto_leaves_the_layout_that_was_given(turned_clock):
    model, seconds = turned_clock
    seconds["float32", False] = 0.1
    assert prepare(model, networks.SHAPE, dtype="auto", channels_last=True, batch=8).channels_last


def test_auto_takes_no_half_size_dtype_where_the_hardware_has_none(turned_clock, monkeypatch):
    monkeypatch.setattr(preparation, "fast_dtypes", lambda device: [])
    model, seconds = turned_clock
    seconds["bfloat16", True] = 0.1
    assert prepare(model, networks.SHAPE, dtype="auto", batch=8).dtype == "float32"


def test_auto_takes_no_dtype_that_overflows(turned_clock, monkeypatch):
    monkeypatch.setattr(preparation, "fast_dtypes", lambda device: ["float16"])
    model, seconds = turned_clock
    seconds["float16", False] = seconds["float16", True] = 0.1
    with torch.no_grad():
        model.inside[1][-1].bias.fill_(1e5)
    prepared = prepare(model, networks.SHAPE, dtype="auto", batch=8)
    assert prepared.dtype == "float32"
    assert [row.get("skipped") for row in prepared.record["measured"]["dtypes"]["tried"]][2:] == ["logits are not finite"] * 2


def test_auto_takes_no_dtype_in_which_the_model_raises(monkeypatch):
    monkeypatch.setattr(preparation, "fast_dtypes", lambda device: ["bfloat16"])
    model = networks.Custom(lambda self, x: self.norm(self.conv(x.float())))
    prepared = prepare(model, networks.SHAPE, dtype="auto", batch=8, seconds=0)
    assert prepared.dtype == "float32"
    assert "raised RuntimeError" in prepared.record["measured"]["dtypes"]["tried"][2]["skipped"]


def test_auto_takes_the_fastest_batch(turned_clock):
    model, _ = turned_clock
    assert prepare(model, networks.SHAPE, batch="auto").batch == 512
    assert prepare(model, networks.SHAPE, batch="auto", total=100).batch == 100


def test_a_function_keeps_its_dtype_and_is_not_folded():
    inside = network().train()
    prepared = prepare(lambda x: inside(x), networks.SHAPE, dtype="auto", fold=True, batch=8, seconds=0)
    assert prepared.dtype == "float32" and prepared.record["folded"] == 0
    assert prepared.record["fold_reason"] == "it is not a torch module"
    assert inside.training


def test_a_model_in_bfloat16_is_folded_before_it_is_rounded():
    model = network().to(torch.bfloat16)
    prepared = prepare(model, networks.SHAPE, fold=True, batch=4)
    rounded = network().to(torch.bfloat16).float()
    expected = fold_batch_norms(rounded, torch.randn(4, *networks.SHAPE)).module.to(torch.bfloat16)
    assert prepared.dtype == "bfloat16" and prepared.record["folded"] == 1
    with torch.inference_mode():
        assert torch.equal(logits(prepared), expected(inputs(prepared)))


def test_a_model_in_float64_becomes_one_in_float32():
    assert prepare(network().double(), networks.SHAPE, batch=4).dtype == "float32"


def test_the_reason_why_nothing_was_folded_is_recorded():
    prepared = prepare(networks.untraceable(), networks.SHAPE, fold=True, batch=4)
    assert prepared.record["folded"] == 0
    assert "torch.fx cannot follow it (TraceError" in prepared.record["fold_reason"]
    assert prepared.record["difference"] == 0


def test_folding_is_verified_on_the_inputs_that_are_given():
    """Where the batch norm's input is huge and its output small, only those inputs show what folding loses."""
    model = network()
    norm = model[0][1]
    with torch.no_grad():
        norm.running_mean.fill_(1e6)
        model[0][0].weight.fill_(1.0)
        model[0][0].bias.fill_(1e6)
    given = torch.rand(8, *networks.SHAPE)
    prepared = prepare(model, networks.SHAPE, fold=True, batch=4, calibration=given)
    assert prepared.record["folded"] == 0 and "its logits differ" in prepared.record["fold_reason"]


def test_a_default_batch_that_does_not_fit_is_halved_and_recorded():
    inside = network()

    def model(x):
        if len(x) > 100:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return inside(x)

    prepared = prepare(model, networks.SHAPE, total=1000)
    assert (prepared.batch, prepared.record["halved_from"]) == (62, 1000)


def test_a_given_batch_that_does_not_fit_is_refused():
    inside = network()

    def model(x):
        if len(x) > 100:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return inside(x)

    with pytest.raises(ModelError, match="a batch of 200 does not fit in memory: give a smaller one, or batch='auto'"):
        prepare(model, networks.SHAPE, batch=200)


def test_a_model_that_insists_on_its_batch_can_be_prepared_for_it():
    inside = network()

    def model(x):
        if len(x) != 7:
            raise ValueError("exported for a batch of 7")
        return inside(x)

    assert prepare(model, networks.SHAPE, batch=7).batch == 7
    with pytest.raises(ModelError, match="exported for a batch of 7"):
        prepare(model, networks.SHAPE)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (networks.without_statistics, "depend on the others in its batch"),
        (networks.dependent_rows, "depend on the others in its batch"),
        (networks.random_logits, "draws random numbers or keeps state"),
        (lambda: nn.Flatten(0), r"returned \[3072\] for a batch of 16: it must return logits \[16, classes\]"),
        (lambda: nn.Conv2d(3, 4, 3), r"returned \[16, 4, 6, 6\] for a batch of 16"),
        (lambda: lambda x: [x], "returned list"),
        (lambda: lambda x: x.flatten(1).long(), "returned torch.int64: it must return floating-point logits"),
        (lambda: nn.Linear(7, 2), r"raised RuntimeError on input \[16, 3, 8, 8\] float32"),
    ],
)
def test_what_cannot_be_certified_is_refused(model, sentence):
    with pytest.raises(ModelError, match=sentence):
        prepare(model(), networks.SHAPE)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"dtype": "int4"}, "dtype='int4' is not known: give one of auto, float32, bfloat16, float16, int8"),
        (
            {"runtime": "tensorrt"},
            "runtime='tensorrt' is not known: give one of torch, compile, cudagraph, openvino, onnxruntime",
        ),
        ({"batch": 0}, "batch=0 is not allowed"),
        ({"batch": "big"}, "batch='big' is not allowed"),
        ({"total": 0}, "total=0 is not allowed"),
        ({"seconds": -1}, "seconds=-1.0 is not allowed"),
        ({"tf32": True}, "tf32=True is for CUDA and device is cpu: leave tf32 out"),
        ({"device": "abacus"}, "device='abacus' is not known to torch"),
        (
            {"runtime": "openvino", "dtype": "float16"},
            "dtype='float16' is nothing openvino can compute in: give float32 or bfloat16",
        ),
        ({"runtime": "onnxruntime", "dtype": "bfloat16"}, "dtype='bfloat16' is nothing onnxruntime can compute in: give float32"),
        ({"runtime": "openvino", "device": "meta"}, "runtime='openvino' runs on the CPU and device is meta: give device='cpu'"),
        ({"calibration": torch.zeros(4, 1, 8, 8)}, r"calibration is \[4, 1, 8, 8\]: give a tensor \[N, 3, 8, 8\]"),
        ({"calibration": torch.full((4, 3, 8, 8), torch.nan)}, "calibration holds NaN"),
    ],
)
def test_an_argument_that_is_not_known_is_refused(arguments, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        prepare(network(), networks.SHAPE, **arguments)


def test_a_shape_that_is_none_of_an_image_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"shape=\(3, 8\) is not that of an image: give \(C, H, W\)"):
        prepare(network(), (3, 8))


def test_another_runtime_takes_only_a_module():
    with pytest.raises(InvalidArgumentError, match="runtime='compile' takes a torch module and this model is function"):
        prepare(lambda x: x.flatten(1), networks.SHAPE, runtime="compile")


@pytest.mark.parametrize(("runtime", "library"), [("openvino", "openvino"), ("onnxruntime", "onnx")])
def test_a_runtime_that_is_not_installed_is_named_with_what_installs_it(runtime, library, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(runtimes.importlib, "import_module", missing)
    with pytest.raises(BackendUnavailableError, match=rf"runtime='{runtime}' needs \w+: pip install {library}"):
        prepare(network(), networks.SHAPE, runtime=runtime)


def test_a_conversion_that_gives_other_logits_is_refused(monkeypatch):
    monkeypatch.setattr(preparation, "compiled", lambda module, x: (lambda x: module(2 * x), True))
    with pytest.raises(ModelError, match="compile gives other logits than torch"):
        prepare(network(), networks.SHAPE, runtime="compile", batch=4)


def test_a_graph_that_must_break_is_compiled_in_pieces(monkeypatch):
    asked = []

    def compiler(module, *, fullgraph, dynamic, options):
        asked.append(fullgraph)

        def call(x):
            if fullgraph:
                raise RuntimeError("graph break")
            return module(x)

        return call

    monkeypatch.setattr(torch, "compile", compiler)
    prepared = prepare(network(), networks.SHAPE, runtime="compile", batch=4)
    assert asked == [True, False] and prepared.record["fullgraph"] is False


def test_a_module_that_cannot_be_compiled_is_refused(monkeypatch):
    def compiler(module, **_):
        def call(x):
            raise RuntimeError("no C++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", compiler)
    with pytest.raises(ModelError, match=r"torch.compile cannot compile the model \(no C\+\+ compiler\): give runtime='torch'"):
        prepare(network(), networks.SHAPE, runtime="compile", batch=4)


@pytest.mark.parametrize("on", [False, True])
def test_tf32_is_set_while_the_model_runs_and_put_back(on):
    before = probe.tf32_flags()
    seen = []

    def model(x):
        seen.append(probe.tf32_flags())
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        preparation.WithTf32(model, on)(torch.zeros(1))
    assert seen == [(on, on)]
    assert probe.tf32_flags() == before


@pytest.mark.slow
def test_torch_compile_gives_the_logits_of_torch():
    model = network()
    prepared = prepare(model, networks.SHAPE, runtime="compile", channels_last=True, fold=True, batch=5)
    with torch.inference_mode():
        expected = model(inputs(prepared))
    torch.testing.assert_close(logits(prepared), expected, rtol=1e-4, atol=1e-5)
    assert prepared.record["fullgraph"] is True
