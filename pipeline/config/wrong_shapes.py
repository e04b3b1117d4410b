"""Files that are not shaped like a configuration: wrong indentation, other formats, other programs' files.

Each function gives a sentence for the user, or None where the file is wrong in some other way.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

import yaml

_SECTION = re.compile(r"\[\[?[\w.\" -]+\]\]?")
_ASSIGNMENT = re.compile(r"[\w.\"-]+\s*=.*")
# Lines or keys by which a file is recognised.
_LOOKED_AT = 20
_MISPLACED = {f"expected <block end>, but found {token!r}" for token in ("-", "?")} | {
    f"expected <block end>, but found '<block {kind} start>'" for kind in ("mapping", "sequence")
}


def layout_fault(error: yaml.MarkedYAMLError) -> str | None:
    """What is wrong with the blanks of the line that PyYAML could not read."""
    mark, problem = error.problem_mark, error.problem or ""
    if mark is None or mark.buffer is None:
        return None
    *lines, before = _lines(mark.buffer[: mark.pointer])
    line = before + _lines(mark.buffer[mark.pointer :])[0]
    if "'\\t'" in problem:
        where = "a tab stands in this line" if before.strip() else "this line is indented with a tab"
        return f"{where}; YAML takes blanks only, two for each level"
    unquoted = problem.startswith("expected ',' or") or "cannot start any token" in problem
    if unquoted and re.search(r"\$(\{\w*\})?$", before):
        return 'within { } or [ ] what holds ${…} stands in quotes: "rtsp://viewer:${GATE_PASSWORD}@10.0.0.5/stream1"'
    above = next((other for other in reversed(lines) if other.split("#")[0].strip()), "")
    misplaced = problem in _MISPLACED or problem.startswith("expected '<document start>', but found '<block")
    if problem == "mapping values are not allowed here" and re.fullmatch(r"\s*(- +)?[\w-]+", before):
        if re.match(r"\s*-\w", above):
            return "the line above lacks a blank after its dash; write `- name: gate`"
        if re.match(r"\s*(- +)?\w+:[^\s/]", above):
            return "the line above lacks a blank after its colon; write `name: gate`"
        misplaced = above != ""
    if not misplaced:
        return None
    together = "the dashes of one list" if line.lstrip().startswith("- ") else "keys that belong together"
    return f"this line's indentation fits no line above it; {together} begin in one column"


def _lines(text: str) -> list[str]:
    """The lines of ``text``, of which the last is empty where it ends with a line break."""
    *whole, last = f"{text}|".splitlines()
    return [*whole, last[:-1]]


def format_fault(data: bytes | str) -> str | None:
    """Which other format a file is in, by its first lines."""
    text = data[:4000].decode("utf-8", "replace") if isinstance(data, bytes) else data[:4000]
    lines = (line.strip() for line in text.splitlines())
    first = list(islice((line for line in lines if line and line[0] not in "#;"), _LOOKED_AT))
    assignments = [line for line in first if _ASSIGNMENT.fullmatch(line)]
    if not assignments or not all(_SECTION.fullmatch(line) or line in assignments for line in first[:2]):
        return None
    return "not YAML: this looks like an INI or TOML file"


def root_fault(root: Any) -> str:
    """What is wrong with a document that is no mapping."""
    if isinstance(root, list):
        return "must hold `cameras:` with the list of cameras below it, not a list alone"
    return "must hold `cameras:` and a list of cameras, not just one value"


def other_program(root: dict[str, Any], known: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    """Whose file a document without a list of cameras is.

    Args:
        root: the document.
        known: the keys that a configuration of this program has.

    Returns:
        The path by which it is known, and a sentence that says whose it is.
    """
    key, program = _key_of_other_program(root)
    if key:
        return (
            key,
        ), f"this looks like a file of {program}; nightday-stream takes one of its own, a list of cameras"
    first = islice(root, _LOOKED_AT)
    if root and not any(difflib.get_close_matches(name[:64].lower(), known, n=1) for name in first):
        return (
            (),
            "holds no `cameras:` and no other key of nightday-stream; this looks like another program's file",
        )
    return None


def _key_of_other_program(root: dict[str, Any]) -> tuple[str, str]:
    """The key that gives a well-known program away, and the program; both empty if there is none."""
    cameras, camera = root.get("cameras"), root.get("camera")
    if isinstance(cameras, list):
        return "", ""
    if isinstance(cameras, dict) and any(
        isinstance(one, dict) and "ffmpeg" in one for one in cameras.values()
    ):
        return "cameras", "Frigate"
    if isinstance(root.get("streams"), dict):
        return "streams", "go2rtc"
    if isinstance(root.get("paths"), dict):
        return "paths", "MediaMTX"
    platforms = camera if isinstance(camera, list) else [camera]
    if any(isinstance(one, dict) and "platform" in one for one in platforms):
        return "camera", "Home Assistant"
    key = next((name for name in ("homeassistant", "default_config") if name in root), "")
    return key, "Home Assistant" if key else ""
