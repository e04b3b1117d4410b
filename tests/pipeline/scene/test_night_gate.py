"""The night gate: no flapping at dusk, under lightning or headlights, and no night missed because of them."""

import threading
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from nightday.pipeline.config.schema import CameraConfig
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.fault_log import FaultLog
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.scene.hues import Hues
from nightday.pipeline.scene.light import GLARE, Light, measure
from nightday.pipeline.scene.night_gate import DWELL, FIRST_DWELL, INTERVAL, NightGate, doubt_text
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.translation.channel import Channel
from tests.support.engines import EngineStub

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
    run(gate, steady, start=0.5, seconds=5)
    now = 6.0
    for _ in range(50):
        states = run(gate, flash, start=now, seconds=DWELL - 0.5)
        states += run(gate, steady, start=now + DWELL - 0.5, seconds=DWELL)
        assert set(states) == {expected}
        now += 2 * DWELL


@pytest.mark.parametrize(
    ("light", "state"),
    [(NIGHT, "night"), (DAY, "day"), (INFRARED, "night"), (Light(88, 8), None), (Light(150, 1.4), None)],
)
def test_it_is_sure_of_a_state_that_nothing_speaks_against(light: Light, state: str | None) -> None:
    gate = NightGate()
    gate.update(light, now=0.0)
    assert gate.sure is None  # a first guess
    run(gate, light, start=0.5, seconds=FIRST_DWELL + 1)
    assert gate.sure == state


def test_it_is_sure_of_nothing_in_a_flash_or_while_the_light_changes() -> None:
    gate = NightGate()
    run(gate, NIGHT, start=0, seconds=5)
    assert not gate.contradicted
    gate.update(DAY, now=5)
    assert gate.sure is None
    assert gate.contradicted
    gate.update(NIGHT, now=5.5)
    assert gate.sure == "night"
    dawn: list[str | None] = []
    for second in range(6, 30):
        gate.update(DAY, now=second)
        dawn.append(gate.sure)
        assert gate.contradicted is bool(gate.night)  # a picture between the two is of neither
    assert dawn == [None] * dawn.count(None) + ["day"] * dawn.count("day")
    assert dawn.count(None) >= DWELL - 1


def switches(states: list[bool]) -> int:
    return int(np.abs(np.diff(np.array(states, int))).sum())


def simulate(gate: NightGate, luma: np.ndarray, chroma: np.ndarray | float, *, step: float) -> list[bool]:
    colour = np.broadcast_to(chroma, luma.shape)
    lights = zip(np.clip(luma, 0, GLARE), colour, strict=True)
    return [gate.update(Light(float(a), float(b)), now=step * index) for index, (a, b) in enumerate(lights)]


@pytest.mark.parametrize("noise", [0, 3, 12, 25])
def test_a_slow_dusk_and_a_slow_dawn_cross_once_each(rng: np.random.Generator, noise: float) -> None:
    """Three hours each, with noise up to twice the hysteresis and clouds that dim it by a tenth."""
    ramp = np.concatenate([np.linspace(160, 20, 21600), np.linspace(20, 160, 21600)])
    clouds = 1 + 0.05 * np.sin(np.arange(ramp.size) * 0.5 * 2 * np.pi / 20)  # each 20 s
    states = simulate(NightGate(), ramp * clouds + rng.normal(0, noise, ramp.size), 8, step=0.5)
    assert (states[0], states[21600], states[-1]) == (False, True, False)
    assert switches(states) == 2


@pytest.mark.parametrize("luma", [82, 88.5, 95])
@pytest.mark.parametrize("noise", [1, 5, 20])
def test_six_hours_at_a_threshold_switch_once_at_most(
    rng: np.random.Generator, luma: float, noise: float
) -> None:
    for first in (NIGHT, DAY):
        gate = NightGate()
        run(gate, first, start=-5, seconds=5)
        assert switches(simulate(gate, luma + rng.normal(0, noise, 43200), 8, step=0.5)) <= 1


def test_a_night_of_lightning_stays_night(rng: np.random.Generator) -> None:
    """Two hours of flashes, some of several strokes within seconds, measured four times a second."""
    luma, now = np.full(28800, 30.0), 20
    while now < luma.size - 50:
        for _ in range(int(rng.integers(1, 7))):
            lasts = int(rng.integers(1, 5))
            luma[now : now + lasts] = rng.uniform(100, 255)
            now += lasts + int(rng.integers(1, 4))
        now += int(rng.integers(8, 200))
    assert set(simulate(NightGate(), luma, 8, step=0.25)) == {True}


