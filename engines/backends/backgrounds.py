"""Backgrounds that are given beside frames: whether they may be, and what is kept of those that do not change."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..device_copies import Pixels

if TYPE_CHECKING:
    import torch

Background = Pixels | Sequence[Pixels]
"""Uint8 RGB (N, H, W, 3), one for each frame; (1, H, W, 3), one for all; or a sequence of N pictures (H, W, 3)."""

Pair = tuple[Pixels, Pixels]
"""One frame's backgrounds by day and by night, uint8 RGB (H, W, 3) each."""

# What is kept of so many backgrounds, or pairs of them, at the most.
KEPT = 128

T = TypeVar("T")


def pairs_of(
    frames: Pixels,
    day_background: Background | None,
    night_background: Background | None,
    *,
    needed: bool,
    device: torch.device | None,
) -> list[Pair] | None:
    """The backgrounds of each of ``frames``; None for a model that takes none.

    Args:
        frames: uint8 (N, H, W, 3).
        day_background, night_background: as an engine is given them.
        needed: whether the model takes backgrounds.
        device: the engine's.

    Raises:
        ValueError: they are missing, or given to a model that takes none, or are not of the frames' size, or lie
            elsewhere than the engine takes them from. The message is one line.
    """
    given = {"day_background": day_background, "night_background": night_background}
    if not needed:
        for name, background in given.items():
            if background is not None:
                raise ValueError(f"{name} is given, but the model takes no backgrounds: leave it out")
        return None
    missing = " and ".join(name for name, background in given.items() if background is None)
    if missing:
        raise ValueError(
            f"{missing}: missing; the model needs the camera's backgrounds by day and by night beside each frame"
        )
    by_day, by_night = (_pictures(name, one, frames, device) for name, one in given.items())
    return list(zip(by_day, by_night, strict=True))


def _pictures(
    name: str, background: Background | None, frames: Pixels, device: torch.device | None
) -> list[Pixels]:
    """A background of each frame, (H, W, 3). Raises ValueError."""
    count, size = len(frames), tuple(frames.shape[1:])
    if background is not None and not isinstance(background, Sequence):
        if background.ndim != 4 or background.shape[0] not in (1, count):
            many = "" if count == 1 else f" or {(count, *size)}"
            raise ValueError(f"{name} is {_described(background)}: expected uint8 {(1, *size)}{many}")
        pictures: list[Pixels] = [background[i if len(background) > 1 else 0] for i in range(count)]
    else:
        pictures = list(background or ())
        if len(pictures) != count:
            raise ValueError(
                f"{name} holds {len(pictures)} pictures for {count} frames: expected one for each"
            )
    for picture in {id(one): one for one in pictures}.values():
        if _dtype(picture) != "uint8" or tuple(picture.shape) != size:
            raise ValueError(
                f"{name} has a picture of {_described(picture)}: expected uint8 {size}, like the frames"
            )
        if not isinstance(picture, np.ndarray) and (device is None or picture.device.type != device.type):
            wanted = "an array" if device is None else f"an array, or one on {device}"
            raise ValueError(f"{name} is a tensor on {picture.device}: expected {wanted}")
    return pictures


def _dtype(picture: Pixels) -> str:
    return str(picture.dtype).removeprefix("torch.")


def _described(picture: Pixels) -> str:
    return f"{_dtype(picture)} {tuple(picture.shape)}"


class Derived(Generic[T]):
    """What is made from pictures once, and kept for as long as these live. Any number of threads may use it.

    Pictures are told by their memory, so only those that nobody can write to are known again: read-only arrays whose
    memory belongs to a read-only array. For any other picture everything is made anew.

    Args:
        keep: at most so many are kept; the one unused for longest is dropped.
    """

    def __init__(self, *, keep: int = KEPT) -> None:
        self._keep = keep
        self._kept: OrderedDict[object, tuple[list[weakref.ref[NDArray[np.uint8]]], T]] = OrderedDict()
        self._gone: deque[object] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            self._drop_gone()
            return len(self._kept)

    def get(self, pictures: Sequence[Pixels], make: Callable[[], T]) -> T:
        """What was made from these very pictures, by ``make`` if nothing was yet."""
        owners = [_owner(picture) for picture in pictures]
        known = [owner for owner in owners if owner is not None and not owner.flags.writeable]
        if len(known) < len(pictures):
            return make()
        key = tuple(_place(picture) for picture in pictures)
        with self._lock:
            self._drop_gone()
            found = self._kept.get(key)
            # Another array may lie where one was that is gone.
            if found is not None and all(ref() is owner for ref, owner in zip(found[0], known, strict=True)):
                self._kept.move_to_end(key)
                return found[1]
        made = make()

        def forget(_: weakref.ref[NDArray[np.uint8]]) -> None:
            self._gone.append(key)  # the lock may be held by this very thread

        with self._lock:
            self._kept[key] = ([weakref.ref(owner, forget) for owner in known], made)
            self._kept.move_to_end(key)
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
        return made

    def _drop_gone(self) -> None:
        while self._gone:
            key = self._gone.popleft()
            found = self._kept.get(key)
            if found is not None and any(ref() is None for ref in found[0]):
                del self._kept[key]


def _owner(picture: Pixels) -> NDArray[np.uint8] | None:
    """The array whose memory a picture is a part of; None for a tensor."""
    if not isinstance(picture, np.ndarray):
        return None
    while isinstance(picture.base, np.ndarray):
        picture = picture.base
    return picture


def _place(picture: Pixels) -> tuple[object, ...]:
    """What tells a picture from every other one that lives, once it is known to be an array."""
    assert isinstance(picture, np.ndarray)
    return picture.__array_interface__["data"][0], picture.shape, picture.strides
