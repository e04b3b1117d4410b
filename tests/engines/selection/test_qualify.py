"""Verdicts on engines whose error and speed are known."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.engines.backends.base import Translation
from nightday.engines.selection.qualify import MAX_PSNR, RUNS, Qualification, latency_ms, qualify

Frames = NDArray[np.uint8]


@pytest.fixture
def nights(rng: np.random.Generator) -> list[Frames]:
    return [rng.integers(20, 236, (48, 64, 3), dtype=np.uint8) for _ in range(4)]


def reference(frames: Frames) -> Frames:
    return 255 - frames


class Off:
    """The reference, off by so many grey levels, up or down, on each frame in turn."""

    def __init__(self, rng: np.random.Generator, *levels: float) -> None:
        self.rng, self.levels, self.calls = rng, levels, 0

    def __call__(self, frames: Frames) -> Frames:
        level = self.levels[self.calls % len(self.levels)]
        self.calls += 1
        signs = self.rng.choice((-1, 1), frames.shape)
        return (reference(frames) + level * signs).astype(np.uint8)


class Clock:
    """Seconds that pass only when something says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def judged(
    candidate: Callable[[Frames], NDArray[np.generic]],
    nights: list[Frames],
    precision: str = "fp32",
    replaced_ms: float | None = None,
    budget_ms: float | None = None,
    clock: Callable[[], float] | None = None,
    beside: Callable[[Frames], Frames] | None = None,
) -> Qualification:
    given = [(frame[None],) for frame in nights]
    wanted = [Translation(reference(frames)) for (frames,) in given]
    clock = clock or Clock()
    limits = {"replaced_ms": replaced_ms, "budget_ms": budget_ms}

    def translate(frames: Frames) -> Translation[Any]:
        return Translation(candidate(frames))

    return qualify(translate, wanted, given, precision=precision, clock=clock, beside=beside, **limits)


@pytest.mark.parametrize(
    ("levels", "precision", "words"),
    [
        ((0,), "fp32", ""),
        ((2,), "fp16", ""),  # 42.1 dB
        ((3,), "bf16", r"38\.6 dB .* at least 40 "),
        ((3,), "int8", ""),
        ((6,), "int8", ""),  # 32.6 dB
        ((7,), "int8", r"31\.2 dB .* at least 32 "),
        ((1, 1, 1, 4), "fp32", r"36\.1 dB .* on one frame, at least 37 "),  # the mean is 45.1
        ((1, 1, 1, 3), "fp32", ""),
    ],
)
def test_known_noise(
    rng: np.random.Generator, nights: list[Frames], levels: tuple[int, ...], precision: str, words: str
) -> None:
    verdict = judged(Off(rng, *levels), nights, precision)
    expected = [20 * math.log10(255 / level) if level else MAX_PSNR for level in levels]
    np.testing.assert_allclose(verdict.psnr, [expected[i % len(levels)] for i in range(4)])
    assert verdict.mean == pytest.approx(np.mean(verdict.psnr))
    assert verdict.accepted == (not words)
    if words:
        assert re.search(words, verdict.reason)


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (lambda frames: np.zeros_like(frames), "one colour, 0"),
        (lambda frames: np.full(frames.shape, np.nan, np.float32), "float32 with NaN"),
        (lambda frames: frames.astype(np.float32), "float32, not uint8"),
        (lambda frames: reference(frames)[:, ::2], r"\(1, 24, 64, 3\), not \(1, 48, 64, 3\)"),
        (lambda frames: reference(frames)[0], r"\(48, 64, 3\), not"),
    ],
)
def test_what_is_no_picture(nights: list[Frames], candidate: Callable[[Frames], Frames], words: str) -> None:
    verdict = judged(candidate, nights)
    assert not verdict.accepted
    assert re.search(words, verdict.mismatch)
    assert "qualification frame 0" in verdict.mismatch


