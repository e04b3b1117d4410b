"""The parts of the graphs of a model that takes backgrounds beside the frames."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ...model.blocks import fold_batch_norms, make_plain
from ...model.generator import Known, NightToDay, from_bytes, to_bytes
from ...model.layers import LayeredGenerator
from ...model.lift import Lifted
from ...model.networks import LightGenerator, ResnetGenerator
from .fast_parts import widen, with_fast_invariant

# What "known" gives: to the front, and to the rest.
TO_FRONT = Known._fields[:-1]
TO_REST = ("first", "dark", "reference")

BACKGROUNDS = ("day_background", "night_background")
"""What "known" takes."""


class KnownBackgrounds(nn.Module):
    """What comes of a camera's backgrounds, uint8 (1, H, W, 3) by day and by night, whatever the night shows.

    Gives what the front takes (``Known`` but its ``seen``); and, of what the generator sees of them, what comes of it
    in the first convolution, which adds up its inputs, and what the picture is put together from.
    """

    def __init__(self, module: NightToDay | Lifted) -> None:
        super().__init__()
        self.lifted = module if isinstance(module, Lifted) else None
        self.model = module.model if isinstance(module, Lifted) else module
        self.first = _first_convolution(self.model)[1]

    def forward(self, by_day: Tensor, by_night: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        backgrounds = [from_bytes(by_day), from_bytes(by_night)]
        if self.lifted is not None:
            backgrounds = [self.lifted.small(picture) for picture in backgrounds]
        *to_front, seen = self.model.known(*backgrounds)
        picture = 12 if self.model.settings.kind == "light" else 3
        return *to_front, self.first(seen), seen[:, :1], seen[:, -picture:]


class FrontBeside(nn.Module):
    """The front of a model that takes backgrounds: makes the generator's input.

    It takes a uint8 frame and, of what ``KnownBackgrounds`` gives, ``TO_FRONT``. Where the model is lifted it also
    gives what the lift needs of the night.
    """

    def __init__(self, module: NightToDay | Lifted) -> None:
        super().__init__()
        self.lifted = module if isinstance(module, Lifted) else None
        self.model = with_fast_invariant(module.model if isinstance(module, Lifted) else module)

    def forward(
        self, frame: Tensor, gain: Tensor, night: Tensor, luma: Tensor, cells: Tensor
    ) -> tuple[Tensor, ...]:
        """What the generator sees of the night, and of a lifted model what the lift needs of it."""
        beside = Known(
            gain, night, luma, cells, seen=gain
        )  # what is seen of the backgrounds is not looked at
        if self.lifted is None:
            return (self.model.see_beside(from_bytes(frame), beside),)
        small, cells = self.lifted.shrink(from_bytes(frame))
        return self.model.see_beside(small, beside), cells


class DrawBeside(nn.Module):
    """The generator of a model that takes backgrounds, up to its last layer.

    It takes what ``FrontBeside`` makes and, of what ``KnownBackgrounds`` gives, what comes of the backgrounds in the
    first convolution.
    """

    def __init__(self, module: NightToDay | Lifted) -> None:
        super().__init__()
        model = module.model if isinstance(module, Lifted) else module
        inner = _folded(model).generator
        self.first = _first_convolution(model)[0]
        assert isinstance(inner, (ResnetGenerator, LightGenerator))
        make_plain(inner)
        if isinstance(inner, ResnetGenerator):
            widen(inner)
        self.inner = inner

    def forward(self, seen: Tensor, first: Tensor) -> Tensor:
        """What ``generator.after_first`` gives."""
        return self.inner.after_first(self.first(seen) + first)


class EndBeside(nn.Module):
    """Puts the picture together from what ``DrawBeside`` gives."""

    def __init__(self, module: NightToDay | Lifted) -> None:
        super().__init__()
        model = module.model if isinstance(module, Lifted) else module
        self.light = model.settings.kind == "light"
        layered = model.generator
        assert isinstance(layered, LayeredGenerator)
        self.layered = layered

    def forward(self, before: Tensor, seen: Tensor, dark: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Day and trust, uint8 (1, H, W, 3) each."""
        relit, evidence = (seen[:, :12], seen[:, -5:-1]) if self.light else (seen[:, :3], seen[:, -2:-1])
        day, trust = self.layered.compose(before, relit, evidence, seen[:, -1:], dark, reference)
        return self._bytes(day), self._bytes(trust)

    def _bytes(self, x: Tensor) -> Tensor:
        """What ``to_bytes`` makes of it; for ``light``, pixels are put in their places as bytes, not as floats."""
        if not self.light:
            return to_bytes(x)
        x = (x * 255).round().clamp(0, 255).to(torch.uint8)
        # No size is named here: in int8 one graph is converted for pictures of any size.
        return torch.unflatten(x, 2, (2, 2)).permute(0, 4, 2, 5, 3, 1).flatten(1, 2).flatten(2, 3)


class RestBeside(nn.Module):
    """``DrawBeside`` and ``EndBeside``."""

    def __init__(self, module: NightToDay | Lifted) -> None:
        super().__init__()
        self.draw, self.end = DrawBeside(module), EndBeside(module)

    def forward(self, seen: Tensor, first: Tensor, dark: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Day and trust, uint8 (1, H, W, 3) each."""
        made: tuple[Tensor, Tensor] = self.end(self.draw(seen, first), seen, dark, reference)
        return made


def _folded(model: NightToDay) -> LayeredGenerator:
    layered = copy.deepcopy(model.generator)
    assert isinstance(layered, LayeredGenerator)
    fold_batch_norms(layered)
    return layered


def _first_convolution(model: NightToDay) -> tuple[nn.Sequential, nn.Sequential]:
    """The generator's first convolution, for the channels of the night and for those of the backgrounds.

    The sum of both is what it gives. The first has its bias.
    """
    inner = _folded(model).generator
    assert isinstance(inner, (ResnetGenerator, LightGenerator))
    before: list[nn.Module] = [inner.layers[0]] if isinstance(inner, ResnetGenerator) else []
    conv = inner.layers[1] if isinstance(inner, ResnetGenerator) else inner.to_half[0]
    assert isinstance(conv, nn.Conv2d)
    assert not isinstance(conv.padding, str)
    picture = 12 if isinstance(inner, LightGenerator) else 3
    backgrounds = 1 + 3 + picture  # darkness, n_ref, x_ref
    night = conv.in_channels - backgrounds
    parts = []
    for channels, bias in ((slice(night), conv.bias), (slice(night, None), None)):
        weight = conv.weight[:, channels].detach().clone()
        part = nn.Conv2d(
            int(weight.shape[1]),
            conv.out_channels,
            int(weight.shape[2]),
            padding=(int(conv.padding[0]), int(conv.padding[1])),
            bias=bias is not None,
        )
        part.weight = nn.Parameter(weight)
        if bias is not None:
            part.bias = nn.Parameter(bias.detach().clone())
        parts.append(nn.Sequential(*before, part).eval())
    return parts[0], parts[1]
