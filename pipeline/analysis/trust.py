"""Where each part of a translated picture comes from: how much of it, counted and, if asked for, drawn over it.

A trust map is uint8 (h, w, 3), of any size that the picture can be scaled from: for each pixel the shares of 255 of
what was *drawn* from tonight's light, what is *remembered* from the day, and what is *unclear*.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines import device_copies
from nightday.engines.device_copies import Pixels

from ..core.picture_files import png_of, with_square_pixels
from ..core.stages import BatchItem, each
from ..core.status import TrustMap
from .draw import MARK_HEIGHT, MARK_LEAST
from .ink import FONT

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Blue and orange are told apart with any kind of colour blindness, and by their lightness; stripes tell them apart
# without any colour. What was drawn stays as it is.
REMEMBERED, UNCLEAR = (40, 110, 230), (255, 150, 0)
# How far these cover a picture at most.
REMEMBERED_COVER, UNCLEAR_COVER = 0.4, 0.8
# Width of a stripe as a share of the picture's height, and at the least in pixels.
STRIPE, STRIPE_LEAST = 1 / 120, 3
# What is seen, in the legend and in a map by itself.
GREY = 150
# Columns at most of a map that is laid over a picture by a browser.
LAYER_WIDEST = 960
# Every so many pixels of a map, across and down, are counted.
COUNTED = 4


def trust_stage(items: Sequence[BatchItem]) -> Sequence[BatchItem]:
    """The stage that counts trust maps, and draws those that are asked for over their pictures."""
    return each(items, _take, fault="trust")


def _take(item: BatchItem) -> None:
    if item.trust is None:
        return
    shares = shares_of(item.trust)
    item.camera.stats.count_trust(remembered=shares[1], unclear=shares[2])
    if item.camera.overlay == "trust":
        draw_trust(item.day, item.trust)


def shares_of(trust: Pixels) -> tuple[float, float, float]:
    """The mean shares of a map (h, w, 3): drawn, remembered and unclear, 0 to 1 each."""
    sparse = trust[::COUNTED, ::COUNTED]
    if isinstance(sparse, np.ndarray):
        means = (sparse.mean(axis=(0, 1)) / 255).tolist()
    else:
        means = (sparse.float().mean(dim=(0, 1)) / 255).tolist()
    drawn, remembered, unclear = means
    return drawn, remembered, unclear


def draw_trust(rgb: Pixels, trust: Pixels) -> None:
    """Draw a map (h, w, 3) over ``rgb`` (H, W, 3), in place, with a legend in the lower left corner.

    What is remembered is tinted blue, what is unclear has orange stripes.
    """
    height, width = rgb.shape[:2]
    if not isinstance(rgb, np.ndarray):
        there = (
            device_copies.to_device(trust, rgb.device, "engine") if isinstance(trust, np.ndarray) else trust
        )
        _cover_tensor(rgb, there.to(rgb.device))
        legend_there = _legend_on(height, width, rgb.device)
        rgb[height - legend_there.shape[0] :, : legend_there.shape[1]] = legend_there
        return
    legend = _legend(height, width)
    _cover(rgb, device_copies.on_host(trust, "engine"))
    rgb[height - legend.shape[0] :, : legend.shape[1]] = legend


def trust_png(trust: TrustMap) -> bytes:
    """A map by itself as a PNG: drawn over an evenly grey picture of its picture's size, with square pixels."""
    grey = with_square_pixels(np.full((*trust.size, 3), GREY, np.uint8), trust.pixel_aspect)
    draw_trust(grey, trust.shares)
    return png_of(grey)


