"""Sound beside the pictures of real files: unchanged, in time, without a hole, and never at the pictures' cost."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.core.sound import SoundFormat, SoundPacket, SoundTrack
from nightday.pipeline.outputs.encoding.shared_encoder import EncoderClient, SharedEncoder
from nightday.pipeline.outputs.hls.writer import HlsWriter
from nightday.pipeline.outputs.module import HLS_SOUNDS, MP4_SOUNDS, TS_SOUNDS, WEBRTC_SOUNDS
from nightday.pipeline.outputs.mp4.provenance.verify import verify
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from nightday.pipeline.outputs.mpeg_ts import TsMuxer
from nightday.pipeline.outputs.registry import open_output, sound_fault
from nightday.pipeline.sources.sound import format_of
from tests.support.clips import ffmpeg
from tests.support.heard import apart, flashing, payloads, play
from tests.support.media_helpers import OutputEvents, camera_start, ffmpeg_complaints, picture, probed
from tests.support.rtsp_server import WAIT

IN_TIME = 0.03  # seconds; a picture lasts 0.04


class TsFile:
    """Writes pictures as a live stream has them."""

    def __init__(self, path: Path, encoder: SharedEncoder) -> None:
        self._file = path.open("wb")
        self._encoder = EncoderClient(encoder)
        self._muxer: TsMuxer | None = None

    def write(self, shown: Picture) -> None:
        encoded = self._encoder.encode(shown, begins=self._muxer is None)
        if self._muxer is None or not self._muxer.accepts(encoded):
            self._muxer = TsMuxer(encoded, title="gate")
        self._file.write(self._muxer.mux(encoded))

    def close(self) -> None:
        self._file.close()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.mp4"), key=lambda path: (start_of(path), path))


def start_of(path: Path) -> Fraction:
    told = probed(path)
    pts, base = camera_start(told["format"]["tags"]["description"])
    return pts * base


def heard_at(path: Path) -> list[float]:
    """When each packet of a recording's sound is heard, in seconds on the camera's timeline."""
    start = start_of(path)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [float(start + (one.pts or 0) * (one.time_base or 0)) for one in packets]


def hls_file(folder: Path) -> Path:
    """All segments of a playlist as one file, in order."""
    parts = [*folder.glob("*-header.mp4"), *sorted(folder.glob("*.m4s"))]
    whole = folder / "whole.mp4"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return whole


def has_sound(path: Path) -> bool:
    with av.open(str(path)) as container:
        return len(container.streams.audio) == 1


def is_part_of(found: list[bytes], source: list[bytes], *, but: int) -> None:
    """``found`` are the source's packets in order, all but so many at the beginning and at the end."""
    starts = [start for start in range(but) if source[start : start + len(found)] == found]
    assert starts, (len(source), len(found))
    assert len(source) - starts[-1] - len(found) <= but


@pytest.mark.parametrize(
    ("codec", "form", "seconds"),
    [
        ("aac", "mp4", 6),
        pytest.param("aac", "mp4", 60, marks=pytest.mark.slow),
        ("libmp3lame", "ts", 6),
        ("libopus", "mkv", 6),
    ],
)
def test_it_is_passed_on_unchanged_and_in_time(tmp_path: Path, codec: str, form: str, seconds: int) -> None:
    source = flashing(tmp_path / f"source.{form}", codec, seconds=seconds)
    track = SoundTrack()
    encoder = SharedEncoder(sound=track)
    recorder = SegmentWriter(
        template=str(tmp_path / "out/%H%M%S.mp4"), segment_seconds=seconds / 4, encoder=encoder
    )
    (tmp_path / "hls").mkdir()
    hls = HlsWriter(
        playlist=tmp_path / "hls/live.m3u8", window=600.0, generated=False, encoder=EncoderClient(encoder)
    )
    ts = TsFile(tmp_path / "live.ts", encoder)
    stats = play(source, track, recorder.write, hls.write, ts.write)
    for writer in (recorder, hls, ts):
        writer.close()
    assert stats.snapshot().dropped == {}
    assert track.format is not None
    sent = payloads(source)
    # In MPEG-TS the first sound may come after some pictures, which are a file of their own then.
    files = [path for path in segments(tmp_path / "out") if has_sound(path)]
    assert len(files) in (3, 4)
    is_part_of([one for path in files for one in payloads(path)], sent, but=20)
    for path in files:
        differences = apart(path)
        assert len(differences) >= seconds // 4 - 1
        assert max(map(abs, differences)) < IN_TIME
        assert ffmpeg_complaints(path) == ""
    # One file's sound goes on where that of the file before ends.
    steps = np.diff([at for path in files for at in heard_at(path)])
    assert max(steps) - min(steps) < 0.004
    if HLS_SOUNDS.take(track.format):
        whole = hls_file(tmp_path / "hls")
        is_part_of(payloads(whole), sent, but=20)
        assert len(differences := apart(whole)) >= seconds - 2
        assert max(map(abs, differences)) < IN_TIME
    if TS_SOUNDS.take(track.format):
        is_part_of(payloads(tmp_path / "live.ts"), sent, but=20)
        assert len(differences := apart(tmp_path / "live.ts")) >= seconds - 2
        assert max(map(abs, differences)) < IN_TIME
    assert MP4_SOUNDS.take(track.format)


