"""The light generator's input and its picture, made by compiled code: the same as the graphs, several times faster.

``NightToDay.see`` and ``LayeredGenerator.compose`` say what is computed. Pictures have four pixels in each place,
(channels, 4, h, w), where h and w are half of the frame's size padded to a multiple of 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..model.evidence import FULL, SQUARE
from ..model.generator import NightToDay
from ..model.layers import DOUBTED, BlendedGenerator
from .library import Floats, address, floats, load

Bytes = NDArray[np.uint8]

Found = Literal["still", "doubted", "near"]
"""What a night shows: nothing that is not always there; something, but nothing near which anything is drawn; or some
place where something may be drawn, as for models without backgrounds is said of every night."""

# The invariant's kernels reach so far at most in compiled code.
MOST_REACH = 15
# The channels of the generator's input, of a model with backgrounds: relit night, ξ, night, evidence, near.
RELIT, XI, SMALL, STRENGTH, NEAR, SEEN = 0, 12, 17, 20, 24, 25
# The first channel of the expected error in what a generator with layers gives.
ERROR = 20


def runs(model: NightToDay) -> bool:
    """Whether there is compiled code for what comes before and after this model's generator."""
    if load() is None or model.settings.kind != "light":
        return False
    invariant = model.invariant
    return invariant is None or (invariant.stride == 2 and invariant.reach() <= MOST_REACH)


@dataclass(frozen=True, slots=True)
class Invariant:
    """What compiled code needs to know of a model's colour invariant; shared by any number of threads."""

    kernels: Floats
    kernels_y: Floats
    reach: NDArray[np.int32]
    radius: int
    log_floor: Floats
    weight: Floats

    @classmethod
    def of(cls, model: NightToDay) -> Invariant | None:
        """That of a model; None where it has none."""
        invariant = model.invariant
        if invariant is None:
            return None
        with torch.inference_mode():
            gaussian, derivative = invariant.kernels()
            kernels = torch.stack((gaussian, derivative), dim=1)
            # In black, beside light, even the smallest shares count, as the ratios divide by them.
            far = (gaussian > 1e-12) * invariant.offsets.abs()
            return cls(
                kernels.numpy().copy(),
                (kernels / (100 * 255)).numpy(),
                far.max(dim=1).values.numpy().astype(np.int32),
                invariant.radius,
                invariant.log_floor.flatten().numpy().copy(),
                invariant.weight.numpy().copy(),
            )


@dataclass(frozen=True, slots=True)
class Known:
    """What comes of a camera's backgrounds; see ``Usual``, and ``LayeredGenerator`` for what the picture is made of.

    Attributes:
        gain, night, luma, cells, dark, reference: as the model makes them, with four pixels in each place.
        squares: means of n_ref over 4×4 pixels, float32 (3, h / 2, w / 2).
        error: what the generator expects to be wrong, float32 (4, h, w), of a night like its background; None where
            it was not asked.
        still: day and trust of such a night, uint8 (H, W, 3) each; None where they were not made.
    """

    gain: Floats
    night: Floats
    luma: Floats
    squares: Floats
    cells: Floats
    dark: Floats
    reference: Floats
    error: Floats | None = None
    still: tuple[Bytes, Bytes] | None = None

    @classmethod
    def of(cls, made: Mapping[str, Tensor]) -> Known:
        """Of what ``KnownBackgrounds`` gives, by name."""

        def array(name: str) -> Floats:
            return _array(F.pixel_unshuffle(made[name], 2) if name in ("night", "luma") else made[name])

        return cls(
            gain=array("gain"),
            night=array("night"),
            luma=array("luma"),
            squares=_array(F.avg_pool2d(made["night"], SQUARE)),
            cells=array("cells"),
            dark=array("dark"),
            reference=array("reference"),
        )


