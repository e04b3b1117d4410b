"""The unit that comes with the program, under a real systemd."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.clips import make_clip
from tests.support.real_systemd import CannotRunError, Systemd

ROOT = Path(__file__).parents[3]
UNIT = (ROOT / "deploy" / "nightday-stream.service").read_text()
# Where the unit sees the test's folder: its /tmp is its own.
SEEN = "/run/nightday-test"
NEEDED = (ROOT, Path(sys.prefix), Path(sys.base_prefix).resolve())
WAIT = 60.0  # seconds


def unit(folder: Path) -> str:
    """The unit, its paths those of this checkout and of a folder, its log in a file there."""
    changes = {
        "/opt/nightday/bin/nightday-stream": f"{sys.executable} -m nightday.pipeline.cli",
        "/etc/nightday/cameras.yaml": f"{SEEN}/cameras.yaml",
        "#LoadCredential=GATE_PASSWORD:/etc/nightday/": f"LoadCredential=GATE_PASSWORD:{folder}/",
    }
    text = UNIT
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    own = [
        f"BindReadOnlyPaths={folder}:{SEEN}",
        f"Environment=PYTHONPATH={ROOT}",
        f"StandardOutput=append:{folder}/log",
        f"StandardError=append:{folder}/log",
    ]
    if any(path.is_relative_to(home) for path in NEEDED for home in ("/root", "/home")):
        own.append("ProtectHome=no")
    return text.replace("[Install]", "\n".join([*own, "", "[Install]"]))


def write(folder: Path, *names: str) -> None:
    # The address is never reached; that its password is found is what counts.
    entries: list[dict[str, Any]] = [
        {"name": name, "url": f"{SEEN}/clip.mp4", "loop": True, "translate": "never"} for name in names
    ]
    entries[0] |= {"outputs": ["rtsp://viewer:${GATE_PASSWORD}@127.0.0.1:9/day", "out/{name}/%H%M%S.mp4"]}
    (folder / "cameras.yaml").write_text(yaml.safe_dump({"cameras": entries}))


def until_logged(folder: Path, event: str) -> dict[str, Any]:
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        for line in (folder / "log").read_text().splitlines():
            if line.startswith("{") and json.loads(line)["event"] == event:
                found: dict[str, Any] = json.loads(line)
                return found
        time.sleep(0.05)
    raise AssertionError((folder / "log").read_text())


@pytest.mark.slow
def test_the_unit_starts_reloads_and_stops(tmp_path: Path) -> None:
    """Start waits until the program is ready, and it can be reloaded: of a type unknown to systemd neither is so."""
    make_clip(tmp_path / "clip.mp4", 30)
    (tmp_path / "gate_password").write_text("s3cret-word\n")
    write(tmp_path, "gate")
    tmp_path.chmod(0o755)
    try:
        systemd = Systemd(tmp_path, unit(tmp_path), NEEDED)
        systemd.__enter__()
    except CannotRunError as error:
        pytest.skip(f"no systemd can be run here: {error}")
    try:
        started = systemd.systemctl("start", "it")
        assert started.returncode == 0, started.stderr + (tmp_path / "log").read_text()
        assert (systemd.show("Type"), systemd.show("SubState")) == ("notify", "running")
        assert float(systemd.show("WatchdogUSec").rstrip("min")) == 1
        process = systemd.show("MainPID")
        assert "camera_playing" in (tmp_path / "log").read_text() or until_logged(tmp_path, "camera_playing")
        status = (systemd.root() / "proc" / process / "status").read_text()
        assert not re.search(r"^Uid:\s+0\s", status, re.MULTILINE)
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
        assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)

        write(tmp_path, "gate", "yard")
        reloaded = systemd.systemctl("reload", "it")
        assert (reloaded.returncode, reloaded.stderr) == (0, "")
        assert "1 added" in until_logged(tmp_path, "reloaded")["message"]
        assert (systemd.show("MainPID"), systemd.show("NRestarts")) == (process, "0")
        assert (systemd.show("ActiveState"), systemd.show("SubState")) == ("active", "running")

        assert systemd.systemctl("stop", "it").returncode == 0
        assert (systemd.show("Result"), systemd.show("ExecMainStatus")) == ("success", "0")
        assert [*(systemd.root() / "var/lib/nightday/out/gate").glob("*.mp4")]
    finally:
        systemd.close()
    assert "s3cret-word" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_the_unit_starts_no_program_with_a_wrong_configuration_again(tmp_path: Path) -> None:
    (tmp_path / "gate_password").write_text("s3cret-word\n")
    (tmp_path / "cameras.yaml").write_text("cameras: []\n")
    tmp_path.chmod(0o755)
    try:
        systemd = Systemd(tmp_path, unit(tmp_path), NEEDED)
        systemd.__enter__()
    except CannotRunError as error:
        pytest.skip(f"no systemd can be run here: {error}")
    try:
        assert systemd.systemctl("start", "it").returncode != 0
        assert (systemd.show("ActiveState"), systemd.show("ExecMainStatus")) == ("failed", "2")
        assert systemd.show("NRestarts") == "0"
    finally:
        systemd.close()


def test_the_unit_is_whole_and_leaves_little_open(tmp_path: Path) -> None:
    """As ``systemd-analyze`` judges it; 10 is wide open."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    file = tmp_path / "nightday-stream.service"
    file.write_text(UNIT.replace("/opt/nightday/bin/nightday-stream", sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert [line for line in verified.stderr.splitlines() if file.name in line] == []
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=30", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr
