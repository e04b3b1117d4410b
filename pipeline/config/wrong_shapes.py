"""Files that are not shaped like a configuration: wrong indentation, other formats, other programs' files.

Each function gives a sentence for the user, or None where the file is wrong in some other way.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

import yaml

_SECTION = re.compile(r"\[\[?[\w.\" -]+\]\]?")
_ASSIGNMENT = re.compile(r"[\w.\"-]+\s*=.*")
_LOOKED_AT = 20  # lines by which a format is recognised
_MISPLACED = {f"expected <block end>, but found {token!r}" for token in ("-", "?")} | {
    f"expected <block end>, but found '<block {kind} start>'" for kind in ("mapping", "sequence")
}


def layout_fault(error: yaml.MarkedYAMLError) -> str | None:
    """What is wrong with the blanks of the line that PyYAML could not read."""
    mark, problem = error.problem_mark, error.problem or ""
    if mark is None or mark.buffer is None:
        return None
    before = mark.buffer[: mark.pointer]
    lines = before.splitlines() if before[-1:] not in ("\r", "\n") else [*before.splitlines(), ""]
    line = lines[-1] if lines else ""
    if "'\\t'" in problem:
        where = "a tab stands in this line" if line.strip() else "this line is indented with a tab"
        return f"{where}; YAML takes blanks only, two for each level"
    above = next((other for other in reversed(lines[:-1]) if other.split("#")[0].strip()), "")
    if problem == "mapping values are not allowed here" and re.fullmatch(r"\s*(- +)?[\w-]+", line):
        if re.match(r"\s*-\w", above):
            return "the line above lacks a blank after its dash; write `- name: gate`"
        if re.match(r"\s*(- +)?\w+:[^\s/]", above):
            return "the line above lacks a blank after its colon; write `name: gate`"
        if above:
            return _indentation(above)
    if problem in _MISPLACED or problem.startswith("expected '<document start>', but found '<block"):
        return _indentation(above)
    return None


def _indentation(above: str) -> str:
    key = re.match(r"\s*(?:- +)*([\w-]+)", above)
    beside = f", as {key[1]} above does" if key else ""
    return f"this line's indentation fits no line above it; keys of one camera begin in one column{beside}"


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


def other_program(root: dict[str, Any]) -> tuple[str, str] | None:
    """The key by which a file is known as another program's, and a sentence that names the program."""
    cameras = root.get("cameras")
    if isinstance(cameras, list):
        return None
    entries = list(cameras.values()) if isinstance(cameras, dict) else []
    camera = root.get("camera")
    platforms = camera if isinstance(camera, list) else [camera]
    key, program = "", ""
    if any(isinstance(entry, dict) and "ffmpeg" in entry for entry in entries):
        key, program = "cameras", "Frigate"
    elif isinstance(root.get("streams"), dict):
        key, program = "streams", "go2rtc"
    elif isinstance(root.get("paths"), dict):
        key, program = "paths", "MediaMTX"
    elif any(isinstance(entry, dict) and "platform" in entry for entry in platforms):
        key, program = "camera", "Home Assistant"
    else:
        key = next((name for name in ("homeassistant", "default_config") if name in root), "")
        program = "Home Assistant"
    if not key:
        return None
    return (
        key,
        f"this looks like a file of {program}; nightday-stream takes one of its own, with a list of cameras",
    )
