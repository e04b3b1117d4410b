"""Which view of a camera is encoded, how large and how often."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.core.live import View
from nightday.pipeline.outputs.encoding.encoder import RATE_PICTURES
from nightday.pipeline.outputs.encoding.settings import Encoding
from nightday.pipeline.outputs.encoding.shared_encoder import CameraEncoders, SharedEncoder
from nightday.pipeline.outputs.encoding.thinning import Thinning
from nightday.pipeline.outputs.encoding.views import picture_of, resized
from tests.support.media_helpers import ffmpeg_complaints, ffprobe, picture

DAY, NIGHT = 200, 40


def both(pts: int = 0, *, width: int = 64, height: int = 48, aspect: Fraction | None = None) -> Picture:
    """A bright day over a dark night, in which nothing is drawn."""
    shown = picture(pts, rgb=np.full((height, width, 3), DAY, np.uint8))
    return Picture(
        shown.frame,
        shown.rgb,
        translated=True,
        seen=np.full((height, width, 3), NIGHT, np.uint8),
        aspect=aspect,
    )


@pytest.mark.parametrize(("view", "columns"), [("day", [DAY]), ("night", [NIGHT]), ("pair", [NIGHT, DAY])])
@pytest.mark.parametrize("tensor", [False, True])
def test_a_view_shows_night_day_or_both_beside_each_other(
    view: View, columns: list[int], tensor: bool
) -> None:
    given = both()
    if tensor:
        assert given.seen is not None
        given = Picture(
            given.frame, torch.from_numpy(given.rgb), True, seen=torch.from_numpy(np.asarray(given.seen))
        )
    shown = picture_of(given, Encoding(view=view))
    assert isinstance(shown.rgb, torch.Tensor) is tensor
    assert np.array_equal(
        np.asarray(shown.rgb), np.hstack([np.full((48, 64, 3), grey, np.uint8) for grey in columns])
    )
    assert shown.translated is (view != "night")
    assert shown.frame is given.frame


@pytest.mark.parametrize("tensor", [False, True])
def test_a_smaller_size_averages_over_areas(rng: np.random.Generator, tensor: bool) -> None:
    rgb = rng.integers(0, 256, (80, 120, 3), np.uint8)
    given = Picture(picture(0).frame, torch.from_numpy(rgb) if tensor else rgb, False)
    small = np.asarray(resized(given, (60, 40)).rgb)
    means = rgb.reshape(40, 2, 60, 2, 3).mean((1, 3))
    assert np.abs(small - means).max() <= 0.5
    assert np.asarray(resized(given, (240, 160)).rgb).shape == (160, 240, 3)


@pytest.mark.parametrize(
    ("size", "became", "aspect"),
    [
        ((0, 24), (32, 24), Fraction(1)),
        ((0, 46), (62, 46), Fraction(1)),
        ((32, 24), (32, 24), Fraction(1)),
        ((32, 48), (32, 48), Fraction(2)),
    ],
)
def test_a_size_keeps_the_shape_of_what_is_shown(
    size: tuple[int, int], became: tuple[int, int], aspect: Fraction
) -> None:
    small = resized(both(), size)
    assert small.rgb.shape[:2] == became[::-1]
    assert small.pixel_aspect == aspect
    wide = resized(both(aspect=Fraction(4, 3)), size)
    assert wide.pixel_aspect == aspect * Fraction(4, 3)


def test_a_small_picture_that_the_model_made_still_bears_a_legible_mark() -> None:
    given = both(width=640, height=480)
    small = resized(given, (0, 120))
    assert small.rgb.shape == (120, 160, 3)
    rows, columns = np.nonzero((np.asarray(small.rgb) != DAY).any(2))
    assert rows.min() == 120 - 15  # the least height of a mark
    assert columns.max() == 159
    assert np.all(np.asarray(given.rgb) == DAY)  # its own pixels are not written to
    untouched = resized(Picture(given.frame, given.rgb, False), (0, 120))
    assert np.all(np.asarray(untouched.rgb) == DAY)


def test_a_pair_of_a_size_that_was_asked_for_is_made_of_all_pixels(rng: np.random.Generator) -> None:
    day, night = (rng.integers(0, 256, (16, 1920, 3), np.uint8) for _ in range(2))
    given = Picture(picture(0).frame, day, False, seen=night)
    pair = picture_of(given, Encoding(view="pair", size=(3840, 16)))
    assert np.array_equal(np.asarray(pair.rgb), np.hstack([night, day]))
    assert np.asarray(picture_of(given, Encoding(view="pair")).rgb).shape[1] == 2560


def test_what_is_encoded_is_the_view_at_its_size() -> None:
    shared = SharedEncoder(encoding=Encoding(view="pair", size=(128, 48)))
    first = shared.encode(both(width=320, height=240), key=True)
    assert first is not None
    assert first.size == (128, 48)
    assert first.pixel_aspect == 1
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, av.VideoCodecContext)
    (frame,) = [*context.decode(av.Packet(first.data)), *context.decode(None)]
    assert isinstance(frame, av.VideoFrame)
    luma = cv2.cvtColor(frame.to_ndarray(format="rgb24"), cv2.COLOR_RGB2GRAY)
    assert abs(float(luma[8:24, 8:56].mean()) - NIGHT) < 4
    assert abs(float(luma[8:24, 72:120].mean()) - DAY) < 4


def frame_at(seconds: Fraction) -> Frame:
    base = Fraction(1, 90_000)
    return Frame("gate", picture(0).frame.video, round(seconds / base), base, float(seconds), 0.0)


@pytest.mark.parametrize(
    ("rate", "fps"), [(25, 25), (25, 12.5), (25, 10), (30, 25), (50, 1), (5, 25), (25, 0.5)]
)
def test_pictures_are_thinned_out_evenly_whatever_the_jitter(
    rng: np.random.Generator, rate: int, fps: float
) -> None:
    thinning = Thinning(fps)
    count = 40 * rate
    jitter = rng.uniform(-0.1, 0.1, count) / rate
    times = [Fraction(number, rate) + Fraction(float(jitter[number])) + 1 for number in range(count)]
    taken = [time for time in times if thinning.takes(frame_at(time))]
    assert abs(len(taken) - min(fps, rate) * 40) <= 2
    longest = max(float(later - earlier) for earlier, later in pairwise(taken))
    assert longest < 1 / min(fps, rate) + 1.5 / rate


def test_outputs_that_ask_about_the_same_picture_are_answered_alike() -> None:
    thinning = Thinning(10)
    for number in range(100):
        frame = frame_at(Fraction(number, 25))
        assert len({thinning.takes(frame) for _ in range(3)}) == 1


def test_time_that_goes_back_begins_anew() -> None:
    thinning = Thinning(1)
    assert [thinning.takes(frame_at(Fraction(second))) for second in (5, 5.1, 5.2, 1, 1.1)] == [
        True,
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("rate", [10, 50])
def test_a_bit_rate_holds_at_any_rate_of_pictures(
    tmp_path: Path, rng: np.random.Generator, rate: int
) -> None:
    wanted, seconds = 400_000, 3
    shared, sizes, streams = SharedEncoder(encoding=Encoding(bitrate=wanted)), [], set()
    begun = RATE_PICTURES + 10  # until it knows the rate
    path = tmp_path / "all.h264"
    for number in range(begun + rate * seconds):
        rgb = rng.integers(0, 256, (96, 128, 3), np.uint8)
        encoded = shared.encode(picture(round(number * 12_800 / rate), rgb=rgb), key=False)
        assert encoded is not None
        sizes.append(len(encoded.data))
        streams.add(encoded.stream)
        with path.open("ab") as file:
            file.write(encoded.data)
    assert 0.7 * wanted < sum(sizes[begun:]) * 8 / seconds < 1.3 * wanted
    assert len(streams) == 1  # what is recorded goes on
    assert ffmpeg_complaints(path) == ""
    assert len(ffprobe(path, "frame=pict_type")["frames"]) == len(sizes)


def test_equal_wishes_share_an_encoder_and_others_have_one_of_their_own() -> None:
    encoders = CameraEncoders(camera="gate", publish=lambda event: None)
    assert encoders.name is None
    assert encoders.get() is encoders.get(Encoding(view="day"))
    assert encoders.get(Encoding(view="night")) is encoders.get(Encoding(view="night"))
    assert encoders.get(Encoding(view="night")) is not encoders.get(Encoding(view="pair"))
    encoders.get(Encoding(view="pair")).encode(both(), key=True)
    assert encoders.name == "x264"