def road(rng: np.random.Generator, seconds: int, *, light: float, busy: float) -> list[av.VideoFrame]:
    """A road seen once a second: its own picture at ``light``, and headlights in the view ``busy`` of the time.

    Headlights saturate 3 to 20 % of the view, light up as much again around it, and pass within 2 to 8 s.
    """
    scene = rng.uniform(0.4, 1.6, (48, 64)) * light
    y, x = np.mgrid[:48, :64]
    frames, left = [], 0
    for _ in range(seconds):
        picture = scene + rng.normal(0, 4, scene.shape)
        if left == 0 and rng.random() < busy / 5 / max(1 - busy, 0.01):
            left, place, size = int(rng.integers(2, 9)), rng.uniform(10, 54, 2), rng.uniform(6, 14)
        if left:
            left -= 1
            away = np.hypot(x - place[0], y - place[1] * 0.7)
            picture = np.maximum(picture, 255 * np.clip(3 - 2 * away / size, 0, 1))
        frames.append(frame_of(np.clip(picture, 0, 255).astype(np.uint8)))
    return frames


def test_headlights_do_not_end_the_night(rng: np.random.Generator) -> None:
    gate = NightGate()
    states = [gate.decide(seen, now=now) for now, seen in enumerate(road(rng, 1200, light=35, busy=0.6))]
    assert switches(states[5:]) == 0
    assert states[-1]


def test_a_car_every_six_seconds_does_not_put_off_the_night() -> None:
    """Such a road is never dark for as long as ``DWELL``; and cars for half of the time do not end its night."""
    gate = NightGate()
    run(gate, DAY, start=-10, seconds=10)
    states = []
    for start in range(0, 600, 6):
        states += run(gate, NIGHT, start=start, seconds=5, step=0.25)
        states += run(gate, DAY, start=start + 5, seconds=1, step=0.25)
    for start in range(600, 1200, 6):
        states += run(gate, NIGHT, start=start, seconds=3, step=0.25)
        states += run(gate, DAY, start=start + 3, seconds=3, step=0.25)
    assert switches([False, *states]) == 1
    assert all(states[4 * 60 :])


def test_headlights_at_dusk_change_nothing_about_the_night(rng: np.random.Generator) -> None:
    gate = NightGate()
    run(gate, DAY, start=-10, seconds=10)
    states = [gate.decide(seen, now=now) for now, seen in enumerate(road(rng, 600, light=45, busy=0.6))]
    assert switches([False, *states]) == 1
    assert all(states[120:])


def test_lightning_or_a_grey_picture_at_the_start_is_soon_put_right() -> None:
    for steady, first in ((NIGHT, DAY), (DAY, Light(128, 0))):
        gate = NightGate()
        gate.update(first, now=0)
        states = run(gate, steady, start=0.25, seconds=30, step=0.25)
        assert gate.night is not None
        assert states.index(gate.night) * 0.25 <= FIRST_DWELL + 0.25
        assert switches(states) == 1
        brief = run(gate, first, start=31, seconds=DWELL - 1, step=0.25)  # and then takes its time
        assert switches([states[-1], *brief]) == 0


def test_an_infrared_camera_changes_once_at_dusk_and_once_at_dawn(rng: np.random.Generator) -> None:
    """Its filter moves at a luma of 60 with a few pink pictures, its lamps make the night brighter than the dusk."""
    lumas, chromas, infrared, pink = [], [], False, 0
    for light in [*np.linspace(150, 10, 7200), *np.linspace(10, 150, 7200)]:
        switch = light < 60 if not infrared else light > 75
        if switch:
            infrared, pink = not infrared, 6
        pink -= 1
        lumas.append(190.0 if pink >= 0 else 135.0 if infrared else light)
        chromas.append(45.0 if pink >= 0 else 0.2 if infrared else 8.0)
    noise = rng.normal(0, 5, len(lumas))
    states = simulate(NightGate(), np.array(lumas) + noise, np.array(chromas), step=0.5)
    assert (states[0], states[7200], states[-1]) == (False, True, False)
    assert switches(states) == 2


def test_an_infrared_camera_that_cannot_make_up_its_mind_by_night_stays_night(
    rng: np.random.Generator,
) -> None:
    """Its own lamps fool it: infrared and dark colour by turns for an hour, with a bright pink second between."""
    gate, states = NightGate(), []
    gate.update(Light(40, 8), now=0)
    run(gate, Light(40, 8), start=0.5, seconds=5)
    now = 6.0
    while now < 3600:
        for light in (Light(180, 40), Light(140, 0.1), Light(180, 40), Light(45, 9)):
            seconds = 1.5 if light.chroma == 40 else float(rng.integers(5, 40))
            states += run(gate, light, start=now, seconds=seconds)
            now += seconds
    assert set(states) == {True}