def test_ffmpeg_joins_files_without_a_hole(tmp_path: Path) -> None:
    source = flashing(tmp_path / "source.mp4", "aac", seconds=8)
    track = SoundTrack()
    recorder = SegmentWriter(
        template=str(tmp_path / "out/%H%M%S.mp4"), segment_seconds=2, encoder=SharedEncoder(sound=track)
    )
    play(source, track, recorder.write)
    recorder.close()
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"file '{path}'\n" for path in segments(tmp_path / "out")))
    ffmpeg("-f", "concat", "-safe", "0", "-i", listed, "-c", "copy", tmp_path / "all.mp4")
    is_part_of(payloads(tmp_path / "all.mp4"), payloads(source), but=5)
    differences = apart(tmp_path / "all.mp4")
    assert len(differences) >= 7
    assert max(map(abs, differences)) < 0.04


def test_records_of_recordings_with_sound_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    source = flashing(tmp_path / "source.mp4", "aac", seconds=6)
    track, events = SoundTrack(), OutputEvents()
    output = open_output(
        str(tmp_path / "out/%H%M%S.mp4"),
        camera="gate",
        stats=CameraStats(),
        segment_seconds=2.0,
        signing_key=tmp_path / "state/signing-key.pem",
        encoder=SharedEncoder(sound=track),
        publish=events,
    )
    play(source, track, lambda shown: output.put_wait(shown, cancelled=threading.Event()))
    assert output.close(WAIT)
    checked = verify(tmp_path / "out")
    assert checked.faults == []
    assert len(segments(tmp_path / "out")) == 3


def made_sound(path: Path) -> list[SoundPacket]:
    """Packets of 1024 samples of AAC, from second 0 on."""
    flashing(path, "aac", seconds=8)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size and (packet.pts or 0) >= 0]
        form = format_of(container.streams.audio[0], bytes(packets[0]))
    lasts = Fraction(1024, 48_000)
    return [SoundPacket(form, bytes(one), number * lasts, lasts) for number, one in enumerate(packets)]


