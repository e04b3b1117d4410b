"""Sound as sources send it, right and wrong, and where it is placed on the camera's timeline."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.pipeline.core.sound import SoundFormat, SoundReader, SoundTrack
from nightday.pipeline.sources.sound import FARTHEST, SoundInput, format_of
from tests.faults.camera import Camera
from tests.support.clips import ffmpeg
from tests.support.heard import flashing, payloads, play
from tests.support.http_streams import http_camera

FOREVER = Fraction(10**9)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flashing(tmp_path_factory.mktemp("sound") / "clip.mp4", "aac", seconds=4)


@pytest.mark.parametrize(
    ("codec", "form"),
    [("aac", "mp4"), ("aac", "ts"), ("libmp3lame", "mkv"), ("libopus", "mkv"), ("ac3", "ts")],
)
def test_a_format_tells_a_decoder_all_it_needs(tmp_path: Path, codec: str, form: str) -> None:
    """The packets and the description alone make the same sound as the file."""
    source = flashing(tmp_path / f"source.{form}", codec, seconds=2)
    with av.open(str(source)) as container:
        stream = container.streams.audio[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        told = format_of(stream, bytes(packets[0]))
    with av.open(str(source)) as container:
        expected = samples(container.decode(audio=0))
    with av.open(io.BytesIO(told.description)) as container:
        context = container.streams.audio[0].codec_context
        name = codec.removeprefix("lib").replace("mp3lame", "mp3")
        assert context.codec.canonical_name == told.codec == name
        found = samples(frame for data in payloads(source) for frame in context.decode(av.Packet(data)))
    # A container tells besides how much at the beginning is to be left out. The beep is at 1 s.
    beep = slice(46_000, 52_000)
    assert abs(expected[beep]).max() > 0.5
    least = min(
        abs(found[beep.start + late : beep.stop + late] - expected[beep]).max() for late in range(3000)
    )
    assert least < 1e-3


def samples(frames: Iterable[av.AudioFrame]) -> NDArray[np.float32]:
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float32)


def test_what_matroska_does_not_hold_is_told_and_not_passed_on(tmp_path: Path) -> None:
    source = flashing(tmp_path / "source.mov", "adpcm_ima_qt", seconds=2)
    told: list[SoundFormat] = []
    track = SoundTrack(told.append)
    assert play(source, track).snapshot().decoded == 50
    assert [form.codec for form in told] == ["adpcm_ima_qt"]
    assert (track.passed, SoundReader(track).until(FOREVER)) == (None, ())


def test_where_none_is_wanted_none_is_read(clip: Path) -> None:
    assert play(clip, None).snapshot().decoded == 100


class Given:
    """A packet as a strange camera may send it."""

    def __init__(self, stream: Any, data: bytes, pts: int | None) -> None:
        self.stream, self.size, self._data = stream, len(data), data
        self.pts = self.dts = pts
        self.time_base, self.duration = Fraction(1, 1000), 20

    def __bytes__(self) -> bytes:
        return self._data


def test_sound_is_placed_by_the_pictures_and_bad_stamps_are_left_out(clip: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    with av.open(str(clip)) as container:
        stream = container.streams.audio[0]
        first = next(bytes(packet) for packet in container.demux(stream) if packet.size)
        track = SoundTrack()
        given, shift = SoundInput(track), Fraction(rng.randrange(10**6), 7)
        expected: list[Fraction] = []
        own = 0
        for _ in range(300):
            own += 20
            bad = rng.choice([None, own + 10**6, own - 10**6, 0, -(2**62)])
            pts = own if rng.random() < 0.8 else bad
            given.take(Given(stream, first, pts))  # type: ignore[arg-type]
            near = pts is not None and abs(Fraction(pts - own, 1000)) <= FARTHEST
            at = Fraction(pts or 0, 1000) + shift
            if near and (not expected or at > expected[-1]):
                expected.append(at)
            given.place(shift, Fraction(own, 1000) + shift)
        given.take(Given(stream, first, own + 20))  # type: ignore[arg-type]
        given.place(None, Fraction(own, 1000) + shift)
        given.place(shift, Fraction(own, 1000) + shift)
    assert [one.at for one in SoundReader(track).until(FOREVER)] == expected


def test_a_live_camera_that_comes_again_stays_in_time_with_its_sound(tmp_path: Path) -> None:
    """Two connections at least, whose stamps begin anew each time."""
    source = tmp_path / "source.ts"
    ffmpeg(
        *("-f", "lavfi", "-i", "color=gray:s=64x48:r=25:d=2", "-f", "lavfi", "-i", "anoisesrc=r=48000:d=2"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "10", "-c:a", "aac"),
        source,
    )
    data = source.read_bytes()

    def send(write: Callable[[bytes], object], ended: threading.Event) -> None:
        for start in range(0, len(data), len(data) // 50 + 1):
            write(data[start : start + len(data) // 50 + 1])
            if ended.wait(0.04):
                return

    with av.open(str(source)) as container:
        own = {
            bytes(packet)[7:]: Fraction(packet.pts or 0) * (packet.time_base or 1)
            for packet in container.demux(audio=0)
            if packet.size
        }
    track = SoundTrack()
    with http_camera("video/mp2t", send) as url, Camera(url, sound=track) as camera:
        camera.wait_playing(2)
        frames = camera.wait_more(40)
    heard = SoundReader(track).until(FOREVER)
    shifts = [
        frame.pts * frame.time_base - (frame.video.pts or 0) * (frame.video.time_base or Fraction(0))
        for frame in frames
    ]
    moved = [one.at - own[one.data] for one in heard]
    assert len(set(shifts)) >= 2
    assert set(moved) == set(shifts[: len(moved)])
    for shift in set(moved):
        assert moved.count(shift) > 40
    assert [one.at for one in heard] == sorted(one.at for one in heard)
