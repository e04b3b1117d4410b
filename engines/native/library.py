"""Loads the compiled code, which is missing where no compiler was at hand when the package was installed."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SOURCES = tuple(str(path) for path in sorted(Path(__file__).parent.glob("*.[ch]*")))
"""The files that it is compiled from."""

_BYTES = np.ctypeslib.ndpointer(np.uint8, flags="C_CONTIGUOUS")
_FLOATS = np.ctypeslib.ndpointer(np.float32, flags="C_CONTIGUOUS")
_INTS = np.ctypeslib.ndpointer(np.int32, flags="C_CONTIGUOUS")
_INT = ctypes.c_int
_MAYBE = ctypes.c_void_p

_PARAMETERS: dict[str, tuple[object, ...]] = {
    "unpack": (_BYTES, *(_INT,) * 4, _FLOATS),
    "unshuffle": (_FLOATS, _INT, _INT, ctypes.c_float, _INT, _INT, _FLOATS),
    "scaled": (_FLOATS, _INT, _INT, _FLOATS),
    "relit": (_FLOATS, _FLOATS, _INT, _INT, _FLOATS, _FLOATS),
    "invariant": (_FLOATS, _INT, _INT, _FLOATS, _FLOATS, _INTS, _INT, *(_FLOATS,) * 4),
    "evidence": (_FLOATS, _INT, _INT, *(_FLOATS,) * 8),
    "shrink": (_BYTES, *(_INT,) * 5, *(_FLOATS,) * 3),
    "lift": (_BYTES, *(_INT,) * 3, _FLOATS, _INT, _INT, _BYTES, _FLOATS),
    "drawn": (_FLOATS, _MAYBE, *(_INT,) * 4, _BYTES, _FLOATS),
    "layers": (
        *(_MAYBE, _INT, _MAYBE),
        *(_FLOATS,) * 5,
        *(_INT,) * 4,
        *(_MAYBE, _MAYBE),
        *(_BYTES, _BYTES, _FLOATS),
    ),
}


@functools.cache
def load() -> ctypes.CDLL | None:
    """The compiled code, whose functions let go of the interpreter's lock; None where there is none."""
    found = importlib.util.find_spec(f"{__package__}.kernels")
    if found is None or found.origin is None:
        return None
    try:
        return declared(ctypes.CDLL(found.origin))
    except (OSError, AttributeError):  # compiled for another machine, or from other sources
        return None


def declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """The library, told what its functions take. Raises AttributeError where it lacks one."""
    for name, parameters in _PARAMETERS.items():
        function = getattr(library, f"nightday_{name}")
        function.argtypes, function.restype = parameters, None
    return library


def floats(*shape: int) -> Floats:
    """An array to be written, on a boundary of 64 bytes and with as many behind it, which vectors may run into."""
    count = int(np.prod(shape))
    memory = np.zeros(count + 32, np.float32)
    begin = -memory.ctypes.data % 64 // 4
    return memory[begin : begin + count].reshape(shape)


def address(array: NDArray[Any] | None) -> int | None:
    """What stands for an array that may be missing."""
    return None if array is None else array.ctypes.data
