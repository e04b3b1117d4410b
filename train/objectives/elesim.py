"""EleSim and the masks: they separate foreground from background by the scene's own daytime background."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .vgg import Vgg16Features


def elesim(features: Tensor, reference: Tensor) -> Tensor:
    """Element-wise similarity (eq. 9): Pearson's ρ over the channels at each position.

    Args:
        features: ζ_k(x), float (N, C, H, W).
        reference: ζ_k(x_ref), the same shape (or N = 1).

    Returns:
        float (N, 1, H, W) in [-1, 1]; high where x shows the background. 0 where either has no variance.
    """
    x = features - features.mean(dim=1, keepdim=True)
    y = reference - reference.mean(dim=1, keepdim=True)
    covariance = (x * y).sum(dim=1, keepdim=True)
    norm = (x.square().sum(dim=1, keepdim=True) * y.square().sum(dim=1, keepdim=True)).sqrt()
    return covariance / norm.clamp_min(1e-12)


def background_mask(similarity: Tensor, threshold: float, softness: float = 0.0) -> Tensor:
    """M_k (eq. 8): 1 on the background, 0 on the foreground, without gradient.

    The paper thresholds sigmoid(ρ); since ρ lies in [-1, 1], this is the same as a threshold on ρ itself.
    The gradient stops here: through M the loss could fall by moving *away* from x_ref.

    Args:
        similarity: ρ, float (N, 1, H, W).
        threshold: t, from ``similarity_thresholds``.
        softness: κ > 0 gives σ((ρ - t)/κ) in place of 1[ρ > t].
    """
    rho = similarity.detach()
    if softness > 0:
        return torch.sigmoid((rho - threshold) / softness)
    return (rho > threshold).to(rho.dtype)


@torch.no_grad()
def similarity_thresholds(
    vgg: Vgg16Features, day: Iterable[Tensor], reference: Tensor, *, quantile: float = 0.15
) -> list[float]:
    """t_k for each layer: the ``quantile`` of ρ between daytime frames and x_ref.

    Most ρ lie near 1 and their spread depends on the weights of the features, so that no fixed number will do.

    Args:
        vgg: the feature extractor.
        day: daytime frames, float (1, 3, H, W) in [0, 1]; a few tens are enough.
        reference: x_ref, the same shape.
        quantile: the share of daytime positions taken for foreground.
    """
    reference_features = vgg(reference)
    samples: list[list[Tensor]] = [[] for _ in reference_features]
    for frame in day:
        for k, (f, r) in enumerate(zip(vgg(frame), reference_features, strict=True)):
            samples[k].append(elesim(f, r).flatten())
    if not samples[0]:
        raise ValueError("no daytime frame to take the similarity thresholds from")
    return [float(torch.quantile(torch.cat(s), quantile)) for s in samples]


def masks(
    features: Sequence[Tensor],
    reference: Sequence[Tensor],
    thresholds: Sequence[float],
    softness: float = 0.0,
) -> tuple[list[Tensor], list[Tensor]]:
    """EleSim and M_k of every layer: ([ρ_k], [M_k])."""
    rho = [elesim(f, r) for f, r in zip(features, reference, strict=True)]
    return rho, [background_mask(p, t, softness) for p, t in zip(rho, thresholds, strict=True)]
