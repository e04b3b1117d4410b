"""An entry of ``outputs`` that says how its pictures are wanted."""

from __future__ import annotations

import pytest
import yaml

from nightday.pipeline.outputs.encoding.settings import Encoding
from tests.pipeline.config.documents import SECRET, Faults, Load, one


def test_what_an_output_wants(load: Load) -> None:
    entries = """
      - out/{name}/%H.mp4
      - to: "rtsp://viewer:${PASSWORD}@h/{name}"
        view: pair
        size: 480
        fps: 12.5
        bitrate: 1.5M
        encoder: x264
      - {to: "out/night.mp4", view: night, size: [640, 360], bitrate: 800k}
      - {to: "udp://h:1234", bitrate: 300000, fps:}"""
    camera = load(one(outputs=entries), PASSWORD=SECRET).config.cameras[0]
    assert [output.to.reveal() for output in camera.outputs] == [
        "out/gate/%H.mp4",
        f"rtsp://viewer:{SECRET}@h/gate",
        "out/night.mp4",
        "udp://h:1234",
    ]
    assert [output.encoding for output in camera.outputs] == [
        Encoding(),
        Encoding(view="pair", size=(0, 480), fps=12.5, bitrate=1_500_000, encoder="x264"),
        Encoding(view="night", size=(640, 360), bitrate=800_000),
        Encoding(bitrate=300_000),
    ]


def test_what_check_prints_is_as_short_as_what_was_written(load: Load) -> None:
    text = one(outputs="[out/a.mp4, {to: out/b.mp4, view: night}, {to: out/c.mp4}]")
    dumped = load(text).config.dump()["cameras"][0]["outputs"]
    assert dumped[0] == "out/a.mp4"
    assert dumped[1]["to"] == "out/b.mp4"
    assert dumped[1]["view"] == "night"
    assert dumped[2] == "out/c.mp4"


def test_what_check_prints_can_be_read_again(load: Load) -> None:
    entries = "[{to: out/a.mp4, size: 480, bitrate: 800k}, {to: out/b.mp4, size: [640, 360], fps: 10}]"
    config = load(one(outputs=entries)).config
    printed = yaml.safe_dump(config.dump(), sort_keys=False)
    assert load(printed).config == config
    assert [output["size"] for output in config.dump()["cameras"][0]["outputs"]] == [480, [640, 360]]


@pytest.mark.parametrize(
    ("entry", "place", "said"),
    [
        ("{view: day}", "outputs[0].to", "missing"),
        ("{to: out/a.avi}", "outputs[0].to", '"out/a.avi": a file output must end in .mp4'),
        ("{to: clip.mp4/a.mp4}", "outputs[0].to", '"clip.mp4/a.mp4": cannot write to clip.mp4'),
        (
            "{to: a.mp4, view: nite}",
            "outputs[0].view",
            'must be day, night or pair, not "nite"; did you mean "night"?',
        ),
        ("{to: a.mp4, vew: day}", "outputs[0].vew", 'unknown key; did you mean "view"?'),
        ("{to: a.mp4, size: 481}", "outputs[0].size", "must be even, since the colours"),
        ("{to: a.mp4, size: [640, 361]}", "outputs[0].size", "must be even"),
        ("{to: a.mp4, size: [640, 360, 2]}", "outputs[0].size", "must be a height such as 480"),
        ("{to: a.mp4, size: 640x360}", "outputs[0].size", "must be a height such as 480"),
        ("{to: a.mp4, size: 8}", "outputs[0].size", "must be from 16 to 8192"),
        ("{to: a.mp4, fps: 0}", "outputs[0].fps", "must be more than 0, not 0"),
        ("{to: a.mp4, fps: fast}", "outputs[0].fps", 'must be a number, not "fast"'),
        ("{to: a.mp4, bitrate: 2Mbit}", "outputs[0].bitrate", "must be bits a second, such as 2M or 800k"),
        ("{to: a.mp4, bitrate: 5}", "outputs[0].bitrate", "must be from 16k to 400M"),
        ("{to: a.mp4, encoder: hevc}", "outputs[0].encoder", '"hevc" is no encoder here; H.264 is made by'),
        ("{to: a.mp4, encoder: h264_qsv}", "outputs[0].encoder", '"h264_qsv" is no encoder here'),
        ("{to: a.mp4, encoder: fast}", "outputs[0].encoder", "must be auto, x264, h264_nvenc, x265 or "),
        (
            "{to: 'hls:a.m3u8', encoder: x265}",
            "outputs[0].encoder",
            '"x265": makes H.265, which hls outputs do not',
        ),
        (
            "{to: 'rtmp://a/b/c', encoder: hevc_nvenc}",
            "outputs[0].encoder",
            '"hevc_nvenc": makes H.265, which rtmp',
        ),
        ("{to: 'whip://a/b', encoder: libx265}", "outputs[0].encoder", '"libx265": makes H.265, which whip'),
        ("{to: a.mp4, window: 60}", "outputs[0].window", "60 is for HLS; leave it out here"),
        ('{to: "hls:a.m3u8", window: 5}', "outputs[0].window", "must be at least 10, not 5"),
        ('"hls:clip.mp4/a.m3u8"', "outputs[0]", '"hls:clip.mp4/a.m3u8": cannot write to clip.mp4'),
        ('"hls:a.m3u"', "outputs[0]", '"hls:a.m3u": the playlist must end in .m3u8'),
        ("7", "outputs[0]", "must be a path or an address, or a mapping with one below `to`"),
    ],
)
def test_what_cannot_be_is_refused_at_its_line(faults: Faults, entry: str, place: str, said: str) -> None:
    (fault,) = faults(one(outputs=f"\n      - {entry}"))
    assert fault.startswith(f"cameras.yaml:7: cameras[0].{place}: {said}"), fault


@pytest.mark.parametrize("second", ["./out/a.mp4", "out/b/../a.mp4"])
@pytest.mark.parametrize("kind", ["", "hls:"])
def test_two_outputs_to_one_file_whatever_they_show(faults: Faults, second: str, kind: str) -> None:
    ending = ".m3u8" if kind else ".mp4"
    first, second = (f"{kind}{path.replace('.mp4', ending)}" for path in ("out/a.mp4", second))
    (fault,) = faults(one(outputs=f"['{first}', {{to: '{second}', view: night}}]"))
    assert fault.startswith("cameras.yaml:6: cameras[0].outputs[1].to: cameras[0] writes there too")


@pytest.mark.parametrize(("view", "translated"), [("night", False), ("day", True), ("pair", True)])
def test_a_camera_that_is_seen_by_night_alone_needs_no_model(load: Load, view: str, translated: bool) -> None:
    text = one(model="auto", outputs=f"[{{to: out.mp4, view: {view}}}]")
    assert (load(text).config.cameras[0].checkpoint is not None) is translated
