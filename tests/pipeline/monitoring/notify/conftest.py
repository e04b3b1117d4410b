"""A spool, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nightday.pipeline.monitoring.notify.spool import Spool
from tests.support.media_helpers import Events


@pytest.fixture
def told() -> Events:
    return Events()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool.sqlite")
    yield made
    made.close()
