"""The command lines of nightday-train and nightday-eval: what they offer and refuse, and that they are light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nightday.engines.bundled import bundled_weights
from nightday.engines.model.checkpoint import load_checkpoint
from nightday.train.arguments import parse
from nightday.train.cli import main
from nightday.train.footage.scene import Scene
from nightday.train.run.trainer import Trainer
from nightday.train.scores import evaluate
from nightday.train.session import settings_of

HEAVY = ("torch", "cv2", "av", "ultralytics", "sklearn", "skimage", "openvino")


@pytest.mark.parametrize("module", ["nightday.train.cli", "nightday.train.scores.evaluate"])
@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_answer_without_anything_heavy(module: str, argument: str) -> None:
    code = (
        f"import sys, {module} as command\n"
        "try:\n"
        f"    status = command.main(['{argument}'])\n"
        "except SystemExit as ended:\n"
        "    status = ended.code\n"
        f"print('loaded', status or 0, [name for name in {HEAVY} if name in sys.modules])\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "loaded 0 []"
    assert len(said.splitlines()) > 1


def test_the_package_is_light_until_its_losses_are_asked_for() -> None:
    code = (
        "import sys, nightday.train\n"
        "print('torch' in sys.modules)\n"
        "from nightday.train import DicoLosses, LossSettings, dico_losses, elesim\n"
        "print('torch' in sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "True"]


def help_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_help_tells_every_option_and_the_defaults_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    plain = help_of(capsys=capsys)
    for option in (
        "--scene DIR", "--cameras FILE", "--camera NAME", "--out DIR", "--force", "--size {light,compact,paper}",
        "--input {concat,replace}", "--norm {instance,batch}", "--others PATH [PATH ...]", "--others-share",
        "--device {auto,cpu,cuda}", "--mixed, --no-mixed", "--hold-back", "--validate-every", "--patience",
        "--threads N", "--recipe {paired,blend,dico,paired+dico}", "--start-from FILE", "--detector FILE",
        "--detector-weight",
        "--shade", "--steps", "--batch", "--crop H W", "--flip, --no-flip", "--learning-rate", "--unpaired-from",
        "--paired", "--foreground-weight", "--features", "--still", "--layers", "--reference", "--vgg", "--seed",
        "--sample-every", "--save-every", "--adversarial", "--background {median,mean}",
        "--l-back", "--foreground", "--reading {A,B,C}",
        "--centre, --no-centre", "--version",
    ):  # fmt: skip
        assert option in plain, option
    assert "(blend 1.5, others 0) (default: 0.0)" in plain
    assert "(default: 2e-4 for dico, else 1e-3)" in plain
    assert "(blend 1.5, others 0) (default: 1.5)" in help_of("--recipe", "blend", capsys=capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hold-back", "0.7"], "hold_back=0.7: must be a share from 0 to 0.5"),
        (["--validate-every", "0"], "validate_every=0: must be at least 1"),
        (["--threads", "0"], "threads=0: must be at least 1"),
        (["--patience", "-1"], "patience=-1: must not be below 0"),
        (["--steps", "0"], "steps=0: must be at least 1"),
        (["--batch", "-2"], "batch=-2: must be at least 1"),
        (["--detector-weight", "1"], "detector_weight=1.0: needs a detector"),
        (["--layers", "2"], "layers_weight=2.0: needs blend=True and pairs"),
    ],
)
def test_a_value_that_makes_no_sense_is_told_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--scene", "nowhere", *arguments]) == 2
    assert capsys.readouterr().err == f"nightday-train: {words}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "many"], "--steps"),
        (["--size", "huge"], "light"),
        (["--recipe", "best"], "paired+dico"),
        (["--crop", "32"], "--crop"),
        (["--norm", "None"], "instance"),
        (["--bogus"], "--bogus"),
        (["--cameras", "c.yaml", "--camera", "gate"], "--cameras"),
    ],
)
def test_what_cannot_be_understood_is_named(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--scene", "nowhere", *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_what_others_depend_on_may_stand_anywhere() -> None:
    many = ["--others", "a", "b", "--detector", "yolo.pt", "--no-mixed", "--scene", "x", "--recipe=blend"]
    arguments = parse(many)
    settings = settings_of(arguments)
    assert arguments.others == (Path("a"), Path("b"))
    assert (settings.detector_weight, settings.shade, settings.mixed, settings.device) == (
        2.0,
        1.5,
        False,
        "cpu",
    )
    given = settings_of(
        parse([*many, "--detector-weight", "0.5", "--shade", "0", "--device", "cpu", "--mixed"])
    )
    assert (given.detector_weight, given.shade, given.mixed) == (0.5, 0.0, True)


def test_the_general_model_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    day = [np.full((64, 64, 3), level, np.uint8) for level in (90, 100, 110)]
    scene = Scene("gate", day, [frame // 5 for frame in day], day[1])
    command = ["--scene", "x", "--recipe", "blend", "--start-from", "general", "--device", "cpu"]
    settings = settings_of(parse(command))
    model = Trainer(scene, settings, tmp_path / "run").model.state_dict()
    wanted = load_checkpoint(bundled_weights("general.pt")).state_dict()
    assert all((model[name] == value).all() for name, value in wanted.items() if name != "reference")
    (tmp_path / "general").write_text("a file of this name comes first")
    with pytest.raises(ValueError, match="general: not a checkpoint"):
        Trainer(scene, settings, tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--real", "x"], "--checkpoint: give at least one"),
        (["--checkpoint", "m.pt"], "--pairs"),
        (["--checkpoint", "m.pt", "--real", "x", "--threads", "-1"], "--threads -1: must be at least 1"),
        (["--checkpoint", "m.pt", "--pairs", "x", "--real", "x"], "--real"),
        (["--checkpoint", "m.pt", "--pairs", "x", "--boxes", "b.csv"], "--detector and --boxes go together"),
        (["--checkpoint", "m.pt", "--real", "x", "--boxes", "b", "--detector", "d"], "--detector needs --pairs"),
        (["--checkpoint", "m.pt", "--real", "x", "--label", "1", "2"], "--label"),
    ],
)  # fmt: skip
def test_nightday_eval_names_what_is_wrong(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
