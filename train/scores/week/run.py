"""What ``nightday-eval --week`` does once its arguments are understood."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from nightday.engines import load_engine
from nightday.engines.bundled import bundled_weights
from nightday.engines.detection.detections import Detection
from nightday.engines.detection.detector import Detector as UltralyticsDetector
from nightday.engines.detection.detector import load_detector
from nightday.engines.detection.python_detector import PythonDetector
from nightday.engines.model.checkpoint import read_checkpoint

from ...footage.scene import Image, SceneError, brief, read_background, temporal_median
from ...progress import Steps, showing
from ...report.week import span, summary, write_week
from ..arguments import Arguments
from ..baselines import TFL_LABELS
from ..detection_scores import SURE
from ..evaluation import table
from .footage import Week, day_pictures, find_week
from .night import Detector, Examined, Translate, examine

# Column titles of the tables on the terminal.
_COLUMNS = {
    "objects": "objects",
    "not_in_evidence": "not in the night's evidence ↓",
    "of_these_by_night": "of these found by night, too",
    "missed": "found by night and not here ↓",
}
_GENERAL = "general.pt"
# A detector written in Python, package.module:name.
_ENTRY_POINT = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")
# Classes of a detector that a message names.
_NAMED = 20


def run_week(arguments: Arguments) -> None:
    """Examine the nights, print what was found, write the page and the JSON.

    Raises:
        NightdayError, ImportError, ValueError, OSError: something given cannot be used; one line.
    """
    folder = arguments.week
    assert folder is not None
    with showing() as steps:
        # Reading takes minutes: what may be missing comes first.
        steps.begin("checking what was given")
        model = arguments.checkpoint[0] if arguments.checkpoint else bundled_weights(_GENERAL)
        read_checkpoint(model)
        detector = _detector(arguments)
        for file in filter(None, (arguments.page, arguments.json)):
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir():
                raise IsADirectoryError(f"{file}: is a folder; give a file in it")
        steps.begin(f"finding the nights in {folder}")
        week = find_week(folder, most=arguments.moments, progress=steps.passed)
        nights = _examined(arguments, week, model, detector, steps)
        if week.left_out:
            steps.warn(brief(week.left_out))
        if not nights:
            raise SceneError(f"{folder}: none of its nights can be read; the first: {week.left_out[0]}")
        made = any(not night.night.recorded for night in nights)
        write_week(
            arguments.page,
            nights,
            folder=folder.resolve().name,
            made_by=model.name if made else None,
            detector=None if arguments.detector is None else arguments.detector.name,
            left_out=week.left_out,
        )
    told = [_told(night) for night in nights]
    for night, one in zip(nights, told, strict=True):
        print(f"{night.night.title}, {night.moments} moments\n\n{one['summary']}\n")
        if night.answers:
            print(table(one["answers"], _COLUMNS) + "\n")
    print(f"page: {arguments.page}")
    if arguments.json:
        whole = {"folder": str(folder), "left_out": week.left_out, "nights": told}
        arguments.json.write_text(json.dumps(whole, indent=1) + "\n")


def _examined(
    arguments: Arguments, week: Week, model: Path, detector: Detector | None, steps: Steps
) -> list[Examined]:
    folder = arguments.week
    assert folder is not None
    steps.begin("finding the empty scene by day")
    x_ref = _day_background(folder, week)
    translate = None
    if any(not night.recorded for night in week.nights):
        steps.begin(f"loading an engine for {model}")
        translate = _translator(model, arguments)
    labels = [*arguments.label, *(TFL_LABELS if arguments.tfl_labels else ())]
    nights = []
    for night in week.nights:
        steps.begin(f"looking at {night.title}")
        examined = examine(
            night,
            x_ref=x_ref,
            translate=translate,
            detector=detector,
            labels=labels,
            left_out=week.left_out,
            progress=steps.passed,
        )
        if examined is not None:
            nights.append(examined)
    return nights


def _day_background(folder: Path, week: Week) -> Image | None:
    """x_ref: background.png, or the median of the day; None where there is no day."""
    given = folder / "background.png"
    if given.is_file():
        return read_background(given)
    days = day_pictures(week.day, week.left_out)
    return temporal_median(days) if days else None


def _translator(model: Path, arguments: Arguments) -> Translate:
    engine: Any = load_engine(model, backend=arguments.backend)
    known = bool(getattr(engine, "needs_backgrounds", False))

    def translate(night: Image, x_ref: Image, n_ref: Image) -> Image:
        beside = {"day_background": x_ref[None], "night_background": n_ref[None]} if known else {}
        return np.asarray(engine(night[None], **beside)[0], np.uint8)

    return translate


def _detector(arguments: Arguments) -> Detector | None:
    """What finds objects of the wanted classes. Raises NightdayError where it is none or has no such class."""
    if arguments.detector is None:
        return None
    named = str(arguments.detector)
    if _ENTRY_POINT.fullmatch(named) and not arguments.detector.exists():
        model: PythonDetector | UltralyticsDetector = PythonDetector(named)
    else:
        model = load_detector(arguments.detector, confidence=SURE)
    wanted = frozenset(arguments.classes)
    known = [*(model.classes or ())]
    for name in sorted(wanted - {*known} if known else ()):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it has: {', '.join(known[:_NAMED])}"
        raise SceneError(f"--classes {name}: {named} has no such class; {hint}")

    def detect(picture: Image) -> Sequence[Detection]:
        found = model(picture[None])[0]
        return [one for one in found if one.confidence > SURE and (not wanted or one.label in wanted)]

    return detect


def _told(night: Examined) -> dict[str, Any]:
    """A night for the JSON."""
    times = [moment.at for moment in night.night.moments if moment.at is not None]
    shown = sum(thing.shown for thing in night.things)
    return {
        "night": None if night.night.date is None else night.night.date.isoformat(),
        "between": span(night),
        "from": min(times, default=None),
        "to": max(times, default=None),
        "moments": night.moments,
        "recorded": night.night.recorded,
        "summary": summary(night),
        "things": len(night.things),
        "things_shown": shown,
        "answers": [
            {"method": one.method, **asdict(one.count), "missed": one.missed} for one in night.answers
        ],
    }
