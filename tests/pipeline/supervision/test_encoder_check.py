"""Encoders that outputs name: refused where they cannot encode, with the place in the file and the way out."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from nightday.pipeline.cli import main
from nightday.pipeline.supervision import encoder_check
from nightday.pipeline.supervision.encoder_check import encoder_fault

CONFIG = """
cameras:
  - name: gate
    url: {clip}
    translate: never
    outputs:
      - out/%H%M%S.mp4
      - to: udp://127.0.0.1:9
        encoder: {encoder}
"""


@pytest.fixture(autouse=True)
def fresh() -> None:
    encoder_fault.cache_clear()


def written(folder: Path, encoder: str) -> Path:
    file = folder / "cameras.yaml"
    file.write_text(CONFIG.format(clip=folder / "clip.mp4", encoder=encoder))
    (folder / "clip.mp4").touch()
    return file


@pytest.mark.parametrize("command", [("--check",), ("--duration", "1")])
@pytest.mark.parametrize(("encoder", "software"), [("h264_nvenc", "x264"), ("hevc_nvenc", "x265")])
def test_nvenc_without_a_gpu_is_refused_with_its_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
    software: str,
    command: tuple[str, ...],
) -> None:
    def none_here(name: str) -> None:
        raise av.error.PermissionError(1, "Operation not permitted", name)

    monkeypatch.setattr(encoder_check, "_try", none_here)
    file = written(tmp_path, encoder)
    assert main(["--cameras", str(file), *command]) == 2
    said = capsys.readouterr().err
    assert f"{file}:9" in said
    assert f"{encoder}: does not encode here (no NVIDIA GPU with an encoder for it, or no driver" in said
    assert f"use {software}" in said


def test_an_encoder_that_this_ffmpeg_lacks_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx265"})
    file = written(tmp_path, "libx265")
    assert main(["--cameras", str(file), "--check"]) == 2
    assert "x265: this FFmpeg was built without libx265; use auto, or install a PyAV that has it" in (
        capsys.readouterr().err
    )


def test_what_is_built_in_encodes() -> None:
    assert [encoder_fault(one) for one in ("auto", "x264", "x265")] == [None] * 3


def test_the_try_is_a_picture_encoded() -> None:
    encoder_check._try("libx264")
    with pytest.raises(ValueError, match="no_such"):
        encoder_check._try("no_such")
