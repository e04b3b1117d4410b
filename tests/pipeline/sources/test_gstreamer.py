"""Decoding by GStreamer, with its software decoder in the hardware's place, against FFmpeg's decoding of the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest

from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.sources import decoders, gstreamer
from nightday.pipeline.sources.base import SourceLostError
from nightday.pipeline.sources.decoders import decoder_fault
from nightday.pipeline.sources.gstreamer import GStreamerDecoder, open_decoder
from nightday.pipeline.sources.packets import Packet
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.runtime import run
from tests.faults.camera import Camera
from tests.support.rtsp_server import CLIP, WAIT, RtspServer

# Where Debian puts the bindings, for its own Python.
DEBIAN = "/usr/lib/python3/dist-packages"
STAND_IN = ("avdec_h264", "videoconvert")


@pytest.fixture(autouse=True)
def bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, DEBIAN])
    try:
        import gi  # noqa: F401
    except ImportError as error:
        pytest.skip(f"GStreamer's bindings are for another Python: {error}")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gstreamer, "ELEMENTS", STAND_IN)


def truth() -> list[np.ndarray]:
    with av.open(str(CLIP)) as clip:
        return [frame.reformat(format="nv12").to_ndarray() for frame in clip.decode(video=0)]


@contextmanager
def opened(path: Path) -> Iterator[tuple[GStreamerDecoder, list[av.Packet[av.VideoStream]]]]:
    """A decoder of a file, whose packets are given start codes as those of a camera have them."""
    with av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        bare = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [whole for packet in clip.demux(stream) if packet.size for whole in bare.filter(packet)]
        # The filter has put the parameter sets in front of the first key frame; those of an MP4 are no start codes.
        stream.codec_context.extradata = None
        assert stream.time_base is not None
        with open_decoder(stream, stream.time_base) as decoder:
            yield decoder, packets


@pytest.mark.usefixtures("stand_in")
def test_every_picture_and_time_stamp_is_that_of_ffmpeg() -> None:
    with av.open(str(CLIP)) as clip:
        expected = [(frame.pts, frame.colorspace, frame.color_range) for frame in clip.decode(video=0)]
    with opened(CLIP) as (decoder, packets):
        frames = [frame for packet in packets for frame in decoder.decode(packet, "all")]
        frames += decoder.rest()
    assert [(frame.pts, frame.colorspace, frame.color_range) for frame in frames] == expected
    for frame, right in zip(frames, truth(), strict=True):
        # GStreamer and FFmpeg need not average chroma alike, though 4:2:0 stays 4:2:0 here.
        assert np.array_equal(frame.to_ndarray(), right)


def reordered(path: Path, codec: str, size: tuple[int, int], rng: np.random.Generator) -> None:
    """A clip with pictures that are sent in another order than they are shown in."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options={"bf": "2", "x265-params": "log-level=none"})
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        picture = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        for shift in range(12):
            moved = np.roll(picture, 4 * shift, axis=1)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        out.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("encoder", "decoder", "filtered"),
    [("libx264", "avdec_h264", "h264_mp4toannexb"), ("libx265", "avdec_h265", "hevc_mp4toannexb")],
)
def test_reordered_pictures_and_a_new_size_in_mid_stream(
    encoder: str,
    decoder: str,
    filtered: str,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gstreamer, "ELEMENTS", (decoder, "videoconvert"))
    right, packets = [], []
    for number, size in enumerate([(318, 178), (640, 360)]):  # rows of the first are padded
        path = tmp_path / f"{number}.mp4"
        reordered(path, encoder, size, rng)
        with av.open(str(path)) as clip:
            stream = clip.streams.video[0]
            bare = av.BitStreamFilterContext(filtered, stream)
            packets += [
                whole for packet in clip.demux(stream) if packet.size for whole in bare.filter(packet)
            ]
        with av.open(str(path)) as clip:
            right += [frame.reformat(format="nv12").to_ndarray() for frame in clip.decode(video=0)]
    with av.open(str(tmp_path / "0.mp4")) as clip:
        stream = clip.streams.video[0]
        stream.codec_context.extradata = None
        assert stream.time_base is not None
        with open_decoder(stream, stream.time_base) as opened_decoder:
            frames = [frame for packet in packets for frame in opened_decoder.decode(packet, "all")]
            frames += opened_decoder.rest()
    assert len(frames) == len(right) == 24
    for frame, wanted in zip(frames, right, strict=True):
        assert np.array_equal(frame.to_ndarray(), wanted)


@pytest.mark.usefixtures("stand_in")
def test_key_frames_alone_are_decoded_where_no_more_are_wanted() -> None:
    with opened(CLIP) as (decoder, packets):
        keys = sum(packet.is_keyframe for packet in packets)
        frames = [frame for packet in packets for frame in decoder.decode(packet, "keys")]
        frames += decoder.rest()
    assert 0 < keys < len(packets)
    assert len(frames) == keys


