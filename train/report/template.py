"""The pages as templates, and how they get onto the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jinja2

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
)


def render(name: str, **values: Any) -> str:
    """The page that the template of this file name makes of ``values``."""
    return _environment.get_template(name).render(**values)


def write_whole(path: Path, page: str) -> None:
    """Write a page, all of it or nothing. Raises OSError."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(page, "utf-8")
    os.replace(part, path)
