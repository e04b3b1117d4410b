"""What is compiled for each picture size, of which a few are kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Compiled = TypeVar("Compiled")
Size = tuple[int, int]


class CompiledSizes(Generic[Compiled]):
    """A cache of what is compiled for picture sizes, for any number of threads.

    One size is compiled at a time. Sizes that are compiled already can be had meanwhile.

    Args:
        compile_size: compiles for a size, (height, width) in pixels. What it raises is raised by ``get``.
        keep: at most so many sizes are kept; the one unused for longest is dropped.
    """

    def __init__(self, compile_size: Callable[[Size], Compiled], *, keep: int) -> None:
        self._compile = compile_size
        self._keep = keep
        self._sizes: OrderedDict[Size, Compiled] = OrderedDict()
        # Guards _sizes; never held while anything is compiled.
        self._lock = threading.Lock()
        self._compiling = threading.Lock()

    def __contains__(self, size: Size) -> bool:
        with self._lock:
            return size in self._sizes

    def get(self, size: Size) -> Compiled:
        """What is compiled for a size; compiled now if it is not there."""
        found = self._known(size)
        if found is not None:
            return found
        with self._compiling:
            found = self._known(size)  # another thread may have compiled it meanwhile
            if found is None:
                found = self._compile(size)
                with self._lock:
                    self._sizes[size] = found
                    while len(self._sizes) > self._keep:
                        self._sizes.popitem(last=False)
            return found

    def _known(self, size: Size) -> Compiled | None:
        with self._lock:
            if size in self._sizes:
                self._sizes.move_to_end(size)
            return self._sizes.get(size)
