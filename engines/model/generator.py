"""The generators and the model around them: uint8 night frames in, uint8 day frames out, one graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Norm, ResidualBlock, ResizeConv2d, SeparableBlock, norm_layer
from .color_invariant import INVARIANTS, ColorInvariant
from .evidence import FULL, evidence
from .layers import LAYER_CHANNELS, BlendedGenerator, LayeredGenerator, Layers

GeneratorKind = Literal["resnet", "light"]
InputMode = Literal["concat", "replace", "rgb"]
Upsample = Literal["resize", "transposed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSettings:
    """Everything that fixes the graph's shape; stored in every checkpoint.

    Attributes:
        kind: ``resnet`` is the paper's; ``light`` is for machines without a GPU.
        blocks: number of residual blocks (paper 9, compact 6); for ``light`` of those at an eighth of the size.
        width: channels of the first layer, ngf (paper 64, compact 16, light 24).
        input: what the generator sees: RGB and the invariant (``concat``), the invariant alone (``replace``,
            the literal reading of the paper), or RGB alone (``rgb``, what the paper compares with).
        reference: (H, W) of x_ref where the generator also sees the camera's daytime background. The picture is then
            a part of the model, which serves this one camera. None where it does not.
        blend: the generator also draws a mask, and x_ref is shown where that is 0. Needs ``reference``.
        backgrounds: the generator sees the camera's backgrounds by day and by night (x_ref and n_ref), which are
            given with each frame, so that one model serves any camera. Excludes ``reference``.
        norm: ``instance`` as published; ``batch`` folds into the convolutions and does not follow the
            brightness of the single frame.
        upsample: of ``resnet``: ``resize`` (nearest, then convolution) leaves no checkerboard; ``transposed`` is
            the classic.
        invariant_radius: half-width of the invariant's kernels, pixels.
    """

    kind: GeneratorKind = "resnet"
    blocks: int = 9
    width: int = 64
    input: InputMode = "concat"
    reference: tuple[int, int] | None = None
    blend: bool = False
    norm: Norm = "instance"
    upsample: Upsample = "resize"
    invariant_radius: int = 6
    backgrounds: bool = False

    def __post_init__(self) -> None:
        for name, least in (("blocks", 1), ("width", 4), ("invariant_radius", 4)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name}={value!r}: must be a whole number ≥ {least}")
        for name, allowed in (
            ("kind", ("resnet", "light")),
            ("input", ("concat", "replace", "rgb")),
            ("norm", ("instance", "batch")),
            ("upsample", ("resize", "transposed")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be one of {', '.join(allowed)}")
        if self.reference is not None and not (len(self.reference) == 2 and min(self.reference) >= 16):
            raise ValueError(f"reference={self.reference!r}: must be height and width, each ≥ 16")
        if self.blend and self.reference is None:
            raise ValueError("blend=True: needs a reference to blend with")
        if self.backgrounds and (self.reference is not None or self.input != "concat"):
            raise ValueError("backgrounds=True: goes with input='concat' and without a reference")

    @property
    def drawn(self) -> int:
        """Channels that the generator gives: a picture, and the masks that go with it."""
        return LAYER_CHANNELS if self.backgrounds else 3 + self.blend


PAPER = GeneratorSettings(blocks=9, width=64)
COMPACT = GeneratorSettings(blocks=6, width=16, norm="batch")
LIGHT = GeneratorSettings(kind="light", blocks=6, width=24, norm="batch")


class ResnetGenerator(nn.Module):
    """The CycleGAN/CUT ResNet: 7×7 stem, two strided convolutions, residual blocks, two upsamplings, 7×7, tanh.

    Float (N, channels, H, W) → (N, ``settings.drawn``, H, W) in [-1, 1]; H and W multiples of 4.
    """

    def __init__(self, channels: int, settings: GeneratorSettings) -> None:
        super().__init__()
        w, norm = settings.width, settings.norm
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, w, 7),
            norm_layer(norm, w),
            nn.ReLU(inplace=True),
        ]
        for c in (w, 2 * w):
            layers += [
                nn.Conv2d(c, 2 * c, 3, stride=2, padding=1),
                norm_layer(norm, 2 * c),
                nn.ReLU(inplace=True),
            ]
        layers += [ResidualBlock(4 * w, norm) for _ in range(settings.blocks)]
        for c in (4 * w, 2 * w):
            if settings.upsample == "resize":
                # Two layers that do nothing, so that those after them keep the names that they have in checkpoints.
                layers += [nn.Identity(), nn.Identity(), ResizeConv2d(c, c // 2)]
            else:
                layers.append(nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1))
            layers += [norm_layer(norm, c // 2), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(w, settings.drawn, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def before_tanh(self, x: Tensor) -> Tensor:
        """The input of the last layer, the hyperbolic tangent."""
        before: Tensor = self.layers[:-1](x)
        return before

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, channels, H, W) → float (N, 3, H, W) in [-1, 1]."""
        day: Tensor = self.layers(x)
        return day