@pytest.mark.parametrize(
    ("trust", "words"),
    [
        (lambda right: right, ""),
        (lambda right: (right.astype(int) + 12).clip(0, 255).astype(np.uint8), ""),
        (lambda right: (right.astype(int) + 14).astype(np.uint8), r"trust that is off by 14\.0 levels"),
        (lambda right: None, "none of trust"),
        (lambda right: right[:, :8], r"uint8 \(1, 8, 32, 3\) of trust, not uint8 \(1, 24, 32, 3\)"),
        (lambda right: right.astype(np.float32), "float32"),
    ],
)
def test_trust_is_judged_too(
    rng: np.random.Generator, nights: list[Frames], trust: Callable[[Frames], Any], words: str
) -> None:
    right = rng.integers(0, 200, (1, 24, 32, 3), dtype=np.uint8)
    given = [(frame[None], frame[None] // 2, frame[None] // 4) for frame in nights]
    seen: list[tuple[Frames, ...]] = []

    def translate(*one: Frames) -> Translation[Frames]:
        seen.append(one)
        return Translation(reference(one[0]), trust(right))

    wanted = [Translation(reference(frames), right) for frames, *_ in given]
    verdict = qualify(translate, wanted, given, precision="fp32", clock=Clock())
    assert bool(verdict.mismatch) == bool(words)
    assert re.search(words, verdict.mismatch)
    assert all(np.array_equal(a, b) for a, b in zip(seen[0], given[0], strict=True))


@pytest.mark.parametrize(
    ("ran", "off", "words"),
    [
        (None, (0, 20, 20), "off by 13.3 levels"),
        (1.0, (0, 20, 20), "off by 13.3 levels"),
        (0.9, (0, 20, 20), ""),
        (0.0, (0, 200, 200), ""),
        (0.9, (14, 0, 0), "off by 14.0 levels"),
    ],
)
def test_what_is_unclear_is_not_judged_where_the_generator_did_not_run(
    nights: list[Frames], ran: float | None, off: tuple[int, int, int], words: str
) -> None:
    right = np.zeros((1, 24, 32, 3), np.uint8)

    def translate(frames: Frames) -> Translation[Frames]:
        trust = right + np.array(off, np.uint8)
        return Translation(reference(frames), trust, None if ran is None else (ran,))

    given = [(frame[None],) for frame in nights]
    wanted = [Translation(reference(frames), right) for (frames,) in given]
    verdict = qualify(translate, wanted, given, precision="fp32", clock=Clock())
    assert bool(verdict.mismatch) == bool(words)
    assert words in verdict.mismatch


def test_one_colour_is_right_where_it_is_wanted(nights: list[Frames]) -> None:
    flat = [np.full_like(nights[0], 7)]
    assert judged(reference, flat).accepted


@pytest.mark.parametrize(
    ("replaced_ms", "budget_ms", "accepted"),
    [
        (None, None, True),
        (32.0, None, True),
        (31.25, None, False),  # no faster
        (20.0, None, False),
        (20.0, 31.25, True),  # meets the budget
        (20.0, 31.0, False),
        (32.0, 10.0, True),
        (None, 31.0, False),
    ],
)
def test_speed(
    nights: list[Frames], replaced_ms: float | None, budget_ms: float | None, accepted: bool
) -> None:
    clock = Clock()
    calls = 0

    def engine(frames: Frames) -> Frames:
        nonlocal calls
        assert frames.shape == (1, 48, 64, 3)
        calls += 1
        clock.now += 0.5 if calls <= 4 or calls == 6 else 0.03125  # warming up, and held up once
        return reference(frames)

    verdict = judged(engine, nights, replaced_ms=replaced_ms, budget_ms=budget_ms, clock=clock)
    assert verdict.ms == 31.25  # 1/32 s adds up without rounding
    assert verdict.accepted is accepted
    assert not verdict.mismatch
    if not accepted:
        assert "31.2 ms" in verdict.reason


def test_how_long_is_measured(nights: list[Frames]) -> None:
    fewest, most = RUNS
    for seconds, runs in ((0.0, most), (60.0, fewest), (0.125, 4)):
        clock = Clock()
        times = 0

        def engine(frames: Frames, clock: Clock = clock, seconds: float = seconds) -> None:
            nonlocal times
            times += 1
            clock.now += seconds

        assert latency_ms(engine, [(frame[None],) for frame in nights], clock=clock) == pytest.approx(
            seconds * 1000
        )
        assert times == runs


def test_what_is_timed_in_turns_does_not_hang_on_what_else_runs(nights: list[Frames]) -> None:
    """The machine becomes four times as slow while the engine is timed, and faster again."""
    for beside, wanted in ((True, 50.0), (False, 200.0)):
        clock, calls = Clock(), 0

        def engine(frames: Frames, seconds: float = 0.05, clock: Clock = clock) -> Frames:
            nonlocal calls
            calls += 1
            clock.now += seconds * (4 if 4 < calls < 30 else 1)
            return reference(frames)

        def other(frames: Frames) -> Frames:
            return engine(frames, 0.1)

        verdict = judged(engine, nights, replaced_ms=100.0, clock=clock, beside=other if beside else None)
        assert verdict.ms == pytest.approx(wanted)


def test_a_verdict_is_read_as_it_was_written(nights: list[Frames], tmp_path: Path) -> None:
    for verdict in (
        judged(reference, nights, replaced_ms=3.0),
        Qualification(precision="int8", fault="cannot be run: RuntimeError: no"),
    ):
        verdict.save(tmp_path)
        again = Qualification.load(tmp_path)
        assert repr(again) == repr(verdict)
        assert again.reason == verdict.reason
        json.loads((tmp_path / "verdict.json").read_text(), parse_constant=pytest.fail)  # NaN is no JSON
