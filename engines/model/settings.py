"""What fixes the shape of a model's graph, and the sizes that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .blocks import Norm
from .layers import LAYER_CHANNELS

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
