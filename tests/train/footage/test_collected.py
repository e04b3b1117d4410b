"""nightday-train on what nightday-stream collected: the folder, what is said where there is none, and a run."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import pytest

from nightday.engines.model.checkpoint import read_checkpoint
from nightday.pipeline.config.load import load_config
from nightday.train.cli import main
from nightday.train.footage.collected import collected_folder, load_collected
from nightday.train.footage.scene import SceneError, read_frames, write_picture

CLIP = Path(__file__).parents[3] / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"
CAMERAS = """\
defaults: &usual
  collect: training/{name}
  outputs: ["out/{name}.mp4"]
  translate: never
cameras:
  - {name: gate, url: "rtsp://viewer:${PASSWORD}@10.0.0.5/s"}
  - {name: yard, url: "rtsp://10.0.0.6/s", collect: {folder: "${DISK}/{name}/scene", keep: 50}}
  - {name: shed, url: "rtsp://10.0.0.7/s", collect: {every_s: 30}}
  - {<<: *usual, name: dock, url: "rtsp://10.0.0.8/s", outputs: []}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of each test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_folder_is_the_one_the_stream_collects_in() -> None:
    file = Path("cameras.yaml")
    file.write_text(CAMERAS)
    environment = {"PASSWORD": "x", "DISK": "disk"}
    config = load_config(file, environment=environment).config
    for camera in config.cameras:
        assert camera.collect is not None
        found = collected_folder(file, camera.name, environment=environment)
        assert found == camera.collect.folder
    assert collected_folder(file, "yard", environment=environment) == Path("disk/yard/scene")


def fill(folder: Path, *, day: int, night: int, first: int = 0) -> None:
    frames = [cv2.resize(f, (80, 64), interpolation=cv2.INTER_AREA) for f in read_frames(CLIP)[::8]]
    for kind, count, scale in (("day", day, 1.0), ("night", night, 0.2)):
        for index in range(first, first + count):
            picture = (frames[index] * scale).astype(frames[0].dtype)
            write_picture(folder / kind / f"20261125-10{index:02d}00Z.jpg", picture)


