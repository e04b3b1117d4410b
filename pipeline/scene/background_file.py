"""A camera's background on disk: what a restart begins with.

A file has a line ``nightday-background 2`` (what it is, and the version of this layout), a line with the SHA-256 of
all that follows, a line of JSON (camera, source, what told day from night, how far the samples agreed, and each
picture's name, shape and count of samples), and the pictures' bytes one after the other, deflated. Nothing in it is
executed or unpickled, and a file is checked wholly before any of it is used. The checksum finds torn and altered
files; it is not a signature.

Of version 1 the day is taken over. Its night was made of translated pictures, and is left out.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightday.engines.errors import NightdayError

from ..core.atomic_file import write_atomically

MAGIC, VERSION, BEFORE = b"nightday-background", b"2", b"1"
# Bytes of a file, and of its pictures. Four pictures of 8K take 4 · 10⁸.
MOST_BYTES = 1 << 29
# Bytes of the header line.
MOST_HEADER = 1 << 16
MOST_PICTURES = 16


class BackgroundRefusedError(NightdayError, ValueError):
    """A checkpoint cannot be used. The message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class SavedMedian:
    """A median.

    Attributes:
        picture: (H, W, 3) uint8.
        count: the number of samples it stands for.
        spacing: seconds between them; 0 where that is not told.
    """

    picture: NDArray[np.uint8]
    count: int
    spacing: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class SavedBackground:
    """What a checkpoint holds.

    Attributes:
        medians: by time of day ("day", "night"): the short median.
        lasting: by time of day: the lasting median, where one is kept.
        agreements: by time of day: the share of the picture in which the samples agreed, where that is known.
        views: the scene watch's references, by kind of view: a grey picture (h, w) uint8, and its number of samples.
        told_by: what told day from night: a camera's ``translate``; "never" where nothing was translated.
        left_out: what of the file cannot be used, in a few words; "" if all of it can.
    """

    medians: Mapping[str, SavedMedian] = field(default_factory=dict)
    lasting: Mapping[str, SavedMedian] = field(default_factory=dict)
    agreements: Mapping[str, float] = field(default_factory=dict)
    views: Mapping[str, tuple[NDArray[np.uint8], int]] = field(default_factory=dict)
    told_by: str = "never"
    left_out: str = ""


def save_background(path: Path, background: SavedBackground, *, camera: str, source: str) -> None:
    """Write ``background`` to ``path``: whole and on the disk, or not at all. Raises OSError.

    Args:
        path: the file; its folder is made if missing.
        background: what to write.
        camera: its name.
        source: its address with the secrets masked.
    """
    pictures: dict[tuple[str, str], tuple[NDArray[np.uint8], int, float]] = {
        (what, name): (median.picture, median.count, median.spacing)
        for what, medians in (("median", background.medians), ("lasting", background.lasting))
        for name, median in medians.items()
    }
    pictures |= {("view", name): (*value, 0.0) for name, value in background.views.items()}
    header = {
        "camera": camera,
        "source": source,
        "told_by": background.told_by,
        "agreements": dict(background.agreements),
        "pictures": [
            {"what": what, "name": name, "shape": picture.shape, "count": count, "spacing": spacing}
            for (what, name), (picture, count, spacing) in pictures.items()
        ],
    }
    # Level 1: 0.1 s for a 1080p picture, a sixth of what level 6 takes for a tenth more bytes.
    deflate = zlib.compressobj(1)
    parts = [json.dumps(header).encode(), b"\n"]
    parts += [deflate.compress(picture.tobytes()) for picture, *_ in pictures.values()]
    parts.append(deflate.flush())
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    head = [MAGIC, b" ", VERSION, b"\n", digest.hexdigest().encode(), b"\n"]
    write_atomically(path, [*head, *parts], durable=True)


