"""Wrong configurations end in faults with their lines, never in a traceback or a hang."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.yaml_fuzz import fuzz


def test_whatever_the_file_holds_it_is_read_or_refused_with_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    outcomes = fuzz(tmp_path, documents=300, seed=seed)
    assert outcomes["refused"] > 150