class TestVariables:
    """``${X}`` in the folder is found where nightday-stream finds it, and nothing else of the file must be there."""

    @pytest.fixture
    def file(self) -> Path:
        file = Path("cameras.yaml")
        file.write_text(CAMERAS)
        return file

    def test_from_the_environment(self, file: Path) -> None:
        assert collected_folder(file, "yard", environment={"DISK": "disk"}) == Path("disk/yard/scene")

    def test_from_the_environment_of_the_process(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DISK", "disk")
        assert collected_folder(file, "yard") == Path("disk/yard/scene")

    def test_from_a_file(self, file: Path, tmp_path: Path) -> None:
        (tmp_path / "where").write_text("/srv/disk\n")
        environment = {"DISK_FILE": str(tmp_path / "where")}
        assert collected_folder(file, "yard", environment=environment) == Path("/srv/disk/yard/scene")

    def test_from_a_file_that_is_not_there(self, file: Path) -> None:
        with pytest.raises(SceneError) as error:
            collected_folder(file, "yard", environment={"DISK_FILE": "nowhere"})
        assert str(error.value) == (
            "cameras.yaml:7: cameras[1].collect.folder: ${DISK}: DISK_FILE is nowhere, which cannot be read: "
            "No such file or directory"
        )

    def test_from_a_systemd_credential(self, file: Path, tmp_path: Path) -> None:
        (tmp_path / "credentials").mkdir()
        (tmp_path / "credentials" / "DISK").write_text("/srv/disk\n")
        environment = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
        assert collected_folder(file, "yard", environment=environment) == Path("/srv/disk/yard/scene")

    def test_the_camera_collects_elsewhere_than_by_default(self) -> None:
        file = Path("cameras.yaml")
        file.write_text(
            "defaults: {collect: '${X}'}\ncameras:\n  - {name: a, collect: mine}\n  - {name: b}\n"
        )
        assert collected_folder(file, "a", environment={}) == Path("mine")
        with pytest.raises(
            SceneError, match=r"^cameras\.yaml:1: defaults\.collect: \$\{X\} is not set; set X, or"
        ):
            collected_folder(file, "b", environment={})


_NO_PICTURES = "day and 0 night pictures so far, at least 5 and 4 are needed"


@pytest.mark.parametrize(
    ("text", "camera", "said"),
    [
        (
            CAMERAS,
            "gaet",
            "cameras.yaml: no camera 'gaet'; there are: gate, yard, shed, dock; did you mean gate?",
        ),
        ("cameras: []", "gate", "cameras.yaml: no camera 'gate'; there are: none"),
        ("- 1", "gate", "cameras.yaml:1: must hold `cameras:` with the list of cameras below it, not a list"),
        (
            "cameras: [{name: a}]",
            "a",
            "cameras.yaml:1: a collects no pictures; add this line to it, and let "
            'nightday-stream run by day and by night:    collect: "training/{name}"',
        ),
        (
            "\ncameras:\n\n  - {name: a}\n  - name: b\n    url: x",
            "b",
            "cameras.yaml:5: b collects no pictures",
        ),
        (CAMERAS, "gate", f"{Path('training/gate')}: 0 {_NO_PICTURES}; let nightday-stream run on"),
        (CAMERAS, "shed", f"{Path('training/shed')}: 6 {_NO_PICTURES}"),
        (
            CAMERAS,
            "yard",
            "cameras.yaml:7: cameras[1].collect.folder: ${DISK} is not set; set DISK, or DISK_FILE to a file",
        ),
        (
            "cameras: [{name: a, collect: '{nam}/x'}]",
            "a",
            "cameras.yaml:1: cameras[0].collect: {nam} stands for nothing; only {name}, the camera's name, is",
        ),
        ("cameras: [", "gate", "cameras.yaml:1: not YAML: expected the node content, but found"),
        (
            "cameras: !!python/object:os.system {}",
            "gate",
            "cameras.yaml:1: cameras: tag tag:yaml.org,2002:python/object:os.system is not understood",
        ),
    ],
)
def test_it_says_why_there_is_nothing_to_train_on(
    text: str, camera: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cameras.yaml").write_text(text)
    fill(Path("training/shed"), day=6, night=0)
    assert main(["--cameras", "cameras.yaml", "--camera", camera]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"nightday-train: {said}")
    assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SceneError, match=r"^nowhere\.yaml: cannot be read: No such file"):
        collected_folder(Path("nowhere.yaml"), "gate")


@pytest.mark.parametrize(
    "arguments",
    [["--cameras", "c.yaml"], ["--camera", "gate"], ["--cameras", "c", "--camera", "g", "--scene", "s"], []],
)
def test_a_scene_or_a_camera_and_not_half_of_it(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "--cameras" in capsys.readouterr().err


def test_too_few_are_refused_and_counted_anew_the_next_time(capsys: pytest.CaptureFixture[str]) -> None:
    Path("cameras.yaml").write_text(CAMERAS)
    fill(Path("training/gate"), day=3, night=4)
    command = ["--cameras", "cameras.yaml", "--camera", "gate", "--recipe", "blend", "--steps", "1"]
    assert main(command) == 2
    assert "gate: 3 different day pictures: at least 5 are needed" in capsys.readouterr().err
    fill(Path("training/gate"), day=1, night=0, first=3)
    assert main(command) == 2
    assert "gate: 4 different day pictures: at least 5 are needed" in capsys.readouterr().err


def test_a_run_goes_on_with_its_pictures_while_the_collection_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("cameras.yaml").write_text(CAMERAS)
    scene = Path("training/gate")
    fill(scene, day=12, night=4)
    command = ["--cameras", "cameras.yaml", "--camera", "gate", "--batch", "1", "--crop", "32", "32"]
    command += ["--recipe", "paired", "--hold-back", "0.2"]
    assert main([*command, "--steps", "3"]) == 0
    run = Path("runs/gate")
    assert (run / "report.html").is_file()
    training = read_checkpoint(run / "best.pt")["training"]
    assert (training["scene"], training["day_frames"], training["night_frames"]) == ("gate", 10, 4)
    taken = sorted(os.listdir(run / "pictures" / "day"))
    assert taken == sorted(os.listdir(scene / "day"))
    fill(scene, day=1, night=1, first=12)
    for name in taken[::2]:  # thinned out
        (scene / "day" / name).unlink()
    capsys.readouterr()
    assert main([*command, "--steps", "3"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "with the pictures it began with" in said
    assert "going on from step 3" in said
    assert main([*command, "--steps", "2", "--out", "runs/newer"]) == 0
    assert read_checkpoint(Path("runs/newer/model.pt"))["training"]["day_frames"] == 6


def test_folders_of_days_are_taken_as_they_are() -> None:
    Path("cameras.yaml").write_text(CAMERAS)
    scene = Path("training/gate")
    fill(scene / "flat", day=6, night=4)
    for part, inside in (("day", "day/2026-11-25/10"), ("night", "2026-11-25/night")):
        (scene / inside).parent.mkdir(parents=True, exist_ok=True)
        (scene / "flat" / part).rename(scene / inside)
    (scene / "day" / "2026-11-25" / "._1.jpg").write_bytes(b"Mac OS X")
    (scene / "2026-11-25" / "night" / "0.jpg").write_bytes(b"")
    taken = load_collected(Path("cameras.yaml"), "gate", Path("runs/gate"), hold_back=0)
    assert (taken.name, len(taken.day), len(taken.night)) == ("gate", 6, 4)
    assert taken.left_out == [
        "runs/gate/pictures/2026-11-25/night/0.jpg: is empty (0 bytes); delete it, or save it again"
    ]
    kept = sorted(path.relative_to("runs/gate/pictures") for path in Path("runs/gate").rglob("*Z.jpg"))
    assert kept == sorted(path.relative_to(scene) for path in scene.rglob("*Z.jpg"))
