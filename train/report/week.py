"""The page of ``nightday-eval --week``: a camera's nights before and after, in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..footage.scene import Image
from ..scores.things import LARGE
from ..scores.week.night import DAY, NIGHT, Answer, Examined, Shot
from ..scores.week.objects import Found
from .pictures import Picture, picture
from .template import render, write_whole

# Widest picture, pixels.
WIDEST = 900
# In less of a night much that is not there all night stands still.
LEAST_MINUTES = 60.0
# Colours of boxes: found on both views, on one alone but in the evidence, and neither.
BOTH, ALONE, UNFOUNDED = (90, 200, 250), (255, 225, 80), (255, 70, 60)


def write_week(
    path: Path,
    nights: Sequence[Examined],
    *,
    folder: str,
    made_by: str | None,
    detector: str | None,
    left_out: Sequence[str],
) -> None:
    """Write the page. Raises OSError.

    Args:
        path: the file.
        nights: what was found.
        folder: where the nights are from.
        made_by: the model that made day views that were not recorded; None where all were.
        detector: the detector's file; None without one.
        left_out: what could not be used, a line each.
    """
    page = render(
        "week.html.jinja",
        folder=folder,
        made_by=made_by,
        detector=detector,
        left_out=left_out,
        nights=[_night(night) for night in nights],
    )
    write_whole(path, page)


def summary(night: Examined) -> str:
    """What came of a night, in a sentence or two."""
    if not night.things:
        shown = "Nothing is in the night's evidence at any of them."
    else:
        share = sum(thing.shown for thing in night.things) / len(night.things)
        large = sum(thing.share >= LARGE and not thing.shown for thing in night.things)
        shown = (
            f"Of {_many(len(night.things), 'thing')} in the night's evidence the day view shows {share:.0%} with the "
            f"night's detail; {_many(large, 'large one')} {'is' if large == 1 else 'are'} not shown."
        )
    found = next((one for one in night.answers if one.method == DAY), None)
    return shown if found is None else f"{sentence(night.answers)} {shown}"


def sentence(answers: Sequence[Answer]) -> str:
    """What the detector found on both views."""
    of = {one.method: one for one in answers}
    dark, day = of[NIGHT].count, of[DAY].count
    verb = "is" if day.not_in_evidence == 1 else "are"
    without = f"{day.not_in_evidence} of which {verb} not in the night's evidence"
    text = f"The detector found {_many(dark.objects, 'object')} by night and {day.objects} on the day view, {without}"
    if day.of_these_by_night:
        text += f" ({day.of_these_by_night} of these it found by night, too)"
    missed = of[DAY].missed
    return f"{text}; {missed} that it found by night {'is' if missed == 1 else 'are'} not on the day view."


def span(night: Examined) -> str:
    """From when to when a night was looked at, by this machine's clock."""
    times = [moment.at for moment in night.night.moments if moment.at is not None]
    if not times:
        return ""
    return f"{datetime.fromtimestamp(min(times)):%H:%M} to {datetime.fromtimestamp(max(times)):%H:%M}"


def _night(night: Examined) -> dict[str, Any]:
    rows = []
    for one in night.answers:
        count = one.count
        numbers: list[int | None] = [
            count.objects,
            count.not_in_evidence,
            count.of_these_by_night,
            one.missed,
        ]
        if one.method == NIGHT:
            numbers = [*numbers[:2], None, None]
        rows.append({"method": one.method, "own": one.method == DAY, "cells": numbers})
    source = "recorded day views" if night.night.recorded else "day views made anew"
    return {
        "title": night.night.title,
        "about": ", ".join(filter(None, [span(night), f"{night.moments} moments", source])),
        "summary": summary(night),
        "short": _short(night),
        "x_ref": night.x_ref,
        "rows": rows,
        "shots": [_shot(shot) for shot in night.shots],
    }


def _short(night: Examined) -> str:
    """What to know of a night that was looked at for a short time only; "" for others."""
    times = [moment.at for moment in night.night.moments if moment.at is not None]
    minutes = (max(times) - min(times)) / 60 if times else LEAST_MINUTES
    if minutes >= LEAST_MINUTES:
        return ""
    return (
        f"These moments are from {minutes:.0f} minutes. Whatever stands through half of that, such as waiting "
        "traffic, is in the night's background and not in its evidence: more of the night tells more."
    )


def _shot(shot: Shot) -> dict[str, Picture | str]:
    at = "" if shot.moment.at is None else f"{datetime.fromtimestamp(shot.moment.at):%H:%M:%S}"
    title = at or shot.moment.path.name
    return {
        "title": title,
        "note": f"Shown because {shot.why}.",
        "before": picture(_drawn(shot.night, shot.on_night), f"{title}, the night"),
        "after": picture(_drawn(shot.day, shot.on_day), f"{title}, the day view"),
    }


def _drawn(rgb: Image, found: Sequence[Found]) -> Image:
    """The picture, small enough for a page, with a box for each thing found; crossed where nothing bears it out."""
    scale = min(1.0, WIDEST / rgb.shape[1])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = np.ascontiguousarray(
        cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if scale < 1 else rgb.copy()
    )
    for one in found:
        left, top, right, bottom = (round(edge * scale) for edge in one.box)
        unfounded = not (one.evident or one.by_night)
        colour = UNFOUNDED if unfounded else BOTH if one.by_night else ALONE
        cv2.rectangle(small, (left, top), (right, bottom), colour, 2)
        if unfounded:
            cv2.line(small, (left, top), (right, bottom), colour, 1, cv2.LINE_AA)
            cv2.line(small, (left, bottom), (right, top), colour, 1, cv2.LINE_AA)
    return np.asarray(small, np.uint8)


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
