"""A password goes to the camera and nowhere else, in whichever form it stands in the address."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import yaml

from tests.support.clips import make_clip
from tests.support.rtsp_server import RtspServer

ROOT = Path(__file__).parents[2]
SECRET = "Zk9q7Wx2"
STARTING = 60.0  # seconds a process has to import torch on a busy machine
FORMS = {
    "dotted": "rtsp://first.last:{secret}@{host}/cam",
    "quoted-at": "rtsp://user%40dom:{secret}@{host}/cam",
    "no-user": "rtsp://:{secret}@{host}/cam",
    "raw-at-slash": "rtsp://viewer:p@/{secret}@{host}/cam",
    "query": "rtsp://{host}/cam?pwd={secret}",
    "ipv6": "rtsp://viewer:{secret}@[::1]:9/cam",
    "nowhere": "rtsp://viewer:{secret}@camera.invalid/cam",
    "key": "rtmp://{host}/app/{secret}",
}


def test_no_form_of_it_is_told_by_log_answers_arguments_or_summary(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 30)
    with RtspServer(record=tmp_path, login="viewer:rightpw1") as server:
        host = f"127.0.0.1:{server.port}"
        addresses = [
            form.replace("{secret}", "${GATE_PASSWORD}").replace("{host}", host) for form in FORMS.values()
        ]
        cameras: list[dict[str, object]] = [
            {"name": name, "url": url} for name, url in zip(FORMS, addresses, strict=True)
        ]
        outputs = [url.replace("/cam", f"/{name}") for name, url in zip(FORMS, addresses, strict=True)]
        cameras.append({"name": "clip", "url": "clip.mp4", "loop": True, "outputs": outputs})
        document = {"cameras": cameras, "defaults": {"translate": "never"}, "http": {"port": 0}}
        (tmp_path / "cameras.yaml").write_text(yaml.safe_dump(document))
        command = [sys.executable, "-m", "nightday.pipeline.cli", "--cameras", "cameras.yaml"]
        command += ["--log-format", "json", "--verbose"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "GATE_PASSWORD": SECRET},
        )
        try:
            told, address = _read_until_all_failed(process)
            answers = {path: _get(address + path) for path in ("/", "/metrics", "/api/cameras", "/readyz")}
            for arguments in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # it has ended
                    answers[str(arguments)] = arguments.read_bytes().decode(errors="replace")
            process.send_signal(signal.SIGTERM)
            told += process.communicate(timeout=STARTING)[0]
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
    assert SECRET not in told
    assert [path for path, answer in answers.items() if SECRET in answer] == []
    assert "rtsp://***@" in told  # addresses are told, masked
    assert "rtsp://***@" in answers["/api/cameras"]
    assert all(f'camera="{name}"' in answers["/metrics"] for name in FORMS)


def _read_until_all_failed(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it said until every camera and every output had failed once, and its HTTP address."""
    assert process.stdout is not None
    told, address = "", ""
    cameras: set[str] = set()
    outputs: set[str] = set()
    for line in process.stdout:
        told += line
        event = json.loads(line)
        match event["event"]:
            case "http_listening":
                address = event["message"].split()[-1]
            case "camera_retrying":
                cameras.add(event["camera"])
            case "output_retrying":
                outputs.add(event["output"])
        if cameras == set(FORMS) and len(outputs) == len(FORMS) and address:
            return told, address
    raise AssertionError(f"it ended early: {told[-2000:]}")


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            told: bytes = answer.read()
            return told.decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
