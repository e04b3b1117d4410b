"""The paper's loss terms (eqs. 10-14), as far as the scanned equations say how they are meant.

Eq. 11 prints ζ_k(x_N→D) on both sides; the first is ζ_k(x_N). Eq. 12 can be read in three ways:

- ``A``, literally: one foreground score and one background score per layer;
- ``B``: PatchNCE on the K positions that are most likely foreground, which are each other's negatives;
- ``C``: B with as many positions drawn from the same image's background (M = 1) as further negatives (default).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .elesim import masks
from .loss_settings import LossSettings


@dataclass(frozen=True, slots=True)
class DicoLosses:
    """The terms of the generator's loss, scalars with gradient, and the masks that they were computed with.

    ``similarity`` and ``masks`` hold one float (N, 1, H_k, W_k) tensor per layer, without gradient.
    """

    total: Tensor
    adversarial: Tensor
    background: Tensor
    foreground: Tensor
    similarity: list[Tensor]
    masks: list[Tensor]


def background_loss(fake: Sequence[Tensor], reference: Sequence[Tensor], mask: Sequence[Tensor]) -> Tensor:
    """L_back (eq. 10): Σ_k mean over the masked positions × channels of |ζ_k(x_N→D) - ζ_k(x_ref)|."""
    total = fake[0].new_zeros(())
    for f, r, m in zip(fake, reference, mask, strict=True):
        total = total + (m * (f - r).abs()).sum() / (m.sum() * f.shape[1]).clamp_min(1)
    return total


def foreground_loss(
    fake: Sequence[Tensor],
    night: Sequence[Tensor],
    similarity: Sequence[Tensor],
    mask: Sequence[Tensor],
    settings: LossSettings,
) -> Tensor:
    """L_fore (eqs. 11-12), mean over layers and images; the night's features are keys, without gradient.

    Args:
        fake: ζ_k(x_N→D), (N, C_k, H_k, W_k) per layer.
        night: ζ_k(x_N), the same shapes.
        similarity: ρ_k of the fake against x_ref, (N, 1, H_k, W_k); P = 1 - ρ ranks the anchors.
        mask: M_k, which readings A and C use as the background.
        settings: reading, temperature, anchors.
    """
    terms = []
    for f, n, rho, m in zip(fake, night, similarity, mask, strict=True):
        for i in range(f.shape[0]):
            query, key = f[i].flatten(1).T, n[i].detach().flatten(1).T  # (HW, C)
            if settings.reading == "A":
                terms.append(_two_scores(query, key, m[i].flatten(), settings.temperature))
            else:
                terms.append(_patch_nce(query, key, rho[i].detach().flatten(), m[i].flatten(), settings))
    return torch.stack(terms).mean()


def _two_scores(query: Tensor, key: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Reading A: -log softmax of the mean foreground similarity against the mean background similarity."""
    cosine = (F.normalize(query, dim=1) * F.normalize(key, dim=1)).sum(dim=1)
    fore = ((1 - mask) * cosine).sum() / (1 - mask).sum().clamp_min(1)
    back = (mask * cosine).sum() / mask.sum().clamp_min(1)
    return F.softplus((back - fore) / temperature)


def _patch_nce(query: Tensor, key: Tensor, rho: Tensor, mask: Tensor, settings: LossSettings) -> Tensor:
    """Readings B and C: cross-entropy over the anchors; position i of the night is the positive of i."""
    count = max(1, min(settings.anchors, rho.numel() // 4))
    order = rho.argsort()  # P = 1 - ρ, largest first
    anchors = order[:count]
    keys = key[anchors]
    if settings.reading == "C":
        rest = order[count:]
        background = rest[mask[rest] > 0.5]
        drawn = torch.randperm(background.numel(), device=background.device)[:count]
        keys = torch.cat((keys, key[background[drawn]]))
    queries = query[anchors]
    if settings.centre:
        queries, keys = queries - queries.mean(0, keepdim=True), keys - keys.mean(0, keepdim=True)
    logits = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T / settings.temperature
    return F.cross_entropy(logits, torch.arange(count, device=logits.device))


def adversarial_loss(score_fake: Tensor) -> Tensor:
    """L_adv(F) (eq. 13): mean (D(x_N→D) - 1)²."""
    return (score_fake - 1).square().mean()


def discriminator_loss(score_real: Tensor, score_fake: Tensor) -> Tensor:
    """L_adv(D) (eq. 13): mean (D(x_D) - 1)² + mean D(x_N→D)²."""
    return (score_real - 1).square().mean() + score_fake.square().mean()


def dico_losses(
    *,
    fake: Sequence[Tensor],
    night: Sequence[Tensor],
    reference: Sequence[Tensor],
    score_fake: Tensor,
    thresholds: Sequence[float],
    settings: LossSettings | None = None,
    mask_floor: float = 0.0,
) -> DicoLosses:
    """The generator's loss (eq. 14): λ_adv L_adv + λ_back L_back + λ_fore L_fore.

    Args:
        fake: ζ_k(x_N→D), with gradient; float (N, C_k, H_k, W_k) per layer.
        night: ζ_k(x_N).
        reference: ζ_k(x_ref), N or 1 images.
        score_fake: D(x_N→D).
        thresholds: t_k of EleSim.
        settings: weights and readings; the paper's by default.
        mask_floor: least value of M in L_back. 1 at the start, when the fakes resemble nothing and M would be
            empty, annealed to 0.
    """
    settings = settings or LossSettings()
    similarity, mask = masks(fake, reference, thresholds, settings.softness)
    similarity = [rho.detach() for rho in similarity]
    floored = [m.clamp_min(mask_floor) for m in mask]
    adversarial = adversarial_loss(score_fake)
    background = background_loss(fake, reference, floored)
    foreground = foreground_loss(fake, night, similarity, mask, settings)
    total = (
        settings.adversarial * adversarial
        + settings.background * background
        + settings.foreground * foreground
    )
    return DicoLosses(total, adversarial, background, foreground, similarity, mask)
