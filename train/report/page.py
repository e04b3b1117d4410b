"""``report.html`` of a run: whether the model is fit to use and why, in one file that needs nothing else.

This module gathers the numbers and pictures; the page itself is ``templates/report.html.jinja``. What it says of a
model follows from the measured rules of ``verdict``, which the page states.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nightday.engines.model.checkpoint import load_checkpoint
from nightday.engines.model.generator import NightToDay

from .. import processes
from ..footage.evidence import night_background
from ..footage.foreground import moving_in
from ..footage.scene import HELD_NIGHTS, Image, spread, temporal_median
from ..run.step_log import read_log
from ..run.trainer import Trainer
from ..run.translation import translate
from ..run.validation import Validator
from ..scores.baselines import Score, baseline_scores, score
from ..scores.scorer import IDENTICAL
from ..scores.things import NightsShown, boxes_of, nights_shown
from .charts import charts, number
from .pictures import Picture, picture
from .template import render, write_whole
from .verdict import NOTHING, REAL_NIGHTS, Measured, Rule, assess

# Moments of the training shown.
SAMPLES = 5
# Widest sample grid, pixels.
SAMPLE_WIDTH = 1100

_VERDICTS = {
    "fit": ("Fit to use", "It passed every check below."),
    "reservations": ("Usable, with reservations", "Nothing failed, but not everything could be shown."),
    "unfit": ("Not fit to use yet", "It failed at: {}."),
}
_ADVICE = {
    "Moving things": "More day footage with traffic and people in it helps most, then more steps.",
    "Whole picture": "Train longer. If it stays so, look whether day/ and night/ show the same view.",
    "Your own nights": "Add real nights, of several hours and weathers.",
    "Things in your nights": "Do not use it where a hidden car or walker matters; days with more traffic help.",
    NOTHING: "Longer training does not mend it: start from the general model, or give days with traffic.",
    "Steadiness": "Train longer; noise is learnt late.",
    "Done learning": "Train anew with more --steps, in another --out.",
}
_MARKS = {True: ("ok", "✓", "passed"), False: ("bad", "✗", "failed"), None: ("open", "?", "open")}


def write_report(
    trainer: Trainer, validator: Validator, *, seconds: float, findings: Sequence[str] = ()
) -> Path:
    """Write ``report.html`` into the run's folder: about best.pt, or the present weights before any validation.

    Args:
        trainer: where training is.
        validator: its scores.
        seconds: that training took.
        findings: of the checks.

    Raises:
        OSError: it cannot be written.
    """
    folder, background = trainer.folder, trainer.scene.background
    model, file, step = _model(trainer, validator)
    outputs = validator.translate_nights(model)
    real = _real_nights(trainer, model)
    scores = [
        *baseline_scores(
            validator.nights, validator.days, validator.x_ref, night_backgrounds=validator.night_backgrounds
        ),
        score(f"this model ({file}, step {step})", outputs, validator.days, validator.x_ref),
    ]
    measured = Measured(
        scores=scores,
        history=validator.history,
        step=trainer.step,
        steps=trainer.settings.steps,
        flicker=validator.flicker(model),
        nights=real.shown,
        real_nights=len(real.nights),
        kept_back=real.kept_back,
        simulated=_simulated(validator, outputs),
        unseen=len(validator.days) if validator.unseen else 0,
        fixed_camera=trainer.scene.fixed_camera,
    )
    moving = [moving_in(day, trainer.scene) for day in validator.days]
    # The scored picture with most in it that moves is shown.
    shown = int(np.argmax([mask.sum() for mask in moving]))
    night, day, output = validator.nights[shown], validator.days[shown], outputs[shown]
    page = render(
        "report.html.jinja",
        camera=trainer.scene.name,
        verdict=_verdict(*assess(measured)),
        checkpoint=str(folder / file),
        sliders=_sliders(night, output, real),
        true_day=picture(day, "the true day"),
        unseen=measured.unseen > 0,
        fixed_camera=measured.fixed_camera,
        scores=_scores(scores),
        plots=charts(read_log(folder / "log.jsonl", trainer.step), validator.history, scores),
        masks=_masks(day, moving[shown] if measured.fixed_camera else None, output, background),
        samples=_samples(folder / "samples", trainer.step),
        run=_run(trainer, seconds, findings),
        settings={name: str(value) for name, value in _flat(asdict(trainer.settings)).items()},
    )
    path = folder / "report.html"
    write_whole(path, page)
    return path


def _model(trainer: Trainer, validator: Validator) -> tuple[NightToDay, str, int]:
    """The model that the report is about, its file and its step."""
    best, path = validator.best, trainer.folder / "best.pt"
    if best is not None and path.is_file():
        return load_checkpoint(path).to(trainer.device), path.name, best.step
    return trainer.model, "model.pt", trainer.step


def _verdict(kind: str, rules: Sequence[Rule]) -> dict[str, Any]:
    title, sentence = _VERDICTS[kind]
    listed = []
    for rule in rules:
        css, mark, spoken = _MARKS[rule.passed]
        advice = _ADVICE[rule.name] if rule.passed is False else ""
        row = {"kind": css, "mark": mark, "spoken": spoken, "advice": advice}
        listed.append(row | {"name": rule.name, "text": rule.text})
    failed = ", ".join(rule.name.lower() for rule in rules if rule.passed is False)
    return {
        "kind": kind,
        "title": title,
        "sentence": sentence.format(failed),
        "usable": kind != "unfit",
        "rules": listed,
    }


@dataclass(frozen=True, slots=True)
class _RealNights:
    """Real nights that a model is judged on, what it makes of them, and what is shown of them."""

    nights: list[Image]
    outputs: list[Image]
    kept_back: bool
    shown: NightsShown | None


def _real_nights(trainer: Trainer, model: NightToDay) -> _RealNights:
    """Those kept back where there are enough, or else those it has learnt from."""
    scene = trainer.scene
    kept_back = len(scene.held_back_nights) >= REAL_NIGHTS
    nights = scene.held_back_nights if kept_back else spread(scene.night, HELD_NIGHTS)
    n_ref = night_background(scene.night)
    usual = temporal_median(scene.night) if n_ref is None else n_ref
    outputs = translate(model, nights, scene.background, [usual] * len(nights))
    shown = None
    if n_ref is not None and scene.fixed_camera:
        boxes = scene.night_boxes if kept_back else []
        shown = nights_shown(nights, outputs, x_ref=scene.background, n_ref=n_ref, boxes=boxes)
    return _RealNights(nights, outputs, kept_back, shown)


def _simulated(validator: Validator, outputs: Sequence[Image]) -> NightsShown:
    """What is shown of the simulated nights; what is there is known from the days that they were made of."""
    background = validator.scene.background
    boxes = [boxes_of(moving_in(day, validator.scene)) for day in validator.days]
    return nights_shown(validator.days, outputs, x_ref=background, n_ref=background, boxes=boxes)


def _sliders(night: Image, output: Image, real: _RealNights) -> list[dict[str, Any]]:
    """A real night and a simulated one, each under its translation.

    The real one is that with the largest thing that is hidden, if there is one.
    """
    at = len(real.nights) // 2
    if real.shown is not None and real.shown.hidden:
        at = real.shown.hidden[0].picture
    none = "There is no true day to compare with."
    truth = "Made from a day picture, which is therefore the truth:"
    return [
        _slider(real.nights[at], real.outputs[at], "Your own night", none),
        _slider(night, output, "A simulated night", truth),
    ]


def _slider(before: Image, after: Image, title: str, note: str) -> dict[str, Any]:
    return {
        "before": picture(before, f"{title}, as the camera sees it"),
        "after": picture(after, f"{title}, translated"),
        "title": title,
        "note": note,
    }


def _scores(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Rows of the table of scores; the best of each column is marked."""
    parts = ("whole", "foreground", "background")
    top = {part: max(getattr(s, part) for s in scores) for part in parts}
    rows = []
    for each in scores:
        values = {part: getattr(each, part) for part in parts}
        cells = [{"text": _decibels(values[part]), "top": values[part] == top[part]} for part in parts]
        rows.append({"method": each.method, "own": each is scores[-1], "cells": cells})
    return rows


