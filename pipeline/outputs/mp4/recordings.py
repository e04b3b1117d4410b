"""Finding an output's recordings: the files whose names its template could have given them."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# What strftime makes of each code that a name can be read back from. strptime, which knows the locale's names of
# months and days, decides in the end.
_CODES = {
    **{"Y": "[0-9]{4}", "y": "[0-9]{2}", "m": "[0-9]{2}", "d": "[0-9]{2}", "j": "[0-9]{3}"},
    **{"H": "[0-9]{2}", "I": "[0-9]{2}", "M": "[0-9]{2}", "S": "[0-9]{2}", "p": r"\w*"},
    **{"b": r"\w+\.?", "B": r"\w+", "a": r"\w+\.?", "A": r"\w+"},
}
_SHORT = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%h": "%b"}
_CODE = re.compile(r"(%[-_0^#EO]*[A-Za-z%])")
# What the writer adds to a name: the epoch of the node that wrote it, and a number where the name is taken.
_NUMBER = r"(?:-e[0-9]{1,12})?(?:-[1-9][0-9]{0,3})?"


@dataclass(frozen=True, slots=True)
class Recording:
    """A file a template could have written: ``name`` below ``folder``, bytes, and Unix seconds of its last change."""

    folder: Path
    name: str
    size: int
    changed: float

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / self.name


def recorded(template: Path) -> list[Recording]:
    """Files there are now that a strftime template, ending in ``.mp4``, could have written; in no order.

    Every code must stand for what strftime makes of it, at a date that exists. A code that comes twice must stand for
    the same both times. For a code that ``unreadable_code`` names, any text will do. From the first code on, links
    are neither followed nor taken for recordings. Folders that cannot be read count as empty.
    """
    fixed, names = _parts(template)
    levels = [re.compile(_regex(name, number=False)) for name in names[:-1]]
    levels.append(re.compile(_regex(names[-1], number=True)))
    is_name = _name_check(names)
    return [
        Recording(fixed, name, size, changed)
        for name, size, changed in _search(str(fixed), "", levels)
        if is_name(name)
    ]


def find_recording(template: Path, name: str) -> Recording | None:
    """The one of the ``recorded`` files that has this name; None if none has. Nothing else can be found so."""
    fixed, names = _parts(template)
    parts = name.split("/")
    if ".." in parts or "\0" in name or not _name_check(names)(name):
        return None
    path = fixed
    try:
        for part in parts[:-1]:
            path = path / part
            if not stat.S_ISDIR(path.lstat().st_mode):
                return None
        state = (path / parts[-1]).lstat()
    except OSError:  # there is none, or it cannot be read
        return None
    return Recording(fixed, name, state.st_size, state.st_mtime) if stat.S_ISREG(state.st_mode) else None


def remove_empty_folders(path: Path, template: Path) -> None:
    """Remove the folders ``path`` was in that are empty now, up to the first with a code of the template in it."""
    dated = len(_parts(template)[1]) - 1
    for folder in list(path.parents)[:dated]:
        try:
            folder.rmdir()
        except OSError:  # it is not empty
            return


def unreadable_code(template: Path) -> str | None:
    """The first code of a template that a name cannot be read back from; None if there is none."""
    codes = _CODE.findall(_spelled(str(template)))
    return next((code for code in codes if code != "%%" and code[1:] not in _CODES), None)


def _name_check(names: list[str]) -> Callable[[str], bool]:
    """Tells whether a name below the folder above ``names`` is one that the writer could have given."""
    whole = re.compile(_regex("/".join(names), number=True, once=True))

    def is_name(name: str) -> bool:
        hit = whole.fullmatch(name)
        return hit is not None and _is_date(tuple(hit.groupdict().items()))

    return is_name


def _parts(template: Path) -> tuple[Path, list[str]]:
    """The folder above the first name with a code in it, and the names from there on; at least the file's."""
    parts = template.parts
    first = next((index for index, part in enumerate(parts) if "%" in part), len(parts))
    first = min(first, len(parts) - 1)
    return Path(*parts[:first]), list(parts[first:])


def _search(fixed: str, below: str, levels: list[re.Pattern[str]]) -> Iterator[tuple[str, int, float]]:
    """Names below ``fixed`` that fit the levels' patterns, with size and last change.

    They are text, not ``Path``, since there may be many.
    """
    try:
        with os.scandir(os.path.join(fixed, below)) as entries:
            fitting = [entry for entry in entries if levels[0].fullmatch(entry.name)]
    except OSError:
        return
    for entry in fitting:
        try:
            if len(levels) > 1 and entry.is_dir(follow_symlinks=False):
                yield from _search(fixed, f"{below}{entry.name}/", levels[1:])
            elif len(levels) == 1 and entry.is_file(follow_symlinks=False):
                state = entry.stat(follow_symlinks=False)
                yield below + entry.name, state.st_size, state.st_mtime
        except OSError:  # gone meanwhile
            continue


def _regex(template: str, *, number: bool, once: bool = False) -> str:
    """A regular expression for what strftime makes of ``template``, with a number before its ending if ``number``.

    With ``once``, each code has a group of its name, and must be the same where it comes again.
    """
    stem, ending = template, ""
    if number:
        stem, dot, ending = template.rpartition(".")
        ending = _NUMBER + re.escape(dot + ending)
    seen: set[str] = set()
    made = ""
    for part in _CODE.split(_spelled(stem)):
        code = part[1:]
        if not _CODE.fullmatch(part):
            made += re.escape(part)
        elif code == "%":
            made += "%"
        elif code not in _CODES:
            made += "[^/]+"
        elif once:
            made += f"(?P={code})" if code in seen else f"(?P<{code}>{_CODES[code]})"
            seen.add(code)
        else:
            made += f"(?:{_CODES[code]})"
    return made + ending


def _spelled(template: str) -> str:
    return _CODE.sub(lambda hit: _SHORT.get(hit[1], hit[1]), template)


@lru_cache(maxsize=65_536)
def _is_date(values: tuple[tuple[str, str], ...]) -> bool:
    """Whether what the codes stand for is a date. strptime takes 10 µs, and each sweep asks about the same files."""
    try:
        time.strptime(" ".join(text for _, text in values), " ".join(f"%{code}" for code, _ in values))
    except ValueError:
        return False
    return True
