"""The model around a generator: uint8 night frames in, uint8 day frames out, one graph."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .color_invariant import INVARIANTS, ColorInvariant
from .evidence import CELL, FULL, evidence
from .layers import BlendedGenerator, LayeredGenerator, Layers
from .networks import LightGenerator, ResnetGenerator
from .settings import GeneratorSettings


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
        light = self.settings.kind == "light"

        def scaled(x: Tensor) -> Tensor:
            return x * 2 - 1

        def picture(x: Tensor) -> Tensor:
            return F.pixel_unshuffle(scaled(x), 2) if light else scaled(x)

        def smaller(x: Tensor) -> Tensor:
            return scaled(F.avg_pool2d(x, 2)) if light else scaled(x)

        grown = self._grown(rgb)
        if self.settings.backgrounds:
            assert self.invariant is not None
            if day_background is None or night_background is None:
                raise ValueError("the model needs the backgrounds by day and by night beside each frame")
            by_day, by_night = self._grown(day_background), self._grown(night_background)
            found = evidence(grown, by_day, by_night)
            strength = (found.strength / FULL).clamp_max(1)

            def mask(x: Tensor, pixels: int) -> Tensor:
                scale = pixels // 2 if light else pixels
                return F.interpolate(x, scale_factor=scale, mode="bilinear", antialias=False)[
                    ..., : at[0], : at[1]
                ]

            at = [int(side) // 2 if light else int(side) for side in grown.shape[-2:]]
            parts = [
                picture(found.relit.clamp_max(1)),
                self.invariant(grown),
                smaller(grown),
                F.pixel_unshuffle(strength, 2) if light else strength,
                mask(found.near, 4),
                mask(found.dark, CELL),
                smaller(by_night),
                picture(by_day),
            ]
            return torch.cat(parts, dim=1)
        seen = [] if self.settings.input == "replace" else [picture(grown)]
        if self.invariant is not None:
            seen.append(self.invariant(grown))
        if self.settings.reference is not None:
            if day_background is None:
                own = self.reference_at(int(rgb.shape[-2]), int(rgb.shape[-1]))
                day_background = own.expand(rgb.shape[0], -1, -1, -1)
            seen.append(picture(self._grown(day_background)))
        return torch.cat(seen, dim=1) if len(seen) > 1 else seen[0]

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
