"""What every test starts from."""

from __future__ import annotations

import pytest

from pipeline import urls


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process redacts the secrets it has met; one test's are nothing to the next."""
    monkeypatch.setattr(urls, "_secrets", {})
