"""The coordinator's loop with nodes that are played: what it tells, shows and ends with."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from nightday.engines.bundled import bundled_weights
from nightday.engines.distribution import program_version
from nightday.pipeline.cluster.coordinator import MARGIN
from nightday.pipeline.cluster.fence import LEASE_SECONDS
from nightday.pipeline.cluster.links import AGAIN_AFTER
from nightday.pipeline.cluster.messages import Beat, Happened, Late, Report
from nightday.pipeline.cluster.ray_nodes import RayNode
from nightday.pipeline.cluster.run import ClusterRun
from nightday.pipeline.cluster.trainings import Task
from nightday.pipeline.cluster.view import NodeMetrics
from nightday.pipeline.config.errors import ConfigError
from nightday.pipeline.config.schema import Config, HttpConfig
from nightday.pipeline.core.counters import BATCH_BOUNDS, CameraStats, Histogram
from nightday.pipeline.core.events import EngineChanged, Event, LineCrossed
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.learning import learner
from nightday.pipeline.learning.own_folder import OwnFolder, OwnModels
from nightday.pipeline.learning.own_models import folder_of
from nightday.pipeline.monitoring.http_server import WebServer, app_of
from nightday.pipeline.monitoring.notify.message import message_of, stored
from nightday.pipeline.supervision.commands import CommandQueue
from tests.pipeline.monitoring.test_http_server import ask

CAMERAS = ("gate", "yard", "door")


@dataclass
class PlayedActor:
    """A node's process that plays its cameras, while it answers."""

    nodes: PlayedNodes
    node: RayNode
    silent: bool = False
    error: Exception | None = None
    epochs: dict[str, int] = field(default_factory=dict)
    version: int = 0
    killed: bool = False
    happened: list[Happened] = field(default_factory=list)
    taken: int = 0
    more: dict[str, Any] = field(default_factory=dict)
    late_to: tuple[str, int] | None = None

    def publish(self, *events: Event) -> None:
        for event in events:
            self.happened.append(Happened(len(self.happened) + 1, 1_700_000_000.0, event))

    def beat(self, beat: Beat) -> Future[Report]:
        self.taken, self.late_to = beat.told_to, beat.late_to
        if beat.part is not None:
            self.version, self.epochs = beat.part.version, dict(beat.part.epochs)
        answer: Future[Report] = Future()
        if self.error is not None:
            answer.set_exception(self.error)
        elif not self.silent:
            answer.set_result(self.report())
        return answer

    def report(self) -> Report:
        batches = Histogram(BATCH_BOUNDS)
        batches.observe(2)
        report = Report(
            stamp=self.nodes.now,
            version=self.version,
            written=self.epochs,
            program=program_version(),
            cameras=tuple(playing(name) for name in self.epochs),
            address=f"http://{self.node.address}:1",
            happened=tuple(one for one in self.happened if one.number > self.taken),
            batches=batches.snapshot(),
            events={("camera_playing", name): 1 for name in self.epochs},
        )
        return replace(report, **self.more)

    def drain(self) -> Future[Report]:
        answer: Future[Report] = Future()
        answer.set_result(replace(self.report(), files=(Path("out", f"{self.node.name}.mp4"),)))
        return answer

    def kill(self) -> None:
        self.killed = True


class PlayedNodes:
    def __init__(self, *names: str) -> None:
        self.now = 100.0
        self.alive: Sequence[RayNode] = [node(name) for name in names]
        self.actors: dict[str, PlayedActor] = {}
        self.started: list[str] = []
        self.refuses: Exception | None = None
        self.looks = 0
        self.head_up = True

    def start(self, node: RayNode) -> PlayedActor:
        self.started.append(node.name)
        if self.refuses is not None:
            raise self.refuses
        actor = self.actors[node.name] = PlayedActor(self, node)
        return actor

    def train(self, node: RayNode, folder: Path, start: Path, words: Sequence[str]) -> Task:
        raise AssertionError("no camera learns")


def node(name: str) -> RayNode:
    return RayNode(id=f"id-{name}", name=name, address="10.0.0.1", cpus=2.0, gpu=False)


def playing(name: str) -> CameraStatus:
    stats = CameraStats()
    stats.set_up(True)
    stats.count_output(translated=True)
    return CameraStatus(
        name=name, state="playing", reason=None, night=True, outputs_in_trouble=(), stats=stats.snapshot()
    )


def config(*names: str, **sections: Any) -> Config:
    entries = [{"name": name, "url": "rtsp://u:secret12@10.0.0.9/s", "translate": "never"} for name in names]
    return Config.model_validate({"cameras": entries, **sections})


