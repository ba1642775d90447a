"""Settings for all tests."""

import json
import os
import signal
from pathlib import Path

# Kernels run in Triton's interpreter here; it must be chosen before triton is first imported.
if "RSFAST_TEST_GPU" not in os.environ:  # 1: on a GPU; soft: on that of tests/softgpu
    os.environ["TRITON_INTERPRET"] = "1"
# Threads of torch that wait leave the processor to other processes; OpenMP looks at this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Commands take torch's number of them, however busy this machine is.
os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))

import numpy as np
import pytest
import torch
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background by a shell; tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _settle_art():
    """ART writes this file when it is first imported, and of two processes that import it at once one finds it half written."""
    file = Path("~/.art/config.json").expanduser()
    if os.access(Path("~").expanduser(), os.W_OK) and not file.exists():
        file.parent.mkdir(exist_ok=True)
        scratch = file.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps({"ART_DATA_PATH": str(file.parent / "data")}))
        scratch.replace(file)


_settle_art()
settings.register_profile("default", deadline=None, derandomize=True)
settings.load_profile("default")


@pytest.fixture
def rng(request):
    """A generator seeded by the test's name: fresh per test, the same on every machine."""
    return np.random.default_rng(list(request.node.name.encode()))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Tables of plans are kept for the session, not in the user's folder; processes that share the tests share them."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RSFAST_CACHE_DIR", str(folder / "plans"))
        yield


@pytest.fixture(autouse=True)
def _two_threads():
    torch.set_num_threads(2)
