"""``report.html`` of a run: whether the model is fit to use and why, in one file that needs nothing else.

What it says of a model follows from the measured rules of ``verdict``, which the page states.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from nightday.engines.model.checkpoint import load_checkpoint

from .. import processes
from ..footage.foreground import foreground_mask
from ..footage.scene import Image
from ..run.trainer import Trainer
from ..run.validation import Validation, Validator, translate
from ..scores.baselines import Score, score, baseline_scores
from .style import STYLE
from .verdict import Measured, Rule, judge

SAMPLES = 5  # moments of the training shown


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
    best = validator.best
    if best is not None and (folder / "best.pt").is_file():
        model, file, step = load_checkpoint(folder / "best.pt").to(trainer.device), "best.pt", best.step
    else:
        model, file, step = trainer.model, "model.pt", trainer.step
    outputs, real = translate(model, validator.nights), translate(model, validator.real)
    scores = [
        *baseline_scores(validator.nights, validator.days, background),
        score(f"this model ({file}, step {step})", outputs, validator.days, background),
    ]
    measured = Measured(
        scores=scores,
        history=validator.history,
        step=trainer.step,
        steps=trainer.settings.steps,
        flicker=validator.flicker(model),
        real=validator.real_psnr(real),
        real_night=validator.real_psnr(validator.real),
        real_nights=len(validator.real),
        stands_out=(things := validator.shown(real)).stands_out,
        shown=things.shown,
        unseen=len(validator.days) if validator.unseen else 0,
    )
    verdict, rules = judge(measured)
    moving = [foreground_mask(day, background) for day in validator.days]
    shown = int(np.argmax([mask.sum() for mask in moving]))
    log = read_log(folder / "log.jsonl", trainer.step)
    body = [
        _head(trainer, verdict, rules, file),
        _sliders(validator.nights[shown], outputs[shown], validator.days[shown], validator.real, real),
        _scores(scores, measured),
        _curves(log, validator.history, scores),
        _masks(validator.days[shown], moving[shown], outputs[shown], background),
        _samples(folder / "samples", trainer.step),
        _run(trainer, validator, seconds, findings),
    ]
    path = folder / "report.html"
    part = path.with_suffix(".part")
    part.write_text(
        _PAGE.format(title=escape(f"{trainer.scene.name}: training report"), body="\n".join(body)), "utf-8"
    )
    os.replace(part, path)
    return path


def read_log(path: Path, last: int) -> list[dict[str, float]]:
    """The lines of a ``log.jsonl`` up to step ``last``; of steps logged twice, after a kill, the later."""
    lines: dict[int, dict[str, float]] = {}
    for text in path.read_text().splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
            if line["step"] <= last:
                lines[line["step"]] = line
        except (json.JSONDecodeError, KeyError, TypeError):
            continue  # torn by a kill
    return [lines[step] for step in sorted(lines)]


# --- parts of the page --------------------------------------------------------------------------------------

_VERDICTS = {
    "fit": ("Fit to use", "It passed every check below."),
    "reservations": ("Usable, with reservations", "Nothing failed, but not everything could be shown."),
    "unfit": ("Not fit to use yet", "It failed at: {}."),
}
_ADVICE = {
    "Moving things": "More day footage with traffic and people in it helps most, then more steps.",
    "Whole picture": "Train longer. If it stays so, look whether day/ and night/ show the same view.",
    "Your own nights": "Add real nights, of several hours and weathers.",
    "Steadiness": "Train longer; noise is learnt late.",
    "Done learning": "Train anew with more --steps, in another --out.",
}
_MARKS = {True: ("ok", "✓", "passed"), False: ("bad", "✗", "failed"), None: ("open", "?", "open")}


def _head(trainer: Trainer, verdict: str, rules: Sequence[Rule], file: str) -> str:
    title, sentence = _VERDICTS[verdict]
    sentence = sentence.format(", ".join(rule.name.lower() for rule in rules if rule.kept is False))
    items = []
    for rule in rules:
        kind, mark, spoken = _MARKS[rule.kept]
        advice = f" <em>{escape(_ADVICE[rule.name])}</em>" if rule.kept is False else ""
        items.append(
            f'<li class="{kind}"><span class="mark" role="img" aria-label="{spoken}">{mark}</span>'
            f"<div><b>{escape(rule.name)}</b> {escape(rule.text)}{advice}</div></li>"
        )
    use = (
        f"To use it, give <code>model: {escape(str(trainer.folder / file))}</code> in cameras.yaml."
        if verdict != "unfit"
        else f"The best so far is <code>{escape(str(trainer.folder / file))}</code>."
    )
    return (
        f"<header><p class=dim>Camera {escape(trainer.scene.name)}</p>"
        f'<h1 class="{verdict}">{title}</h1><p>{sentence} {use}</p><ul '
        f"class=rules>{''.join(items)}</ul></header>"
    )


def _sliders(night: Image, output: Image, day: Image, real: Sequence[Image], made: Sequence[Image]) -> str:
    middle = len(real) // 2
    return (
        "<section><h2>Before and after</h2><p>Drag the handle, or focus it and press the arrow keys.</p>"
        "<div class=pair>"
        + _slider(real[middle], made[middle], "Your own night", "There is no true day to compare with.")
        + _slider(
            night, output, "A simulated night", "Made from a day picture, which is therefore the truth:"
        )
        + f"<figure>{_img(day, 'the true day')}<figcaption>The true day of the simulated night</figcaption></figure>"
        "</div><p class=dim>What comes out is synthetic: use it to see what goes on, never as "
        "evidence.</p></section>"
    )


def _slider(before: Image, after: Image, title: str, note: str) -> str:
    return (
        f'<figure><div class=slider style="--at:50%">{_img(after, title + ", translated")}'
        f"{_img(before, title + ', as the camera sees it', 'before')}<span class=bar></span>"
        f'<input type=range min=0 max=100 value=50 step=1 aria-label="{escape(title)}: how much of the '
        f'night is shown" '
        "oninput=\"this.parentNode.style.setProperty('--at',this.value+'%')\"></div>"
        f"<figcaption><b>{escape(title)}</b>, night left, day right. {escape(note)}</figcaption></figure>"
    )


def _scores(scores: Sequence[Score], m: Measured) -> str:
    top = {
        part: max((getattr(s, part) for s in scores), default=0)
        for part in ("whole", "foreground", "background")
    }
    rows = "".join(
        f"<tr{' class=us' if s is scores[-1] else ''}><th scope=row>{escape(s.method)}</th>"
        + "".join(
            f"<td{' class=top' if getattr(s, part) == top[part] else ''}>{_number(getattr(s, part))}</td>"
            for part in top
        )
        + "</tr>"
        for s in scores
    )
    where = "day pictures held back from training" if m.unseen else "day pictures it was trained on"
    return (
        f"<section><h2>Scores</h2><p>PSNR to the true day in dB: higher is closer, 3 dB is half the "
        f"error. Measured on {where}, "
        "under simulated nights that training never drew. What counts is the middle column: cars and "
        "people, where pasting "
        "the empty background (output x_ref) is no help. Gamma and CLAHE brighten the night, at their "
        "best setting for these "
        "very pictures.</p><div class=wide><table><thead><tr><td></td><th scope=col>whole picture</th>"
        "<th scope=col>moving things</th><th scope=col>background</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _curves(log: Sequence[dict[str, float]], history: Sequence[Validation], scores: Sequence[Score]) -> str:
    panels = []
    if history:
        steps = [v.step for v in history]
        lines = {
            "moving things": [v.foreground for v in history],
            "whole picture": [v.whole for v in history],
        }
        rival = max(scores[:-1], key=lambda s: s.foreground if s.foreground == s.foreground else -math.inf)
        panels.append(
            _plot(
                "Score on held-back pictures, dB",
                steps,
                lines,
                (f"{rival.method}, moving things", rival.foreground),
                big=True,
            )
        )
        if any(v.real == v.real for v in history):
            panels.append(
                _plot("Real nights to the day background, dB", steps, {"": [v.real for v in history]})
            )
    names = sorted({k for line in log for k in line} - {"step", "steps_per_s", "seconds"})
    for name in names:
        points = [(int(line["step"]), line[name]) for line in log if name in line]
        panels.append(_plot(f"Loss: {name}", [p[0] for p in points], {"": [p[1] for p in points]}))
    if not panels:
        return ""
    return (
        "<section><h2>How it learnt</h2><p>Scores should rise and level off, losses fall; those of the "
        "adversarial terms "
        f"may hover.</p><div class=plots>{''.join(panels)}</div></section>"
    )


def _plot(
    title: str,
    steps: Sequence[int],
    lines: dict[str, list[float]],
    level: tuple[str, float] | None = None,
    *,
    big: bool = False,
) -> str:
    """A line chart as SVG, its range and last values in words too."""
    width, height, left, right, top, bottom = (
        (720, 260, 44, 12, 12, 26) if big else (340, 170, 44, 12, 12, 26)
    )
    values = [v for line in lines.values() for v in line if math.isfinite(v)]
    if not values:
        return ""
    if level is not None and math.isfinite(level[1]):
        values.append(level[1])
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5
    low, high = (0.0 if 0 <= low < room else low - room), high + room
    first, last = min(steps), max(steps)

    def x(step: float) -> float:
        return left + (width - left - right) * ((step - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (high - value) / (high - low)

    parts = []
    for value in np.linspace(low, high, 4):
        parts.append(f'<path class=grid d="M{left} {y(value):.1f}H{width - right}"/>')
        parts.append(f"<text x={left - 6} y={y(value) + 4:.1f} text-anchor=end>{value:.3g}</text>")
    for step, anchor in ((first, "start"), (last, "end"))[: 2 if last > first else 1]:
        parts.append(
            f"<text x={x(step):.1f} y={height - 6} "
            f"text-anchor={anchor}>{'step ' if step == first else ''}{step}</text>"
        )
    if level is not None and math.isfinite(level[1]):
        parts.append(f'<path class=level d="M{left} {y(level[1]):.1f}H{width - right}"/>')
    for i, line in enumerate(lines.values()):
        points = [(x(s), y(v)) for s, v in zip(steps, line, strict=True) if math.isfinite(v)]
        if not points:
            continue
        way = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        parts.append(f'<path class="line c{i}" d="M{way}"/>')
        parts.append(f'<circle class="dot c{i}" cx={points[-1][0]:.1f} cy={points[-1][1]:.1f} r=3 />')
    legend = "".join(
        f'<span class="key c{i}">{escape(name)} {_number(line[-1])}</span>'
        for i, (name, line) in enumerate(lines.items())
        if name
    )
    if level is not None and math.isfinite(level[1]):
        legend += f'<span class="key level">{escape(level[0])} {level[1]:.2f}</span>'
    told = "; ".join(
        f"{name or 'value'} from {line[0]:.3g} to {line[-1]:.3g}" for name, line in lines.items()
    )
    return (
        f'<figure class="plot{" big" if big else ""}"><figcaption>{escape(title)}{legend}</figcaption>'
        f'<svg viewBox="0 0 {width} {height}" role=img '
        f'aria-label="{escape(f"{title}: {told}")}">{"".join(parts)}</svg></figure>'
    )


def _masks(day: Image, moving: np.ndarray[Any, Any], output: Image, background: Image) -> str:
    grey = np.repeat(moving.astype(np.uint8)[..., None] * 255, 3, axis=2)
    error = np.abs(output.astype(np.int16) - day).max(axis=2).astype(np.uint8)
    heat = cv2.applyColorMap(np.minimum(error, 85) * 3, cv2.COLORMAP_INFERNO)[..., ::-1]
    figures = "".join(
        f"<figure>{_img(np.ascontiguousarray(image), text)}<figcaption>{escape(text)}</figcaption></figure>"
        for image, text in (
            (background, "The background (x_ref): what stands here must be there all the time"),
            (grey, "What counts as moving in one scored picture: white"),
            (heat, "Where the output is wrong there: black none, yellow 85 of 255 or more"),
        )
    )
    return f"<section><h2>Background, moving things, errors</h2><div class=pair>{figures}</div></section>"


def _samples(folder: Path, last: int) -> str:
    files = sorted(p for p in folder.glob("*.png") if p.stem.isdecimal() and int(p.stem) <= last)
    if not files:
        return ""
    picks = sorted(set(np.linspace(0, len(files) - 1, SAMPLES).round().astype(int)))
    figures = []
    for path in (files[i] for i in reversed(picks)):
        grid = cv2.imread(str(path))
        if grid is None:
            continue
        scale = min(1.0, 1100 / grid.shape[1])
        grid = cv2.resize(grid, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        step = int(path.stem)
        figures.append(
            f"<figure><figcaption>Step {step}</figcaption>"
            f"{_img(np.ascontiguousarray(grid[..., ::-1]), f'samples at step {step}')}</figure>"
        )
    if not figures:
        return ""
    return (
        "<section><h2>Pictures over time</h2><p>Newest first. From the left: night, output, background, "
        "and what the output "
        "has in common with the background (white). The first two rows are your real nights, any others "
        "simulated.</p>"
        f"{figures[0]}<details><summary>Earlier steps</summary>{''.join(figures[1:])}</details></section>"
    )


def _run(trainer: Trainer, validator: Validator, seconds: float, findings: Sequence[str]) -> str:
    scene, settings = trainer.scene, trainer.settings
    height, width = scene.background.shape[:2]
    held = f"{len(scene.held_back)} more held back for scoring" if scene.held_back else "none held back"
    rows = {
        "pictures": f"{len(scene.day)} by day ({held}), {len(scene.night)} by night, {width}×{height}",
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
    flat = _flat(asdict(settings))
    return (
        f"<section><h2>The run</h2>{_table(rows)}<details><summary>All settings</summary>"
        f"{_table({k: str(v) for k, v in flat.items()})}</details></section>"
    )


def _table(rows: dict[str, str]) -> str:
    cells = "".join(f"<tr><th scope=row>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
    return f"<div class=wide><table class=facts>{cells}</table></div>"


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
        cpu = next(
            (x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")),
            cpu,
        )
    threads = torch.get_num_threads()
    return f"{together}{cpu}, {threads} thread{'s' if threads > 1 else ''}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _img(rgb: Image, text: str, kind: str = "") -> str:
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not ok:
        raise OSError("cannot encode a picture for the report")
    uri = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
    height, width = rgb.shape[:2]
    extra = f' class="{kind}"' if kind else ""
    return f'<img{extra} width={width} height={height} alt="{escape(text)}" src="{uri}">'


_PAGE = (
    "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport "
    'content="width=device-width,initial-scale=1">'
    "<title>{title}</title><style>"
    + STYLE.replace("{", "{{").replace("}", "}}")
    + "</style></head><body>\n{body}\n"
    "</body></html>\n"
)