def trust_layer_png(trust: TrustMap) -> bytes:
    """A map as a PNG to be laid over its picture: see-through, but for what is remembered or unclear.

    It is at most ``LAYER_WIDEST`` columns wide, and of its picture's shape.
    """
    height, width = trust.size
    scale = min(1.0, LAYER_WIDEST / (width * float(trust.pixel_aspect)))
    size = max(1, round(width * float(trust.pixel_aspect) * scale)), max(1, round(height * scale))
    shares = device_copies.on_host(trust.shares, "engine")
    remembered, unclear = (
        cv2.resize(np.ascontiguousarray(shares[..., part]), size, interpolation=cv2.INTER_LINEAR) / 255
        for part in (1, 2)
    )
    blue = (REMEMBERED_COVER * remembered)[..., None]
    orange = (UNCLEAR_COVER * unclear * _stripes(size[1], size[0]))[..., None]
    cover = 1 - (1 - blue) * (1 - orange)
    colour = (np.array(REMEMBERED) * blue * (1 - orange) + np.array(UNCLEAR) * orange) / np.maximum(
        cover, 1e-6
    )
    rgba = np.rint(np.concatenate((colour[..., ::-1], 255 * cover), axis=2)).astype(np.uint8)
    encoded, data = cv2.imencode(".png", rgba, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not encoded:
        raise ValueError(f"cannot encode a picture of {rgba.shape} as PNG")
    return data.tobytes()


def _cover(rgb: NDArray[np.uint8], trust: NDArray[np.uint8]) -> None:
    height, width = rgb.shape[:2]
    parts = [np.ascontiguousarray(trust[..., part]) for part in (1, 2)]
    remembered, unclear = (
        cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
        for part in parts
    )
    for cover, colour in (
        (REMEMBERED_COVER * remembered, REMEMBERED),
        (UNCLEAR_COVER * unclear * _stripes(height, width), UNCLEAR),
    ):
        rgb[:] = cv2.blendLinear(rgb, _plain(height, width, colour), 1 - cover, cover)


def _cover_tensor(rgb: Tensor, trust: Tensor) -> None:
    import torch

    height, width = rgb.shape[:2]
    maps = trust[..., 1:].permute(2, 0, 1).float()[None] / 255
    remembered, unclear = torch.nn.functional.interpolate(maps, (height, width), mode="bilinear")[
        0, ..., None
    ]
    rows, columns = (torch.arange(side, device=rgb.device) for side in (height, width))
    stripes = ((rows[:, None] + columns) // _stripe(height) % 2)[..., None]
    shown = rgb.float()
    for cover, colour in (
        (REMEMBERED_COVER * remembered, REMEMBERED),
        (UNCLEAR_COVER * unclear * stripes, UNCLEAR),
    ):
        shown = torch.lerp(shown, torch.tensor(colour, device=rgb.device).float().expand_as(shown), cover)
    rgb.copy_(shown.round().clamp(0, 255).to(torch.uint8))


def _stripe(height: int) -> int:
    return max(STRIPE_LEAST, round(height * STRIPE))


@lru_cache(maxsize=8)
def _stripes(height: int, width: int) -> NDArray[np.float32]:
    """Diagonal stripes, 1 on them and 0 between, (H, W)."""
    rows, columns = np.ogrid[:height, :width]
    stripes = ((rows + columns) // _stripe(height) % 2).astype(np.float32)
    stripes.flags.writeable = False
    return stripes


@lru_cache(maxsize=8)
def _plain(height: int, width: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    plain = np.full((height, width, 3), colour, np.uint8)
    plain.flags.writeable = False
    return plain


@lru_cache(maxsize=32)
def _legend_on(height: int, width: int, device: torch.device) -> Tensor:
    import torch

    return torch.from_numpy(_legend(height, width).copy()).to(device)


@lru_cache(maxsize=32)
def _legend(height: int, width: int) -> NDArray[np.uint8]:
    """What the colours mean, (h, w, 3), on nearly black, for a picture of this size."""
    tall, wide = 90, 70  # it is drawn large, and made smaller
    grey = np.full((tall - 24, wide, 3), GREY, np.uint8)
    pieces = [np.full((tall, 16, 3), 16, np.uint8)]
    for text, part in (("seen", 0), ("remembered", 1), ("unclear", 2)):
        swatch = grey.copy()
        rows, columns = np.ogrid[: len(swatch), :wide]
        if part == 1:
            swatch = np.rint(swatch + (np.array(REMEMBERED) - swatch) * REMEMBERED_COVER).astype(np.uint8)
        if part == 2:
            swatch[(rows + columns) // 12 % 2 == 1] = np.rint(
                GREY + (np.array(UNCLEAR) - GREY) * UNCLEAR_COVER
            ).astype(np.uint8)
        (text_width, text_height), _ = cv2.getTextSize(text, FONT, 2.2, 5)
        piece = np.full((tall, wide + 16 + text_width + 28, 3), 16, np.uint8)
        piece[12 : tall - 12, :wide] = swatch
        baseline = (tall + text_height) // 2
        cv2.putText(piece, text, (wide + 16, baseline), FONT, 2.2, (255, 255, 255), 5, cv2.LINE_AA)
        pieces.append(piece)
    large = np.hstack(pieces)
    high = min(max(MARK_LEAST, round(height * MARK_HEIGHT)), height)
    # The mark stands in the other corner.
    long = min(round(large.shape[1] * high / tall), max(1, width * 3 // 5))
    legend = np.asarray(cv2.resize(large, (long, high), interpolation=cv2.INTER_AREA), np.uint8)
    legend.flags.writeable = False
    return legend
