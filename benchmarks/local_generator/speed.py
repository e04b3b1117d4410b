"""What generators cost on one core, in int8, on whole pictures and in parts, and what of a clip has to be drawn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.local_generator.model import NEAR, LocalDraw, LocalModel
from nightday.engines.backends.compiled_sizes import Size
from nightday.engines.backends.openvino import int8, regions
from nightday.engines.backends.openvino.beside import TO_FRONT, TO_REST, DrawBeside, KnownBackgrounds
from nightday.engines.backends.openvino.build import CORE
from nightday.engines.backends.openvino.graph import Graph
from nightday.engines.model.generator import NightToDay
from nightday.engines.native.library import Floats
from nightday.engines.native.light import Known, LightEnd, LightFront

# Sides of tiles, in pixels of the generator's input, half as many as the frame's, and how many make a batch.
TILES = (32, 64)
BATCH = 8
# The context with which squares of the general model equal the whole picture to 60 dB, see benchmarks/NOTES.md. What
# the local generator draws reaches no farther than the context that there is.
FAITHFUL = 32
# How many pictures of a clip are looked at, and how often each cost is measured.
PICTURES, ROUNDS = 40, 30
SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Clip:
    """Pictures of a camera as compiled code sees them.

    Attributes:
        seen: what the generator sees of each, float32 (25, h, w), of the night.
        near: above 0 where something may be drawn, (h / 2, w / 2), of each.
        around: processor time of all but the generator, milliseconds a picture.
    """

    seen: list[Floats]
    near: list[Floats]
    around: float


def look(model: NightToDay, file: Path) -> tuple[Clip, torch.Tensor]:
    """A clip of ``benchmarks.frame_cost`` seen by the general model, and what that sees of its backgrounds."""
    clip = np.load(file)
    nights = clip["nights"][:PICTURES]
    by_day, by_night = (torch.from_numpy(clip[f"{name}_background"][None]) for name in ("day", "night"))
    height, width = nights.shape[1:3]
    with torch.inference_mode():
        made = dict(zip((*TO_FRONT, *TO_REST), KnownBackgrounds(model)(by_day, by_night), strict=True))
        pictures = (picture.permute(0, 3, 1, 2).float() / 255 for picture in (by_day, by_night))
        backgrounds = model.known(*pictures).seen
    known = Known.of(made)
    front, end = LightFront(model, height, width), LightEnd(model, height, width)
    before = np.zeros((24, *front.seen.shape[1:]), np.float32)
    day, trust = (np.empty((height, width, 3), np.uint8) for _ in range(2))
    seen, near, took = [], [], []
    for night in nights:
        begun = time.process_time()
        front.look(night, known)
        front.relight(known)
        front.measure()
        end.put_together(before, front.seen, known, day, trust)
        took.append(time.process_time() - begun)
        seen.append(front.seen.copy())
        near.append(front.near.copy())
    return Clip(seen, near, 1e3 * statistics.median(took)), backgrounds


class Costs:
    """Processor time of a generator in int8 on parts of a size, milliseconds.

    Args:
        model: the general one, or a local one.
        clip: real inputs, for the ranges of int8.
        backgrounds: what the generator sees of the backgrounds.
    """

    def __init__(self, model: NightToDay, clip: Clip, backgrounds: torch.Tensor) -> None:
        draw: nn.Module
        with torch.inference_mode():
            if isinstance(model, LocalModel):
                draw = LocalDraw(model)
                first, channels = draw.of_backgrounds(backgrounds), NEAR
            else:
                draw = DrawBeside(model)
                first, channels = KnownBackgrounds(model).first(backgrounds), NEAR + 1
        inputs = [[seen[None, :channels], first.numpy()] for seen in clip.seen[:: PICTURES // 4]]
        examples = tuple(torch.from_numpy(each) for each in inputs[0])
        graph = Graph("rest", draw, examples, ("seen", "first"), ("before",))
        shapes = [[-1, int(each.shape[1]), -1, -1] for each in examples]
        self._model = graph.converted(shapes)
        int8.quantise(CORE, self._model, inputs, most=int8.most_weight())
        self._channels = [shape[1] for shape in shapes]
        self._known: dict[tuple[Size, int], float] = {}

    def of(self, size: Size, *, batch: int = 1) -> float:
        """That of one part, run ``batch`` at a time."""
        if (size, batch) not in self._known:
            model = self._model.clone()
            shapes = [[batch, channels, *size] for channels in self._channels]
            model.reshape(dict(zip(model.inputs, shapes, strict=True)))
            request = CORE.compile_model(model, "CPU", SETTINGS).create_infer_request()
            for at, shape in enumerate(shapes):
                request.get_input_tensor(at).data[:] = np.random.default_rng(0).random(shape, np.float32)
            self._known[size, batch] = _ms(request.infer) / batch
        return self._known[size, batch]


def _ms(call: Callable[[], Any]) -> float:
    took = []
    for _ in range(3 + ROUNDS):
        begun = time.process_time()
        call()
        took.append(time.process_time() - begun)
    return 1e3 * statistics.median(took[3:])


def tiles(near: Floats, whole: Size, side: int) -> list[Size]:
    """The sizes of the tiles, with the context around them, in which something may be drawn."""
    drawn = _grown(near, whole)
    return [
        (_with_context(top, side, whole[0]), _with_context(left, side, whole[1]))
        for top in range(0, whole[0], side)
        for left in range(0, whole[1], side)
        if drawn[top : top + side, left : left + side].any()
    ]


def _with_context(begin: int, side: int, length: int) -> int:
    return min(length, begin + side + regions.CONTEXT) - max(0, begin - regions.CONTEXT)


def _grown(near: Floats, whole: Size) -> NDArray[np.bool_]:
    """Where something may be drawn, of the size of the generator's input."""
    drawn = np.zeros(whole, bool)
    rows, columns = (2 * at for at in np.nonzero(near > 0))
    for y, x in zip(rows, columns, strict=True):
        drawn[
            max(0, y - regions.SPREAD) : y + 2 + regions.SPREAD,
            max(0, x - regions.SPREAD) : x + 2 + regions.SPREAD,
        ] = True
    return drawn


