"""The loss terms besides the paper's: of pairs, of real nights with a target, and of a generator's layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..objectives.vgg import Vgg16Features

# Standard deviation of the added noise at most, share of white: a camera's by night.
NOISE = 0.06
# Weight of the mask's cross-entropy relative to the L1 of what is drawn.
MASK = 0.3
# Evidence in units of noise that is surely something.
STRONG = 6.0


class LossSum:
    """The sum of weighted terms, and the terms by name.

    Attributes:
        total: scalar with gradient.
        terms: scalars without their weights.
    """

    def __init__(self, device: torch.device) -> None:
        self.total = torch.zeros((), device=device)
        self.terms: dict[str, Tensor] = {}

    def add(self, name: str, term: Tensor, weight: float) -> None:
        """Add ``weight`` times ``term``, a scalar."""
        self.terms[name] = term
        self.total = self.total + weight * term

    def add_layers(self, drawn: Tensor, mask: Tensor, weight: float) -> None:
        """Add ``weight`` times what a blending generator draws and ``MASK`` times its mask's term."""
        self.terms |= {"drawn": drawn, "mask": mask}
        self.total = self.total + weight * (drawn + MASK * mask)


def paired_l1(output: Tensor, day: Tensor, moving: Tensor, foreground_weight: float) -> Tensor:
    """Mean |output - day|, (N, 3, H, W) each; pixels of ``moving``, bool (N, 1, H, W), count so much more."""
    weight = 1 + foreground_weight * moving.float()
    return (weight * (output - day).abs()).sum() / (3 * weight.sum())


def weighted_l1(output: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Mean |output - wanted|, (N, 3, H, W) each, by ``weight``, (N, 1, H, W); 0 where that is 0 everywhere."""
    return (weight * (output - wanted).abs()).sum() / (3 * weight.sum()).clamp_min(1)


def feature_l1(vgg: Vgg16Features, output: Tensor, day: Tensor, *, mixed: bool) -> Tensor:
    """Σ_k mean |ζ_k(output) - ζ_k(day)|; convolutions in bfloat16 with ``mixed``."""
    with torch.autocast(output.device.type, torch.bfloat16, enabled=mixed):
        with torch.no_grad():
            wanted = vgg(day)
        made = vgg(output)
    return torch.stack(
        [(m.float() - w.float()).abs().mean() for m, w in zip(made, wanted, strict=True)]
    ).sum()


def drawing_l1(drawn: Tensor, day: Tensor, moving: Tensor) -> Tensor:
    """Mean |drawn - day|, (N, 3, H, W) each, where something moves, bool (N, 1, H, W)."""
    return _mean_where(moving, (drawn.float() - day).abs())


def mask_cross_entropy(logit: Tensor, moving: Tensor, stationary: Tensor) -> Tensor:
    """Cross-entropy of the mask α, (N, 1, H, W) as a logit: 1 where something moves, 0 where all is stationary.

    Pixels that are neither do not count.
    """
    each = F.binary_cross_entropy_with_logits(logit.float(), moving.float(), reduction="none")
    return _mean_where(moving | stationary, each)


def strong(strength: Tensor) -> Tensor:
    """Where the evidence is strong, and more than a speck: (N, 1, H, W) in units of noise → bool."""
    near = F.avg_pool2d((strength > STRONG).float(), 5, stride=1, padding=2)
    return near > 0.5


def near_evidence(near: Tensor, size: torch.Size) -> Tensor:
    """Where anything may be drawn, bool (N, 1, H, W): ``near`` is that of ``Evidence``."""
    return F.interpolate(near, size=size, mode="nearest") > 0


def detail_l1(output: Tensor, wanted: Tensor, where: Tensor) -> Tensor:
    """Mean difference of detail, without what a blur keeps, where bool (N, 1, H, W) is set; 0 where it is nowhere."""

    difference = output - wanted
    detail = difference - F.avg_pool2d(difference, 5, stride=1, padding=2, count_include_pad=False)
    return _mean_where(where, detail.abs())


def error_square(expected: Tensor, output: Tensor, day: Tensor, where: Tensor, *, most: float) -> Tensor:
    """Mean square of what an expected error, (N, 1, H, W) as a share of ``most``, is off by."""
    error = ((output.detach() - day).abs().mean(1, keepdim=True) / most).clamp_max(1)
    return _mean_where(where, (expected - error).square())


def with_noise(nights: Tensor) -> Tensor:
    """Nights (N, 3, H, W) with more noise, up to ``NOISE``, and more where there is light, as a sensor's."""
    level = NOISE * torch.rand(nights.shape[0], 1, 1, 1, device=nights.device)
    return (nights + level * (0.3 + nights.sqrt()) * torch.randn_like(nights)).clamp(0, 1)


def resized_mask(mask: Tensor, like: Tensor) -> Tensor:
    """A mask at the size of ``like``, nearest."""
    return nn.functional.interpolate(mask, size=like.shape[-2:], mode="nearest")


def _mean_where(where: Tensor, values: Tensor) -> Tensor:
    """The mean of ``values`` (N, C, H, W) where ``where``, bool (N, 1, H, W), is set; 0 where it is nowhere."""
    count = where.sum() * values.shape[1]
    return (where * values).sum() / count.clamp_min(1)
