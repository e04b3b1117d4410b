"""How far generated pictures are from real ones: distributions of features, paired truth, and steadiness in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..footage.scene import Image
from ..objectives.vgg import Vgg16Features

Features = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Rounds of the bootstrap.
ROUNDS = 50
# Points of each side of a kernel distance: its matrices stay small, and the estimate is unbiased at any number.
KERNEL_POINTS = 1500


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and the 95 % bootstrap interval over the pictures; NaN where there is nothing to score."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


class FeatureMap:
    """Pictures to their VGG-16 relu4-1 features, one vector of 512 for every 8×8 pixels.

    A fixed camera has few test pictures: the distribution is therefore that of places within pictures, as in the
    single-image Fréchet distance (Shaham et al., ICCV 2019). With ImageNet weights this is a perceptual space; with
    the offline stand-in it is one of random features, and every score from it must say so.

    Args:
        vgg: the weights, see ``Vgg16Features``.
    """

    STRIDE = 8

    def __init__(self, vgg: str = "orthogonal") -> None:
        self.vgg = Vgg16Features(vgg)
        known = "random orthogonal" if vgg == "orthogonal" else "ImageNet"
        self.name = f"VGG-16 relu4-1, {known} weights"

    @torch.inference_mode()
    def __call__(self, picture: Image) -> Features:
        """uint8 RGB (H, W, 3) → float32 (H // 8, W // 8, 512)."""
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        return np.asarray(self.vgg(x)[1][0].permute(1, 2, 0).numpy(), np.float32)

    def places(self, mask: Mask, share: float = 0.5) -> Mask:
        """bool (H, W) → bool (H // 8, W // 8): places with at least ``share`` of their pixels in ``mask``."""
        height, width = (side // self.STRIDE for side in mask.shape)
        cells = mask[: height * self.STRIDE, : width * self.STRIDE].reshape(
            height, self.STRIDE, width, self.STRIDE
        )
        return np.asarray(cells.mean(axis=(1, 3)) >= share)


def frechet_distance(a: Features, b: Features) -> float:
    """Fréchet distance of two Gaussians fitted to (N, C) and (M, C) points (Heusel et al., NeurIPS 2017).

    |μ_a - μ_b|² + Tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½). Biased upwards when N or M is not well above C: compare only scores
    of equal counts, and look at the floor between two real sets.
    """
    if min(len(a), len(b)) < 2:
        return float("nan")
    mean = a.mean(0, dtype=np.float64) - b.mean(0, dtype=np.float64)
    root_a, root_b = _root(a), _root(b)
    # With Σ = RᵀR of each, the eigenvalues of Σ_a Σ_b are the squares of the singular values of R_a R_bᵀ, which is
    # small where points are few.
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return float(max(0.0, mean @ mean + np.sum(root_a**2) + np.sum(root_b**2) - 2 * cross))


def _root(points: Features) -> NDArray[np.float64]:
    """R of (N, C) points, whose covariance is RᵀR: (min(N, C), C)."""
    if len(points) <= points.shape[1]:
        return np.asarray((points - points.mean(0, dtype=np.float64)) / np.sqrt(len(points) - 1))
    values, vectors = np.linalg.eigh(np.cov(points.astype(np.float64), rowvar=False))
    return np.asarray(np.sqrt(values.clip(0))[:, None] * vectors.T)


def whitening(real: Features, *, shrinkage: float = 1e-3) -> NDArray[np.float32]:
    """The (C, C) matrix by which (N, C) points of real pictures get unit covariance in every direction.

    Nearly all variance of random features is brightness, so that a distance in them says little of texture. Where
    every direction has the same weight it says more.

    Args:
        real: (N, C) points.
        shrinkage: added to each variance, as a share of the largest, since N is seldom far above C.
    """
    values, vectors = np.linalg.eigh(np.cov(real.astype(np.float64), rowvar=False))
    return np.asarray(vectors / np.sqrt(values.clip(0) + shrinkage * values.max()), np.float32)


def kernel_distance(a: Features, b: Features) -> float:
    """Unbiased MMD² of (N, C) and (M, C) points, kernel (x·y / C + 1)³ (Bińkowski et al., ICLR 2018)."""
    n, m = len(a), len(b)
    if min(n, m) < 2:
        return float("nan")

    def kernel(x: Features, y: Features) -> NDArray[np.float64]:
        return np.asarray((x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3)

    aa, bb = kernel(a, a), kernel(b, b)
    within = (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1))
    return float(within - 2 * kernel(a, b).mean())


def some(points: Features, rng: np.random.Generator) -> Features:
    """At most ``KERNEL_POINTS`` of the points, drawn without repetition."""
    if len(points) <= KERNEL_POINTS:
        return points
    return points[rng.choice(len(points), KERNEL_POINTS, replace=False)]


def bootstrap(
    distance: Callable[[Features, Features], float],
    a: Sequence[Features],
    b: Sequence[Features],
    rng: np.random.Generator,
    *,
    rounds: int = ROUNDS,
) -> Interval:
    """``distance`` between the points of two lists of pictures, with its interval.

    Args:
        distance: of (N, C) and (M, C).
        a, b: the points of each picture, (n, C) each; whole pictures are drawn, since places within one are not
            independent.
        rng: draws them.
        rounds: how often.
    """

    def joined(parts: Sequence[Features]) -> Features:
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)

    value = distance(joined(a), joined(b))
    if not np.isfinite(value) or rounds < 2:
        return Interval(value, value, value)
    drawn = []
    for _ in range(rounds):
        x, y = ([side[i] for i in rng.integers(len(side), size=len(side))] for side in (a, b))
        drawn.append(distance(joined(x), joined(y)))
    # Drawing with repetition biases the distance upwards: only the spread of the draws is used, around the estimate.
    low, middle, high = np.nanquantile(drawn, (0.025, 0.5, 0.975))
    return Interval(value, float(value + low - middle), float(value + high - middle))


def require_ssim() -> Any:
    """scikit-image's structural similarity.

    Raises:
        ImportError: it is not installed. One line, with the way out.
    """
    try:
        from skimage import metrics
    except ImportError:
        raise ImportError(
            "--pairs: SSIM needs scikit-image: install the extra [train] (pip install -e '.[train]')"
        ) from None
    return metrics.structural_similarity


def ssim(picture: Image, truth: Image, keep: Mask) -> float:
    """Mean structural similarity (Wang et al., 2004; Gaussian window, σ 1.5) over the pixels of ``keep``."""
    similarity = require_ssim()
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, full = similarity(picture, truth, channel_axis=2, data_range=255, full=True, **window)
    return float(full.mean(axis=2)[keep].mean())


def feature_distance(a: Features, b: Features, keep: Mask) -> float:
    """Mean squared distance of unit-length features at the places of ``keep``, in [0, 4]: an unweighted LPIPS."""
    x, y = (f[keep] / np.linalg.norm(f[keep], axis=1, keepdims=True).clip(1e-12) for f in (a, b))
    return float(((x - y) ** 2).sum(axis=1).mean()) if keep.any() else float("nan")


def warped_error(nights: Sequence[Image], pictures: Sequence[Image], keep: Mask) -> tuple[float, float]:
    """Flow-warped error of ``pictures`` and of the nights themselves: root mean square, in grey levels.

    The flow is taken from the nights (DIS, Kroeger et al., ECCV 2016), from each frame to the one before; pixels
    whose forward and backward flow disagree by more than a pixel are occluded and left out (Lai et al., ECCV 2018).

    Args:
        nights: consecutive frames, uint8 RGB.
        pictures: what a method made of them.
        keep: pixels that count.
    """
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = keep.shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    grey = [cv2.cvtColor(n, cv2.COLOR_RGB2GRAY) for n in nights]
    errors, count = np.zeros(2), 0
    for t in range(1, len(nights)):
        back, forth = flow.calc(grey[t], grey[t - 1], None), flow.calc(grey[t - 1], grey[t], None)
        at = grid + back
        returned = back + cv2.remap(forth, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = ((at >= 0) & (at <= (width - 1, height - 1))).all(axis=2)
        seen = keep & inside & (np.linalg.norm(returned, axis=2) < 1)
        for i, frames in enumerate((pictures, nights)):
            warped = cv2.remap(frames[t - 1].astype(np.float32), at, None, cv2.INTER_LINEAR)
            errors[i] += ((frames[t] - warped)[seen] ** 2).mean(axis=1).sum()
        count += int(seen.sum())
    made, own = np.sqrt(errors / max(count, 1))
    return float(made), float(own)


def background_std(pictures: Sequence[Image], still: Mask) -> float:
    """Standard deviation over time in grey levels, root mean square over the pixels of ``still`` and the channels."""
    stack = np.stack([p[still] for p in pictures]).astype(np.float32)
    return float(np.sqrt(stack.var(axis=0).mean())) if still.any() else float("nan")
