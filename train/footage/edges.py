"""Edges of pictures and where they run: what a day and a night of one camera have in common.

An edge's direction is kept with its angle doubled, so that an edge whose dark side turns light is the same edge. Its
strength is divided by that of its surroundings, so that a lamp counts no more than a kerb.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .scene import Image

# Width in pixels of the views that are compared.
WIDTH = 192
# Grey levels per pixel; what is flatter counts as flat.
SLOPE = 0.75
# Correlation of two views from which on they show the same scene.
SAME_SCENE = 0.10
# How much better a scene must fit at another place to count as moved.
CLEARLY = 1.2
# Displacement as a share of the width; more smears what is learned.
SHIFT = 0.01


class Offset(NamedTuple):
    """Where one view is found in another.

    Attributes:
        x, y: displacement as a share of the width; to the right and down are positive.
        correlation: there, at most 1.
        in_place: correlation without displacement.
    """

    x: float
    y: float
    correlation: float
    in_place: float

    @property
    def moved(self) -> bool:
        """Whether the scene is clearly there, and clearly elsewhere."""
        return (
            self.correlation >= SAME_SCENE
            and self.correlation >= CLEARLY * self.in_place
            and float(np.hypot(self.x, self.y)) > SHIFT
        )


class Spectrum(NamedTuple):
    """An edge field, ready to be compared.

    Attributes:
        transform: of the field without its mean.
        norm: of the field.
        shape: of the field, (h, w).
    """

    transform: NDArray[np.complexfloating]
    norm: float
    shape: tuple[int, ...]


def edge_field(rgb: Image) -> NDArray[np.complex64]:
    """Edges of (H, W, 3) as complex (h, ``WIDTH``): modulus is the strength, at most 1, phase twice the angle."""
    height, width = rgb.shape[:2]
    size = (WIDTH, max(16, round(WIDTH * height / width)))
    grey = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    x, y = gradients(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0))
    xx, yy = x * x, y * y
    norm = xx + yy + SLOPE**2 + 0.5 * cv2.blur(xx + yy, (15, 15))
    field = ((xx - yy) + 2j * x * y) / norm
    field[:2] = field[-2:] = 0
    field[:, :2] = field[:, -2:] = 0
    return np.asarray(field, np.complex64)


def same_edges(a: Image, b: Image) -> NDArray[np.float32]:
    """Correlation of the edges of two pictures, (H, W, 3) each, around each pixel: float32 (H, W).

    The surroundings are some 3 % of the width. 0 where either picture has no edges.
    """
    one, two = edge_field(a), edge_field(b)

    def around(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(x.astype(np.float32), (0, 0), WIDTH / 32), np.float32)

    alike = around((one * two.conj()).real)
    strong = around(np.abs(one) ** 2) * around(np.abs(two) ** 2)
    correlation = alike / np.sqrt(strong + 1e-6)
    return np.asarray(cv2.resize(correlation, a.shape[1::-1]), np.float32)


def offset(reference: NDArray[np.complex64], view: NDArray[np.complex64]) -> Offset:
    """Where ``view`` is found in ``reference``, edge fields of one size; searched within a quarter of it."""
    return offset_of_spectra(spectrum(reference), spectrum(view))


def spectrum(field: NDArray[np.complex64]) -> Spectrum:
    """An edge field as ``offset_of_spectra`` takes it."""
    return Spectrum(_transformed(field - field.mean()), float(np.linalg.norm(field)), field.shape)


def offset_of_spectra(reference: Spectrum, view: Spectrum) -> Offset:
    """As ``offset``, of fields that are compared with several others."""
    surface = _surface(reference.transform * np.conj(view.transform), view.shape)
    surface /= reference.norm * view.norm + 1e-9
    y, x, top = _peak(surface)
    middle_y, middle_x = surface.shape[0] // 2, surface.shape[1] // 2
    in_place = float(surface[middle_y - 1 : middle_y + 2, middle_x - 1 : middle_x + 2].max())
    return Offset(-x / WIDTH, -y / WIDTH, top, in_place)


def warped(reference: NDArray[np.complex64], view: NDArray[np.complex64]) -> float | None:
    """The median displacement of blocks of ``view`` from their places in ``reference``, as a share of the width.

    None if too few blocks are found. A zoom or a rotation moves each part differently, so that ``offset`` of the
    whole view does not show it.
    """
    height, width = view.shape
    rows, columns = 3, 4
    distances = []
    level = float((np.abs(reference) ** 2).mean())
    transform = _transformed(reference)
    for row, column in np.ndindex(rows, columns):
        block = np.zeros_like(view)
        part = np.s_[
            row * height // rows : (row + 1) * height // rows,
            column * width // columns : (column + 1) * width // columns,
        ]
        block[part] = view[part]
        energy = float((np.abs(block[part]) ** 2).sum())
        if energy < 0.03 * block[part].size:
            continue
        product = transform * np.conj(_transformed(block))
        surface = _surface(product, view.shape) / np.sqrt(energy * level * block[part].size)
        y, x, top = _peak(surface)
        around = np.ones(surface.shape, bool)
        at_y, at_x = y + surface.shape[0] // 2, x + surface.shape[1] // 2
        around[max(at_y - 6, 0) : at_y + 7, max(at_x - 6, 0) : at_x + 7] = False
        if top > 0.15 and top > 1.3 * surface[around].max():
            distances.append(float(np.hypot(x, y)) / WIDTH)
    return float(np.median(distances)) if len(distances) >= 3 else None


def _transformed(field: NDArray[np.complex64]) -> NDArray[np.complexfloating]:
    """The Fourier transform of a field (h, w) and zeros around it, so that displacements do not wrap round."""
    height, width = field.shape
    return np.fft.fft2(field, (cv2.getOptimalDFTSize(2 * height), cv2.getOptimalDFTSize(2 * width)))


def _surface(product: NDArray[np.complexfloating], shape: tuple[int, ...]) -> NDArray[np.floating]:
    """The correlation of two fields of a shape, for displacements of at most a quarter of it."""
    full = np.fft.ifft2(product).real
    reach_y, reach_x = shape[0] // 4, shape[1] // 4
    return np.roll(full, (reach_y, reach_x), (0, 1))[: 2 * reach_y + 1, : 2 * reach_x + 1]


def _peak(surface: NDArray[np.floating]) -> tuple[int, int, float]:
    y, x = np.unravel_index(int(surface.argmax()), surface.shape)
    return int(y) - surface.shape[0] // 2, int(x) - surface.shape[1] // 2, float(surface[y, x])


def energy(field: NDArray[np.complex64]) -> float:
    """Mean square of an edge field, at most 1."""
    return float((np.abs(field) ** 2).mean())


def gradients(grey: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Derivatives along x and y of grey levels, (H, W) each, per pixel."""
    return cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