def frame_costs(clip: Clip, general: Costs, local: Costs) -> dict[str, float]:
    """Milliseconds a picture in the mean over a clip, of each way to draw it, and what share may be drawn in."""
    whole: Size = (int(clip.seen[0].shape[1]), int(clip.seen[0].shape[2]))
    drawn = float(np.mean([_grown(near, whole).mean() for near in clip.near]))

    def in_squares(costs: Costs, context: int) -> float:
        with mock.patch.object(regions, "CONTEXT", context):
            found = [regions.regions(near, whole, regions.sizes(whole)) for near in clip.near]
        each = (
            costs.of(whole) if some is None else sum(costs.of(one.square.size) for one in some)
            for some in found
        )
        return clip.around + statistics.fmean(each)

    row = {
        "drawn": drawn,
        "around": clip.around,
        "general, whole": clip.around + general.of(whole),
        "general, in squares": in_squares(general, regions.CONTEXT),
        "general, in squares of 60 dB": in_squares(general, FAITHFUL),
        "local, whole": clip.around + local.of(whole),
        "local, in squares": in_squares(local, regions.CONTEXT),
        # If a pixel could be drawn by itself: no way to draw parts costs less.
        "local, bound": clip.around + drawn * local.of(whole),
    }
    for side in TILES:
        parts = [part for near in clip.near for part in tiles(near, whole, side)]
        for batch in (1, BATCH):
            each = sum(local.of(part, batch=batch) for part in parts) / len(clip.near)
            row[f"local, tiles of {2 * side}, {batch} at a time"] = clip.around + each
    return row


def speed(general: NightToDay, local: LocalModel, files: Sequence[Path]) -> list[dict[str, Any]]:
    """A row a clip."""
    rows: list[dict[str, Any]] = []
    costs: tuple[Costs, Costs] | None = None
    for file in files:
        clip, backgrounds = look(general, file)
        costs = costs or (Costs(general, clip, backgrounds), Costs(local, clip, backgrounds))
        rows.append({"clip": file.stem, **frame_costs(clip, *costs)})
    return rows
