"""``python -m benchmarks.local_generator``: the local generator beside the general one: quality, tiles, and time.

LOCAL is what ``benchmarks.local_generator.learn local`` wrote. Quality is that of ``benchmarks.day_one``, on cameras
that none has seen. EARLY is the local one after fewer steps (``learn --until``), which tells whether it still gains.
Tiles are compared with the whole picture on nights of the same scenes, with the frame's noise given to them. Times
are of one core, in int8, on the package's busy clips, and on the scenes that ``benchmarks.quiet_scenes`` writes.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.day_one.__main__ import PAIRED, measured
from benchmarks.day_one.answers import Method, answer_of, methods
from benchmarks.day_one.cameras import of_scene
from benchmarks.frame_cost import busy_clips
from benchmarks.general import GENERAL
from benchmarks.local_generator.model import REACH, LocalModel, load
from benchmarks.local_generator.speed import speed
from benchmarks.local_generator.tiles import Night, in_tiles, reach, whole
from benchmarks.rounding import rounded
from benchmarks.study.run import hardware
from benchmarks.study.scenes import load as load_scene
from nightday.engines.model.checkpoint import read_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.train.scores.scorer import decibel

RESULT = Path(__file__).parents[1] / "results" / "local_generator.json"
SUMMARIES = ("labelled_summary", "stills_summary", "paired")
# Nights of each scene that are made in tiles, and places where one of them is changed.
NIGHTS, PLACES = 3, 40


def main() -> int:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.local_generator", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--footage", type=Path, required=True)
    add("--local", type=Path, default=Path("runs/local_generator/local/model.pt"))
    add("--early", type=Path, help="its quality is measured too")
    add("--quiet", type=Path, help="what benchmarks.quiet_scenes wrote")
    add("--runs", type=Path, default=Path("runs/local_generator/sheets"), help="the sheets, which stay here")
    add("--parts", nargs="*", choices=("quality", "tiles", "speed"), default=["quality", "tiles", "speed"])
    add("--result", type=Path, default=RESULT, help="parts that are not measured stay as they are there")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    general, local = load(GENERAL), load(args.local)
    assert isinstance(local, LocalModel)
    models = {"general": general, "local": local}
    result = json.loads(args.result.read_text()) if args.result.exists() else {}
    result |= {"date": str(date.today()), "hardware": hardware("cpu")}
    result["parameters"] = {name: _parameters(model) for name, model in models.items()}
    result["steps"] = _steps(args.local)
    if "quality" in args.parts:
        result["quality"] = _quality(models, args.footage, args.runs)
    if args.early:
        found = _quality({"local": load(args.early)}, args.footage, args.runs / "early")
        result["early"] = {"steps": _steps(args.early), **found}
    if "tiles" in args.parts:
        result["tiles"] = [row for key in PAIRED for row in _tiles(key, models, args.footage)]
    if "speed" in args.parts:
        with tempfile.TemporaryDirectory() as folder:
            files = busy_clips(Path(folder)) + (sorted(args.quiet.glob("*.npz")) if args.quiet else [])
            result["speed"] = speed(general, local, files)
    print(
        json.dumps(
            rounded({part: result[part] for part in ("tiles", "speed") if part in args.parts}), indent=1
        )
    )
    args.result.write_text(json.dumps(rounded(result), indent=1) + "\n")
    return 0


def _quality(models: dict[str, NightToDay], footage: Path, runs: Path) -> dict[str, Any]:
    compared: dict[str, Method] = {**methods([])}
    compared |= {name: partial(answer_of, model) for name, model in models.items()}
    found = measured(compared, footage, runs, parts=("labelled", "stills", "paired"), only=None)
    return {name: found[name] for name in SUMMARIES}


def _tiles(key: str, models: dict[str, NightToDay], footage: Path) -> list[dict[str, Any]]:
    """How near tiles of 64 pixels with 48 around them are to the whole picture, and how far a change reaches."""
    camera = of_scene(key, load_scene(key, footage))
    picks = np.linspace(0, len(camera.nights) - 1, NIGHTS).round().astype(int)
    rows = []
    for name, model in models.items():
        errors, most = [], 0.0
        for at in picks:
            night: Night = (_tensor(camera.nights[at]), _tensor(camera.x_ref), _tensor(camera.n_ref))
            apart = (in_tiles(model, night) - whole(model, night))[:, :3] * 255
            errors.append(float(apart.square().mean()))
            most = max(most, float(apart.abs().max()))
        far = reach(model, night, np.random.default_rng(0), trials=PLACES)
        worst = decibel(max(errors))
        rows.append({"scene": key, "model": name, "tiles": worst, "levels": most, "reach": far, "bar": REACH})
    return rows


def _steps(path: Path) -> int:
    """For how many steps a checkpoint was trained."""
    return int(read_checkpoint(path)["training"]["step"])


def _parameters(model: NightToDay) -> int:
    return sum(each.numel() for each in model.parameters())


def _tensor(picture: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


if __name__ == "__main__":
    raise SystemExit(main())
