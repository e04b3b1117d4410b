"""``nightday-stream --demo``: from any folder, without a file, and the same as the checkout's ``cameras.yaml``."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nightday.engines.bundled import bundled_clips, bundled_weights
from nightday.pipeline.cli import main
from nightday.pipeline.config.demo import DEMO_FILE, demo_overrides
from nightday.pipeline.config.load import load_config
from tests.support.media_helpers import ffmpeg_complaints, packet_pts

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory; logging is put back as it was."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before = root.level, list(root.handlers), threading.excepthook, sys.excepthook
    level = logging.getLogger("nightday").level
    yield tmp_path
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    threading.excepthook, sys.excepthook = before[2], before[3]
    logging.getLogger("nightday").setLevel(level)
    logging.captureWarnings(False)


def test_the_demo_is_the_checkouts_configuration() -> None:
    assert DEMO_FILE.read_text() == (ROOT / "cameras.yaml").read_text(), "copy cameras.yaml to demo.yaml"


def test_it_reads_what_is_bundled_and_writes_below_the_current_directory() -> None:
    config = load_config(DEMO_FILE, overrides=demo_overrides()).config
    assert [camera.name for camera in config.cameras] == ["a1_barnet", "piccadilly"]
    for camera in config.cameras:
        assert camera.url.path.is_file()
        assert camera.url.path.parent == bundled_clips()
        assert camera.checkpoint == bundled_weights("general.pt")
        assert [output.to.reveal() for output in camera.outputs] == [f"out/{camera.name}/%Y%m%d-%H%M%S.mp4"]
        assert camera.snapshot == Path(f"out/{camera.name}/side-by-side.png")


def test_the_bundled_files_are_the_checkouts() -> None:
    assert bundled_weights("general.pt").read_bytes() == (ROOT / "weights" / "general.pt").read_bytes()
    clips = {path.name for path in bundled_clips().glob("*.mp4")}
    assert clips == {path.name for path in (ROOT / "benchmarks" / "clips").glob("*.mp4")}


def test_check_prints_it_and_runs_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", "--check", "--set", "engine.backend=eager", "--set", "http.port=0"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert [camera["name"] for camera in printed["cameras"]] == ["a1_barnet", "piccadilly"]
    assert (printed["engine"]["backend"], printed["http"]["port"]) == ("eager", 0)
    assert not list(folder.iterdir())


def test_a_value_of_set_goes_before_the_demos_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", "--check", "--set", "cameras.piccadilly.url=nowhere.mp4"]) == 2
    assert capsys.readouterr().err == '--set: cameras[1].url: "nowhere.mp4": no such file\n'


@pytest.mark.slow
def test_it_runs_anywhere_and_says_what_it_wrote(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eager = ["--set", "engine.backend=eager", "--set", "http.port=0"]
    assert main(["--demo", "--duration", "3", *eager]) == 0
    wrote = [line.removeprefix("wrote ") for line in capsys.readouterr().out.splitlines() if "wrote " in line]
    videos = [Path(name) for name in wrote if name.endswith(".mp4")]
    assert {path.parent for path in videos} == {Path("out/a1_barnet"), Path("out/piccadilly")}
    for path in videos:
        assert packet_pts(path)
        assert ffmpeg_complaints(path) == ""
    assert {entry.name for entry in folder.iterdir()} == {"out"}
