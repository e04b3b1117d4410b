"""Whether the camera stayed in one position, and whether nights show what the days show.

Both follow from the correlation of edges. The limits were measured on public cameras; the figures are in
``benchmarks/NOTES.md``, section "Training".
"""

from __future__ import annotations

import numpy as np

from .edges import (
    SAME_SCENE,
    SHIFT,
    Offset,
    edge_field,
    energy,
    offset,
    offset_of_spectra,
    spectrum,
    warped,
)
from .finding import Finding
from .scene import Scene, spread, temporal_median

# Day pictures whose alignment is measured, spread over the footage.
COMPARED_DAYS = 24
# Mean square of the edges, at most 1. Below the first nothing can be judged, below the second it is doubtful.
STRUCTURE, DIM = 0.05, 0.10
# Correlation of the median night and x_ref below which they show different scenes.
ANOTHER_SCENE = 0.07
# Correlation of two day pictures below which they show different scenes. Those of one camera match by 0.23 and more,
# those of two cameras by 0.10 at most (both with burned-in labels).
ANOTHER_DAY = 0.15
# Share of the day pictures that may be of another view.
ODD = 0.1


def check_days(scene: Scene) -> list[Finding]:
    """Compare day pictures with the one most others agree with: the median of a moved camera shows two scenes."""
    fields = [edge_field(frame) for frame in spread(scene.day, COMPARED_DAYS)]
    clear = [f for f in fields if energy(f) >= STRUCTURE]
    if len(clear) < max(2, len(fields) / 2):
        return [
            Finding(
                False,
                f"only {len(clear)} of {len(fields)} day pictures show edges: fog, or an empty view? "
                "Whether the camera keeps its position cannot be judged",
            )
        ]
    best: list[tuple[Offset, bool]] = []
    spectra = [spectrum(f) for f in clear]
    for candidate in spectra[:: max(1, len(clear) // 6)]:
        offsets = [offset_of_spectra(candidate, other) for other in spectra]
        # Another light lowers the correlation more than a small change of the view: only a clear misfit counts.
        odd = [o.moved or o.correlation < ANOTHER_DAY for o in offsets]
        if not best or sum(odd) < sum(b for _, b in best):
            best = list(zip(offsets, odd, strict=True))
        if not any(odd):
            break
    odd_ones = [o for o, odd in best if odd]
    found = []
    if odd_ones:
        moved = [float(np.hypot(o.x, o.y)) for o in odd_ones if o.moved]
        how = (
            f"shifted by up to {100 * max(moved):.1f} % of the width (allowed: {100 * SHIFT:g} %)"
            if moved
            else f"of another view (they match by {max(o.correlation for o in odd_ones):.2f} or less, "
            f"allowed: {ANOTHER_DAY:g})"
        )
        refuse = len(odd_ones) >= 2 and len(odd_ones) > ODD * len(best)
        found.append(
            Finding(
                refuse,
                f"the camera moved: {len(odd_ones)} of {len(best)} day pictures looked at are {how}; "
                "keep those of one position only, or fix the camera",
            )
        )
    if not any(f.refuse for f in found):
        middle = edge_field(temporal_median(spread(scene.day, COMPARED_DAYS)))
        at = offset(middle, edge_field(scene.background))
        if at.moved or at.correlation < ANOTHER_DAY:
            found.append(
                Finding(
                    True,
                    f"background.png does not fit the day pictures (shifted by {100 * np.hypot(at.x, at.y):.1f} % of "
                    f"the width, match {at.correlation:.2f}); make it anew, or delete it",
                )
            )
    return found


def check_nights(scene: Scene) -> list[Finding]:
    """Compare the median of the nights with x_ref."""
    day, night = edge_field(scene.background), edge_field(temporal_median(scene.night))
    way_out = "use nights of the same camera in the same position"
    signal = min(energy(day), energy(night))
    if signal < STRUCTURE:
        return [
            Finding(
                False,
                f"the {'nights' if energy(night) < STRUCTURE else 'days'} show too few edges "
                f"({signal:.3f}, {STRUCTURE:g} are needed) to tell whether they fit the others: look yourself",
            )
        ]
    at = offset(day, night)
    if at.moved:
        return [
            Finding(
                True,
                f"day and night are not aligned: the nights lie {100 * abs(at.x):.1f} % of the width to the "
                f"{'right' if at.x > 0 else 'left'} and {100 * abs(at.y):.1f} % {'down' if at.y > 0 else 'up'} "
                f"(allowed: {100 * SHIFT:g} %); {way_out}",
            )
        ]
    if at.correlation >= SAME_SCENE / 2 and (away := warped(day, night)) is not None and away > SHIFT:
        return [
            Finding(
                True,
                f"day and night are not aligned: parts of the nights lie {100 * away:.1f} % of the width from their "
                f"places (allowed: {100 * SHIFT:g} %), as after a zoom or a turn; {way_out}",
            )
        ]
    if at.correlation >= SAME_SCENE:
        return []
    match = f"their edges match by {at.correlation:.2f}, those of one camera by {SAME_SCENE:g} and more"
    if at.correlation < ANOTHER_SCENE and signal >= DIM:
        return [Finding(True, f"the nights do not show what the days show: {match}; {way_out}")]
    return [
        Finding(False, f"the nights are too dark to tell whether they are aligned ({match}): look yourself")
    ]