class LightGenerator(nn.Module):
    """A small U-Net that does no work at full size: half, quarter, eighth, and back by pixel shuffle.

    It takes a quarter of the compact ResNet's products.

    Float (N, channels, H/2, W/2) → (N, ``settings.drawn``, H, W) in [-1, 1]; multiples of 8.
    """

    def __init__(self, channels: int, settings: GeneratorSettings) -> None:
        super().__init__()
        w, norm = settings.width, settings.norm

        def conv(into: int, out: int, stride: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(into, out, 3, stride=stride, padding=1),
                norm_layer(norm, out),
                nn.ReLU(inplace=True),
            )

        def up(into: int, out: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(into, 4 * out, 1), nn.PixelShuffle(2))

        self.to_half = conv(channels, w)
        self.to_quarter = nn.Sequential(conv(w, 2 * w, 2), SeparableBlock(2 * w, norm))
        self.to_eighth = nn.Sequential(
            conv(2 * w, 4 * w, 2), *(SeparableBlock(4 * w, norm) for _ in range(settings.blocks))
        )
        self.back_to_quarter, self.at_quarter = up(4 * w, 2 * w), SeparableBlock(2 * w, norm)
        self.back_to_half, self.at_half = up(2 * w, w), nn.Sequential(nn.ReLU(inplace=True), conv(w, w))
        drawn = 4 * settings.drawn
        self.out = nn.Sequential(nn.Conv2d(w, drawn, 3, padding=1), nn.PixelShuffle(2), nn.Tanh())
        # Each four pixels that a shuffle makes begin with the same weights (ICNR, Aitken et al., 2017). Otherwise
        # they begin as a lattice, which adversarial training does not get rid of.
        with torch.no_grad():
            for part in (self.back_to_quarter, self.back_to_half, self.out):
                for parameter in next(part.children()).parameters():
                    parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))

    def before_tanh(self, x: Tensor) -> Tensor:
        """The input of the last layer, the hyperbolic tangent."""
        before: Tensor = self.out[:-1](self._at_half(x))
        return before

    def forward(self, x: Tensor) -> Tensor:
        """Float (N, channels, H/2, W/2) → float (N, 3, H, W) in [-1, 1]."""
        day: Tensor = self.out(self._at_half(x))
        return day

    def _at_half(self, x: Tensor) -> Tensor:
        half = self.to_half(x)
        quarter = self.to_quarter(half)
        quarter = self.at_quarter(quarter + self.back_to_quarter(self.to_eighth(quarter)))
        made: Tensor = self.at_half(half + self.back_to_half(quarter))
        return made


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
        if settings.backgrounds:  # x_ref, and smaller the night, n_ref and the evidence
            channels += picture + 6 + picture // 3
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
            parts = [
                picture(found.relit.clamp_max(1)),
                self.invariant(grown),
                smaller(grown),
                F.pixel_unshuffle(strength, 2) if light else strength,
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
