"""From what contestants note to figures and bars."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from benchmarks.against.__main__ import misses
from benchmarks.against.figures import Figures, figures_of, percentile, ratio
from benchmarks.against.notes import Job, Note, Notes


def test_percentile_is_numpys_least_that_so_many_do_not_exceed() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for count in (1, 2, 19, 20, 21, 500):
        values = [rng.random() for _ in range(count)]
        for percent in (50, 95, 100):
            assert percentile(values, percent) == np.percentile(values, percent, method="inverted_cdf")
    assert percentile([], 95) == math.inf


def test_only_what_was_written_in_time_counts_and_ages_include_what_waited_undecoded() -> None:
    # Camera 0 keeps up: 10 ms. Camera 1, whose clock began at 3 s, falls 0.5 s further behind with every frame.
    prompt = [Note(0, at, 100 + at, 100.01 + at) for at in (0.0, 1.0, 2.0, 3.0)]
    behind = [Note(1, 3 + at, 100 + 1.5 * at, 100.02 + 1.5 * at) for at in (0.0, 1.0, 2.0)]
    figures = figures_of(Notes(100.5, 2.0, 1.0, tuple(prompt + behind)), 2)
    assert figures.fps == 1.5  # at 101.01, 102.01 and 101.52
    assert figures.least == pytest.approx(2 / 3)
    assert [figures.latency_p50, figures.latency_p95] == pytest.approx([0.01, 0.02])
    assert [figures.age_p50, figures.age_p95] == pytest.approx([0.01, 0.52])
    assert figures.cpu == 0.5


def test_a_contestant_that_wrote_nothing_is_not_the_fastest() -> None:
    figures = figures_of(Notes(0.0, 2.0, 1.0, ()), 4)
    assert (figures.fps, figures.least, figures.latency_p95, figures.age_p95) == (0, 0, math.inf, math.inf)


def test_ratios_are_taken_round_by_round() -> None:
    def rounds(*fps: float) -> list[Figures]:
        return [Figures(each, 1, 1, 1, 1, 1, 1) for each in fps]

    assert ratio(rounds(10, 60, 30), rounds(5, 20, 20), lambda each: each.fps) == 2


def test_bars() -> None:
    def figures(*, fps: float, ms: float, times: float, share: float) -> dict[str, object]:
        rivals = ("opencv", "roboflow")
        return {
            "single": [{"model": "light", "fps": fps, "end to end p95 ms": ms}],
            "four": {name: {"pipeline's frames": times} for name in rivals},
            "overload": {name: {"pipeline's p95": share} for name in rivals},
        }

    assert misses(figures(fps=24.9, ms=199, times=5, share=0.5)) == []
    assert len(misses(figures(fps=24.8, ms=200, times=1.2, share=0.6))) == 6
    assert len(misses(figures(fps=25, ms=math.nan, times=2, share=0.5))) == 2
    alone = figures(fps=25, ms=10, times=5, share=0.1)
    alone["four"] = {}
    assert misses(alone) == ["opencv: not measured", "roboflow: not measured"]


def test_a_job_survives_the_command_line() -> None:
    job = Job(
        urls=("rtsp://a/1", "rtsp://b/2"),
        rate=25,
        height=288,
        width=352,
        model="m.pt",
        backend="openvino",
        precision="int8",
        folder="/tmp/x",
    )
    assert Job.parse(job.text()) == job
