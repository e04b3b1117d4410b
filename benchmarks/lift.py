"""The lift to full resolution against plain enlarging, where the truth is known, and what it costs at 1080p.

    python -m benchmarks.lift --footage DIR --half HALF.pt

Nights are simulated over day pictures, translated at 1/k of their size, and brought back. The small day comes from
the truth's own means (``perfect``, which judges the lift alone), from the shipped model (``full``, trained at twice
this size) and, with ``--half``, from one trained on the demo scene at half its size. Scores: PSNR over all pixels and
over those at edges of the truth, SSIM, F1 of edges within a pixel, and noise: the temporal standard deviation while
nothing but the sensor's noise changes, in grey levels. The ``quiet`` night is the ``noisy``
one seen by a better sensor.

A busy machine makes seconds of the clock meaningless; so the processor's own time on one core is told beside them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.demo_scene import split
from benchmarks.study.run import hardware
from nightday.engines import load_engine
from nightday.engines.model.checkpoint import load_checkpoint
from nightday.engines.model.generator import NightToDay, from_bytes, to_bytes
from nightday.engines.model.lift import Lifted
from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.night_conditions import TEST_NIGHT, NightConditions
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import Image, read_frames, temporal_median, write_picture
from nightday.train.scores.image_distances import ssim

ROOT = Path(__file__).parent
RESULT = ROOT / "results" / "lift.json"
MODEL = ROOT.parent / "weights" / "a1_barnet.pt"
DRAWS = 4  # of the sensor's noise
NIGHTS = {"noisy": TEST_NIGHT, "quiet": replace(TEST_NIGHT, photons=20_000.0, read_noise=0.001)}

Generator = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Pair:
    """A day, float (1, 3, H, W), and draws of one night of it that differ in noise alone."""

    day: Tensor
    nights: list[Tensor]


def main() -> None:
    """Print the tables and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lift", description=__doc__.split("\n")[0])
    parser.add_argument("--footage", type=Path, help="folder with lta/: 960×540 stills")
    parser.add_argument("--half", type=Path, help="a model of the demo scene at half its size")
    parser.add_argument("--frames", type=int, default=20, help="runs at 1080p")
    parser.add_argument(
        "--speed", action="store_true", help="measure that alone; the tables stay as they are"
    )
    parser.add_argument("--pictures", type=Path, help="write a sheet a table there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.speed:
        result = json.loads(RESULT.read_text()) | {
            "speed": _speed(args.frames),
            "speed_date": str(date.today()),
        }
        print(json.dumps(result["speed"], indent=1))
        RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        return
    full = load_checkpoint(MODEL)
    models = {"full": full} | ({"half": load_checkpoint(args.half)} if args.half else {})
    tables: dict[str, dict[str, dict[str, float]]] = {}
    with torch.inference_mode():
        for night, conditions in NIGHTS.items():
            tfl = list(_tfl(conditions))
            sources = {"perfect": _perfect} | {key: _model(model) for key, model in models.items()}
            for source, generate in sources.items():
                name = f"tfl 352×288, {night}, {source}, 1/2"
                tables[name] = _table(name, tfl, 2, generate, full, args.pictures)
            lta = list(_lta(args.footage, conditions)) if args.footage else []
            for cell in (2, 4) if lta else ():
                name = f"lta 960×540, {night}, perfect, 1/{cell}"
                tables[name] = _table(name, lta, cell, _perfect, full, args.pictures)
    result = {
        "date": str(date.today()),
        "hardware": hardware("cpu"),
        "cores": os.cpu_count(),
        "tables": tables,
        "speed": _speed(args.frames),
    }
    print(json.dumps(result["speed"], indent=1))
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def _tfl(conditions: NightConditions) -> Iterator[Pair]:
    """Six moments of the demo clip's held-back part."""
    scene = split()
    for day in scene.test_day[::8]:
        yield _pair(day, scene.background, conditions)


def _lta(footage: Path, conditions: NightConditions) -> Iterator[Pair]:
    """Two day stills of each of the three cameras."""
    for camera in ("2701", "2702", "4713"):
        paths = sorted((footage / "lta" / camera / "day").glob("*.jpg"))
        stills = [
            read_frames(path)[0][:540, :960] for path in paths
        ]  # FFmpeg reads stills as clips of one frame
        background = temporal_median(stills)
        for day in stills[:: len(stills) // 2][:2]:
            yield _pair(day, background, conditions)


def _pair(day: Image, background: Image, conditions: NightConditions) -> Pair:
    simulate = NightSimulator(conditions, day.shape[:2], np.random.default_rng(2))
    moving = foreground_mask(day, background)
    nights = [simulate(day, moving) for _ in range(DRAWS)]
    return Pair(_tensor(day), [_tensor(night) for night in nights])


def _perfect(small: Tensor, day: Tensor) -> Tensor:
    return F.avg_pool2d(day, day.shape[-1] // small.shape[-1])


def _model(model: NightToDay) -> Generator:
    return lambda small, day: model.translate(small)


def _table(
    name: str, pairs: list[Pair], cell: int, generate: Generator, model: NightToDay, folder: Path | None
) -> dict[str, dict[str, float]]:
    """Scores of each way of enlarging, means over the pairs."""
    ways: dict[str, Callable[[Lifted, Tensor, Tensor, Tensor], Tensor]] = {
        "bilinear": lambda lifted, night, clues, day: _enlarge(day, night),
        "lanczos": lambda lifted, night, clues, day: _lanczos(day, night),
        "guided filter": _guided,
        "lift": lambda lifted, night, clues, day: lifted.lift(night, clues, day),
    }
    scores: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    noise: list[float] = []
    sheet: list[Image] = []
    for at, pair in enumerate(pairs):
        pair = Pair(_whole(pair.day, cell), [_whole(night, cell) for night in pair.nights])
        height, width = pair.day.shape[-2:]
        lifted = Lifted(model, (height // cell, width // cell))
        shrunk = [lifted.shrink(night) for night in pair.nights]
        days = [generate(small, pair.day) for small, _ in shrunk]
        truth = _picture(pair.day)
        row = [_picture(pair.nights[0])]
        for way, enlarge in ways.items():
            drawn = [
                _picture(enlarge(lifted, night, clues, day))
                for night, (_, clues), day in zip(pair.nights, shrunk, days, strict=True)
            ]
            scores[way].append(_score(drawn[0], truth) | {"noise": _noise(drawn)})
            row += [drawn[0]] if way != "guided filter" else []
        noise.append(_noise([_picture(night) for night in pair.nights]))
        if at % 3 == 0:
            sheet.append(np.hstack([*row, truth]))
    if folder:
        write_picture(
            folder / f"{name.replace(', ', '-').replace('/', '_').replace(' ', '-')}.png", np.vstack(sheet)
        )
    table = {
        way: {key: round(statistics.fmean(s[key] for s in each), 3) for key in each[0]}
        for way, each in scores.items()
    }
    print(f"\n{name}; the night's own noise {statistics.fmean(noise):.2f}")
    print("| | " + " | ".join(table["lift"]) + " |\n|---" + "|---:" * len(table["lift"]) + "|")
    for way, values in table.items():
        print(f"| {way} | " + " | ".join(f"{value:.3f}" for value in values.values()) + " |")
    table["night"] = {"noise": round(statistics.fmean(noise), 3)}
    return table


def _enlarge(day: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(day, size=like.shape[-2:], mode="bilinear")


def _lanczos(day: Tensor, like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    return _tensor(cv2.resize(_picture(day), (width, height), interpolation=cv2.INTER_LANCZOS4))


def _guided(lifted: Lifted, night: Tensor, clues: Tensor, day: Tensor) -> Tensor:
    """He & Sun's fast guided filter as published, guided by luma: windows of 5×5, ε of 10⁻³."""

    def box(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)

    guide = clues[:, :1]
    m, d = box(guide), box(day)
    a = (box(guide * day) - m * d) / (box(guide.square()) - m.square() + 1e-3)
    grey = (night * lifted.grey).sum(1, keepdim=True)
    return _enlarge(box(a), night) * grey + _enlarge(box(d - a * m), night)


def _score(picture: Image, truth: Image) -> dict[str, float]:
    squared = ((picture.astype(np.float64) - truth) ** 2).mean(axis=2)
    edges, found = _edges(truth), _edges(picture)
    around = np.ones((3, 3), np.uint8)
    recall = cv2.dilate(found, around)[edges > 0].mean()
    precision = cv2.dilate(edges, around)[found > 0].mean() if found.any() else 0.0
    at_edges = cv2.dilate(edges, around) > 0
    return {
        "psnr": float(10 * np.log10(255**2 / squared.mean())),
        "psnr_edges": float(10 * np.log10(255**2 / squared[at_edges].mean())),
        "ssim": ssim(picture, truth, np.ones(truth.shape[:2], bool)),
        "edge_f1": float(2 * precision * recall / max(precision + recall, 1e-9)),
    }


def _edges(picture: Image) -> Image:
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    return np.asarray(cv2.Canny(grey, 60, 120) > 0, np.uint8)


def _noise(pictures: list[Image]) -> float:
    return float(np.std(np.stack(pictures).astype(np.float32), axis=0, ddof=1).mean())


def _tensor(picture: Image) -> Tensor:
    return from_bytes(torch.from_numpy(np.ascontiguousarray(picture))[None])


def _picture(rgb: Tensor) -> Image:
    return to_bytes(rgb)[0].numpy()


def _whole(rgb: Tensor, cell: int) -> Tensor:
    return rgb[..., : rgb.shape[-2] // cell * cell, : rgb.shape[-1] // cell * cell]


def _speed(frames: int) -> dict[str, Any]:
    """1080p through OpenVINO, and without the lift; on every core and on one."""
    known = os.sched_getaffinity(0)
    figures: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    for cores in (known, {min(known)}):
        # A process each: OpenVINO's threads keep the cores that they began on.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            figures |= process.submit(_speed_on, cores, frames).result()
    return figures


def _speed_on(cores: set[int], frames: int) -> dict[str, Any]:
    os.sched_setaffinity(0, cores)
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (1, 1080, 1920, 3), dtype=np.uint8)
    small = rng.integers(0, 256, (1, 270, 480, 3), dtype=np.uint8)
    engine = load_engine(MODEL, "openvino")
    figures: dict[str, Any] = {"engine": f"{engine.info.backend} {engine.info.precision}"}
    for name, given in (("1080p", large), ("270p, generator alone", small)):
        engine(given)
        clock, processor = [], []
        for _ in range(frames):
            t, p = time.perf_counter(), time.process_time()
            engine(given)
            clock.append(time.perf_counter() - t)
            processor.append(time.process_time() - p)
        figures[f"{name}, {len(cores)} core(s)"] = {
            "clock_ms": round(1e3 * statistics.median(clock), 1),
            "processor_ms": round(1e3 * statistics.median(processor), 1),
            "fps": round(1 / statistics.median(clock), 1),
        }
    return figures


if __name__ == "__main__":
    main()
