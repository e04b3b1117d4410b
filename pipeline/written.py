"""Which files recording left behind."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from pipeline.urls import CameraUrl


def recordings(outputs: Iterable[CameraUrl]) -> set[Path]:
    """Files there are now that the file outputs among ``outputs`` could have written.

    A recording never writes over a file, so what came up between two calls is what was recorded.
    """
    return {
        Path(name)
        for output in outputs
        if output.is_file
        for name in glob.glob(_pattern(output.path))
        if Path(name).is_file()
    }


def _pattern(template: Path) -> str:
    """The template as a glob: any text for a strftime code, and for the number that makes a taken name free."""
    parts = re.split(r"(%[-_0^#]?[A-Za-z%])", str(template.with_suffix("")))
    return (
        "".join("*" if part.startswith("%") else glob.escape(part) for part in parts) + "*" + template.suffix
    )