def load_background(path: Path, *, camera: str, source: str) -> SavedBackground | None:
    """Read what ``save_background`` wrote; None if there is no such file.

    Raises ``BackgroundRefusedError`` for a file that is torn, altered, of another version, camera or source, or
    cannot be read.
    """
    try:
        if not path.exists():
            return None
        if not path.is_file():  # reading a pipe would never end
            raise BackgroundRefusedError("it is not a file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BackgroundRefusedError(f"it cannot be read: {error.strerror or error}") from error
    if len(data) > MOST_BYTES:
        raise BackgroundRefusedError(f"it is larger than {MOST_BYTES >> 20} MiB")
    first, _, rest = data.partition(b"\n")
    magic, _, version = first.partition(b" ")
    if magic != MAGIC:
        raise BackgroundRefusedError("it is no background checkpoint" if data else "it is empty")
    if version not in (VERSION, BEFORE):
        raise BackgroundRefusedError(
            f"it is of version {version[:16].decode(errors='replace')}, this program writes {VERSION.decode()}"
        )
    digest, newline, rest = rest.partition(b"\n")
    if not newline or hashlib.sha256(rest).hexdigest().encode() != digest:
        raise BackgroundRefusedError("its checksum is wrong: it is torn or was altered")
    line, _, deflated = rest.partition(b"\n")
    try:
        header = json.loads(line) if len(line) <= MOST_HEADER else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise BackgroundRefusedError("its header cannot be read")
    for what, expected in (("camera", camera), ("source", source)):
        if header.get(what) != expected:
            raise BackgroundRefusedError(f"its {what} is {header.get(what)!r}, not {expected!r}")
    saved = _pictures(header, deflated)
    return saved if version == VERSION else _of_version_1(saved, str(header.get("model", "")))


def _of_version_1(saved: SavedBackground, model: str) -> SavedBackground:
    """What can be used of a file of version 1. Where nothing was translated, nights were taken for day."""
    if not model:
        return replace(saved, told_by="never")
    medians = {name: median for name, median in saved.medians.items() if name != "night"}
    left_out = "" if len(medians) == len(saved.medians) else "its night was made of translated pictures"
    return replace(saved, medians=medians, told_by="night", left_out=left_out)


def _pictures(header: Mapping[str, Any], deflated: bytes) -> SavedBackground:
    listed = header.get("pictures")
    if not isinstance(listed, list) or len(listed) > MOST_PICTURES:
        raise BackgroundRefusedError("its header lists no pictures")
    medians: dict[str, SavedMedian] = {}
    lasting: dict[str, SavedMedian] = {}
    views: dict[str, tuple[NDArray[np.uint8], int]] = {}
    inflate = zlib.decompressobj()
    for described in listed:
        match described:
            case {
                "what": "median" | "lasting" as what,
                "name": str(name),
                "shape": [int(), int(), 3] as shape,
                "count": int(count),
            }:
                pass
            case {
                "what": "view" as what,
                "name": str(name),
                "shape": [int(), int()] as shape,
                "count": int(count),
            }:
                pass
            case _:
                raise BackgroundRefusedError(f"its header describes no picture: {str(described)[:80]}")
        size = int(np.prod([max(side, 0) for side in shape], dtype=object))
        if not 0 < size <= MOST_BYTES or count < 1:
            raise BackgroundRefusedError(f"its header describes no picture: {str(described)[:80]}")
        try:
            data = inflate.decompress(deflated, size)
        except zlib.error as error:
            raise BackgroundRefusedError(f"its pictures cannot be inflated: {error}") from error
        deflated = inflate.unconsumed_tail
        if len(data) != size:
            raise BackgroundRefusedError(f"its picture {name} ends early")
        picture = np.frombuffer(data, np.uint8).reshape(shape)
        if what == "view":
            views[name] = (picture, count)
            continue
        spacing = _number(described.get("spacing", 0.0), most=1e6)
        (medians if what == "median" else lasting)[name] = SavedMedian(picture, count, spacing)
    agreements = header.get("agreements", {})
    return SavedBackground(
        medians=medians,
        lasting=lasting,
        agreements={
            str(name): _number(share, most=1.0)
            for name, share in (agreements.items() if isinstance(agreements, dict) else ())
        },
        views=views,
        told_by=str(header.get("told_by", "never")),
    )


def _number(value: object, *, most: float) -> float:
    if isinstance(value, (int, float)) and 0 <= value <= most:
        return float(value)
    raise BackgroundRefusedError(f"its header holds {str(value)[:20]} where a number up to {most:g} is due")