# In a process of its own, which the fault it is about would take down.
CONVERTS = """
import sys
sys.path.append(sys.argv[1])
from pathlib import Path
import numpy as np
from nightday.engines import load_engine
from nightday.engines.bundled import bundled_weights
from nightday.pipeline.sources import gstreamer
from tests.pipeline.sources.test_gstreamer import CLIP, STAND_IN, opened
gstreamer.ELEMENTS = STAND_IN
with opened(Path(CLIP)) as (decoder, packets):
    decoder.decode(packets[0], "all")
engine = load_engine(bundled_weights("a1_barnet.pt"), "openvino", "fp32")
print(engine(np.zeros((1, 96, 128, 3), np.uint8)).shape)
"""


@pytest.mark.slow
def test_engines_are_converted_beside_it() -> None:
    """GStreamer brings its own unwinding of C++ exceptions, which must not become that of other libraries."""
    done = subprocess.run(
        [sys.executable, "-c", CONVERTS, DEBIAN],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path != DEBIAN)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 96, 128, 3)"


@pytest.mark.usefixtures("stand_in")
def test_rubbish_is_survived() -> None:
    with opened(CLIP) as (decoder, packets):
        rubbish = cast("Packet", av.Packet(b"\0\0\0\1" + bytes(range(256))))
        rubbish.pts = packets[0].pts
        decoder.decode(rubbish, "all")
        frames = [frame for packet in packets for frame in decoder.decode(packet, "all")]
        frames += decoder.rest()
    assert np.array_equal(frames[-1].to_ndarray(), truth()[-1])


@pytest.mark.usefixtures("stand_in")
def test_a_packet_without_a_time_stamp_gives_a_picture_without_one() -> None:
    with opened(CLIP) as (decoder, packets):
        packets[0].pts = packets[0].dts = None
        frames = [frame for packet in packets for frame in decoder.decode(packet, "all")]
        frames += decoder.rest()
    assert frames[0].pts is None
    assert [frame.pts for frame in frames[1:]] == [packet.pts for packet in packets[1:]]


@pytest.mark.usefixtures("stand_in")
def test_a_camera_is_decoded_by_it(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server, Camera(server.url("/cam"), gstreamer=True) as camera:
        frames = camera.slot.wait_for(30)
        assert camera.reader.decoder == "gstreamer"
        server.command("drop")  # and again after the camera was away
        camera.slot.wait_for(len(camera.slot.frames) + 10)
    shown = truth()
    for frame in frames[:10]:
        assert any(np.array_equal(frame.video.to_ndarray(), right) for right in shown)
    steps = {float((b.pts - a.pts) * a.time_base) for a, b in pairwise(frames)}
    assert steps == {0.04}


@pytest.mark.usefixtures("stand_in")
def test_the_entry_of_a_camera_asks_for_it(tmp_path: Path) -> None:
    commands = CommandQueue()
    decoded_by: set[str] = set()

    def report(cameras: Sequence[CameraStatus], seconds: float) -> None:
        decoded_by.update(camera.decoder for camera in cameras if camera.decoder)
        if decoded_by:
            commands.put("stop")

    with RtspServer(record=tmp_path) as server:
        entry = {"name": "gate", "url": server.url("/cam"), "translate": "never", "decoder": "gstreamer"}
        config = Config.model_validate({"cameras": [entry]})
        run(config, engines={}, duration=WAIT, report=report, report_every=0.1, commands=commands)
    assert decoded_by == {"gstreamer"}


def test_where_there_is_no_such_decoder_ffmpeg_decodes_and_that_is_said(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server, Camera(server.url("/cam"), gstreamer=True) as camera:
        camera.slot.wait_for(10)
        assert camera.reader.decoder == "software"
        assert not camera.stats.snapshot().reconnects


def test_a_codec_that_it_is_not_asked_for_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(stream.encode(None))
    with av.open(str(path)) as clip, pytest.raises(SourceLostError, match="not mpeg4") as lost:
        GStreamerDecoder(clip.streams.video[0], Fraction(1, 25))
    assert lost.value.nvdec


def test_what_cannot_be_is_told_by_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, clip = CameraUrl("rtsp://10.0.0.5/1"), CameraUrl("http://10.0.0.5/clip.mp4")
    assert decoder_fault("gstreamer", camera) is None
    assert decoder_fault("auto", clip) is None
    assert "rtsp://" in (decoder_fault("gstreamer", clip) or "")
    monkeypatch.setattr(decoders, "find_spec", lambda name: None)
    assert "python3-gi" in (decoder_fault("gstreamer", camera) or "")
