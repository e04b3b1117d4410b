"""Sound in live streams that stops, begins late or becomes another one: the pictures go on."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from nightday.pipeline.core.sound import SILENT_AFTER, SoundPacket, SoundTrack
from nightday.pipeline.monitoring.web.live import media_source_type
from nightday.pipeline.outputs.encoding.shared_encoder import EncodedPicture, EncoderClient, SharedEncoder
from nightday.pipeline.outputs.live.mp4 import Mp4Muxer
from nightday.pipeline.outputs.live.timed import TICKS, TimedPictures, picture_of
from nightday.pipeline.outputs.live.viewer import LiveViewer
from nightday.pipeline.outputs.module import MEDIA_SOURCE_SOUNDS, MP4_SOUNDS
from nightday.pipeline.outputs.mpeg_ts import TsMuxer
from nightday.pipeline.outputs.rtmp.chunks import AUDIO, VIDEO
from nightday.pipeline.outputs.rtmp.connection import FlvMuxer
from nightday.pipeline.sources.sound import format_of
from tests.support.clips import ffmpeg
from tests.support.heard import flashing
from tests.support.media_helpers import ffprobe, picture

FRAME, RATE = 512, 25  # ticks of a picture, and pictures a second


def packets_of(path: Path) -> list[SoundPacket]:
    """A file's sound from second 0 on."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        packets = [packet for packet in container.demux(stream) if packet.size and (packet.pts or 0) >= 0]
        form = format_of(stream, bytes(packets[0]))
        tick = stream.time_base or Fraction(1)
        return [
            SoundPacket(form, bytes(one), (one.pts or 0) * tick, (one.duration or 0) * tick)
            for one in packets
        ]


@pytest.fixture(scope="module")
def aac(tmp_path_factory: pytest.TempPathFactory) -> list[SoundPacket]:
    return packets_of(flashing(tmp_path_factory.mktemp("aac") / "source.mp4", "aac", seconds=20))


@pytest.fixture(scope="module")
def opus(tmp_path_factory: pytest.TempPathFactory) -> list[SoundPacket]:
    return packets_of(flashing(tmp_path_factory.mktemp("opus") / "source.mkv", "libopus", seconds=4))


def pictures(
    sound: list[SoundPacket], count: int, *, begins: float = 0, ends: float = 99, share: float = 1
) -> Iterator[EncodedPicture]:
    """So many encoded pictures, or a random share of them, with the part of the sound between two moments."""
    track = SoundTrack()
    one = EncoderClient(SharedEncoder(sound=track))
    coming = [packet for packet in sound if begins <= packet.at < ends]
    for number in range(count):
        at = Fraction(number, RATE)
        if number and random.random() > share:
            continue
        while coming and coming[0].at <= at:
            track.tell(coming[0].format)
            assert track.put(coming.pop(0))
        yield one.encode(picture(number * FRAME, wall_time=1_700_000_000 + float(at)), key=number % 50 == 0)


def pictures_in(data: bytes, form: str) -> int:
    with av.open(io.BytesIO(data), format=form) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


@pytest.mark.parametrize(("muxer", "form"), [(TsMuxer, "mpegts"), (Mp4Muxer, "mp4")])
def test_pictures_do_not_wait_for_sound_that_has_stopped(
    aac: list[SoundPacket], muxer: Callable[..., TsMuxer | Mp4Muxer], form: str
) -> None:
    made, data, begun = None, b"", 0
    for begun, encoded in enumerate(pictures(aac, 100, ends=1.5), start=1):
        made = made or muxer(encoded, title="gate")
        data += made.mux(encoded)
        if begun in (60, 100):
            # Of MP4 the last one is complete with the next; one more may wait.
            assert pictures_in(data, form) >= begun - 2
    assert begun == 100


