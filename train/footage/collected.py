"""What ``nightday-stream`` collected of a camera, found by the ``collect`` key of its configuration.

The configuration is read as ``nightday-stream`` reads it, but not validated: the camera's model may not exist before
it is trained. Whether all of the file is right, ``nightday-stream --check`` says.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nightday.pipeline.config.errors import ConfigError
from nightday.pipeline.config.load import read_document
from nightday.pipeline.config.messages import fault_at, fault_line, line_of
from nightday.pipeline.config.yaml_document import Document, KeyPath

from .. import processes
from .checks import MIN_DAY, MIN_NIGHT
from .even_sample import Progress
from .files import part_files
from .scene import Reference, Scene, SceneError, load_scene

# The folder of a run that keeps what it is trained on.
TAKEN = "pictures"
_LINE = 'collect: "training/{name}"'


def collected_folder(file: Path, camera: str, *, environment: Mapping[str, str] | None = None) -> Path:
    """Where the pictures of ``camera`` are collected, by ``file``.

    Args:
        file: the configuration of nightday-stream.
        camera: the camera's name there.
        environment: what fills in ``${NAME}``; the process's own by default.

    Raises:
        SceneError: there is no such file or camera, or it collects nothing; one line that names the file.
    """
    try:
        document = read_document(file, environment=environment)
    except ConfigError as error:
        raise SceneError(error.faults[0]) from None
    listed = document.root.get("cameras")
    entries = {
        index: entry
        for index, entry in enumerate(listed if isinstance(listed, list) else [])
        if isinstance(entry, dict) and "name" in entry
    }
    index = next((index for index, entry in entries.items() if str(entry["name"]) == camera), None)
    if index is None:
        _refuse_faults(document, file, {(), ("cameras",)})
        names = [str(entry["name"]) for entry in entries.values()]
        close = difflib.get_close_matches(camera, names, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise SceneError(f"{file}: no camera {camera!r}; there are: {', '.join(names) or 'none'}{hint}")
    path: KeyPath = ("cameras", index, "collect")
    inside = [other for other in document.places if other[: len(path)] == path]
    _refuse_faults(document, file, {fault_at(other, "", document.places).path for other in (path, *inside)})
    collect = entries[index].get("collect")
    folder = collect.get("folder") if isinstance(collect, dict) else None
    if not isinstance(folder, str) or not folder:
        line = line_of(path[:2], document.places)
        raise SceneError(
            f"{file}:{line}: {camera} collects no pictures; add this line to it, and let nightday-stream run "
            f"by day and by night:    {_LINE}"
        )
    return Path(folder)


def _refuse_faults(document: Document, file: Path, paths: set[KeyPath]) -> None:
    """Raise SceneError with the first fault there is at one of ``paths`` of the file."""
    for fault in document.faults:
        if fault.path in paths:
            raise SceneError(fault_line(str(file), fault))


def load_collected(
    file: Path,
    camera: str,
    out: Path,
    *,
    hold_back: float,
    background: Reference = "median",
    progress: Progress = lambda _done, _of: None,
) -> Scene:
    """What was collected of ``camera`` so far, as a scene of its name.

    The collection goes on growing and pictures are deleted from it; a run that is stopped and goes on must be trained
    on the same ones. So when the run begins they are kept in ``out``/pictures, as links where the disk can have them,
    and what comes later is for another run. All processes of a training must call this.

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
    scene = load_scene(out / TAKEN, hold_back=hold_back, background=background, progress=progress)
    return replace(scene, name=camera)


def _take(folder: Path, out: Path) -> None:
    """Keep the scene in ``folder`` in ``out``, all of it or nothing, unless a run there has begun with one."""
    to = out / TAKEN
    if to.is_dir() and (out / "state.pt").is_file():
        return
    day, night = (part_files(folder, part) for part in ("day", "night"))
    if not (day and night):
        raise SceneError(
            f"{folder}: {len(day)} day and {len(night)} night pictures so far, at least {MIN_DAY} and "
            f"{MIN_NIGHT} are needed; let nightday-stream run on"
        )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{TAKEN}.", dir=out) as made:
        for path in (*day, *night, folder / "background.png"):
            copy = Path(made) / "scene" / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # deleted meanwhile, or there is no background.png
                try:
                    os.link(path.resolve(strict=True), copy)
                except OSError:
                    shutil.copyfile(path, copy)
        shutil.rmtree(to, ignore_errors=True)
        os.replace(Path(made) / "scene", to)
