"""The model around a generator: uint8 night frames in, uint8 day frames out, one graph."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .color_invariant import INVARIANTS, ColorInvariant
from .evidence import CELL, FULL, differences, usual
from .layers import BlendedGenerator, LayeredGenerator, Layers
from .networks import LightGenerator, ResnetGenerator
from .settings import GeneratorSettings


class Known(NamedTuple):
    """What a model makes of a camera's backgrounds, whatever the night shows, float32 each.

    Attributes:
        gain: by how much the night is brightened, in the layout in which the generator sees pictures.
        night, luma, cells: see ``Usual``.
        seen: darkness, n_ref and x_ref: the last channels of the generator's input.
    """

    gain: Tensor
    night: Tensor
    luma: Tensor
    cells: Tensor
    seen: Tensor


class NightToDay(nn.Module):
    """The whole translation, invariant included, as one module that backends compile.

    ``forward`` takes and gives uint8 (N, H, W, 3) RGB; ``translate`` is its differentiable middle.

    Attributes:
        side: shorter side, pixels, of the pictures that it was trained on; None where that is not known. It decides
            at which size large pictures are translated, see ``module_for``.
    """

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        self.settings = settings
        self.side: int | None = min(settings.reference) if settings.reference else None
        light = settings.kind == "light"
        self.invariant = None
        if settings.input != "rgb":
            self.invariant = ColorInvariant(radius=settings.invariant_radius, stride=2 if light else 1)
        picture = 12 if light else 3
        channels = 0 if self.invariant is None else len(INVARIANTS)
        channels += picture * ((settings.input != "replace") + (settings.reference is not None))
        if settings.backgrounds:  # x_ref, the night, n_ref, the evidence and two masks
            channels += picture + 8 + picture // 3
        make = LightGenerator if light else ResnetGenerator
        self.generator: nn.Module = make(channels, settings)
        if settings.blend:
            self.generator = BlendedGenerator(self.generator, light=light)
        if settings.backgrounds:
            self.generator = LayeredGenerator(self.generator, light=light)
        shape = settings.reference or (0, 0)
        self.register_buffer(
            "reference", torch.zeros(3, *shape, dtype=torch.uint8), persistent=settings.reference is not None
        )

    reference: Tensor
    """x_ref, uint8 (3, H, W) RGB; empty where the generator does not hold it."""

    def see(
        self, rgb: Tensor, day_background: Tensor | None = None, night_background: Tensor | None = None
    ) -> Tensor:
        """The generator's input: for ``concat`` RGB in [-1, 1], then ξ, then x_ref where the generator sees it.

        Float (N, 3, H, W) RGB in [0, 1] → float32 (N, C, H', W'). H' and W' are the next multiples of 4, as the two
        strided convolutions need. For ``light`` it is (N, C, H'/2, W'/2) with multiples of 8, where pictures are four
        pixels in 12 channels. The picture is padded on the right and below by its own edge.

        A model with ``backgrounds`` sees the relit night, ξ, the night, the evidence, n_ref and x_ref in this order;
        for ``light`` the night and n_ref are means over four pixels there.

        ``day_background`` is the part of x_ref that ``rgb`` shows, the same shape, and ``night_background`` of n_ref.
        Without it a model that holds an x_ref sees that, stretched to the size of ``rgb``.
        """
        if self.settings.backgrounds:
            if day_background is None or night_background is None:
                raise ValueError("the model needs the backgrounds by day and by night beside each frame")
            known = self.known(day_background, night_background)
            return torch.cat((self.see_beside(rgb, known), known.seen), dim=1)
        grown = self._grown(rgb)
        seen = [] if self.settings.input == "replace" else [self._picture(grown)]
        if self.invariant is not None:
            seen.append(self.invariant(grown))
        if self.settings.reference is not None:
            if day_background is None:
                own = self.reference_at(int(rgb.shape[-2]), int(rgb.shape[-1]))
                day_background = own.expand(rgb.shape[0], -1, -1, -1)
            seen.append(self._picture(self._grown(day_background)))
        return torch.cat(seen, dim=1) if len(seen) > 1 else seen[0]

    def known(self, day_background: Tensor, night_background: Tensor) -> Known:
        """What is known before a night is seen, of x_ref and n_ref, float (N, 3, H, W) RGB in [0, 1] each."""
        by_day, by_night = self._grown(day_background), self._grown(night_background)
        found = usual(by_day, by_night)
        dark = self._mask(found.dark, CELL, by_day)
        seen = torch.cat((dark, self._small(by_night), self._picture(by_day)), dim=1)
        return Known(self._four(found.gain), found.night, found.luma, found.cells, seen)

    def see_beside(self, rgb: Tensor, known: Known) -> Tensor:
        """The first channels of ``see``, those of the night, for a model with ``backgrounds``."""
        assert self.invariant is not None
        night = self._grown(rgb)
        strength, near = differences(night, known.night, known.luma, known.cells)
        relit = self._four(night) * known.gain
        parts = [
            relit.clamp_max(1) * 2 - 1,
            self.invariant(night),
            self._small(night),
            self._four((strength / FULL).clamp_max(1)),
            self._mask(near, 4, night),
        ]
        return torch.cat(parts, dim=1)

    def _four(self, x: Tensor) -> Tensor:
        """What the generator sees in full detail: for ``light`` as four pixels."""
        return F.pixel_unshuffle(x, 2) if self.settings.kind == "light" else x

    def _picture(self, x: Tensor) -> Tensor:
        return self._four(x * 2 - 1)

    def _small(self, x: Tensor) -> Tensor:
        """A picture in three channels: for ``light`` as means over four pixels."""
        return (F.avg_pool2d(x, 2) if self.settings.kind == "light" else x) * 2 - 1

    def _mask(self, x: Tensor, pixels: int, like: Tensor) -> Tensor:
        """What is known by cells of so many pixels, of the size of the generator's input for pictures ``like`` it."""
        half = 2 if self.settings.kind == "light" else 1
        large = F.interpolate(x, scale_factor=pixels // half, mode="bilinear", antialias=False)
        return large[..., : int(like.shape[-2]) // half, : int(like.shape[-1]) // half]

    def reference_at(self, height: int, width: int) -> Tensor:
        """The model's own x_ref stretched to a size: float32 (1, 3, height, width) in [0, 1]."""
        own = self.reference[None].float() / 255
        if own.shape[-2:] != (height, width):
            own = F.interpolate(own, size=(height, width), mode="bilinear", antialias=False)
        return own

    def at_place(self, reference: Tensor) -> NightToDay:
        """A copy of this model with another x_ref: uint8 (3, H, W) RGB of any size ≥ 16. The model must hold one."""
        moved = NightToDay(
            replace(self.settings, reference=(int(reference.shape[-2]), int(reference.shape[-1])))
        )
        moved.load_state_dict(self.state_dict() | {"reference": reference})
        return moved.train(self.training)

    def _grown(self, x: Tensor) -> Tensor:
        step = 8 if self.settings.kind == "light" else 4
        grow = (0, -int(x.shape[-1]) % step, 0, -int(x.shape[-2]) % step)
        return F.pad(x, grow, mode="replicate") if any(grow) else x

    def translate(
        self, rgb: Tensor, day_background: Tensor | None = None, night_background: Tensor | None = None
    ) -> Tensor:
        """Float (N, 3, H, W) RGB in [0, 1] → the same shape and range. H, W ≥ 16, of any parity.

        The backgrounds: see ``see``.
        """
        return self.translate_with_trust(rgb, day_background, night_background)[0]

    def translate_with_trust(
        self, rgb: Tensor, day_background: Tensor | None = None, night_background: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """As ``translate``, and what to make of it where the model has ``backgrounds``, see ``Layers.trust``."""
        made = self.generator(self.see(rgb, day_background, night_background))
        height, width = int(rgb.shape[-2]), int(rgb.shape[-1])
        if self.settings.backgrounds:
            day, trust = made
            return day[..., :height, :width], trust[..., :height, :width]
        return (made * 0.5 + 0.5)[..., :height, :width], None

    def translate_in_layers(
        self, rgb: Tensor, day_background: Tensor | None = None, night_background: Tensor | None = None
    ) -> Layers:
        """As ``translate``, and all that the picture is made of.

        Raises TypeError for a model that has no layers.
        """
        if not isinstance(self.generator, (BlendedGenerator, LayeredGenerator)):
            raise TypeError(f"{self.settings}: neither blends nor has backgrounds, so it has no layers")
        height, width = int(rgb.shape[-2]), int(rgb.shape[-1])
        return self.generator.layers(self.see(rgb, day_background, night_background)).cut(height, width)

    def forward(
        self, frames: Tensor, day_background: Tensor | None = None, night_background: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """uint8 (N, H, W, 3) RGB → uint8 (N, H, W, 3) RGB.

        A model with ``backgrounds`` takes these too, of the same shape, and also gives what to make of each pixel, in
        255ths: what was drawn, what is remembered, and what is unclear.
        """
        if day_background is None or night_background is None:
            return to_bytes(self.translate(from_bytes(frames)))
        day, trust = self.translate_with_trust(
            from_bytes(frames), from_bytes(day_background), from_bytes(night_background)
        )
        assert trust is not None
        return to_bytes(day), to_bytes(trust)


def from_bytes(frames: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) → float32 (N, 3, H, W) in [0, 1]."""
    return frames.permute(0, 3, 1, 2).float() / 255


def to_bytes(rgb: Tensor) -> Tensor:
    """Float (N, 3, H, W) in [0, 1] → uint8 (N, H, W, 3)."""
    return (rgb.float() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
