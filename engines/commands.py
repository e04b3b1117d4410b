"""What the commands of ``nightday-engine`` do. Each takes the parsed arguments and returns the rows of a table."""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from .cache.cache_entry import CacheEntry
from .cache.engine_cache import EngineCache
from .model.qualification_frames import read_frames, read_picture
from .selection.load import CandidateEngines, candidates, fastest, load_engine
from .selection.qualify import VERDICT, Qualification
from .selection.without_reuse import WithoutReuse, without_reuse

Row = dict[str, Any]


def build(options: argparse.Namespace) -> list[Row]:
    """Compile each model for each size."""
    rows = []
    for model in options.model:
        engine = load_engine(
            model,
            options.backend,
            options.precision,
            max_batch=options.max_batch,
            reuse=options.reuse == "auto",
        )
        for height, width in options.size:
            named = {"backend": engine.info.backend, "precision": engine.info.precision}
            size = f"{height}x{width}"
            print(f"{model.name} {size}, {' '.join(named.values())}: building", file=sys.stderr)
            began = time.monotonic()
            engine.prepare(height, width)
            seconds = round(time.monotonic() - began, 2)
            rows.append({"model": model.name, "size": size, **named, "seconds": seconds})
    return rows


def list_(options: argparse.Namespace) -> list[Row]:
    """What is in the cache."""
    return _rows(EngineCache().entries())


def qualify(options: argparse.Namespace) -> list[Row]:
    """Measure every candidate of this machine; remembered where it was on the checkpoint's own frames.

    Those that leave their generator out here and there are compared with themselves without that.
    """
    frames = read_frames(options.frames) if options.frames else []
    pair = [read_picture(path) for path in options.backgrounds or ()]
    if pair and any(picture.shape != frame.shape for picture in pair for frame in frames):
        raise ValueError(f"--backgrounds {options.backgrounds[0]}: not of the size of the frames")
    engines_of = functools.partial(
        CandidateEngines,
        options.model,
        frames=frames,
        backgrounds=[(pair[0], pair[1])] * len(frames) if pair else [],
    )
    engines, everywhere = engines_of(), engines_of(reuse=False)
    measure = engines.measure if frames else engines.remeasure
    results = {one: measure(one, budget_ms=options.budget_ms) for one in candidates()}
    serves = fastest(results)
    without = {
        one: None if result.fault else without_reuse(one, engines, everywhere)
        for one, result in results.items()
    }
    return [
        {
            "serves": one == serves,
            "backend": one.backend,
            "precision": one.precision,
            "psnr": _number(result.mean),
            "worst": _number(min(result.psnr, default=math.nan)),
            "ms": _number(result.ms),
            **_without(without[one]),
            "verdict": result.reason or "accepted",
        }
        for one, result in results.items()
    ]


def _without(found: WithoutReuse | None) -> Row:
    """What reuse ``auto`` and ``off`` are of a candidate; all None where these are the same."""
    if found is None:
        return dict.fromkeys(("share", "auto_ms", "off_ms", "off_psnr", "off_worst"))
    return {
        "share": _number(found.share),
        "auto_ms": _number(found.ms[0]),
        "off_ms": _number(found.ms[1]),
        "off_psnr": _number(statistics.fmean(found.psnr)),
        "off_worst": _number(min(found.psnr)),
    }


def prune(options: argparse.Namespace) -> list[Row]:
    """Delete from the cache. Returns what was deleted."""
    deleted = EngineCache().prune(
        max_bytes=None if options.max_gigabytes is None else int(options.max_gigabytes * 1e9),
        older_than=None if options.days is None else options.days * 86400,
        everything=options.all,
    )
    return _rows(deleted)


def _rows(entries: Sequence[CacheEntry]) -> list[Row]:
    """Engines with their qualifications, and qualifications of what has no file of its own, such as eager."""
    verdicts: dict[tuple[str, ...], tuple[str, str]] = {}
    for entry in entries:
        if entry.key is not None and VERDICT in entry.files:
            try:
                reason = Qualification.load(entry.folder).mismatch or "accepted"
            except (OSError, ValueError, KeyError, TypeError):
                reason = "?"  # it was deleted meanwhile or is damaged, and will be measured anew
            verdicts[_subject(entry)] = (entry.label, reason)
    compiled = {_subject(entry) for entry in entries if VERDICT not in entry.files}
    rows = []
    for entry in entries:
        judged = VERDICT in entry.files
        if judged and _subject(entry) in compiled:
            continue
        label, verdict = verdicts.get(_subject(entry), ("", ""))
        key = entry.key
        rows.append(
            {
                "model": entry.label or label or (key.checkpoint[:12] if key else entry.folder.name[:12]),
                "size": "" if judged or key is None else "x".join(map(str, key.shape[1:])),
                "backend": "" if key is None else key.backend,
                "precision": "" if key is None else key.precision,
                "verdict": verdict if key is not None else "torn",
                "bytes": entry.size,
                "used": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.used)),
            }
        )
    return rows


def _subject(entry: CacheEntry) -> tuple[str, ...]:
    """What an engine and its qualification have in common."""
    key = entry.key
    return () if key is None else (key.checkpoint, key.backend, key.version, key.precision, key.device)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)


COMMANDS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "build": build,
    "list": list_,
    "qualify": qualify,
    "prune": prune,
}
