"""A source gives its best video as it is to be shown: upright, of whole pictures, with the pixels' aspect."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.reformatter import VideoReformatter

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.events import Event, Notice
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.media import gpu_video
from nightday.pipeline.media.colour import to_rgb
from nightday.pipeline.sources import file, registry
from nightday.pipeline.sources.base import ConnectionSettings, SourceLostError
from tests.faults.camera import Camera
from tests.support.clips import H264, ffmpeg, pattern, shown_by_ffmpeg, turned
from tests.support.connections import connection_settings

SETTINGS = connection_settings()


def frames(path: Path, settings: ConnectionSettings = SETTINGS) -> list[Frame]:
    with registry.open_source(CameraUrl(str(path)), settings) as source:
        videos = [decoded.video for decoded in source.frames()]
        return [Frame("gate", video, video.pts or 0, source.time_base, 0.0, 0.0) for video in videos]


def interlaced(path: Path) -> Path:
    source = "testsrc2=size=96x64:rate=50"
    fields = ("-vf", "tinterlace=interleave_top,setsar=12/11", "-frames:v", "6")
    ffmpeg("-f", "lavfi", "-i", source, *fields, *H264, "-flags", "+ilme+ildct", path)
    return path


def test_a_turned_camera_is_upright_everywhere(tmp_path: Path) -> None:
    plain = pattern(tmp_path / "plain.mp4", filters="setsar=16/11")
    path = turned(plain, tmp_path / "turned.mp4", 90)
    taken = frames(path)
    assert [frame.size for frame in taken] == [(96, 64)] * 4
    assert {frame.pixel_aspect for frame in taken} == {Fraction(11, 16)}
    rgb = to_rgb(taken[0].video, VideoReformatter())
    wanted = shown_by_ffmpeg(path)
    assert rgb.shape == wanted.shape
    assert abs(rgb.astype(int) - wanted.astype(int)).mean() < 4
    assert file.picture_size(CameraUrl(str(path))) == (96, 64)  # what engines are built for


def test_fields_become_whole_pictures_at_their_own_pts(tmp_path: Path) -> None:
    path = interlaced(tmp_path / "fields.mp4")
    with av.open(str(path)) as clip:
        stored = [(video.pts, video.interlaced_frame) for video in clip.decode(video=0)]
    taken = frames(path)
    assert [(frame.pts, True) for frame in taken] == stored
    assert not any(frame.video.interlaced_frame for frame in taken)
    assert {frame.pixel_aspect for frame in taken} == {Fraction(12, 11)}


def test_interlaced_video_is_left_to_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader tries a source again without NVDEC when the error says so."""
    monkeypatch.setattr(gpu_video, "accelerator", lambda: None)
    monkeypatch.setattr(gpu_video, "on_gpu", lambda video: True)
    monkeypatch.setattr(gpu_video, "sw_format_of", lambda video: "nv12")
    on_gpu = dataclasses.replace(SETTINGS, nvdec=True)
    with pytest.raises(SourceLostError, match="interlaced") as lost:
        frames(interlaced(tmp_path / "fields.mp4"), on_gpu)
    assert lost.value.nvdec
    assert len(frames(pattern(tmp_path / "plain.mp4"), on_gpu)) == 4


def test_the_film_is_read_and_not_its_cover(tmp_path: Path) -> None:
    film, cover = pattern(tmp_path / "film.mp4"), tmp_path / "cover.jpg"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=600x600", "-frames:v", "1", cover)
    both, alone = tmp_path / "both.mp4", tmp_path / "alone.m4a"
    words = ("-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v:0", "attached_pic")
    ffmpeg("-i", cover, "-i", film, *words, both)
    assert [frame.size for frame in frames(both)] == [(64, 96)] * 4
    assert file.picture_size(CameraUrl(str(both))) == (64, 96)
    ffmpeg("-i", cover, "-f", "lavfi", "-t", "0.2", "-i", "anullsrc", *words, alone)
    with pytest.raises(SourceLostError, match="no video in it but a cover picture"):
        frames(alone)
    with pytest.raises(ValueError, match="cover picture"):
        file.picture_size(CameraUrl(str(alone)))


def test_a_jpeg_camera_is_full_range_bt_601_in_srgb(tmp_path: Path) -> None:
    path = tmp_path / "jpeg.avi"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=5", "-frames:v", "2", "-c:v", "mjpeg", path)
    for frame in frames(path):
        assert (frame.video.color_primaries, frame.video.color_trc) == (1, 13)


def test_colours_that_are_not_read_are_told_once_with_what_they_are(tmp_path: Path) -> None:
    told: list[Event] = []
    clip = tmp_path / "hdr.mp4"
    tags = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10", "-frames:v", "5", *H264, *tags, clip)
    with Camera(str(clip), pace="fast", loop=True, publish=told.append) as camera:
        camera.wait_until(lambda: camera.stats.snapshot().decoded >= 12)
        fault = camera.reader.doubts.colours
    notices = [event for event in told if isinstance(event, Notice)]
    assert [event.name for event in notices] == ["colours_not_read"]
    assert fault is not None
    assert notices[0].detail.startswith(fault)
    assert "HDR (PQ" in fault
