"""What one viewer's stream holds when pictures come unevenly, change their size or are left out."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import av
import numpy as np

from nightday.pipeline.outputs.encoding.shared_encoder import EncodedPicture, SharedEncoder
from nightday.pipeline.outputs.live import viewer as live
from nightday.pipeline.outputs.live.mp4 import Mp4Muxer
from nightday.pipeline.outputs.live.timed import TICKS, TimedPicture, TimedPictures, picture_of
from nightday.pipeline.outputs.live.viewer import LiveViewer
from nightday.pipeline.outputs.mpeg_ts import TsMuxer
from tests.support.media_helpers import picture

FRAME = 512  # ticks of 1/12800 s
SIZE, OTHER = (64, 48), (96, 64)


def viewer(
    muxer: type[TsMuxer] | type[Mp4Muxer] | type[TimedPictures], wake: Callable[[], None] = lambda: None
) -> LiveViewer:
    return LiveViewer(begin=partial(muxer, title="nightday-stream"), wake=wake, leave=lambda _: None)


def encode(
    shared: SharedEncoder, pts: int, size: tuple[int, int] = SIZE, *, key: bool = False
) -> EncodedPicture:
    rgb = np.random.default_rng(pts).integers(0, 256, (*size[::-1], 3), np.uint8)
    encoded = shared.encode(picture(pts, rgb=rgb), key=key)
    assert encoded is not None
    return encoded


def taken(one: LiveViewer) -> bytes:
    return b"".join(iter(lambda: one.take() or b"", b""))


def shown(stream: bytes, form: str) -> list[tuple[int, int]]:
    """PTS and width of each picture, by a decoder that takes no errors."""
    with av.open(io.BytesIO(stream), format=form) as container:
        video = container.streams.video[0]
        video.codec_context.options = {"err_detect": "explode", "flags": "-output_corrupt"}
        return [(frame.pts or 0, frame.width) for frame in container.decode(video=0)]


def test_mp4_tells_the_times_of_pictures_that_come_unevenly() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    shared, one = SharedEncoder(), viewer(Mp4Muxer)
    times = [10**12]
    while len(times) < 60:
        times.append(times[-1] + rng.choice((1, FRAME, FRAME * 3, 12800 * 4)))
    for pts in times:
        one.put(encode(shared, pts))
    frames = shown(taken(one), "mp4")
    assert [pts for pts, _ in frames] == [
        pts - times[0] for pts in times[:-1]
    ]  # the last waits for its length


def test_another_size_goes_on_as_ts_and_ends_mp4() -> None:
    shared, ts, mp4 = SharedEncoder(), viewer(TsMuxer), viewer(Mp4Muxer)
    for number in range(20):
        encoded = encode(shared, number * FRAME, SIZE if number < 10 else OTHER)
        ts.put(encoded)
        mp4.put(encoded)
        if not number:
            assert ts.take()
            assert mp4.take()
    stream = taken(ts)
    assert ts.take() == b""
    assert taken(mp4)
    assert mp4.take() is None
    with av.open(io.BytesIO(stream), format="mpegts") as container:
        widths = [frame.width for packet in container.demux(video=0) for frame in packet.decode()]
    assert widths[-10:] == [OTHER[0]] * 10


def test_pictures_apart_have_times_that_go_on_over_gaps_and_other_streams() -> None:
    shared, one = SharedEncoder(), viewer(TimedPictures)
    begin = random.randrange(10**6)
    print(f"begin {begin}")
    shown_at: list[float] = []
    pieces: list[TimedPicture] = []
    for number in [*range(10), *range(50, 60), *range(10)]:
        again = len(shown_at) >= 20  # the camera's clock was put back
        shot = picture((begin + number) * FRAME, rgb=np.full((48, 64, 3), number, np.uint8))
        at = (10_000 if again else 0) + number / 25
        encoded = shared.encode(
            replace(shot, frame=replace(shot.frame, decoded_at=at)), key=number in (0, 50)
        )
        assert encoded is not None
        one.put(encoded)
        shown_at.append(at)
        pieces.append(picture_of(one.take() or b""))
    assert [piece.at for piece in pieces] == [round(at * TICKS) for at in shown_at]
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for piece in pieces for frame in decoder.decode(av.Packet(piece.data))]
    assert len(frames) + len(decoder.decode(None)) == len(pieces)


def test_a_key_frame_that_is_asked_for_stays_wanted_until_it_comes() -> None:
    shared, one = SharedEncoder(), viewer(TimedPictures)
    wanted = []
    for number in range(6):
        if number == 2:
            one.want_key()
        one.put(encode(shared, number * FRAME, key=number == 4))
        wanted.append(one.wants_key)
    assert wanted == [False, False, True, True, False, False]


def test_one_that_never_took_anything_gets_a_beginning_all_the_same() -> None:
    """What is lost then holds the header of an MP4."""
    for muxer, form in ((TsMuxer, "mpegts"), (Mp4Muxer, "mp4")):
        shared, one = SharedEncoder(), viewer(muxer)
        last = live.MOST_PICTURES + 20
        for number in range(last + 1):
            one.put(encode(shared, number * FRAME, key=number % 10 == 0))
        assert one.times_behind == 1
        frames = [pts for pts, _ in shown(taken(one), form)]
        step = {"mpegts": 3600, "mp4": FRAME}[form]
        assert {later - earlier for earlier, later in pairwise(frames)} == {step}
        assert 5 <= len(frames) <= 25


def test_nothing_comes_to_one_that_has_left() -> None:
    woken: list[bool] = []
    shared, one = SharedEncoder(), viewer(TsMuxer, lambda: woken.append(True))
    one.put(encode(shared, 0))
    one.leave()
    one.put(encode(shared, FRAME, key=True))
    assert len(woken) == 1
    assert one.take() is None
