"""A whole round of learning by the command that nightday-stream starts, killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from nightday.engines.bundled import bundled_clips, bundled_weights
from nightday.engines.model.checkpoint import load_checkpoint
from nightday.train.footage.night_conditions import random_conditions
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import Image, read_frames, temporal_median

WITHIN = 200.0


@pytest.fixture
def folder(rng: np.random.Generator, tmp_path: Path) -> Path:
    """A round's folder with pictures of a real street, 128×112."""
    clip = bundled_clips() / "day_tfl_09731_a1_barnet.mp4"
    days = [cv2.resize(one, (128, 112), interpolation=cv2.INTER_AREA) for one in read_frames(clip)[::8]]
    x_ref = temporal_median(days)
    simulate = NightSimulator(random_conditions(rng), x_ref.shape[:2], rng)
    nights = [simulate(day, np.zeros(x_ref.shape[:2], bool)) for day in days[:16]]
    for part, kind, pictures in (
        ("pictures", "day", days[:-4]),
        ("pictures", "night", nights[:12]),
        ("held", "day", days[-4:]),
        ("held", "night", nights[12:]),
    ):
        for number, picture in enumerate(pictures):
            _write(tmp_path / part / kind / f"{number:03d}.png", picture)
    return tmp_path


def _write(path: Path, picture: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def start(folder: Path) -> subprocess.Popen[str]:
    words = [str(folder), "--steps=2", f"--running={bundled_weights('general.pt')}"]
    return subprocess.Popen(
        [sys.executable, "-m", "nightday.train.round", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_a_round_that_was_killed_goes_on_to_its_end(folder: Path) -> None:
    with start(folder) as process:
        end = time.monotonic() + WITHIN
        while not (folder / "run" / "best.pt").exists():  # what it started from has been scored
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert not (folder / "judgement.json").exists()

    with start(folder) as process:
        said, _ = process.communicate(timeout=WITHIN)
    assert process.returncode == 0, said
    found = json.loads((folder / "judgement.json").read_text())
    names = [one["name"] for one in found["standings"]]
    assert names[:3] == ["the new model", "the general model", "the model that serves"]
    new, general, serving = found["standings"][:3]
    assert {**general, "name": ""} == {**serving, "name": ""}, "the same model, judged twice"
    assert load_checkpoint(folder / "run" / "best.pt").settings.backgrounds
    # Two steps teach nothing: best.pt is what it began with, or hardly another.
    assert abs(new["whole"] - general["whole"]) < 3
    assert found["won"] is False or new["whole"] > general["whole"]
    assert (folder / "run" / "report.html").is_file()


def test_a_round_without_pictures_says_what_is_missing(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        said, _ = process.communicate(timeout=WITHIN)
    assert process.returncode == 2
    assert f"{tmp_path / 'pictures'}: no such folder" in said
