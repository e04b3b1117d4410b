"""The night gate: no flapping at dusk, under lightning or headlights."""

import av
import numpy as np
import pytest

from pipeline.gate import DWELL, INTERVAL, Light, NightGate, measure

NIGHT, DAY, INFRARED = Light(30, 8), Light(140, 8), Light(150, 0.3)


def run(gate: NightGate, light: Light, *, start: float, seconds: float, step: float = 0.5) -> list[bool]:
    return [gate.update(light, now=start + step * index) for index in range(round(seconds / step))]


@pytest.mark.parametrize(
    ("light", "night"), [(NIGHT, True), (DAY, False), (INFRARED, True), (Light(0, 0), True)]
)
def test_the_first_measurement_decides(light: Light, night: bool) -> None:
    gate = NightGate()
    assert gate.night is None
    assert gate.update(light, now=0.0) is night
    assert gate.night is night


def test_a_change_takes_effect_after_the_dwell_time() -> None:
    gate = NightGate(dwell=10)
    run(gate, NIGHT, start=0, seconds=5)
    dawn = run(gate, DAY, start=5, seconds=20)
    assert dawn == [True] * 20 + [False] * 20
    dusk = run(gate, NIGHT, start=25, seconds=20)
    assert dusk == [False] * 20 + [True] * 20


@pytest.mark.parametrize(("steady", "flash"), [(NIGHT, DAY), (DAY, NIGHT), (INFRARED, DAY)])
def test_flashes_shorter_than_the_dwell_time_change_nothing(steady: Light, flash: Light) -> None:
    gate = NightGate()
    expected = gate.update(steady, now=0)
    now = 1.0
    for _ in range(50):
        states = run(gate, flash, start=now, seconds=DWELL - 0.5)
        states += run(gate, steady, start=now + DWELL, seconds=1)
        assert set(states) == {expected}
        now += DWELL + 2


def test_a_slow_dusk_crosses_once() -> None:
    """An hour from noon to midnight and back, with noise wider than the hysteresis."""
    rng = np.random.default_rng()
    gate = NightGate()
    luma = np.concatenate([np.linspace(160, 20, 7200), np.linspace(20, 160, 7200)]) + rng.normal(0, 12, 14400)
    states = [gate.update(Light(float(value), 8), now=0.5 * index) for index, value in enumerate(luma)]
    assert states[0] is False
    assert states[7200] is True
    assert states[-1] is False
    assert int(np.abs(np.diff(np.array(states, int))).sum()) == 2


def test_between_the_thresholds_it_stays_as_it_is() -> None:
    for start, expected in ((NIGHT, True), (DAY, False)):
        gate = NightGate()
        gate.update(start, now=0)
        assert set(run(gate, Light(87, 2), start=1, seconds=100)) == {expected}


def test_measures_only_so_often() -> None:
    gate = NightGate(dwell=0)
    assert not gate.decide(frame(160, (100, 150)), now=0)
    assert not gate.decide(frame(20, (100, 150)), now=INTERVAL / 2)
    assert gate.decide(frame(20, (100, 150)), now=INTERVAL)


def frame(luma: int, chroma: tuple[int, int], *, size: tuple[int, int] = (350, 286)) -> av.VideoFrame:
    video = av.VideoFrame(*size, "yuv420p")
    for plane, value in zip(video.planes, (luma, *chroma), strict=True):
        rows = np.full(
            (plane.height, plane.line_size), 255 if value < 128 else 0, np.uint8
        )  # padding is not light
        rows[:, : plane.width] = value
        plane.update(rows.tobytes())
    return video


@pytest.mark.parametrize("size", [(350, 286), (1920, 1080), (32, 48)])
@pytest.mark.parametrize(
    "pixels", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le", "rgb24", "bgr24"]
)
def test_measure_reads_every_pixel_format(pixels: str, size: tuple[int, int]) -> None:
    video = frame(63, (118, 148), size=size)
    light = measure(video.reformat(format=pixels))
    assert light.luma == pytest.approx((63 - 16) * 255 / 219, abs=2)
    assert light.chroma == pytest.approx(30 if not pixels.startswith("yuvj") else 34, abs=4.5)


def test_measure_of_grey() -> None:
    assert measure(frame(63, (128, 128)).reformat(format="gray")).chroma == 0
    assert measure(frame(235, (128, 128))).luma == pytest.approx(255, abs=0.5)
    assert measure(frame(16, (128, 128))) == Light(0.0, 0.0)