class LightFront:
    """Makes the generator's input of frames of one size; for one thread.

    Args:
        model: one that ``runs``.
        height, width: of the frames, or of what they were shrunk to.

    Attributes:
        seen: the generator's input, float32 (channels, h, w), which each call writes to.
        near: of a model with backgrounds: above 0 where something may be drawn, (h / 2, w / 2).
    """

    def __init__(self, model: NightToDay, height: int, width: int) -> None:
        library = load()
        assert library is not None
        self._library = library
        self._invariant = Invariant.of(model)
        self._size = height, width
        self._small = h, w = -(-height // 8) * 4, -(-width // 8) * 4
        self._backgrounds = model.settings.backgrounds
        self._picture = model.settings.input != "replace"
        self._four = floats(12, h, w)
        self._work = floats(_work(h, w, 0 if self._invariant is None else self._invariant.radius))
        self.near = floats(h // 2, w // 2)
        channels = SEEN if self._backgrounds else 12 * self._picture + 5 * (self._invariant is not None)
        own = []
        if model.settings.reference is not None:
            with torch.inference_mode():
                own.append(_array(model.see(torch.zeros(1, 3, height, width))[:, channels:]))
        self.seen = floats(channels + 12 * len(own), h, w)
        for reference in own:
            self.seen[channels:] = reference

    def look(self, frame: Bytes | Floats, known: Known | None = None) -> Found:
        """See a frame, uint8 (H, W, 3), or float32 (3, H, W) in [0, 1], and say what there is.

        A model with backgrounds needs what is ``known`` of them. ``seen`` is completed by ``measure``.
        """
        (height, width), (h, w), seen = self._size, self._small, self.seen
        if frame.dtype == np.uint8:
            self._library.nightday_unpack(frame, height, width, h, w, self._four)
        else:
            self._library.nightday_unshuffle(frame, height, width, 255, h, w, self._four)
        if not self._backgrounds:
            if self._picture:
                self._library.nightday_scaled(self._four, h, w, seen[:12])
            return "near"
        assert known is not None
        self._library.nightday_evidence(
            self._four,
            h,
            w,
            known.night,
            known.luma,
            known.squares,
            known.cells,
            seen[STRENGTH:NEAR],
            seen[NEAR:],
            self.near,
            self._work,
        )
        if self.near.any():
            return "near"
        return "still" if seen[STRENGTH:NEAR].max() * FULL <= DOUBTED else "doubted"

    def relight(self, known: Known) -> None:
        """Write to ``seen`` the relit night, which the picture is put together from where it is not still."""
        self._library.nightday_relit(
            self._four, known.gain, *self._small, self.seen[RELIT:XI], self.seen[SMALL:STRENGTH]
        )

    def measure(self) -> None:
        """Complete ``seen`` of the frame that was looked at, and that was relit where there are backgrounds."""
        if self._invariant is None:
            return
        one = self._invariant
        at = XI if self._picture else 0
        self._library.nightday_invariant(
            self._four,
            *self._small,
            one.kernels,
            one.kernels_y,
            one.reach,
            one.radius,
            one.log_floor,
            one.weight,
            self.seen[at : at + 5],
            self._work,
        )


class LightEnd:
    """Puts the picture together from what the generator gives; for one thread.

    Args:
        model: one that ``runs``.
        height, width: of the picture.
    """

    def __init__(self, model: NightToDay, height: int, width: int) -> None:
        library = load()
        assert library is not None
        self._library = library
        self._size = height, width
        self._small = -(-height // 8) * 4, -(-width // 8) * 4
        self._blended = isinstance(model.generator, BlendedGenerator)
        self._work = floats(40 * (self._small[1] + 64))

    def draw(self, before: Floats, seen: Floats, day: Bytes) -> None:
        """Of a model without backgrounds.

        Args:
            before: what the generator gives before its last layer, float32 (12 or 16, h, w).
            seen: its input.
            day: where the picture is written, uint8 (H, W, 3).
        """
        reference = address(seen[-12:]) if self._blended else None
        self._library.nightday_drawn(before, reference, *self._small, *self._size, day, self._work)

    def put_together(
        self,
        before: Floats | None,
        seen: Floats,
        known: Known,
        day: Bytes,
        trust: Bytes,
        *,
        whole: bool = True,
    ) -> None:
        """Of a model with backgrounds.

        Args:
            before: what the generator gives before its last layer, float32 (24, h, w); None where nothing is drawn.
            seen: its input.
            known: what comes of the camera's backgrounds.
            day, trust: where they are written, uint8 (H, W, 3).
            whole: whether ``before`` holds the error that the generator expects everywhere, and not only where
                something is near; elsewhere the night is as it is in ``known.still``.
        """
        still_day, still_trust = known.still or (None, None)
        self._library.nightday_layers(
            address(before),
            whole,
            address(known.error),
            seen[RELIT:XI],
            seen[STRENGTH:NEAR],
            seen[NEAR:],
            known.dark,
            known.reference,
            *self._small,
            *self._size,
            address(still_day),
            address(still_trust),
            day,
            trust,
            self._work,
        )

    def still(self, known: Known) -> tuple[Bytes, Bytes]:
        """Day and trust of a night that is as it always is."""
        h, w = self._small
        seen = floats(SEEN, h, w)
        day, trust = (np.empty((*self._size, 3), np.uint8) for _ in range(2))
        self.put_together(None, seen, known, day, trust, whole=False)
        return day, trust


def _array(x: Tensor) -> Floats:
    made = floats(*x.shape[1:])
    made[:] = x[0].numpy()
    return made


def _work(h: int, w: int, radius: int) -> int:
    """Floats that compiled code needs to work in."""
    row = -(-(w + 64 + 2 * radius) // 16) * 16
    return 10 * h * w + 1024 * row
