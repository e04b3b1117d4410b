"""Pages and what they point to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for folder in (
        ".",
        "docs",
        "docs/study",
        "benchmarks",
        "benchmarks/results",
        "deploy",
        "weights",
        "findings",
    )
    for page in (ROOT / folder).glob("*.md")
)
# Named in passing. Other folders are also named in examples, with files that a reader is to make.
PATHS = re.compile(r"(?<![\w/.-])(?:tests|findings|benchmarks)/[\w./-]*[\w-]")
# What a reader makes.
TO_BE_MADE = {"tests/pipeline/outputs/tcp"}
LINKS = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_points_to_is_there(page: Path) -> None:
    missing = [named for named, path in _pointed_to(page) if not path.exists()]

    assert not missing, f"{page.relative_to(ROOT)} names {', '.join(missing)}"


def _pointed_to(page: Path) -> Iterator[tuple[str, Path]]:
    text = page.read_text()
    for link in LINKS.findall(text):
        if ":" not in link:
            yield link, page.parent / link
    for named in PATHS.findall(text):
        if named not in TO_BE_MADE:
            yield named, ROOT / named
