"""A camera that is added over HTTP is in the file, and plays, without a restart."""

from __future__ import annotations

import json
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from nightday.pipeline.config.add_camera import CameraAdder
from nightday.pipeline.config.load import load_config
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.runtime import Runtime
from tests.support.clips import make_clip
from tests.support.http_streams import http_camera, multipart_jpeg
from tests.support.ports import lasting_port
from tests.support.rtsp_server import WAIT

SECRET = "Zk9q7Wx2"


def post(port: int, path: str, asked: dict[str, object]) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT)
    headers = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}"}
    connection.request("POST", path, json.dumps(asked), headers)
    answer = connection.getresponse()
    said = answer.status, answer.read().decode()
    connection.close()
    return said


def test_a_camera_added_over_http_plays_and_is_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    make_clip(Path("clip.mp4"), 100)
    port, file = lasting_port(), Path("cameras.yaml")
    written = f"""\
# ours
http: {{port: {port}}}
defaults: {{translate: never}}
cameras:
  - name: first      # a clip
    url: clip.mp4
    loop: true
"""
    file.write_text(written)
    commands = CommandQueue()

    def read() -> Setup:
        return Setup(load_config(str(file)).config, {}, {})

    runtime = Runtime(read(), reload=read, commands=commands, adder=CameraAdder(str(file), check=load_config))
    thread = threading.Thread(
        target=runtime.run, kwargs={"duration": None, "report": None, "report_every": 1.0}
    )

    def seen() -> dict[str, CameraStatus]:
        return {camera.name: camera for camera in runtime.cameras()}

    def until_up(name: str) -> None:
        end = time.monotonic() + WAIT
        while name not in seen() or not seen()[name].stats.up:
            assert time.monotonic() < end, seen()
            time.sleep(0.02)

    thread.start()
    try:
        until_up("first")
        status, said = post(port, "/api/add", {"name": "first", "url": "http://h/x"})
        assert (status, said) == (
            409,
            "not added: cameras.yaml:8: cameras[1].name: 'first' is the name of cameras[0] already\n",
        )
        with http_camera(*multipart_jpeg(20.0)) as url:
            status, said = post(
                port, "/api/add", {"name": "second", "url": url.replace("//", f"//v:{SECRET}@")}
            )
            assert status == 201, said
            until_up("second")
    finally:
        commands.put("stop")
        thread.join(WAIT)
    assert not thread.is_alive()
    assert file.read_text().startswith(written)
    assert SECRET not in file.read_text()
    assert Path("cameras.yaml.bak").read_text() == written
    assert seen()["first"].pictures > 0
