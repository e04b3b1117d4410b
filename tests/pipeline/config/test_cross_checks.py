"""Files and streams that two cameras would write, under whatever names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.config.documents import Faults, Load


def test_files_that_two_cameras_would_write(faults: Faults, load: Load) -> None:
    text = (
        "cameras:\n  - {name: a, url: clip.mp4}\n  - {name: b, url: clip.mp4}\n"
        "defaults: {model: gate.pt, outputs: ['out/%s.mp4'], snapshot: './out/%s.png'}\n"
    )
    found = faults(text % ("day", "../out/day"))
    assert found == [
        "cameras.yaml:4: defaults.outputs[0]: cameras[0] writes there too; put {name} into the name",
        "cameras.yaml:4: defaults.snapshot: cameras[0] writes there too; put {name} into the name",
    ]
    load(text % ("{name}", "{name}"))


@pytest.mark.parametrize(
    ("a", "b", "place"),
    [
        ("outputs: [out/x.mp4]", "outputs: ['{here}/out/x.mp4']", "outputs[0]"),
        ("outputs: [out/x.mp4]", "outputs: [link/x.mp4]", "outputs[0]"),
        ("background: {save: out/x.png}", "background: {save: './out/x.png'}", "background.save"),
        ("background: {save: out/x.png}", "background: {save: out/x.PNG}", "background.save"),  # one x.state
        ("background: {save: out/x.png}", "snapshot: out/x.png", "snapshot"),
        ("outputs: ['rtsp://h/day']", "outputs: ['rtsp://u:pa55@h/day']", "outputs[0]"),
        ("outputs: ['rtsp://h/day']", "outputs: ['RTSP://H:554/day/']", "outputs[0]"),
    ],
)
def test_one_target_under_two_names(faults: Faults, folder: Path, a: str, b: str, place: str) -> None:
    (folder / "out").mkdir(exist_ok=True)
    (folder / "link").unlink(missing_ok=True)
    (folder / "link").symlink_to("out")
    b = b.replace("{here}", str(folder))
    found = faults(
        f"cameras:\n  - {{name: a, url: clip.mp4, {a}}}\n  - {{name: b, url: clip.mp4, {b}}}\n"
        "defaults: {model: gate.pt}\n"
    )
    assert found == [
        f"cameras.yaml:3: cameras[1].{place}: cameras[0] writes there too; put {{name}} into the name"
    ]


def test_targets_that_only_look_alike(load: Load) -> None:
    load(
        "cameras:\n  - {name: a, url: clip.mp4, outputs: ['rtsp://h/day', 'rtsp://h:8554/day', 'rtsp://h/Day']}\n"
        "  - {name: b, url: clip.mp4, background: {save: out/x.png}, snapshot: out/X.png}\n"
        "defaults: {model: gate.pt}\n"
    )


@pytest.mark.parametrize(
    ("url", "output"), [("rtsp://u:pa55@h/s", "rtsp://h:554/s"), ("clip.mp4", "./clip.mp4")]
)
def test_a_camera_sent_back_to_where_it_comes_from(faults: Faults, url: str, output: str) -> None:
    found = faults(f"cameras:\n  - {{name: a, url: '{url}', model: gate.pt, outputs: ['{output}']}}\n")
    assert found == [
        "cameras.yaml:2: cameras[0].outputs[0]: is what this camera reads; name another",
    ]
