"""The add-on: what its start makes of options, and its files against each other."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from nightday.engines.distribution import program_version
from nightday.pipeline.config.errors import ConfigError
from nightday.pipeline.config.load import load_config

FOLDER = Path(__file__).parents[2] / "deploy" / "home-assistant"
CONFIG: dict[str, Any] = yaml.safe_load((FOLDER / "config.yaml").read_text())


@pytest.fixture(scope="module")
def run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("addon_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_options_become_a_configuration(
    run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTDAY_TOKEN", "0123456789abcdef")
    options = CONFIG["options"] | {
        "record": True,
        "cameras": [
            {"name": "gate", "url": "rtsp://viewer:p$ss@10.0.0.5/1", "latitude": 48.1, "longitude": 11.6},
            {"name": "yard", "url": "http://10.0.0.6/video", "restream": "rtsp://10.0.0.2:8554/yard"},
        ],
    }
    file = tmp_path / "cameras.yaml"
    file.write_text(json.dumps(run.configuration(options)))
    # /media is there in the add-on alone.
    file.write_text(file.read_text().replace("/media/nightday", str(tmp_path)))
    config = load_config(str(file), overrides=list(run.SERVER)).config
    gate, yard = config.cameras
    assert gate.url.reveal() == "rtsp://viewer:p$ss@10.0.0.5/1"
    assert gate.location is not None
    assert [output.to.scheme for output in gate.outputs] == ["file"]
    assert [output.to.scheme for output in yard.outputs] == ["file", "rtsp"]
    assert config.http is not None
    assert (config.http.host, config.http.port) == ("0.0.0.0", run.PORT)


def test_no_camera_is_a_fault_that_is_told(run: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "cameras.yaml"
    file.write_text(json.dumps(run.configuration(CONFIG["options"])))
    with pytest.raises(ConfigError, match="cameras"):
        load_config(str(file))


def test_a_made_up_token_stays_and_is_its_owners(run: ModuleType, tmp_path: Path) -> None:
    kept = tmp_path / "token"
    token = run.token_of({}, kept)
    assert re.fullmatch(r"[0-9a-f]{32}", token)
    assert run.token_of({"token": ""}, kept) == token
    assert kept.stat().st_mode & 0o777 == 0o600
    assert run.token_of({"token": "of one's own"}, kept) == "of one's own"


def test_nothing_in_a_token_ends_its_place(run: ModuleType, rng: np.random.Generator) -> None:
    token = "".join(rng.permuted(list('"\\$;{} 0123456789abcdef')))
    line = next(line for line in run.ingress(token).splitlines() if "Authorization" in line)
    quoted = re.search(r'Authorization "Bearer ((?:[^"\\]|\\.)*)";$', line)
    assert quoted is not None
    read = re.sub(r"\\(.)", r"\1", quoted[1].replace("${dollar}", "$"))
    assert read == token


def test_ingress_lets_home_assistant_in_alone(run: ModuleType) -> None:
    text = run.ingress("0123456789abcdef")
    assert re.findall(r"^\s*(allow .*|deny .*);", text, re.MULTILINE) == ["allow 172.30.32.2", "deny all"]
    assert f"http://127.0.0.1:{run.PORT};" in text
    assert "listen 8099;" in text  # the port that Home Assistant takes by default
    assert f"{run.PORT}/tcp" in CONFIG["ports"]


def test_its_files_agree() -> None:
    assert program_version() == CONFIG["version"]
    assert set(CONFIG["options"]) <= set(CONFIG["schema"])
    docs = (FOLDER / "DOCS.md").read_text()
    for file in (FOLDER / "translations").iterdir():
        translated = yaml.safe_load(file.read_text())
        assert set(translated["configuration"]) == set(CONFIG["schema"])
        assert set(translated["network"]) == set(CONFIG["ports"])
    assert all(f"`{option}`" in docs for option in CONFIG["schema"])
    assert "local-" + CONFIG["slug"].replace("_", "-") in docs


def test_the_image_begins_with_ours() -> None:
    ours = (FOLDER.parent / "Dockerfile").read_text()
    ending = (FOLDER / "Dockerfile").read_text()
    (stage,) = re.findall(r"^FROM (\w+)$", ending, re.MULTILINE)
    assert f" AS {stage}\n" in ours
    (entry,) = re.findall(r"^COPY run.py (\S+)$", ending, re.MULTILINE)
    assert entry in ending.split("ENTRYPOINT")[1]
