"""The night simulation against the physics it claims."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.linear_light import linear_to_srgb, srgb_to_linear
from nightday.train.footage.night_conditions import (
    TEST_NIGHT,
    TRAIN_NIGHT,
    Lamp,
    NightConditions,
    Panel,
    random_conditions,
)
from nightday.train.footage.night_simulation import main
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import read_frames

# A perfect camera: nothing but less light
CLEAN = NightConditions(
    ambient=0.05,
    ambient_colour=(1, 1, 1),
    glare=(),
    headlights=0,
    photons=1e7,
    read_noise=0,
)


def picture(rng: np.random.Generator, height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_srgb_curve_is_the_standards(rng: np.random.Generator) -> None:
    levels = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    linear = srgb_to_linear(levels)
    # IEC 61966-2-1 in double precision
    v = np.arange(256) / 255
    want = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(linear[0, :, 0], want, rtol=1e-6)
    np.testing.assert_array_equal(np.rint(linear_to_srgb(linear) * 255), levels)


def test_without_lamps_and_noise_it_is_an_exposure(rng: np.random.Generator) -> None:
    day = picture(rng)
    truth = day.copy()
    night = NightSimulator(replace(CLEAN, exposure=2.0), day.shape[:2], rng)(day)
    want = np.rint(linear_to_srgb(srgb_to_linear(day) * np.float32(0.1)) * 255)
    assert np.abs(night - want).max() <= 1
    np.testing.assert_array_equal(day, truth)  # the truth is kept


def test_shot_noise_has_the_variance_of_counted_photons(rng: np.random.Generator) -> None:
    day = np.full((200, 200, 3), 188, np.uint8)  # linear 0.5
    for photons in (200.0, 2000.0):
        conditions = replace(CLEAN, ambient=0.8, photons=photons)
        night = NightSimulator(conditions, (200, 200), rng)(day)
        linear = srgb_to_linear(night).astype(np.float64)
        level = srgb_to_linear(day)[0, 0, 0] * 0.8
        assert linear.mean() == pytest.approx(level, rel=0.02)
        assert linear.var() == pytest.approx(level / photons, rel=0.1)


def test_read_noise_remains_where_there_is_no_light(rng: np.random.Generator) -> None:
    black = np.zeros((200, 200, 3), np.uint8)
    quiet = NightSimulator(CLEAN, (200, 200), rng)(black)
    noisy = NightSimulator(replace(CLEAN, read_noise=0.02), (200, 200), rng)(black)
    assert quiet.max() == 0
    # half the noise is negative and clipped; the other half keeps E[x²] = σ²/2
    power = (srgb_to_linear(noisy).astype(np.float64) ** 2).mean()
    assert power == pytest.approx(0.02**2 / 2, rel=0.1)


def test_a_lamp_shines_lights_the_ground_below_and_spreads_in_the_lens(rng: np.random.Generator) -> None:
    day = np.full((120, 160, 3), 128, np.uint8)
    lamp = Lamp(x=0.5, y=0.2, drop=0.4, reach=0.2, power=0.3, glow=10, colour=(1.5, 1.0, 0.4))
    dark = NightSimulator(CLEAN, (120, 160), rng)(day).astype(int)
    lit = NightSimulator(replace(CLEAN, lamps=(lamp,)), (120, 160), rng)(day).astype(int)
    glaring = NightSimulator(replace(CLEAN, lamps=(lamp,), glare=((0.05, 0.1),)), (120, 160), rng)(
        day
    ).astype(int)
    assert (lit[24, 80] == 255).all()  # the lamp itself saturates
    assert lit[72, 80].sum() > dark[72, 80].sum() + 60  # its pool
    assert lit[72, 80, 0] > lit[72, 80, 2] + 20  # in its colour
    assert abs(lit[118, 2] - dark[118, 2]).max() <= 3  # not everywhere
    assert glaring[24, 90].sum() > lit[24, 90].sum() + 8  # the halo


def test_vehicles_carry_lights_and_still_things_do_not(rng: np.random.Generator) -> None:
    day = np.full((120, 160, 3), 100, np.uint8)
    vehicle = np.zeros((120, 160), bool)
    vehicle[60:75, 100:120] = True
    conditions = replace(CLEAN, headlights=6.0, oncoming_side=0.5)
    oncoming = NightSimulator(conditions, (120, 160), rng)(day, vehicle)
    receding = NightSimulator(replace(conditions, oncoming_side=-0.5), (120, 160), rng)(day, vehicle)
    nothing = NightSimulator(conditions, (120, 160), rng)(day, np.zeros_like(vehicle))
    assert (oncoming[60:80, 100:120].min(axis=2) == 255).any()  # white
    red = receding[60:80, 100:120]
    assert ((red[..., 0] > 200) & (red[..., 2] < 120)).any()
    assert nothing.max() < 60


def test_a_streak_runs_along_its_angle(rng: np.random.Generator) -> None:
    black = np.zeros((100, 100, 3), np.uint8)
    lamp = Lamp(0.5, 0.5, 0.0, 0.01, 0.0, 12.0, (1, 1, 1))
    for angle, along, across in ((0.0, (50, 65), (65, 50)), (90.0, (65, 50), (50, 65))):
        conditions = replace(CLEAN, lamps=(lamp,), streak=0.1, streak_length=0.15, streak_angle=angle)
        night = NightSimulator(conditions, (100, 100), rng)(black)
        assert night[along].min() > night[across].max() + 20


def test_compression_loses_detail_but_not_colour(rng: np.random.Generator) -> None:
    day = np.empty((96, 128, 3), np.uint8)
    day[:] = (250, 120, 60)
    day[::2, ::2] -= 40
    sharp = NightSimulator(replace(CLEAN, ambient=0.3), (96, 128), rng)(day).astype(int)
    soft = NightSimulator(replace(CLEAN, ambient=0.3, jpeg_quality=10), (96, 128), rng)(day)
    assert soft.flags.c_contiguous  # PyTorch takes no other
    assert soft.std(axis=(0, 1)).max() < 0.7 * sharp.std(axis=(0, 1)).max()
    assert np.abs(soft.mean(axis=(0, 1)) - sharp.mean(axis=(0, 1))).max() < 5


def test_random_nights_are_dark_and_differ(rng: np.random.Generator) -> None:
    day = picture(rng, 96, 128)
    nights = [NightSimulator(random_conditions(rng), (96, 128), rng)(day) for _ in range(12)]
    means = [float(n.mean()) for n in nights]
    assert np.quantile(means, 0.75) < day.mean()  # a floodlit one may be as bright as this day of noise
    assert np.std(means) > 3


def test_the_scored_night_is_not_the_trained_one() -> None:
    assert TRAIN_NIGHT != TEST_NIGHT
    assert not set(TRAIN_NIGHT.lamps) & set(TEST_NIGHT.lamps)
    assert len(TEST_NIGHT.glare) > max(
        len(random_conditions(np.random.default_rng(i)).glare) for i in range(20)
    )


def test_the_same_seed_gives_the_same_night(rng: np.random.Generator) -> None:
    day = picture(rng)
    a, b = (NightSimulator(TEST_NIGHT, day.shape[:2], np.random.default_rng(5))(day) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_foreground_is_what_differs(rng: np.random.Generator) -> None:
    background = np.full((60, 80, 3), 120, np.uint8)
    frame = background.copy()
    frame[20:32, 30:50] = (40, 60, 200)
    frame[50, 70] = 255  # a speck
    mask = foreground_mask(frame, background)
    assert mask[21:31, 31:49].all()
    assert not mask[45:, 60:].any()
    assert mask.sum() < 1.5 * 12 * 20


def test_the_command_darkens_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = Path(__file__).parents[3] / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"
    short = tmp_path / "short.mp4"
    with av.open(str(short), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 352, 288, "yuv420p"
        for frame in read_frames(day)[:6]:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    assert main([str(short), str(tmp_path / "night.mp4"), "--seed", "3"]) == 0
    assert "6 frames" in capsys.readouterr().out
    nights = read_frames(tmp_path / "night.mp4")
    assert len(nights) == 6
    assert np.mean(nights) < 0.4 * np.mean(read_frames(short))
    (tmp_path / "file").touch()
    for day, night, seed, words in (
        (tmp_path / "missing.mp4", tmp_path / "x.mp4", "0", "missing.mp4"),
        (short, tmp_path / "file" / "x.mp4", "0", "x.mp4"),
        (short, tmp_path / "x.foo", "0", "x.foo"),
        (short, tmp_path / "x.mp4", "-1", "x.mp4"),
    ):
        with pytest.raises(SystemExit) as caught:
            main([str(day), str(night), "--seed", seed])
        assert caught.value.code == 2
        message = capsys.readouterr().err
        assert words in message
        assert message.count("\n") == 1


def test_a_floodlit_wall_is_lit_and_a_window_shines_by_itself(rng: np.random.Generator) -> None:
    day = picture(rng, 100, 120)
    panel = Panel(x=0.5, y=0.5, width=0.4, height=0.2, power=0.5, colour=(1.0, 1.0, 0.2))
    dark, flood, window = (
        srgb_to_linear(NightSimulator(conditions, (100, 120), rng)(day)).astype(np.float64)
        for conditions in (CLEAN, replace(CLEAN, floodlit=(panel,)), replace(CLEAN, windows=(panel,)))
    )
    inside = np.zeros((100, 120), bool)
    inside[42:58, 42:78] = True  # but for its border
    bright = inside & (day.min(axis=2) > 60)  # of which 8 bits leave something at night
    ratio = (flood[bright] / np.maximum(dark[bright], 1e-4)).mean(axis=0)
    np.testing.assert_allclose(ratio, 1 + 0.5 * np.array([1.0, 1.0, 0.2]) / 0.05, rtol=0.15)
    np.testing.assert_allclose((window - dark)[inside].mean(axis=0), [0.5, 0.5, 0.1], atol=0.02)
    far = np.ones((100, 120), bool)
    far[38:62, 38:82] = False
    for lit in (flood, window):
        np.testing.assert_allclose(lit[far], dark[far], atol=0.002)


def test_a_soft_panel_fades_and_a_sharp_one_ends(rng: np.random.Generator) -> None:
    black = np.zeros((100, 100, 3), np.uint8)
    panel = Panel(x=0.5, y=0.5, width=0.4, height=0.4, power=0.5, colour=(1, 1, 1))
    sharp, soft = (
        NightSimulator(replace(CLEAN, windows=(replace(panel, softness=s),)), (100, 100), rng)(black)[
            50, :, 0
        ]
        for s in (0.0, 0.5)
    )
    assert ((sharp > 20) & (sharp < 180)).sum() <= 2
    assert ((soft > 20) & (soft < 180)).sum() >= 20


def test_wet_ground_mirrors_lamps_downwards(rng: np.random.Generator) -> None:
    black = np.zeros((120, 120, 3), np.uint8)
    lamp = Lamp(0.5, 0.3, 0.0, 0.01, 0.0, 12.0, (1, 1, 1), radius=0.02)
    night = NightSimulator(replace(CLEAN, lamps=(lamp,), wet=0.3, wet_length=0.1), (120, 120), rng)(black)
    column = night[:, 60].min(axis=1).astype(int)
    assert column[:33].max() == 0  # nothing above the lamp
    assert (np.diff(column[45:60]) <= 0).all()  # and less and less below
    assert column[48] > 40
    assert night[48, 50].max() == 0
