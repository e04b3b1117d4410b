"""The image's recipe and the compose file, as far as they can be held against the project without an engine."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightday.pipeline.config.load import load_config

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
OURS = [service for service in COMPOSE["services"].values() if "build" in service]


def test_the_image_is_given_everything_that_the_package_is_made_of() -> None:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    folders = [line.split(" = ")[1] for line in parser["options"]["package_dir"].strip().splitlines()]
    files = ["setup.cfg", "setup.py", "pyproject.toml", "requirements.lock", "README.md", "LICENSE"]
    assert IGNORED[1] == "*"
    assert {line[1:] for line in IGNORED if line.startswith("!")} == {*folders, *files}


def test_the_image_runs_as_nobody_of_importance_and_is_watched() -> None:
    last = DOCKERFILE.split("\nFROM ")[-1]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user is not None
    assert int(user[1]) >= 10000
    assert f"--uid {user[1]}" in last
    assert "/healthz" in last
    assert "g++" not in last


def test_the_image_has_the_pytorch_that_is_tested() -> None:
    pinned = re.search(r"^torch==\S+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert pinned is not None
    assert f'ARG TORCH="{pinned[0]}"' in DOCKERFILE


@pytest.mark.parametrize("service", OURS, ids=lambda service: service["profiles"][0])
def test_every_argument_and_file_of_a_build_is_there(service: dict[str, Any]) -> None:
    build = service["build"]
    assert (
        ROOT / "deploy" / build["context"] / build["dockerfile"]
    ).resolve() == ROOT / "deploy" / "Dockerfile"
    declared = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    assert set(build.get("args", {})) <= declared
    assert service["read_only"]
    assert service["networks"]["default"]["aliases"] == ["nightday-stream"]


def test_no_image_is_whatever_is_newest_and_no_port_is_open_to_others() -> None:
    for service in COMPOSE["services"].values():
        assert re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"])
        assert not service["image"].endswith(":latest")
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert service["cap_drop"] == ["ALL"]


def test_what_is_copied_into_a_container_is_not_copied_into_a_read_only_one() -> None:
    """Compose copies the content of a config; it mounts a file."""
    copied = {name for name, config in COMPOSE["configs"].items() if "content" in config}
    for service in COMPOSE["services"].values():
        names = {config["source"] for config in service.get("configs", ())}
        assert names <= set(COMPOSE["configs"])
        assert not (service.get("read_only") and names & copied)
    for config in COMPOSE["configs"].values():
        assert "content" in config or (ROOT / "deploy" / config["file"]).is_file()


def test_prometheus_asks_our_server_and_grafana_asks_prometheus() -> None:
    configs = COMPOSE["configs"]
    scraped = yaml.safe_load(configs["prometheus"]["content"])
    (job,) = scraped["scrape_configs"]
    assert job["job_name"] == "nightday"
    assert job["static_configs"] == [{"targets": ["nightday-stream:8080"]}]
    mounted = {config["target"] for config in COMPOSE["services"]["prometheus"]["configs"]}
    assert {f"/etc/prometheus/{name}" for name in scraped["rule_files"]} < mounted
    (source,) = yaml.safe_load(configs["datasource"]["content"])["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load(configs["dashboards"]["content"])["providers"]
    boards = [config["target"] for config in COMPOSE["services"]["grafana"]["configs"]]
    assert any(Path(target).parent == Path(provider["options"]["path"]) for target in boards)


def test_the_documented_configuration_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "install.md").read_text()
    shown = re.search(r"```yaml\n# /etc/nightday/cameras.yaml\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    monkeypatch.setenv("GATE_PASSWORD", "s3cret-word")
    monkeypatch.setenv("NIGHTDAY_TOKEN", "0123456789abcdef")
    (tmp_path / "cameras.yaml").write_text(shown[1])
    monkeypatch.chdir(tmp_path)
    loaded = load_config("cameras.yaml", overrides=["http.port=8080"])
    assert loaded.config.http is not None
    assert loaded.config.http.host == "0.0.0.0"
    assert {output.to.scheme for output in loaded.config.cameras[0].outputs} == {"file", "rtsp"}
