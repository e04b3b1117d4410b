"""Sound in restreams, to a real RTSP server: what it takes, in time, and what it does not."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.events import Notice
from nightday.pipeline.core.sound import SoundTrack
from nightday.pipeline.outputs.encoding.shared_encoder import SharedEncoder
from nightday.pipeline.outputs.rtsp.writer import RestreamWriter
from tests.support.heard import apart, flashing, payloads, play
from tests.support.media_helpers import Events, ffmpeg_complaints
from tests.support.rtsp_server import RtspServer

IN_TIME = 0.03  # seconds; a picture lasts 0.04
SECONDS = 4
G711 = ("-ar", "8000", "-ac", "1")


def restreamed(folder: Path, url: str, form: str, *more: str) -> tuple[Path, list[Notice]]:
    """A clip with sound that was restreamed there, and what was told."""
    source = flashing(folder / "source.mkv", form, seconds=SECONDS, more=more)
    track, events = SoundTrack(), Events()
    writer = RestreamWriter(
        url=CameraUrl(url), encoder=SharedEncoder(sound=track), camera="gate", publish=events
    )
    play(source, track, writer.write)
    writer.close()
    return source, [one for one in events if isinstance(one, Notice)]


@pytest.mark.parametrize(
    ("codec", "form", "more"),
    [
        ("aac", "aac", ()),
        ("opus", "libopus", ()),
        ("pcm_alaw", "pcm_alaw", G711),
        ("pcm_mulaw", "pcm_mulaw", G711),
    ],
)
def test_a_server_gets_the_sound_unchanged_and_in_time(
    tmp_path: Path, codec: str, form: str, more: tuple[str, ...]
) -> None:
    with RtspServer(record=tmp_path) as server:
        source, told = restreamed(tmp_path, server.url(f"/heard/{codec}"), form, *more)
        assert server.expect("closed")["frames"] == SECONDS * 25
    assert told == []
    recorded = tmp_path / f"day-{codec}0.mkv"
    sent, found = payloads(source), payloads(recorded)
    # The last packets may be on their way when the server is told that it is over.
    assert len(found) > 0.9 * len(sent)
    if form in ("aac", "libopus"):
        start = sent.index(found[1]) - 1
        assert found == sent[start : start + len(found)]
        assert start < 3
    else:
        assert b"".join(found) in b"".join(sent)
    differences = apart(recorded)
    assert len(differences) >= SECONDS - 1
    assert max(map(abs, differences)) < IN_TIME
    assert ffmpeg_complaints(recorded) == ""


def test_a_server_that_refuses_sound_gets_the_pictures_and_that_is_told_once(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server:
        _, told = restreamed(tmp_path, server.url("/day", login="user:hunter2"), "aac")
        assert server.expect("closed")["frames"] == SECONDS * 25
    # What the server made of the first announcement has no file.
    (recorded,) = tmp_path.glob("day*.mkv")
    with av.open(str(recorded)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    (note,) = told
    assert (note.name, note.level, note.camera) == ("sound_dropped", "warning", "gate")
    assert "takes no sound of the codec aac" in note.detail
    assert "hunter2" not in note.detail
