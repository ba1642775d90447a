"""Settings for all tests."""

import os
import signal

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