def _decibels(value: float) -> str:
    return "identical" if value >= IDENTICAL else number(value)


def _masks(day: Image, moving: NDArray[np.bool_] | None, output: Image, background: Image) -> list[Picture]:
    error = np.abs(output.astype(np.int16) - day).max(axis=2).astype(np.uint8)
    heat = cv2.applyColorMap(np.minimum(error, 85) * 3, cv2.COLORMAP_INFERNO)[..., ::-1]
    wrong = picture(
        np.ascontiguousarray(heat), "Where the output is wrong there: black none, yellow 85 of 255 or more"
    )
    if moving is None:
        return [picture(background, "The mean of the day pictures (x_ref), since no camera is fixed"), wrong]
    grey = np.repeat(moving.astype(np.uint8)[..., None] * 255, 3, axis=2)
    return [
        picture(background, "The background (x_ref): what stands here must be there all the time"),
        picture(grey, "What counts as moving in one scored picture: white"),
        wrong,
    ]


def _samples(folder: Path, last: int) -> list[dict[str, Any]]:
    """Sample grids up to step ``last``, spread over the training, the newest first."""
    files = sorted(p for p in folder.glob("*.png") if p.stem.isdecimal() and int(p.stem) <= last)
    picks = sorted(set(np.linspace(0, len(files) - 1, SAMPLES).round().astype(int))) if files else []
    found = []
    for path in (files[i] for i in reversed(picks)):
        grid = cv2.imread(str(path))
        if grid is None:
            continue
        scale = min(1.0, SAMPLE_WIDTH / grid.shape[1])
        grid = cv2.resize(grid, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        step = int(path.stem)
        rgb = np.ascontiguousarray(grid[..., ::-1])
        found.append({"step": step, "picture": picture(rgb, f"samples at step {step}")})
    return found


def _run(trainer: Trainer, seconds: float, findings: Sequence[str]) -> dict[str, str]:
    scene, settings = trainer.scene, trainer.settings
    height, width = scene.background.shape[:2]
    held = f"{len(scene.held_back)} more held back for scoring" if scene.held_back else "none held back"
    rows = {
        "pictures": f"{len(scene.day)} by day ({held}), {len(scene.night)} by night, {width}×{height}",
        "camera": "fixed" if scene.fixed_camera else "not fixed; x_ref is the mean of the day pictures",
        "time": f"{_duration(seconds)} for {trainer.step} of {settings.steps} steps",
        "hardware": _hardware(settings.device),
        "software": f"PyTorch {torch.__version__}, Python {platform.python_version()}, {platform.system()}",
        "SHA-256 of the day pictures": _hash(scene.day),
        "of those held back": _hash(scene.held_back) if scene.held_back else "none",
        "of the night pictures": _hash(scene.night),
        "of the background": _hash([scene.background]),
    }
    if findings:
        rows["warnings"] = "; ".join(findings)
    return rows


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, item in value.items():
        out |= _flat(item, f"{prefix}{key}.") if isinstance(item, dict) else {prefix + key: item}
    return out


def _hash(images: Sequence[Image]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(image.tobytes())
    return digest.hexdigest()


def _hardware(device: str) -> str:
    together = f"{processes.count()} × " if processes.count() > 1 else ""
    if device == "cuda":
        return together + torch.cuda.get_device_name()
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        cpu = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), cpu)
    threads = torch.get_num_threads()
    return f"{together}{cpu}, {threads} thread{'s' if threads > 1 else ''}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