def test_sound_that_comes_late_or_early_is_in_the_file_in_which_it_is_heard(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    sound = made_sound(tmp_path / "source.mp4")
    track = SoundTrack()
    track.tell(sound[0].format)
    recorder = SegmentWriter(
        template=str(tmp_path / "out/%H%M%S.mp4"), segment_seconds=2, encoder=SharedEncoder(sound=track)
    )
    coming = list(sound)
    for number in range(7 * 25):
        at = number / 25
        late = rng.uniform(-1.0, 0.6)
        while coming and float(coming[0].at) + late <= at:
            assert track.put(coming.pop(0))
        recorder.write(picture(number * 512, wall_time=1_700_000_000 + at))
    recorder.close()
    files = segments(tmp_path / "out")
    assert len(files) == 4
    found = [payloads(path) for path in files]
    together = [one for each in found for one in each]
    assert together == [one.data for one in sound][: len(together)]
    assert len(together) * 1024 / 48_000 > 6.0
    for path, each in zip(files[1:], found[1:], strict=True):
        first = next(one for one in sound if one.data == each[0] and one.at >= start_of(path))
        assert 0 <= first.at - start_of(path) < first.lasts


def test_another_format_begins_another_file_and_pictures_go_on(tmp_path: Path) -> None:
    sound = made_sound(tmp_path / "source.mp4")
    other = replace(sound[0].format, layout="stereo")
    track = SoundTrack()
    recorder = SegmentWriter(template=str(tmp_path / "out/%H%M%S.mp4"), encoder=SharedEncoder(sound=track))
    for number in range(100):
        if number in (20, 60):
            track.tell(sound[0].format if number == 20 else other)
        recorder.write(picture(number * 512, wall_time=1_700_000_000 + number / 25))
    recorder.close()
    files = segments(tmp_path / "out")
    assert [len(video_of(path)) for path in files] == [20, 40, 40]
    assert [has_sound(path) for path in files] == [False, True, True]


def video_of(path: Path) -> list[int]:
    """PTS of a file's pictures."""
    with av.open(str(path)) as container:
        return [packet.pts or 0 for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    "stamps", ["if(eq(mod(N\\,3)\\,0)\\,0\\,TS)", "TS*3", "TS+900/TB", "10*sin(N)/TB+TS"]
)
def test_sound_with_bad_stamps_costs_no_picture(tmp_path: Path, stamps: str) -> None:
    source = flashing(tmp_path / "source.mkv", "aac", seconds=4, more=("-bsf:a", f"setts=ts='{stamps}'"))
    seen: dict[bool, list[tuple[int, float]]] = {True: [], False: []}
    for heard in seen:
        track = SoundTrack() if heard else None
        recorder = SegmentWriter(
            template=str(tmp_path / f"{heard}/%H%M%S.mp4"), encoder=SharedEncoder(sound=track)
        )
        stats = play(
            source,
            track,
            recorder.write,
            lambda shown, heard=heard: seen[heard].append((shown.frame.pts, float(np.mean(shown.rgb)))),  # type: ignore[misc]
        )
        recorder.close()
        assert stats.snapshot().decoded == 100
    assert seen[True] == seen[False]
    recorded = [pts for path in segments(tmp_path / "True") for pts in video_of(path)]
    assert len(recorded) == 100


def test_a_clip_that_is_played_again_stays_in_time(tmp_path: Path) -> None:
    source = flashing(tmp_path / "source.mp4", "aac", seconds=3)
    joined = tmp_path / "joined.mp4"
    track = SoundTrack()
    recorder = SegmentWriter(template=str(joined), encoder=SharedEncoder(sound=track))
    play(source, track, recorder.write, times=3)
    recorder.close()
    differences = apart(joined)
    assert len(differences) >= 8
    assert max(map(abs, differences)) < IN_TIME


@pytest.mark.parametrize(
    ("address", "codec", "why"),
    [
        ("out/%H.mp4", "aac", None),
        ("out/%H.mp4", "opus", None),
        ("out/%H.mp4", "pcm_alaw", "MP4 does not hold sound of the codec pcm_alaw; let the camera send AAC"),
        ("udp://127.0.0.1:1234", "aac", None),
        (
            "udp://127.0.0.1:1234",
            "opus",
            "MPEG-TS does not hold sound of the codec opus; let the camera send AAC",
        ),
        ("hls:out/live.m3u8", "mp3", None),
        ("rtsp://127.0.0.1/day", "aac", None),
        ("rtsp://127.0.0.1/day", "pcm_mulaw", None),
        (
            "rtsp://127.0.0.1/day",
            "mp3",
            "RTSP does not hold sound of the codec mp3; let the camera send AAC, Opus or G.711",
        ),
        ("rtmp://127.0.0.1/live/key", "aac", None),
        (
            "rtmp://127.0.0.1/live/key",
            "opus",
            "RTMP does not hold sound of the codec opus; let the camera send AAC",
        ),
        ("whip://127.0.0.1/day", "opus", None),
        ("whip://127.0.0.1/day", "pcm_alaw", None),
        (
            "whip://127.0.0.1/day",
            "aac",
            "WebRTC does not hold sound of the codec aac; let the camera send Opus, or G.711 with 8000 Hz and one "
            "channel",
        ),
    ],
)
def test_which_output_takes_what(address: str, codec: str, why: str | None) -> None:
    rate = 8000 if codec.startswith("pcm") else 48_000
    assert sound_fault(CameraUrl(address), SoundFormat(codec, rate, "mono", b"", b"")) == why


def test_webrtc_takes_g711_of_telephones_alone() -> None:
    fault = WEBRTC_SOUNDS.fault(SoundFormat("pcm_alaw", 16_000, "mono", b"", b""))
    assert fault is not None
    assert "pcm_alaw with 16000 Hz and 1 channels" in fault
