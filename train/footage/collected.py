"""What ``nightday-stream`` collected of a camera, found by the ``collect`` key of its configuration.

Of the file no more is read than it takes to find the folder; whether all of it is right, ``nightday-stream --check``
says.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from .. import processes
from .checks import MIN_DAY, MIN_NIGHT
from .scene import CLIPS, PICTURES, Scene, SceneError, load_scene

TAKEN = "pictures"  # the folder of a run that keeps what it is trained on
_LINE = 'collect: "training/{name}"'


def collected_folder(file: Path, camera: str, *, environment: Mapping[str, str] | None = None) -> Path:
    """Where the pictures of ``camera`` are collected, by ``file``.

    Raises:
        SceneError: there is no such file or camera, or it collects nothing; one line that names the file.
    """
    try:
        text = file.read_text()
        root = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise SceneError(f"{file}: cannot be read: {why}") from None
    root = root if isinstance(root, dict) else {}
    listed = root.get("cameras")
    cameras = listed if isinstance(listed, list) else []
    names = [str(entry["name"]) for entry in cameras if isinstance(entry, dict) and "name" in entry]
    if camera not in names:
        close = difflib.get_close_matches(camera, names, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise SceneError(f"{file}: no camera {camera!r}; there are: {', '.join(names) or 'none'}{hint}")
    entry = next(one for one in cameras if isinstance(one, dict) and str(one.get("name")) == camera)
    defaults = root.get("defaults")
    folder = _folder(entry) or _folder(defaults if isinstance(defaults, dict) else {})
    if folder is None:
        line = _line_of(text, cameras.index(entry))
        raise SceneError(
            f"{file}:{line}: {camera} collects no pictures; add this line to it, and let nightday-stream run "
            f"by day and by night:    {_LINE}"
        )
    folder = _filled_in(folder, os.environ if environment is None else environment, file)
    return Path(folder.replace("{name}", camera))


def load_collected(file: Path, camera: str, out: Path, *, hold_back: float) -> Scene:
    """What was collected of ``camera`` so far, as a scene of its name.

    The collection goes on growing and is thinned out; what a run is trained on stays the same when it is stopped and
    goes on. So it is kept in ``out``/pictures, as links where the disk can have them, when the run begins, and what
    comes later is for another run. All processes must call.

    Raises:
        SceneError: as ``collected_folder`` and ``load_scene`` do, or there are no pictures by day or by night yet.
    """
    refusal = None
    if processes.rank() == 0:
        try:
            _take(collected_folder(file, camera), out)
        except (SceneError, OSError) as error:
            refusal = str(error)
    refusal = processes.gather(refusal)[0]
    if refusal is not None:
        raise SceneError(refusal)
    return replace(load_scene(out / TAKEN, hold_back=hold_back), name=camera)


def _folder(entry: Mapping[str, Any]) -> str | None:
    collect = entry.get("collect")
    folder = collect.get("folder") if isinstance(collect, dict) else collect
    return folder if isinstance(folder, str) and folder else None


def _filled_in(text: str, environment: Mapping[str, str], file: Path) -> str:
    def one(hit: re.Match[str]) -> str:
        if hit[1] not in environment:
            raise SceneError(f"{file}: the folder of collect needs {hit[1]}, which is not set")
        return environment[hit[1]]

    return re.sub(r"\$\{(\w+)\}", one, text)


def _line_of(text: str, index: int) -> int:
    """Line of the entry ``index`` of ``cameras``."""
    node = yaml.compose(text, yaml.SafeLoader)
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    entries = [value for key, value in pairs if key.value == "cameras"]
    return int(entries[0].value[index].start_mark.line) + 1 if entries else 1


def _files(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES | CLIPS)
    return []


def _take(folder: Path, out: Path) -> None:
    """Keep the scene in ``folder`` in ``out``, whole or not at all, unless a run there has begun with one."""
    to = out / TAKEN
    if to.is_dir() and (out / "state.pt").is_file():
        return
    counts = {part: len(_files(folder / part)) for part in ("day", "night")}
    if not all(counts.values()):
        raise SceneError(
            f"{folder}: {counts['day']} day and {counts['night']} night pictures so far, at least {MIN_DAY} and "
            f"{MIN_NIGHT} are needed; let nightday-stream run on"
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{TAKEN}.", dir=out) as made:
        for path in (*_files(folder / "day"), *_files(folder / "night"), folder / "background.png"):
            copy = Path(made) / "scene" / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # thinned out meanwhile, or no background.png
                try:
                    os.link(path.resolve(strict=True), copy)
                except OSError:
                    shutil.copyfile(path, copy)
        shutil.rmtree(to, ignore_errors=True)
        os.replace(Path(made) / "scene", to)
