"""What every test starts from."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Small arrays gain nothing from threads, and beside other work threads that spin for each other cost tenfold.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import pytest  # noqa: E402

from nightday.pipeline.core import camera_url  # noqa: E402


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process redacts the secrets it has met; one test's are nothing to the next."""
    monkeypatch.setattr(camera_url, "_secrets", {})


@pytest.fixture(scope="session", autouse=True)
def engine_cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the user's cache, and one that loads an engine measures it for those after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
