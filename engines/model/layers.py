"""How a generator's picture is put together from what it draws and what is known: x_ref, and the night relit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import evidence as evidence_module
from .evidence import FULL, between

# Evidence in units of noise from which on a place is shown as it is by night, relit, if nothing else is; and from
# which on it is shown wholly.
SHOWN, SURELY_SHOWN = 6.0, 9.0
# Evidence in units of noise that is unclear if nothing is shown for it; and that is wholly so.
DOUBTED, SURELY_DOUBTED = 3.0, 6.0
# The error, share of white, at which a place is wholly unclear.
MOST_ERROR = 32 / 255
# What a layered generator gives: the drawing, and the logits of what is present, what is relit, and the error.
LAYER_CHANNELS = 6


@dataclass(frozen=True, slots=True)
class Layers:
    """What a picture is made of.

    Attributes:
        day: the picture, float (N, 3, H, W) in [0, 1].
        drawn: what the generator draws, float (N, 3, H, W) in [0, 1].
        present: logit (N, 1, H, W) of something being there that x_ref does not show.
        trust: of a ``LayeredGenerator``: shares that were drawn from the night, are remembered from x_ref, and are
            unclear, float (N, 3, H, W) in [0, 1].
        error: of a ``LayeredGenerator``: the error that it expects, as a share of ``MOST_ERROR``, float (N, 1, H, W).
    """

    day: Tensor
    drawn: Tensor
    present: Tensor
    trust: Tensor | None = None
    error: Tensor | None = None

    def cut(self, height: int, width: int) -> Layers:
        """The upper left part of all of it, of that size."""
        parts = (self.day, self.drawn, self.present, self.trust, self.error)
        return Layers(*(None if part is None else part[..., :height, :width] for part in parts))  # type: ignore[arg-type]


class BlendedGenerator(nn.Module):
    """α · drawn + (1 - α) · x_ref: α and the drawn picture come from one generator, x_ref from the input.

    The background of a fixed camera is known. Drawing it anew would cost most of a generator's steps and capacity,
    and what it has not learnt to draw shows as lattices and smear. With a mask it learns what is *not* background.

    Args:
        generator: gives four channels, the last of which is 2 α - 1. The last channels of its input are x_ref.
        light: whether x_ref takes 12 channels there, as four pixels, and not 3.
    """

    def __init__(self, generator: nn.Module, *, light: bool) -> None:
        super().__init__()
        self.generator = generator
        self.light = light

    def forward(self, x: Tensor) -> Tensor:
        """The input of ``generator`` → float (N, 3, H, W) in [-1, 1]."""
        return self._blended(x, self.generator(x))

    def layers(self, x: Tensor) -> Layers:
        """The blended picture, the drawn one, and α as a logit, which has a gradient even where α has none."""
        before = self.generator.before_tanh(x)  # type: ignore[operator]
        four = before.tanh()
        return Layers(self._blended(x, four) * 0.5 + 0.5, four[:, :3] * 0.5 + 0.5, 2 * before[:, 3:])

    def _blended(self, x: Tensor, four: Tensor) -> Tensor:
        reference = F.pixel_shuffle(x[:, -12:], 2) if self.light else x[:, -3:]
        alpha = four[:, 3:] * 0.5 + 0.5
        return reference + alpha * (four[:, :3] - reference)


class LayeredGenerator(nn.Module):
    """x_ref, and over it, where something is present, the night relit and what the generator draws.

    The generator gives a drawing and how sure it is that something is present (α), that the relit night shows it
    better than its drawing (κ), and the error it expects. Where there is no evidence near, nothing is drawn. Where
    the evidence is strong and α is not, the relit night is shown all the same: what is seen by night is never hidden.

    Args:
        generator: gives ``LAYER_CHANNELS`` channels. The first channels of its input are the relit night, the last
            are x_ref; before these are the evidence, where there is any near, darkness, and n_ref (three channels).
        light: whether pictures take 12 channels there, as four pixels, and the evidence four.
    """

    # Files without modules of PyTorch's whose code decides what is drawn, for ``graph_digest``.
    SOURCES = (evidence_module.__file__,)

    def __init__(self, generator: nn.Module, *, light: bool) -> None:
        super().__init__()
        self.generator = generator
        self.light = light

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The input of ``generator`` → day and trust, float (N, 3, H, W) in [0, 1] each."""
        drawn = self.generator.after_first(self.generator.first(seen))  # type: ignore[operator]
        return self.compose(drawn, *self._given(seen))

    def layers(self, seen: Tensor) -> Layers:
        """The input of ``generator`` → all that the picture is made of."""
        drawn = self.generator.after_first(self.generator.first(seen))  # type: ignore[operator]
        day, trust = self.compose(drawn, *self._given(seen))
        before = self._as_picture(self._apart(drawn))
        made = before.tanh() * 0.5 + 0.5
        return Layers(day, made[:, :3], 2 * before[:, 3:4], trust, made[:, 5:6])

    def compose(
        self, before: Tensor, relit: Tensor, evidence: Tensor, near: Tensor, dark: Tensor, reference: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``forward``, once the generator has drawn.

        Args:
            before: what ``generator.after_first`` gives.
            relit, evidence, near, dark, reference: channels of the generator's input.
        """
        made = self._apart(before).tanh() * 0.5 + 0.5
        drawn, alpha, kappa, error = made[:, :3], made[:, 3:4], made[:, 4:5], made[:, 5:6]
        relit = (self._apart(relit) * 0.5 + 0.5).clamp(0, 1)
        evidence, reference = self._apart(evidence) * FULL, self._apart(reference) * 0.5 + 0.5
        if self.light:
            near, dark = _doubled(near), _doubled(dark)
        alpha = alpha * near
        shown = between(evidence, SHOWN, SURELY_SHOWN)
        present = alpha + (1 - alpha) * shown
        relit_share = alpha * kappa + (1 - alpha) * shown
        day = reference + relit_share * (relit - reference) + alpha * (1 - kappa) * (drawn - reference)
        doubt = torch.maximum(between(evidence, DOUBTED, SURELY_DOUBTED), dark) * (1 - present)
        unclear = error + (1 - error) * doubt
        trust = torch.cat(((1 - unclear) * present, (1 - unclear) * (1 - present), unclear), dim=1)
        return self._as_picture(day), self._as_picture(trust)

    def _given(self, seen: Tensor) -> tuple[Tensor, ...]:
        """The relit night, the evidence, whether any is near, darkness, and x_ref, as they lie in the input."""
        ends = (-21, -17, -16, -15) if self.light else (-9, -8, -7, -6)
        picture = 12 if self.light else 3
        parts = [seen[:, begin:end] for begin, end in itertools.pairwise(ends)]
        return seen[:, :picture], *parts, seen[:, -picture:]

    def _apart(self, x: Tensor) -> Tensor:
        """Of ``light``, channels and the four pixels in each, (N, C, 4, H/2, W/2): so nothing need be moved yet."""
        return torch.unflatten(x, 1, (-1, 4)) if self.light else x

    def _as_picture(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x.flatten(1, 2), 2) if self.light else x


def _doubled(x: Tensor) -> Tensor:
    """Bilinear interpolation to twice the size, four pixels in each: (N, C, H, W) → (N, C, 4, H, W)."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    rows = [0.25 * x[..., :-2, :] + 0.75 * x[..., 1:-1, :], 0.75 * x[..., 1:-1, :] + 0.25 * x[..., 2:, :]]
    four = [
        part
        for row in rows
        for part in (
            0.25 * row[..., :-2] + 0.75 * row[..., 1:-1],
            0.75 * row[..., 1:-1] + 0.25 * row[..., 2:],
        )
    ]
    return torch.stack(four, dim=2)