class Played:
    def __init__(self, *names: str, **sections: Any) -> None:
        self.nodes = PlayedNodes(*names)
        self.next: Config | ConfigError = config(*CAMERAS, **sections)
        self.commands = CommandQueue()
        self.run = ClusterRun(
            self.nodes,
            config(*CAMERAS, **sections),
            "cameras.yaml",
            self._read,
            self.commands,
            clock=lambda: self.nodes.now,
            wall_time=lambda: 1_700_000_000.0,
        )
        self.run._outside.serve(self.run.config)
        self.run._configure(self.run.config)

    def _read(self) -> Config:
        if isinstance(self.next, ConfigError):
            raise self.next
        return self.next

    def turns(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.nodes.now += 0.25
            self.nodes.looks += self.nodes.head_up
            self.run.turn()

    def states(self) -> dict[str, tuple[str, str | None, str | None]]:
        return {one.name: (one.state, one.reason, one.node) for one in self.run.view.cameras()}

    def events(self, name: str) -> int:
        return sum(count for (event, _), count in self.run.view.events.snapshot().items() if event == name)


START = LEASE_SECONDS + MARGIN + 1.0


def test_cameras_begin_once_no_earlier_lease_can_hold_and_every_node_has_answered() -> None:
    played = Played("a", "b")
    played.run.turn()
    played.nodes.actors["b"].silent = True
    played.nodes.actors["b"].silent = False
    played.turns(LEASE_SECONDS)
    assert set(played.states().values()) == {("retrying", "no_node", None)}
    played.turns(2.0)
    states = played.states()
    assert {state for state, _, _ in states.values()} == {"playing"}
    assert {name for _, _, name in states.values()} == {"a", "b"}
    assert played.events("node_joined") == 2
    assert played.events("camera_placed") == 3
    assert played.events("camera_playing") == 3  # the nodes' own
    assert played.run.view.batches.snapshot().counts[1] == 2


def test_what_cannot_be_known_of_a_silent_node_is_said_and_its_cameras_go_elsewhere() -> None:
    played = Played("a", "b")
    played.turns(START + 1)
    lost = {name for name, (_, _, where) in played.states().items() if where == "a"}
    assert lost
    silent = played.nodes.actors["a"]
    silent.silent = True
    played.turns(4.5)
    assert {played.states()[name] for name in lost} == {("retrying", "node_silent", "a")}
    before = {one.name: one.stats.translated for one in played.run.view.cameras()}
    assert all(before.values())  # counters stay as last told
    assert not any(one.stats.up for one in played.run.view.cameras() if one.name in lost)
    played.turns(4.0)
    assert {played.states()[name] for name in lost} == {("playing", None, "b")}
    assert silent.killed
    assert played.events("node_lost") == 1


def test_a_node_that_fails_is_tried_again_later_and_told_once() -> None:
    played = Played("a", "b")
    played.turns(START + 1)
    played.nodes.actors["a"].error = RuntimeError("Traceback\n  of many lines\nOSError: no space left")
    played.turns(LEASE_SECONDS + 4.0)
    assert {where for _, _, where in played.states().values()} == {"b"}
    assert played.events("node_failed") == 1
    assert played.nodes.started.count("a") == 2
    assert not played.nodes.actors["a"].killed  # the new one
    assert played.events("node_joined") == 3


def test_a_node_of_another_version_runs_nothing() -> None:
    played = Played("a", "b")
    played.run.turn()
    played.nodes.actors["a"].more = {"program": "0.0.0"}
    played.turns(1.0)
    played.nodes.actors["a"].more = {"program": "0.0.0"}
    played.turns(START)
    assert {where for _, _, where in played.states().values()} == {"b"}


def test_a_node_whose_process_cannot_be_started_holds_nobody_up() -> None:
    played = Played("a")
    played.nodes.refuses = ValueError("the name id-a is already taken")
    played.turns(START)
    assert set(played.states().values()) == {("retrying", "no_node", None)}
    assert 1 < len(played.nodes.started) <= START / AGAIN_AFTER + 1
    played.nodes.refuses = None
    played.turns(20.0)
    assert {state for state, _, _ in played.states().values()} == {"playing"}


def test_nodes_come_and_go_while_it_runs() -> None:
    played = Played("a")
    played.turns(START + 1)
    played.nodes.alive = [node("a"), node("b")]
    played.turns(2.0)
    played.nodes.alive = [node("b")]
    played.turns(LEASE_SECONDS + 2.0)
    assert set(played.states().values()) == {("playing", None, "b")}
    assert played.nodes.actors["a"].killed


def test_a_refused_camera_says_why() -> None:
    played = Played("a")
    played.run.turn()
    played.nodes.actors["a"].more = {"refused": {"yard": "model missing.pt: no such checkpoint"}}
    played.turns(START + 1)
    assert played.states()["yard"] == ("failed", "node_refused", "a")
    settings = HttpConfig(port=0)
    server = WebServer(settings, app_of(settings, played.run.view, [], NodeMetrics(played.run.view)))
    server.start()
    try:
        told = {one["name"]: one for one in ask(server, "/api/cameras").json()["cameras"]}
        text = ask(server, "/metrics").body.decode()
    finally:
        assert server.close(20.0)
    assert told["gate"]["node"] == "a"
    assert "It runs on the node a." in told["gate"]["remarks"]
    assert any("missing.pt" in remark for remark in told["yard"]["remarks"])
    assert 'nightday_camera_node{camera="gate",node="a"} 1.0' in text
    assert 'nightday_node_up{node="a"} 1.0' in text
    assert 'nightday_node_cameras{node="a"} 3.0' in text
    assert 'nightday_camera_up{camera="yard"} 0.0' in text


def test_a_camera_that_a_node_refuses_goes_to_another_which_is_told_with_the_reason(tmp_path: Path) -> None:
    played = Played(
        "a", "b", events={"file": str(tmp_path / "events.jsonl"), "spool": str(tmp_path / "spool")}
    )
    played.run.turn()
    refused = dict.fromkeys(CAMERAS, "outputs.0 out/x.mp4: the folder is read-only")
    played.nodes.actors["a"].more = {"refused": refused, "cameras": ()}
    played.turns(START + 5)
    assert set(played.states().values()) == {("playing", None, "b")}
    given = played.events("camera_placed")
    played.turns(60.0)
    assert played.events("camera_placed") == given
    played.run._end("signal", None)
    played.run._outside.close()
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    told = [one for one in lines if one["event"] == "camera_refused"]
    assert told
    assert len({one["camera"] for one in told}) == len(told)
    assert all(one["message"].startswith("node a cannot run it: outputs.0 out/x.mp4") for one in told)
    assert {one["level"] for one in told} == {"warning"}


def test_a_reload_adds_and_removes_cameras_and_faults_change_nothing() -> None:
    played = Played("a", "b")
    played.turns(START + 1)
    held = dict(played.run.coordinator.held)
    played.next = ConfigError(["cameras.yaml:3: cameras[0].url: bad"])
    played.run._reload()
    played.turns(2.0)
    assert played.run.coordinator.held == held
    assert played.events("reload_refused") == 1
    played.next = config("gate", "roof")
    played.run._reload()
    played.turns(3.0)
    assert {name: state for name, (state, _, _) in played.states().items()} == {
        "gate": "playing",
        "roof": "playing",
    }
    assert played.run.coordinator.held["gate"] == held["gate"]


def test_at_the_end_every_node_drains_and_tells_its_files() -> None:
    played = Played("a", "b")
    played.turns(START + 1)
    outcome = played.run._end("signal", None)
    assert outcome.files == (Path("out/a.mp4"), Path("out/b.mp4"))
    assert outcome.problems == ()
    assert {camera.name: camera.pictures for camera in outcome.cameras} == dict.fromkeys(CAMERAS, 1)
    assert all(actor.killed for actor in played.nodes.actors.values())


def test_secrets_are_shown_by_neither_a_part_nor_what_is_wanted() -> None:
    played = Played("a")
    played.turns(START + 1)
    part = played.run.coordinator.members["a"].part
    assert part is not None
    assert part.cameras["gate"]["url"] == "rtsp://u:secret12@10.0.0.9/s"
    for value in (part, played.run.coordinator.members["a"], played.run.coordinator._wanted):
        assert "secret12" not in repr(value)
        assert played.run._outside.http_of(node("a"))["token"] not in repr(value)


def crossed(camera: str, track: int) -> LineCrossed:
    return LineCrossed(camera=camera, line="kerb", direction="in", track=track, label="car", at=1.0)


def test_events_of_all_nodes_are_told_once_and_in_order_when_a_camera_goes_to_another(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    played = Played(
        "a", "b", events={"file": str(tmp_path / "events.jsonl"), "spool": str(tmp_path / "spool")}
    )
    played.turns(START + 1)
    told: dict[str, list[int]] = {name: [] for name in CAMERAS}
    track = 0

    def happen(actor: PlayedActor, *, kept: bool = True) -> None:
        nonlocal track
        for name in rng.choices([*actor.epochs], k=rng.randint(1, 5)):
            track += 1
            actor.publish(crossed(name, track))
            if kept:
                told[name].append(track)

    for _ in range(10):
        for actor in played.nodes.actors.values():
            happen(actor)
        played.turns(rng.choice((0.25, 0.5, 2.0)))
    played.turns(2.0)
    dies = played.nodes.actors["a"]
    moved = set(dies.epochs)
    dies.silent = True
    happen(dies, kept=False)  # nobody has heard of it before it died
    played.turns(LEASE_SECONDS + 4.0)
    # It stood still, and tells what is late of cameras that another has now.
    dies.silent = False
    happen(dies, kept=False)
    stays = played.nodes.actors["b"]
    stays.publish(*(crossed(name, 10_000) for name in moved))
    outcome = played.run._end("signal", None)
    played.run._outside.close()
    assert outcome.problems == ()
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    found = {name: [one for one in lines if one["camera"] == name] for name in CAMERAS}
    for name in CAMERAS:
        tracks = [one["track"] for one in found[name] if one["event"] == "line_crossed"]
        assert tracks == told[name] + [10_000] * (name in moved)
        names = [one["event"] for one in found[name]]
        away = [one for one in found[name] if one["event"] == "camera_retrying"]
        assert [one["reason"] for one in away] == ["no_node"] * (name in moved)
        assert not away or names.index("camera_retrying") == len(names) - 3, (
            names
        )  # then it is placed, and goes on
    assert {one["node"] for one in lines if one["event"] == "line_crossed"} == {"a", "b"}
    assert {one["time"] for one in lines if "node" in one} == {"2023-11-14T22:13:20.000+00:00"}
    assert not [one for one in lines if one["event"] == "node_lost" and "node" in one]


def test_what_a_dead_node_could_not_tell_is_told_late_and_once_even_to_another_coordinator(
    tmp_path: Path,
) -> None:
    places = {"file": str(tmp_path / "events.jsonl"), "spool": str(tmp_path / "spool")}
    played = Played("a", "b", events=places)
    played.turns(START + 1)
    dies, stays = played.nodes.actors["a"], played.nodes.actors["b"]
    camera = next(iter(dies.epochs))
    dies.more = {"journal": "of-a"}
    dies.publish(*(crossed(camera, track) for track in (1, 2)))
    played.turns(2.0)
    dies.silent = True
    # What is in its journal: the coordinator took the first two, and was to say so.
    kept = [message_of(crossed(camera, track), 1_700_000_000.0 + track, node="a") for track in (1, 2, 3, 4)]
    left = Late("of-a", tuple(stored("of-a", number + 1, one) for number, one in enumerate(kept)))
    played.turns(LEASE_SECONDS + 4.0)
    stays.more = {"journal": "of-b", "late": left}
    played.turns(3.0)
    assert stays.late_to == ("of-a", 4)
    played.run._end("signal", None)
    played.run._outside.close()
    # The coordinator dies before the node has heard that all was taken.
    again = Played("b", events=places)
    again.turns(0.25)
    again.nodes.actors["b"].more = {"journal": "of-another-b", "late": left}
    again.turns(START)
    assert again.nodes.actors["b"].late_to == ("of-a", 4)
    again.run._end("signal", None)
    again.run._outside.close()
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    told = [one for one in lines if one["event"] == "line_crossed"]
    assert [(one["track"], one["node"], one.get("late")) for one in told] == [
        (1, "a", None),
        (2, "a", None),
        (3, "a", True),
        (4, "a", True),
    ]
    assert [one["time"][17:19] for one in told] == ["20", "20", "23", "24"]
    assert len({one["id"] for one in lines}) == len(lines)


def test_events_that_a_node_could_not_keep_are_counted() -> None:
    played = Played("a")
    played.turns(START + 1)
    actor = played.nodes.actors["a"]
    actor.publish(*(crossed("gate", number) for number in range(5)))
    del actor.happened[:3]
    played.turns(3.0)
    assert played.events("events_lost") == 1
    assert actor.taken == 5


@pytest.mark.parametrize("seconds", [1.0, 30.0])
def test_a_coordinator_that_hangs_is_not_alive(seconds: float) -> None:
    played = Played("a")
    played.turns(1.0)
    played.nodes.now += seconds
    assert played.run.view.beating() is (seconds < 30.0)


@dataclass
class Learning:
    """A cluster whose camera ``gate`` learns, and the folder of what it has learnt."""

    played: Played
    folder: OwnFolder

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60.0
        while not true():
            assert time.monotonic() < deadline
            if self.played.commands.get(0.05) == "renew":
                self.played.run._configure(self.played.run.config)
            self.played.turns(0.25)

    def entry(self) -> Mapping[str, Any]:
        """What the camera's node was told to run."""
        (part,) = [
            member.part
            for member in self.played.run.coordinator.members.values()
            if member.part is not None and "gate" in member.part.cameras
        ]
        return part.cameras["gate"]

    def own(self) -> tuple[int | None, str]:
        """The round whose model serves, and what is being done for the next."""
        (status,) = [one.own_model for one in self.played.run.view.cameras() if one.name == "gate"]
        return (None, "") if status is None else (status.serves, status.text)


@pytest.fixture
def learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Learning]:
    monkeypatch.setattr(learner, "LOOK_EVERY", 0.05)
    played = Played("a", "b")
    gate = {
        "name": "gate",
        "url": "rtsp://10.0.0.9/s",
        "learn": True,
        "outputs": [str(tmp_path / "gate.mp4")],
    }
    config = Config.model_validate({"cameras": [gate], "learning": {"folder": str(tmp_path / "learning")}})
    played.run._configure(config)
    played.turns(START + 1)
    yield Learning(played, folder_of(config.cameras[0], config.learning))
    played.run._end("signal", None)


def test_a_model_that_has_won_serves_wherever_the_camera_goes_until_it_is_taken_back(
    learning: Learning,
) -> None:
    learning.until(lambda: learning.own()[1].startswith("collecting"))
    entry = learning.entry()
    assert (entry["model"], entry["learn"]) == ("auto", False)
    assert entry["collect"]["folder"] == str(learning.folder.pictures)
    # The learner's own way to this, with a training, is tested in its room.
    learning.folder.install(1, bundled_weights("general.pt"))
    learning.folder.write(OwnModels().won("it was better", now=0.0, not_before=4e9))
    learning.played.commands.put("renew")
    model = str(learning.folder.model(1))
    learning.until(lambda: learning.entry()["model"] == model and learning.own()[0] == 1)
    # Its node dies: the next one is told the same model.
    nodes = learning.played.nodes
    held = learning.played.run.coordinator.held["gate"].node
    nodes.actors[held].silent = True
    learning.played.turns(LEASE_SECONDS + 4.0)
    now = learning.played.run.coordinator.held["gate"].node
    assert now != held
    assert learning.entry()["model"] == model
    rolled_back = EngineChanged(
        step="rolled_back", cameras=("gate",), detail="it was slower", model=learning.folder.model(1)
    )
    nodes.actors[now].publish(rolled_back)
    learning.until(lambda: learning.entry()["model"] == "auto" and learning.own()[0] is None)
    assert [one.outcome for one in learning.folder.read().rounds] == ["rolled back"]


def test_a_node_that_does_not_see_the_folder_says_so_once_and_its_camera_says_it_learns_nothing(
    learning: Learning,
) -> None:
    held = learning.played.run.coordinator.held["gate"].node
    learning.played.nodes.actors[held].more = {"apart": "it does not see /learning"}
    learning.until(lambda: "/learning" in learning.own()[1])
    learning.played.turns(5.0)
    assert learning.played.events("node_apart") == 1


def test_a_head_that_is_gone_is_told_and_ends_all_in_good_order_before_ray_does(tmp_path: Path) -> None:
    played = Played("a", "b")
    played.turns(START + 1)
    played.nodes.head_up = False
    played.turns(9.0)
    assert played.events("head_lost") == 0
    played.turns(2.0)
    assert played.events("head_lost") == 1
    assert {state for state, _, _ in played.states().values()} == {"playing"}
    (metric,) = [one for one in NodeMetrics(played.run.view).collect() if one.name == "nightday_ray_head_up"]
    assert [sample.value for sample in metric.samples] == [0.0]
    played.nodes.now += 3600.0  # the coordinator stood still
    played.run.turn()
    played.nodes.head_up = True
    played.turns(1.0)
    assert played.events("head_back") == 1
    played.nodes.head_up = False
    played.turns(46.0)
    assert played.run._watch(None, None, 1.0) == "failed"
    outcome = played.run._end("failed", None)
    assert any("ray start --head" in problem for problem in outcome.problems)
    assert outcome.files == (Path("out/a.mp4"), Path("out/b.mp4"))
