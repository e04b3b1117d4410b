"""The tries to train one round, each of which writes in a folder of its own.

::

    ROUND/pictures, held            what all tries learn from; see ``learning.rounds``
    ROUND/tries/KEY/pictures, held  links to them
    ROUND/tries/KEY/run             the run of one try; it begins with a copy of the run of the try before
    ROUND/run, judgement.json       links into the try that counts

A machine that stood still while its training was begun anew elsewhere may go on, and writes in a folder that nobody
looks at any more.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from ..learning.rounds import HELD, JUDGEMENT, PICTURES, RUN

TRIES = "tries"
# What is being written under another name first.
_UNFINISHED = shutil.ignore_patterns("*.part", "*.tmp", ".*")


def begin_try(round_folder: Path) -> Path:
    """The folder of a new try, which goes on where the last one that counted was, and counts from now on.

    Raises OSError.
    """
    tries = round_folder / TRIES
    run, judgement = round_folder / RUN, round_folder / JUDGEMENT
    if run.is_dir() and not run.is_symlink():  # of a program that trained on one machine
        (tries / "before").mkdir(parents=True)
        run.rename(tries / "before" / RUN)
        _point(run, tries / "before" / RUN)
    folder = tries / secrets.token_hex(8)
    folder.mkdir(parents=True)
    for name in (PICTURES, HELD):
        (folder / name).symlink_to(Path("..", "..", name))
    if run.is_dir():
        try:
            shutil.copytree(run, folder / RUN, ignore=_UNFINISHED)
        except shutil.Error:  # somebody writes there still: begin at the beginning
            shutil.rmtree(folder / RUN, ignore_errors=True)
    _point(run, folder / RUN)
    _point(judgement, folder / JUDGEMENT)
    for other in tries.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _point(link: Path, target: Path) -> None:
    """Have ``link`` lead to ``target``, both of the same round, whether or not that is there yet."""
    new = link.with_name(f".{link.name}.new")
    with suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(target.relative_to(link.parent))
    os.replace(new, link)
