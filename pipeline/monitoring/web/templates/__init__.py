"""The HTML pages as templates."""

from __future__ import annotations

from pathlib import Path

import jinja2

environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
)
"""Gives templates by the names of their files."""