def test_time_in_which_nothing_was_measured_counts_for_nothing() -> None:
    """A camera that was away between two flashes has not been bright all the while."""
    gate = NightGate()
    run(gate, NIGHT, start=0, seconds=5)
    for now in (6, 600, 1200, 1800):
        assert gate.update(DAY, now=now)
    for now in range(2400, 6000, 600):  # but a camera that sends a picture now and then changes as well
        gate.update(DAY, now=now)
    assert gate.night is False


def test_between_the_thresholds_it_stays_as_it_is() -> None:
    for start, expected in ((NIGHT, True), (DAY, False)):
        gate = NightGate()
        gate.update(start, now=0)
        assert set(run(gate, Light(87, 2), start=1, seconds=100)) == {expected}


def test_measures_only_so_often() -> None:
    gate = NightGate(dwell=0)
    assert not gate.decide(frame(160, (100, 150)), now=0)
    assert gate.light == measure(frame(160, (100, 150)))
    assert not gate.decide(frame(20, (100, 150)), now=INTERVAL / 2)
    assert gate.decide(frame(20, (100, 150)), now=INTERVAL)
    assert gate.light == measure(frame(20, (100, 150)))


def frame_of(grey: np.ndarray) -> av.VideoFrame:
    """A full-range frame of ``grey`` (h, w) with some colour."""
    colour = np.full((grey.shape[0] // 2, grey.shape[1]), 120, np.uint8)
    colour[::2] = 136
    return av.VideoFrame.from_ndarray(np.vstack((grey, colour)), format="yuvj420p")


def frame(luma: int, chroma: tuple[int, int], *, size: tuple[int, int] = (350, 286)) -> av.VideoFrame:
    video = av.VideoFrame(*size, "yuv420p")
    for index, (plane, value) in enumerate(zip(video.planes, (luma, *chroma), strict=True)):
        rows = np.full(
            (plane.height, plane.line_size), 255 if value < 128 else 0, np.uint8
        )  # padding is not light
        rows[:, : plane.width] = value
        if index:  # the lower half has another colour: a single tint is no colour
            rows[plane.height // 2 :, : plane.width] = 256 - value
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
    # From one half's colour to the tint between the halves, or to the other half's.
    assert 0.85 * np.hypot(10, 20) < light.chroma < 1.15 * 2 * np.hypot(10, 20)


def test_measure_of_grey() -> None:
    assert measure(frame(63, (128, 128)).reformat(format="gray")).chroma == 0
    assert measure(frame(235, (128, 128))).luma == GLARE
    assert measure(frame(16 + round(150 * 219 / 255), (128, 128))).luma == pytest.approx(150, abs=0.7)
    assert measure(frame(16, (128, 128))) == Light(0.0, 0.0)


def test_what_glares_counts_as_no_more_than_glare() -> None:
    picture = np.full((48, 64), 30, np.uint8)
    picture[:, :32] = 255
    assert measure(frame_of(picture)).luma == pytest.approx((30 + GLARE) / 2)
    assert measure(frame_of(np.full((48, 64), GLARE - 1, np.uint8))).luma == pytest.approx(GLARE - 1)


def test_a_switch_is_logged_once_with_the_light_that_made_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    config = CameraConfig.model_construct(name="gate", translate="night", url=CameraUrl("rtsp://10.0.0.5/s"))
    stats = CameraStats()
    slot = LatestSlot(ready=threading.Condition(), stats=stats)
    channel = Channel(config=config, stats=stats, slot=slot, engine=EngineStub(), gate=NightGate(dwell=1))
    for second in range(40):
        video = frame(20 if second < 10 else 160, (100, 150))
        translated = channel.is_night(
            Frame("gate", video, pts=second, time_base=Fraction(1), decoded_at=0.0, wall_time=0.0)
        )
    assert not translated
    assert [record.__dict__["event"] for record in caplog.records] == ["night_began", "day_began"]
    assert caplog.messages[1] == "gate: day (luma 168, colour 71.2)"


# --- infra-red with what cameras and lamps put into it, and days nearly without colour ----------------------------


def told(picture: np.ndarray, *, day: np.ndarray | None = None, seconds: int = 60) -> str:
    """What a gate says of a picture, (H, W, 3) RGB, that it sees for so long."""
    gate = NightGate(day=day)
    video = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
        format="yuv420p"
    )
    light = measure(video)
    for second in range(seconds):
        gate.update(light, now=second)
    return "unsure" if gate.doubt else gate.sure or "unsure"


def infrared(rng: np.random.Generator, *, level: float = 115, contrast: float = 40) -> np.ndarray:
    """A bright infra-red yard, (288, 352, 3): grey patches, brightest in the middle, with a sensor's noise."""
    patches = cv2.GaussianBlur(rng.normal(0, 1, (288, 352)), (0, 0), 12)
    y, x = np.mgrid[:288, :352]
    lamp = np.exp(-(((x - 176) / 200) ** 2) - ((y - 170) / 170) ** 2)
    grey = patches / patches.std() * 0.6 + (lamp - lamp.mean()) / lamp.std() * 0.8
    grey = level + contrast * grey / grey.std() + rng.normal(0, 4, grey.shape)
    return np.asarray(np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2))


def cast(picture: np.ndarray, *gains: float) -> np.ndarray:
    return np.asarray(np.clip(picture * np.array(gains), 0, 255), np.uint8)


def lettered(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    lettering = np.array(picture)
    cv2.putText(lettering, "2024-01-17 WED 02:13:44", (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 2)
    cv2.putText(lettering, "CAMERA 04 YARD", (190, 276), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 2)
    return lettering


@pytest.mark.parametrize("colour", [(255, 255, 0), (255, 255, 255), (0, 255, 0), (255, 0, 0)])
def test_lettering_and_logos_make_no_day_of_an_infrared_night(
    rng: np.random.Generator, colour: tuple[int, int, int]
) -> None:
    night = infrared(rng)
    assert told(night) == "night"
    assert told(lettered(night, colour)) == "night"
    top, left = int(rng.integers(0, 180)), int(rng.integers(0, 220))
    night[top : top + 100, left : left + 120] = (20, 60, 220)  # 12 % of the picture
    assert told(lettered(night, colour)) == "night"


@pytest.mark.parametrize(
    "gains", [(1.2, 0.94, 1.12), (1.2, 0.9, 1.2), (1, 1.15, 1), (1.05, 1, 0.95), (1, 1, 1.1)]
)
@pytest.mark.parametrize("contrast", [8, 40])
def test_a_cast_makes_no_day_of_an_infrared_night(
    rng: np.random.Generator, gains: tuple[float, float, float], contrast: float
) -> None:
    assert told(cast(infrared(rng, contrast=contrast), *gains)) == "night"


def test_coloured_lamps_make_no_day_of_an_infrared_night(rng: np.random.Generator) -> None:
    night = infrared(rng).astype(float)
    y, x = np.mgrid[:288, :352]
    for colour in ((255, 120, 40), (40, 40, 255), (60, 220, 60)):
        place = rng.uniform(40, 240, 2)
        glow = np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * 9**2))
        night += glow[..., None] * np.array(colour)
    assert told(np.clip(night, 0, 255).astype(np.uint8)) == "night"


def test_infrared_with_a_cast_lamps_a_logo_and_letters_at_once_is_never_day_without_a_word(
    rng: np.random.Generator,
) -> None:
    night = cast(infrared(rng), 1.15, 0.95, 1.1)
    top, left = int(rng.integers(0, 180)), int(rng.integers(0, 220))
    night[top : top + 80, left : left + 100] = (20, 60, 220)
    assert told(lettered(night, (255, 255, 0))) in ("night", "unsure")


@pytest.mark.parametrize("place", ["across", "down", "out"])
@pytest.mark.parametrize("strength", [0.03, 0.06])
def test_a_tint_that_changes_over_the_picture_makes_no_day_of_an_infrared_night(
    rng: np.random.Generator, place: str, strength: float
) -> None:
    y, x = np.mgrid[-1:1:288j, -1:1:352j]
    where = {"across": x, "down": y, "out": x**2 + y**2 - 1}[place]
    gains = 1 + strength * where[..., None] * np.array([1.0, -0.3, 0.6])
    assert told(np.clip(infrared(rng) * gains, 0, 255).astype(np.uint8)) == "night"


@pytest.mark.parametrize("colour", [(0.6, 0.8, 1.6), (1.0, 0.8, 0.5)])
def test_a_lamp_that_colours_a_third_of_an_infrared_night_is_never_day_without_a_word(
    rng: np.random.Generator, colour: tuple[float, float, float]
) -> None:
    night = infrared(rng).astype(float)
    side = slice(None, 118) if rng.random() < 0.5 else slice(-118, None)
    night[:, side] *= colour
    assert told(np.clip(night, 0, 255).astype(np.uint8)) in ("night", "unsure")


@pytest.mark.parametrize("colour", [(1.0, 0.62, 0.18), (1.0, 0.8, 0.5)])
def test_a_night_under_sodium_is_never_day_without_a_word(
    rng: np.random.Generator, colour: tuple[float, float, float]
) -> None:
    """Such lamps show hardly any colour but their own."""
    day = real_day().astype(float)
    grey = day.mean(2, keepdims=True)
    lit = (grey + 0.1 * (day - grey)) * np.array(colour)
    lit *= rng.uniform(115, 140) / lit.mean()
    assert told(np.clip(lit, 0, 255).astype(np.uint8)) in ("night", "unsure")


def test_a_night_that_is_warm_on_one_side_and_cold_on_the_other_is_never_day_without_a_word() -> None:
    lit = real_day().astype(float)
    half = lit.shape[1] // 2
    lit[:, :half] *= (1.0, 0.8, 0.5)
    lit[:, half:] *= (0.86, 1.0, 1.15)
    assert told(np.clip(lit, 0, 255).astype(np.uint8)) in ("night", "unsure")


def test_a_pale_day_counts_as_day_and_it_is_told_that_it_may_be_infrared() -> None:
    gate = NightGate()
    for second in range(60):
        gate.update(Light(130, 1.8, hues=Hues(variety=0.9, cast=0, lamps=0)), now=second)
    assert (gate.night, gate.sure, gate.doubt) == (False, "day", "pale")
    assert "infra-red picture with a tint; it is taken for day" in doubt_text("pale", night=False)


def real_day() -> np.ndarray:
    with av.open("benchmarks/clips/day_tfl_09731_a1_barnet.mp4") as clip:
        return np.asarray(next(clip.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)


def test_a_day_in_fog_or_snow_is_not_taken_for_night(rng: np.random.Generator) -> None:
    day = real_day().astype(float)
    assert told(day.astype(np.uint8)) == "day"
    for clear in (0.6, 0.4, 0.25):
        through = np.linspace(clear / 2, clear, len(day))[:, None, None]
        fog = day * through + 203 * (1 - through) + rng.normal(0, 1.5, day.shape)
        assert told(np.clip(fog, 0, 255).astype(np.uint8)) in ("day", "unsure")
    snow = day.copy()
    snow[100:] = 0.25 * day[100:] + 0.75 * np.array([176, 178, 184])
    assert told(snow.astype(np.uint8)) in ("day", "unsure")


# --- nights lit like day ---------------------------------------------------------------------------------------


def lit_night(day: np.ndarray) -> np.ndarray:
    """The scene by lamps: a black sky, a road that is bright from below, and as bright all in all."""
    height = np.linspace(0, 1, len(day))[:, None, None]
    lamps = np.clip(day * (0.1 + 1.6 * height) + 25, 0, 255)
    return np.asarray(np.clip(lamps * (125 / lamps.mean()), 0, 255), np.uint8)


def test_a_night_lit_like_day_is_told_by_the_cameras_own_day_or_is_in_doubt() -> None:
    day = real_day()
    night = lit_night(day)
    assert measure(av.VideoFrame.from_ndarray(night, format="rgb24")).luma > 100
    assert told(night, day=day) == "night"
    assert told(night) == "unsure"
    assert told(day, day=day) == "day"
    assert told(cast(day, 0.85, 0.9, 1), day=day) == "day"


def test_the_sun_tells_lit_nights_from_days(caplog: pytest.LogCaptureFixture) -> None:
    """London, 21 December 2026: sunrise 8:04, sunset 15:53 UTC."""
    midnight = 1_797_811_200.0
    bright, grey = Light(125, 8), Light(150, 1.1)
    for hour, state in ((1, True), (6, True), (10, False), (14, False), (17, True), (22, True)):
        gate = NightGate(location=(51.5, -0.13))
        for light in (bright, grey) if not state else (bright,):
            for second in range(30):
                night = gate.update(light, now=second, time=midnight + 3600 * hour + second)
            assert (night, gate.doubt, gate.told_by) == (state, None, "sun")


def test_doubt_is_told_once_and_again_after_it_was_over(caplog: pytest.LogCaptureFixture) -> None:
    gate = NightGate(faults=FaultLog("gate"))
    now = 0.0
    for _ in range(2):
        for light in (Light(150, 0.2), Light(150, 1.1)):
            for _ in range(100):
                gate.update(light, now=now)
                now += 1
            assert gate.night
            assert (gate.doubt, gate.sure) == (("colour", None) if light.chroma > 1 else (None, "night"))
    assert [record.__dict__["event"] for record in caplog.records] == ["night_unsure"] * 2
    assert "translate: always" in caplog.messages[0]
