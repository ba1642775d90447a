import pytest

from rsfast.plans import cache


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path, monkeypatch):
    """Nothing is taken from or left in the user's folder, nor in memory."""
    monkeypatch.setenv("RSFAST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_recent", type(cache._recent)())
