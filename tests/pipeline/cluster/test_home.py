"""What home automation asks of a camera of a cluster, answered by a node over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import numpy as np
import pytest
from pydantic import SecretStr

from nightday.pipeline.cluster.home import WIDEST, ClusterHome
from nightday.pipeline.cluster.view import ClusterView
from nightday.pipeline.config.schema import HttpConfig
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.status import NewestPicture
from nightday.pipeline.monitoring.http_server import WebServer, web_app
from tests.support.ports import lasting_port
from tests.support.watched import FakeRun

TOKEN = "only-the-coordinator-knows"


class Cluster(FakeRun):
    """What the coordinator shows, and where each camera is."""

    addresses: dict[str, str | None]

    def address_of(self, camera: str) -> str | None:
        return self.addresses[camera]


@pytest.fixture
def node() -> Iterator[tuple[FakeRun, WebServer]]:
    run = FakeRun(without_model={"yard"})
    run.stats |= {"yard": CameraStats()}
    settings = HttpConfig(port=0, token=SecretStr(TOKEN))
    server = WebServer(settings, web_app(settings, run, run))
    server.start()
    yield run, server
    assert server.close(20.0)


def home_of(server: WebServer, token: str = TOKEN) -> tuple[Cluster, ClusterHome]:
    cluster = Cluster()
    nowhere = f"http://127.0.0.1:{lasting_port()}"
    cluster.addresses = {"gate": server.address, "yard": server.address, "door": nowhere, "roof": None}
    cluster.stats = {name: CameraStats() for name in cluster.addresses}
    return cluster, ClusterHome(cast(ClusterView, cluster), token)


def test_a_picture_is_that_of_the_node_as_it_is_shown(
    node: tuple[FakeRun, WebServer], rng: np.random.Generator
) -> None:
    run, server = node
    colours = rng.integers(0, 256, (12, 20, 3), np.uint8)
    shown = np.repeat(np.repeat(colours, 80, 0), 80, 1)
    run.pictures = {"gate": NewestPicture(255 - shown, shown, Fraction(1), 1_700_000_000.4), "yard": None}
    _, home = home_of(server)
    newest = home.newest("gate")
    assert newest is not None
    assert newest.wall_time == 1_700_000_000
    assert newest.shown.shape == (WIDEST * 960 // 1600, WIDEST, 3)
    # The middle of each patch of one colour, 64 pixels wide now, which no JPEG blurs.
    middles = np.asarray(newest.shown)[32::64, 32::64].astype(int)
    assert np.abs(middles - colours).max() <= 8
    assert home.newest("yard") is None


def test_a_node_that_is_not_there_costs_a_moment_and_no_error(node: tuple[FakeRun, WebServer]) -> None:
    run, server = node
    run.pictures = {"gate": None}
    cluster, home = home_of(server)
    assert home.newest("door") is None
    assert home.newest("roof") is None
    cluster.states = {"gate": {"state": "retrying", "reason": "node_silent"}}
    assert home.newest("gate") is None
    with pytest.raises(KeyError):
        home.newest("cellar")
    assert home_of(server, "another")[1].newest("gate") is None


def test_what_is_commanded_reaches_the_node_and_its_refusal_comes_back(
    node: tuple[FakeRun, WebServer],
) -> None:
    run, server = node
    _, home = home_of(server)
    home.set_translate("gate", "always")
    assert run.states["gate"]["translate"] == "always"
    with pytest.raises(ValueError, match="yard runs without a model"):
        home.set_translate("yard", "never")
    with pytest.raises(ValueError, match="the node that has door cannot be asked"):
        home.set_translate("door", "never")
    with pytest.raises(KeyError):
        home.set_translate("cellar", "never")
