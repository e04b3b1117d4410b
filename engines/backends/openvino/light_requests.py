"""A light model's frame: compiled code, and between the generator, which runs where there is something to draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray

from ...model.generator import NightToDay
from ...native.library import Floats
from ...native.light import ERROR, LightEnd, LightFront, usual
from ..base import Frames
from ..compiled_sizes import Size
from .requests import BackgroundRequest, Known


class LightRequests:
    """See ``Runs``.

    Where a night shows nothing that its camera's own night background does not, nothing is drawn, whatever the
    generator would make of it, so it is not run. What it expects to be wrong there is what it expects of that
    background.

    Args:
        model: one that compiled code ``runs``.
        requests: OpenVINO's, by the names of their graphs.
        size: of the frames.
        inner: at which they are translated.
    """

    def __init__(self, model: NightToDay, requests: Mapping[str, Any], size: Size, inner: Size) -> None:
        self._front, self._end = LightFront(model, *inner), LightEnd(model, *inner)
        self._shrink, self._lift = requests.get("shrink"), requests.get("lift")
        self._rest = requests["rest"]
        self._rest.set_input_tensor(0, ov.Tensor(self._front.seen[None], shared_memory=True))
        self._before: Floats = self._rest.get_output_tensor(0).data[0]
        self._small = np.empty((1, *inner, 3), np.uint8)
        if self._lift is not None:
            assert self._shrink is not None
            self._lift.set_input_tensor(1, self._shrink.get_output_tensor(1))
            self._lift.set_input_tensor(2, ov.Tensor(self._small, shared_memory=True))

    def run(self, frame: Frames, known: Known, day: Frames, trust: Frames | None) -> None:
        """See ``Runs``."""
        drawn = self._front.look(self._shrunk(frame), known)
        before = self._drawn(known) if drawn else None
        small = day if self._lift is None else self._small
        if trust is None:
            assert before is not None
            self._end.draw(before, self._front.seen, small[0])
        else:
            self._end.put_together(before, self._front.seen, known, small[0], trust[0])
        if self._lift is not None:
            self._lift.set_input_tensor(0, ov.Tensor(frame, shared_memory=True))
            self._lift.infer()
            day[:] = self._lift.get_output_tensor(0).data[:, : day.shape[1], : day.shape[2]]

    def error(self, by_night: Frames, known: Known) -> Floats:
        """What the generator expects to be wrong, float32 (4, h, w), of a night like its background."""
        self._front.look(self._shrunk(by_night), known)
        return self._drawn(known)[ERROR:].copy()

    def _shrunk(self, frame: Frames) -> NDArray[Any]:
        """What is translated of a frame."""
        if self._shrink is None:
            return frame[0]
        self._shrink.set_input_tensor(0, ov.Tensor(frame, shared_memory=True))
        self._shrink.infer()
        small: NDArray[Any] = self._shrink.get_output_tensor(0).data[0]
        return small

    def _drawn(self, known: Known) -> Floats:
        """What the generator gives for the frame that was looked at, before its last layer."""
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
        pictures = {name: torch.from_numpy(one.data) for name, one in tensors.items() if name != "first"}
        known: dict[str, Any] = {**usual(pictures), "first": tensors["first"]}
        known["error"] = known["dark"]  # not looked at
        known["error"] = self._runs.error(np.array(by_night)[None], known)
        return known
