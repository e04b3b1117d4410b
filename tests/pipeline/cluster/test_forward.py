"""What is asked of the coordinator about a camera, answered by the node that has it, over real HTTP."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus

from nightday.pipeline.cluster.forward import Forwarder
from nightday.pipeline.cluster.view import ClusterView
from nightday.pipeline.config.schema import HttpConfig
from nightday.pipeline.core.status import CameraStatus, NewestPicture
from nightday.pipeline.monitoring.http_server import WebServer, app_of, web_app
from tests.pipeline.monitoring.test_http_server import ask
from tests.pipeline.monitoring.web.test_live import Camera, frames_of, until
from tests.pipeline.monitoring.web.test_live_socket import join
from tests.support.ports import lasting_port
from tests.support.watched import FakeRun

WAIT = 20.0
NODE_TOKEN = "only-the-coordinator-knows"
TOKEN = "what-people-type"


class Cameras(FakeRun):
    """What the coordinator shows, and where each camera is."""

    addresses: dict[str, str | None]

    def address_of(self, camera: str) -> str | None:
        return self.addresses[camera]

    def cameras(self) -> list[CameraStatus]:
        return [*super().cameras()]


@dataclass
class Cluster:
    """A node that has the camera ``gate``, and the coordinator's server in front of it."""

    run: FakeRun
    camera: Camera
    view: Cameras
    servers: list[WebServer] = field(default_factory=list)

    def serve(self) -> WebServer:
        node = HttpConfig(port=0, token=SecretStr(NODE_TOKEN))
        server = self._start(WebServer(node, web_app(node, self.run, self.run)))
        self.view.addresses = {
            "gate": server.address,
            "yard": None,
            "door": f"http://127.0.0.1:{lasting_port()}",
        }
        front = HttpConfig(port=0, token=SecretStr(TOKEN))
        forwarder = Forwarder(cast(ClusterView, self.view), NODE_TOKEN, login=True)
        return self._start(WebServer(front, app_of(front, self.view, forwarder.routes())))

    def _start(self, server: WebServer) -> WebServer:
        server.start()
        self.servers.append(server)
        return server


@pytest.fixture
def cluster(tmp_path: Path, rng: np.random.Generator) -> Iterator[Cluster]:
    camera = Camera()
    rgb = rng.integers(0, 256, (48, 64, 3), np.uint8)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/120000.mp4").write_bytes(os.urandom(300_000))
    run = FakeRun(
        pictures={"gate": NewestPicture(255 - rgb, rgb, Fraction(1), 1_700_000_000.0)},
        maps={"gate": "gate is not translated, so there is no trust map"},
        files={"gate": [tmp_path / "out/%H%M%S.mp4"]},
        reports={"gate": tmp_path / "reports"},
        live={"gate": camera.live},
    )
    view = Cameras()
    view.stats = dict.fromkeys(("gate", "yard", "door"), view.stats["gate"])
    cluster = Cluster(run, camera, view)
    yield cluster
    camera.stop()
    assert all(server.close(WAIT) for server in cluster.servers)


def shown(server: WebServer, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    more: dict[str, Any] = headers
    answer = ask(server, path, Authorization=f"Bearer {TOKEN}", **more)
    return answer.status, answer.body, dict(answer.headers)


def test_pictures_files_and_reports_are_those_of_the_node(cluster: Cluster, tmp_path: Path) -> None:
    server = cluster.serve()
    node = cluster.servers[0]
    for path in (
        "/snapshot/gate.jpg?view=pair",
        "/snapshot/gate.jpg?view=none",
        "/api/cameras/gate/trust.png",
    ):
        own = ask(node, path, Authorization=f"Bearer {NODE_TOKEN}")
        assert shown(server, path)[:2] == (own.status, own.body)
    status, body, headers = shown(server, "/api/cameras/gate/recordings")
    (entry,) = json.loads(body)["recordings"]
    data = (tmp_path / "out/120000.mp4").read_bytes()
    assert shown(server, entry["url"])[:2] == (200, data)
    status, body, headers = shown(server, entry["url"], Range="bytes=100000-200000")
    assert (status, body) == (206, data[100_000:200_001])
    assert headers["content-range"] == "bytes 100000-200000/300000"
    assert json.loads(shown(server, "/api/cameras/gate/report")[1]) == {"nights": []}
    assert shown(server, "/report")[0] == 200


def test_nobody_is_answered_without_the_coordinators_own_token(cluster: Cluster) -> None:
    server = cluster.serve()
    for path in ("/snapshot/gate.jpg", "/live/gate.mp4", "/api/cameras/gate/recordings"):
        assert ask(server, path).status == 401
        assert ask(server, path, Authorization=f"Bearer {NODE_TOKEN}").status == 401
        assert ask(cluster.servers[0], path).status == 401
    # A token in the address is for the coordinator, and goes no further.
    assert ask(server, f"/snapshot/gate.jpg?token={TOKEN}&view=day").status == 200


def test_a_camera_that_cannot_be_asked_says_so(cluster: Cluster) -> None:
    server = cluster.serve()
    assert shown(server, "/snapshot/nobody.jpg")[0] == 404
    status, body, _ = shown(server, "/snapshot/yard.jpg")
    assert (status, b"no node that has yard can be asked" in body) == (503, True)
    status, body, _ = shown(server, "/snapshot/door.jpg")
    assert (status, b"the node that has door does not answer" in body) == (502, True)
    with pytest.raises(InvalidStatus) as refused:
        join(server, "/live/door", additional_headers={"Authorization": f"Bearer {TOKEN}"})
    assert refused.value.response.status_code == 502


def test_what_is_changed_is_changed_at_the_node(cluster: Cluster) -> None:
    server = cluster.serve()
    body = b'{"translate": "always"}'
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Origin": server.address,
        "Content_Type": "application/json",
        "Content_Length": str(len(body)),
    }
    answer = ask(server, "/api/cameras/gate/translate", method="POST", body=body, **headers)
    assert (answer.status, answer.json()) == (200, {"translate": "always"})
    assert cluster.run.states["gate"]["translate"] == "always"


def test_live_streams_come_through_until_the_camera_ends(cluster: Cluster) -> None:
    server = cluster.serve()
    cluster.camera.start()
    with join(server, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as connection:
        told = connection.recv(WAIT)
        assert json.loads(told)["type"].startswith('video/mp4; codecs="avc1.')
        pieces: list[bytes] = []
        while len(pieces) < 20:
            piece = connection.recv(WAIT)
            assert isinstance(piece, bytes)
            pieces.append(piece)
        assert pieces[0][4:8] == b"ftyp"
        assert {piece[4:8] for piece in pieces[1:]} == {b"moof"}
    assert len(frames_of(b"".join(pieces))) > 5


def test_a_stream_over_http_ends_with_the_camera(cluster: Cluster) -> None:
    server = cluster.serve()
    cluster.camera.start()

    def end() -> None:
        until(lambda: cluster.camera.shown > 60)
        cluster.camera.stop()

    ender = threading.Thread(target=end)
    ender.start()
    status, body, headers = shown(server, "/live/gate.mp4")
    assert (status, headers["content-type"]) == (200, "video/mp4")
    assert len(frames_of(body)) > 5
    ender.join(WAIT)
