"""What of a picture each object covers, from what a segmentation model gives."""

from __future__ import annotations

import torch
from torch import Tensor

from .letterbox import Letterbox

# Masks that are computed at once, each as large as the model's input.
AT_ONCE = 32

Outline = tuple[tuple[float, float], ...]
"""Corners of a mask, (x, y) in pixels of the picture. Of several pieces it is the one with the most corners."""


def outlines_of(rows: Tensor, parts: Tensor, box: Letterbox) -> tuple[Tensor, list[Outline]]:
    """The outlines of objects, of the masks that ultralytics' ``predict`` gives.

    ``predict`` joins the pieces of a mask to one polygon, which takes longer with the square of their number.

    Args:
        rows: (n, 6 + coefficients): x1, y1, x2, y2 in pixels of the input, confidence, class, mask coefficients.
        parts: (coefficients, h, w) the parts that masks are sums of.
        box: how the picture lies in the input.

    Returns:
        Which rows have a mask at all, bool (n,), and the outlines of those; ``predict`` leaves the others out.
    """
    from ultralytics.utils.ops import masks2segments, process_mask

    covered, outlines = torch.zeros(len(rows), dtype=torch.bool), []
    for begin in range(0, len(rows), AT_ONCE):
        some = rows[begin : begin + AT_ONCE].to(parts.device)
        masks = process_mask(parts, some[:, 6:], some[:, :4], box.outer, upsample=True)
        has = masks.amax((-2, -1)) > 0
        covered[begin : begin + len(some)] = has.cpu()
        for segment in masks2segments(masks[has], strategy="largest"):
            corners = box.points_to_frame(segment)
            outlines.append(tuple((float(x), float(y)) for x, y in corners))
    return covered, outlines
