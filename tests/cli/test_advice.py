"""Before a long run the command line says how much faster another runtime would be, if it would."""

import time

import pytest
import torch

from rsfast.cli import advice

for name in advice.NEEDS:
    pytest.importorskip(name)

PLAIN = {"runtime": "torch", "dtype": None, "quiet": False}
SHAPE = (1, 8, 8)


class Slow(torch.nn.Module):
    """Python that takes time where torch runs it, and none where its operations were exported."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.head = seconds, torch.nn.Linear(64, 10)

    def forward(self, x):
        time.sleep(self.seconds)
        return self.head(x.flatten(1))


def test_a_long_run_that_another_runtime_shortens_is_told(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("RSFAST_CACHE_DIR", str(tmp_path))
    advice.advise(Slow(0.05).eval(), SHAPE, 10**9, PLAIN)
    said = capsys.readouterr().err
    assert "with --runtime auto they would take" in said and "times less." in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("model", "copies", "options"),
    [
        (Slow(0.0), 10, PLAIN),  # short
        (Slow(0.05), 10**9, PLAIN | {"runtime": "auto"}),
        (Slow(0.05), 10**9, PLAIN | {"dtype": "float32"}),
        (Slow(0.05), 10**9, PLAIN | {"quiet": True}),
        (lambda x: x.flatten(1), 10**9, PLAIN),
        (torch.nn.Flatten(), 10**9, PLAIN),
    ],
)
def test_nothing_is_said_where_nothing_is_to_be_gained_or_a_choice_was_made(model, copies, options, capsys, monkeypatch):
    def never(*_, **__):
        raise AssertionError("it was tried")

    monkeypatch.setattr("rsfast.inference.prepare", never)
    advice.advise(model, SHAPE, copies, options)
    assert capsys.readouterr() == ("", "")


def test_a_model_that_cannot_be_converted_is_left_to_the_run(capsys, tmp_path, monkeypatch):
    class Stubborn(Slow):
        def forward(self, x):
            if float(x.sum()) > 1e9:  # the way depends on the data
                raise ValueError
            return super().forward(x)

    monkeypatch.setenv("RSFAST_CACHE_DIR", str(tmp_path))
    advice.advise(Stubborn(0.05).eval(), SHAPE, 10**9, PLAIN)
    assert capsys.readouterr() == ("", "")


def test_training_mode_is_put_back(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFAST_CACHE_DIR", str(tmp_path))
    model = Slow(0.05).train()
    advice.advise(model, SHAPE, 10**9, PLAIN)
    assert model.training and model.head.training