@pytest.mark.parametrize("share", [1, 0.6])
def test_in_mp4_pictures_and_sound_are_at_their_times(
    aac: list[SoundPacket], tmp_path: Path, share: float
) -> None:
    random.seed(seed := random.randrange(2**32))
    print(f"seed {seed}")
    path, made, shown = tmp_path / "live.mp4", None, list[EncodedPicture]()
    with path.open("wb") as file:
        for encoded in pictures(aac, 120, share=share):
            made = made or Mp4Muxer(encoded, title="gate")
            file.write(made.mux(encoded))
            shown.append(encoded)
    expected = {
        "video": [one.pts / (FRAME * RATE) for one in shown],
        "audio": [float(packet.at) for one in shown for packet in one.sound],
    }
    packets = ffprobe(path, "packet=codec_type,pts_time")["packets"]
    for kind, times in expected.items():
        found = [float(one["pts_time"]) for one in packets if one["codec_type"] == kind]
        # The last fragment is complete with the next picture.
        assert len(times) - 3 <= len(found) <= len(times)
        assert found == pytest.approx(times[: len(found)], abs=1e-5)
    # The header is there with the first picture, when nothing is known of the second. GStreamer stumbles over 0.
    (_, first), *lasting = fragments(path.read_bytes(), track=1)
    assert first > 0
    assert len(lasting) >= len(shown) - 4
    whole = [(one.pts, after.pts - one.pts) for one, after in pairwise(shown)]
    assert lasting == whole[1 : len(lasting) + 1]


def fragments(data: bytes, *, track: int) -> list[tuple[int, int]]:
    """When each fragment of a track begins and how long its only sample lasts, in ticks: ISO/IEC 14496-12, 8.8."""
    found = []
    for match in re.finditer(rb"traf", data):
        head = data.index(b"tfhd", match.start())
        if int.from_bytes(data[head + 8 : head + 12], "big") != track:
            continue
        flags = int.from_bytes(data[head + 4 : head + 8], "big")
        assert flags & 0x03 == 0
        lasts = int.from_bytes(data[head + 12 : head + 16], "big") if flags & 0x08 else None
        time = data.index(b"tfdt", head)
        assert data[time + 4] == 1
        run = data.index(b"trun", time)
        flags, count = (int.from_bytes(data[run + at : run + at + 4], "big") for at in (4, 8))
        assert count == 1
        if flags & 0x100:
            at = run + 12 + 4 * bool(flags & 0x01) + 4 * bool(flags & 0x04)
            lasts = int.from_bytes(data[at : at + 4], "big")
        assert lasts is not None
        found.append((int.from_bytes(data[time + 8 : time + 16], "big"), lasts))
    return found


def test_over_rtmp_nothing_waits(aac: list[SoundPacket]) -> None:
    made = None
    for encoded in pictures(aac, 60, ends=1.0):
        made = made or FlvMuxer(encoded, title="gate")
        messages = made.mux(encoded)
        moment = encoded.pts * 1000 // (FRAME * RATE)
        assert [one.time for one in messages if one.kind == VIDEO][-1:] == [moment]
        heard = [one.time for one in messages if one.kind == AUDIO]
        assert all(moment - 64 < at <= moment for at in heard)
        assert bool(heard) == (bool(encoded.sound) or not encoded.pts)


def viewer(form: type[Mp4Muxer | TsMuxer], **settings: object) -> LiveViewer:
    return LiveViewer(
        begin=lambda first: form(first, title="gate", **settings),  # type: ignore[arg-type]
        wake=lambda: None,
        leave=lambda _: None,
    )


def taken(one: LiveViewer) -> tuple[bytes, bool]:
    """All that waits, and whether it was the end."""
    data = b""
    while piece := one.take():
        data += piece
    return data, piece is None


@pytest.mark.parametrize(("begins", "ends"), [(0.0, 1.5), (1.5, 99.0)])
def test_a_browser_gets_another_stream_where_sound_begins_or_ends(
    aac: list[SoundPacket], begins: float, ends: float
) -> None:
    """Media Source would stop at the end of the sound, and takes no sound that its header did not tell of."""
    one, other = viewer(Mp4Muxer, sounds=MEDIA_SOURCE_SOUNDS), None
    data, count = b"", 200
    for number, encoded in enumerate(pictures(aac, count, begins=begins, ends=ends)):
        one.put(encoded)
        piece, ended = taken(one)
        data += piece
        if ended and other is None:
            # It comes again, as the page does.
            one = other = viewer(Mp4Muxer, sounds=MEDIA_SOURCE_SOUNDS)
            first, data = data, b""
            one.put(encoded)
            assert encoded.key
            changed = number / RATE
    assert other is not None
    assert changed == pytest.approx(ends + SILENT_AFTER if ends < 99 else begins, abs=0.1)
    data += taken(one)[0]
    heard = [b"esds" in part[: part.index(b"moof")] for part in (first, data)]
    assert heard == [ends < 99, ends == 99]
    assert pictures_in(first, "mp4") + pictures_in(data, "mp4") >= count - 4


