"""A light model's frame: compiled code, and between the generator, which runs where there is something to draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray

from ...model.generator import NightToDay
from ...model.lift import Lifted, module_for, translation_size
from ...native.large import LargeFrames
from ...native.library import Floats, floats
from ...native.light import ERROR, LightEnd, LightFront
from ...native.light import Known as LightKnown
from ..base import Frames
from ..compiled_sizes import Size
from .graph import SQUARES
from .regions import Box, Region, regions
from .requests import BackgroundRequest, Known


class _Square:
    """The generator for a part of its input.

    Args:
        request: OpenVINO's.
    """

    def __init__(self, request: Any) -> None:
        self._request = request
        self._seen, self._first = (floats(*request.get_input_tensor(i).shape[1:]) for i in (0, 1))
        for i, given in enumerate((self._seen, self._first)):
            request.set_input_tensor(i, ov.Tensor(given[None], shared_memory=True))
        self._before: Floats = request.get_output_tensor(0).data[0]
        self.size: Size = (self._seen.shape[1], self._seen.shape[2])

    def draw(self, region: Region, seen: Floats, first: Floats, before: Floats) -> None:
        """Write to ``before`` what the generator gives there."""
        rows, columns = region.square.place
        self._seen[:] = seen[:, rows, columns]
        self._first[:] = first[:, rows, columns]
        self._request.infer()
        inner, top, left = region.counts, region.square.top, region.square.left
        (rows, columns), here = (
            inner.place,
            Box(inner.top - top, inner.left - left, inner.bottom - top, inner.right - left),
        )
        before[:, rows, columns] = self._before[:, here.place[0], here.place[1]]


class LightRequests:
    """See ``Runs``.

    What a generator with layers draws counts only near what the night shows beside its camera's own night background.
    So it runs there alone, in squares with enough around it, and not at all where there is nothing. What it expects
    to be wrong elsewhere is what it expects of that background.

    Args:
        model: one that compiled code ``runs``.
        requests: OpenVINO's, by the names of their graphs.
        size: of the frames.
        reuse: whether the generator may be left out anywhere.
    """

    def __init__(self, model: NightToDay, requests: Mapping[str, Any], size: Size, *, reuse: bool) -> None:
        self._reuse = reuse
        inner = translation_size(model, *size)
        self._front, self._end = LightFront(model, *inner), LightEnd(model, *inner)
        self._rest = requests["rest"]
        self._rest.set_input_tensor(0, ov.Tensor(self._front.seen[None], shared_memory=True))
        self._before: Floats = self._rest.get_output_tensor(0).data[0]
        squares = (_Square(requests[name]) for name in SQUARES if name in requests)
        self._squares = {square.size: square for square in squares}
        self._pieces = floats(*self._before.shape) if self._squares else None
        module = module_for(model, *size)
        self._large = LargeFrames(module, *size) if isinstance(module, Lifted) else None
        if self._large is not None:
            self._line = requests["line"]
            self._small = np.empty((1, *inner, 3), np.uint8)
            for i, given in enumerate((self._large.cells[None], self._small)):
                self._line.set_input_tensor(i, ov.Tensor(given, shared_memory=True))

    def run(self, frame: Frames, known: Known, day: Frames, trust: Frames | None) -> float:
        """See ``Runs``."""
        small = day if self._large is None else self._small
        light: LightKnown | None = known.get("light")
        found = self._front.look(self._shrunk(frame), light)
        share = 0.0
        if light is None or trust is None:
            self._end.draw(self._drawn_whole(known), self._front.seen, small[0])
            share = 1.0
        elif found == "still" and self._reuse and light.still is not None:
            small[0], trust[0] = light.still
        else:
            self._front.relight(light)
            before = None
            if found == "near" or not self._reuse:
                before, share = self._drawn(known)
            self._end.put_together(before, self._front.seen, light, small[0], trust[0], whole=share == 1)
        if self._large is not None:
            self._line.infer()
            self._large.lift(frame[0], self._line.get_output_tensor(0).data[0], day[0])
        return share

    def of_still(self, by_night: Frames, known: LightKnown, first: ov.Tensor) -> LightKnown:
        """``known`` with what comes of a night that is like its background, uint8 (1, H, W, 3)."""
        self._front.look(self._shrunk(by_night), known)
        self._front.relight(known)
        known = replace(known, error=self._drawn_whole({"first": first})[ERROR:].copy())
        return replace(known, still=self._end.still(known))

    def _shrunk(self, frame: Frames) -> NDArray[Any]:
        """What is translated of a frame."""
        if self._large is None:
            whole: NDArray[Any] = frame[0]
            return whole
        self._large.shrink(frame[0])
        return self._large.small

    def _drawn(self, known: Known) -> tuple[Floats, float]:
        """What the generator gives for the frame that was looked at, before its last layer, and where it ran."""
        found = None
        if self._squares:
            found = regions(self._front.near, self._before.shape[1:], list(self._squares))
        if found is None:
            return self._drawn_whole(known), 1.0
        self._front.measure()
        pieces, share = self._pieces, 0.0
        assert pieces is not None
        first = known["first"].data[0]
        for region in found:
            size = region.square.size
            self._squares[size].draw(region, self._front.seen, first, pieces)
            share += size[0] * size[1]
        return pieces, share / pieces[0].size

    def _drawn_whole(self, known: Known) -> Floats:
        self._front.measure()
        if "first" in known:
            self._rest.set_input_tensor(1, known["first"])
        self._rest.infer()
        return self._before


class LightBackgrounds:
    """What is known of backgrounds for ``LightRequests``. For one thread at a time."""

    def __init__(self, request: BackgroundRequest, runs: LightRequests) -> None:
        self._request = request
        self._runs = runs

    def known(self, by_day: NDArray[np.uint8], by_night: NDArray[np.uint8]) -> Known:
        """See ``SizeRequests.known``."""
        tensors = self._request.known(by_day, by_night)
        light = LightKnown.of({name: torch.from_numpy(one.data) for name, one in tensors.items()})
        return {
            "first": tensors["first"],
            "light": self._runs.of_still(np.array(by_night)[None], light, tensors["first"]),
        }
