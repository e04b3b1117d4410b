"""What the command says before it runs on a cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from nightday.pipeline.cli import main
from nightday.pipeline.cluster.errors import ClusterError
from nightday.pipeline.cluster.ray_nodes import RayNodes, address_fault
from nightday.pipeline.config.load import load_config
from nightday.pipeline.config.schema import Config

CAMERA = {"name": "gate", "url": "rtsp://viewer:pass/word@10.0.0.5/s", "translate": "never"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(**sections: object) -> None:
    Path("cameras.yaml").write_text(yaml.safe_dump({"cameras": [CAMERA], **sections}))


@pytest.mark.parametrize("address", ["auto", "local", "10.0.0.1:6379", "head.lan:6379", "[fd00::1]:6379"])
def test_where_a_cluster_can_be(address: str) -> None:
    assert address_fault(address) is None


@pytest.mark.parametrize(
    ("address", "told"),
    [("ray://10.0.0.1:10001", "Ray Client"), ("10.0.0.1", "6379"), ("", "auto"), ("head:port", "auto")],
)
@pytest.mark.parametrize("check", [[], ["--check"]])
def test_another_address_is_a_wrong_argument(
    address: str, told: str, check: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write()
    assert main(["--cameras", "cameras.yaml", "--ray", address, *check]) == 2
    error = capsys.readouterr().err
    assert error.startswith("--ray: ")
    assert told in error


def test_without_ray_one_line_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'nightday-stream\[cluster\]'"):
        RayNodes("auto")
    write()
    assert main(["--cameras", "cameras.yaml", "--ray", "auto"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "nightday-stream[cluster]" in line


def test_a_configuration_goes_to_a_node_as_it_is_with_its_secrets() -> None:
    Path("y.pt").touch()
    more = {
        "name": "yard",
        "location": [51, 0],
        "detect": {"model": "y.pt", "zones": {"z": {"points": [[0, 0], [1, 0], [1, 1]]}}},
        "outputs": [
            "out/{name}/%H.mp4",
            {"to": "rtsp://u:s3cret99@127.0.0.1/x", "size": 480, "bitrate": "2M"},
        ],
        "retention": {"days": 3},
        "collect": "pictures",
    }
    write(defaults={"url": "rtsp://10.0.0.6/s"}, http={"token": "a-long-token"})
    document = yaml.safe_load(Path("cameras.yaml").read_text())
    document["cameras"].append(more)
    Path("cameras.yaml").write_text(yaml.safe_dump(document))
    config = load_config("cameras.yaml").config
    sent = Config.model_validate(yaml.safe_load(yaml.safe_dump(config.dump(reveal=True))))
    assert sent.dump(reveal=True) == config.dump(reveal=True)
    assert sent.cameras[0].url.reveal() == config.cameras[0].url.reveal()
    assert sent.cameras[1] == config.cameras[1]
    assert sent.http == config.http
    assert "s3cret99" not in str(config.dump())