@pytest.mark.parametrize(("begins", "ends"), [(0.0, 1.5), (1.5, 99.0)])
def test_whoever_takes_mp4_over_http_gets_one_stream(
    aac: list[SoundPacket], begins: float, ends: float
) -> None:
    one = viewer(Mp4Muxer, sounds=MP4_SOUNDS)
    data = b""
    for encoded in pictures(aac, 200, begins=begins, ends=ends):
        one.put(encoded)
        piece, ended = taken(one)
        data += piece
        assert not ended
    assert pictures_in(data, "mp4") >= 198


def test_mpeg_ts_takes_up_sound_that_comes_late_and_another_one(
    aac: list[SoundPacket], opus: list[SoundPacket]
) -> None:
    later = [replace(packet, at=packet.at + 3) for packet in opus if packet.at < 1]
    again = [packet for packet in aac if packet.at >= 4]
    one, data = viewer(TsMuxer), b""
    for encoded in pictures([*[p for p in aac if 1 <= p.at < 3], *later, *again], 200):
        one.put(encoded)
        piece, ended = taken(one)
        data += piece
        assert not ended
    assert pictures_in(data, "mpegts") >= 199
    with av.open(io.BytesIO(data), format="mpegts") as container:
        heard = [packet for packet in container.demux(audio=0) if packet.size]
    sent = [one for one in aac if 1 <= one.at < 3 or 4 <= one.at < Fraction(199, RATE)]
    assert len(sent) - 6 <= len(heard) <= len(sent)


def test_pieces_of_webrtc_have_their_sound_in_ticks_of_the_pictures(opus: list[SoundPacket]) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    made: TimedPictures | None = None
    found: list[tuple[int, bytes]] = []
    late = random.Random(seed).uniform(0, 1)
    sound = [packet for packet in opus if packet.at >= late]
    for encoded in pictures(sound, 75):
        made = made or TimedPictures(encoded)
        piece = picture_of(made.mux(encoded))
        assert piece.data == encoded.data
        assert piece.at == encoded.pts * TICKS // (FRAME * RATE)
        found += piece.sound
    expected = [(round(one.at * TICKS), one.data) for one in sound if one.at < Fraction(74, RATE)]
    assert found[: len(expected)] == expected


@pytest.mark.parametrize(
    ("codec", "more"),
    [
        ("aac", ()),
        ("libopus", ()),
        ("libmp3lame", ()),
        ("flac", ()),
        ("aac", ("-profile:a", "aac_low", "-ac", "2")),
    ],
)
def test_media_source_is_told_what_ffmpeg_tells_of_the_same_codecs(
    tmp_path: Path, codec: str, more: tuple[str, ...]
) -> None:
    """Its DASH writes them in RFC 6381's words. Of MP3 it always names the other of two kinds, MPEG-2's."""
    source = flashing(tmp_path / "source.mp4", codec, seconds=1, more=(*more, "-strict", "-2"))
    encoded = next(one for one in pictures(packets_of(source), 10) if one.sound_format is not None)
    assert encoded.key
    header = Mp4Muxer(encoded, title="gate", sounds=MEDIA_SOURCE_SOUNDS).mux(encoded)
    (tmp_path / "header.mp4").write_bytes(header)
    ffmpeg("-i", source, "-c", "copy", "-strict", "-2", "-f", "dash", tmp_path / "told.mpd")
    told = re.findall(r'codecs="([^"]+)"', (tmp_path / "told.mpd").read_text())
    heard = next(one for one in told if not one.startswith("avc1"))
    assert media_source_type(header).endswith(f',{heard.replace("mp4a.69", "mp4a.6b").lower()}"')
