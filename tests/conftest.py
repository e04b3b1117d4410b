"""What every test starts from."""

from __future__ import annotations

import os

# Small arrays gain nothing from threads, and beside other work threads that spin for each other cost tenfold.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import pytest  # noqa: E402

from pipeline import urls  # noqa: E402


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process redacts the secrets it has met; one test's are nothing to the next."""
    monkeypatch.setattr(urls, "_secrets", {})
