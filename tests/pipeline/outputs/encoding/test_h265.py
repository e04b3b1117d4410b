"""H.265 by name: in recordings, MPEG-TS and RTSP, with the mark, the camera's colours, and no rate."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.outputs.encoding.encoder import X265_OPTIONS, Encoder
from nightday.pipeline.outputs.encoding.mark import marks_in
from nightday.pipeline.outputs.encoding.settings import Encoding
from nightday.pipeline.outputs.encoding.shared_encoder import EncoderClient, SharedEncoder
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from nightday.pipeline.outputs.mpeg_ts import TsMuxer
from nightday.pipeline.outputs.restream.stand_in import stand_in_for
from nightday.pipeline.outputs.rtsp.writer import RestreamWriter
from tests.support.media_helpers import ffmpeg_complaints, ffprobe, picture
from tests.support.rtsp_server import RtspServer

H265 = Encoding(encoder="x265")
SHADES = (40, 200, 120)


def shaded(number: int) -> np.ndarray:
    """A picture of four patches."""
    rgb = np.full((96, 128, 3), SHADES, np.uint8)
    rgb[:48, :64] = 230, 30 + number % 50, 20
    rgb[48:, 64:] = 16
    return rgb


def patches(rgb: np.ndarray) -> np.ndarray:
    """The middles of the patches."""
    return np.array([rgb[y, x] for y in (24, 72) for x in (32, 96)], int)


def test_recordings_hold_it_with_the_mark(tmp_path: Path) -> None:
    shared = SharedEncoder(encoding=H265)
    writer = SegmentWriter(template=str(tmp_path / "out.mp4"), encoder=shared)
    for number in range(60):
        writer.write(picture(number * 512, rgb=shaded(number)))
    writer.close()
    assert shared.name == "x265"
    path = tmp_path / "out.mp4"
    told = ffprobe(path, "stream=codec_name,width,height")
    assert told["streams"] == [{"codec_name": "hevc", "width": 128, "height": 96}]
    assert ffmpeg_complaints(path) == ""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
        assert keys == [0, 50]
        assert [bool(marks_in(bytes(packet))) for packet in packets] == [n in keys for n in range(60)]
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            rgb = frame.to_ndarray(format="rgb24")
            assert np.abs(patches(rgb) - patches(shaded(number))).max() <= 6


def test_mpeg_ts_holds_it(tmp_path: Path) -> None:
    client, path = EncoderClient(SharedEncoder(encoding=H265)), tmp_path / "out.ts"
    muxer = None
    with path.open("wb") as file:
        for number in range(30):
            encoded = client.encode(picture(number * 512, rgb=shaded(number)))
            muxer = muxer or TsMuxer(encoded, title="gate")
            file.write(muxer.mux(encoded))
    assert ffprobe(path, "stream=codec_name")["streams"][0]["codec_name"] == "hevc"
    assert len(ffprobe(path, "packet=pts_time")["packets"]) == 30
    assert ffmpeg_complaints(path) == ""


def test_it_names_no_rate() -> None:
    """Of what x265 makes by itself FFmpeg reads one."""
    told = []
    for params in (X265_OPTIONS["x265-params"], "log-level=error:pools=none"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(X265_OPTIONS, "x265-params", params)
            (packet,) = Encoder(picture(0), preset="veryfast", codec="hevc").encode(picture(0))
        decoder = av.CodecContext.create("hevc", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        decoder.decode(av.Packet(bytes(packet)))
        told.append(decoder.framerate)
    assert told == [None, 25]


def test_an_rtsp_server_records_it(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server:
        writer = RestreamWriter(url=CameraUrl(server.url("/h265")), encoder=SharedEncoder(encoding=H265))
        for number in range(50):
            writer.write(picture(number * 512, rgb=shaded(number)))
        writer.close()
        assert server.expect("closed")["frames"] == 50
    (recorded,) = tmp_path.glob("*.mkv")
    assert ffprobe(recorded, "stream=codec_name")["streams"][0]["codec_name"] == "hevc"
    assert ffmpeg_complaints(recorded) == ""


def test_what_stands_in_for_a_camera_is_of_the_stream() -> None:
    client = EncoderClient(SharedEncoder(encoding=H265))
    shown = picture(0, rgb=shaded(0))
    encoded = client.encode(shown)
    still = stand_in_for(shown, encoded, shown_at=0.0).encoded(20.0)
    decoder = av.CodecContext.create("hevc", "r")
    frames = [
        frame
        for data in (encoded.data, still.data, None)
        for frame in decoder.decode(None if data is None else av.Packet(data))
    ]
    assert len(frames) == 2


def test_nvenc_is_asked_for_pictures_on_the_host() -> None:
    """Here there is none, so opening it fails and nothing stands in."""
    client = EncoderClient(SharedEncoder(encoding=Encoding(encoder="hevc_nvenc")))
    with pytest.raises((av.error.FFmpegError, ValueError)):
        client.encode(picture(0, rgb=np.zeros((256, 256, 3), np.uint8)))
    assert Encoder(picture(0), preset="veryfast", codec="hevc").codec == "hevc"
