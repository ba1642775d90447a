"""Runs on a GPU, shown by CUDA's host side faked."""

import torch

from rsfast.runs.read import read_run
from tests.counting.fake_cuda import FakeCuda

CALL = ("--model", "tests.reference.factories:linear", "--data", "digits", "--sigma", "0.25", "--n0", "10", "--n", "200", "--seed",
        "5", "--quiet", "--device", "cuda:1", "--backend", "native")  # fmt: skip


def test_a_run_continues_only_on_such_a_gpu_with_the_same_settings(rsfast, tmp_path, monkeypatch):
    fake, call = FakeCuda(monkeypatch), ("certify", *CALL, "--out", tmp_path / "run", "--count")
    with fake:
        assert rsfast(*call, 2).code == 0
        assert rsfast(*call, 3).code == 0
        torch.backends.cudnn.benchmark = True
        try:
            refused = rsfast(*call, 4)
        finally:
            torch.backends.cudnn.benchmark = False
        assert refused.code == 1
        assert "with inference.cudnn_benchmark=false, this call has inference.cudnn_benchmark=true" in refused.err
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Fake H200")
        assert "inference.gpu=Fake H100, this call has inference.gpu=Fake H200" in rsfast(*call, 4).err
    counts = read_run(tmp_path / "run").counts
    assert len(counts) == 3 and '"gpu": "Fake H100"' in counts.versions["inference"]
