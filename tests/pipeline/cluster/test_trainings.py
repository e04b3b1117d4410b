"""Where rounds are trained, and that what a machine does that was given up does not count."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nightday.pipeline.cluster.ray_nodes import RayNode
from nightday.pipeline.cluster.round_tries import begin_try
from nightday.pipeline.cluster.trainings import KILLED, Place, Trainings
from nightday.pipeline.learning import rounds
from nightday.pipeline.learning.camera_learning import LOST


@dataclass
class PlayedTask:
    node: str
    folder: Path
    start: Path
    words: Sequence[str]
    answer: Future[tuple[int, str]] = field(default_factory=Future)
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True
        if not self.answer.done():
            self.answer.set_exception(RuntimeError("cancelled"))


class Played:
    def __init__(self) -> None:
        self.tasks: list[PlayedTask] = []
        self.trainings = Trainings(self._start, Path("/srv"))

    def _start(self, node: RayNode, folder: Path, start: Path, words: Sequence[str]) -> PlayedTask:
        self.tasks.append(PlayedTask(node.name, folder, start, words))
        return self.tasks[-1]

    def offer(self, *, threads: int = 1, at_once: int = 1, **spare: float) -> None:
        self.trainings.offer(
            [Place(node(name), free) for name, free in spare.items()], threads=threads, at_once=at_once
        )


def node(name: str, number: int = 1) -> RayNode:
    return RayNode(id=f"{name}{number}", name=name, address="10.0.0.1", cpus=4.0, gpu=False)


def begun_round(folder: Path) -> Path:
    for part in (rounds.PICTURES, rounds.HELD):
        for time in ("day", "night"):
            (folder / part / time).mkdir(parents=True)
            (folder / part / time / "1.jpg").write_bytes(part.encode())
    (folder / rounds.PLAN).write_text(json.dumps({"number": 1, "steps": 10}))
    return folder


def test_rounds_go_where_most_is_spare_and_no_node_gets_more_than_it_has_room_for(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    folder = begun_round(tmp_path / "round")
    for _ in range(10):
        played = Played()
        threads, at_once = rng.randint(1, 3), rng.randint(1, 3)
        spare = {name: rng.choice((0.0, 0.4, 1.0, 2.5, 4.0, 9.0)) for name in "abcde"}
        played.offer(threads=threads, at_once=at_once, **spare)
        left = dict(spare)
        count = 0
        while played.trainings.has_room():
            count += 1
            busy = [one.node for one in played.tasks]
            most = max(free for name, free in left.items() if busy.count(name) < at_once)
            played.trainings.begin(folder, [])
            at = played.tasks[-1].node
            assert left[at] == most
            left[at] -= threads
        assert min(left.values()) >= 0
        assert count == sum(min(at_once, int(free // threads)) for free in spare.values())


def test_without_room_nothing_is_started_and_the_round_waits(tmp_path: Path) -> None:
    played = Played()
    played.offer(a=0.9)
    assert not played.trainings.has_room()
    assert played.trainings.begin(begun_round(tmp_path / "round"), []).status() == LOST
    assert not played.tasks


@pytest.mark.parametrize(
    ("error", "status"),
    [(OSError("no space left"), 1), (MemoryError("too much"), KILLED), (RuntimeError("its node died"), LOST)],
)
def test_how_a_training_ends(tmp_path: Path, error: Exception, status: int) -> None:
    played = Played()
    played.offer(a=1.0)
    training = played.trainings.begin(begun_round(tmp_path / "round"), ["--steps=3"])
    assert not played.trainings.has_room()
    assert training.status() is None
    assert (played.tasks[0].words, played.tasks[0].start) == (["--steps=3"], Path("/srv"))
    played.tasks[0].answer.set_exception(error)
    assert training.status() == status
    assert str(error) in training.last_words()
    assert played.trainings.has_room()


def test_a_node_that_is_gone_or_begun_anew_has_lost_its_training(tmp_path: Path) -> None:
    for gone in ([], [Place(node("a", 2), 1.0)]):
        played = Played()
        played.offer(a=1.0)
        training = played.trainings.begin(begun_round(tmp_path / f"round{len(gone)}"), [])
        played.trainings.offer(gone, threads=1, at_once=1)
        assert training.status() == LOST
        assert played.tasks[0].cancelled


def test_a_try_goes_on_where_the_last_was_and_what_that_still_writes_does_not_count(tmp_path: Path) -> None:
    folder = begun_round(tmp_path / "round")
    first = begin_try(folder)
    assert (first / "held/day/1.jpg").read_bytes() == b"held"
    (first / rounds.RUN).mkdir()
    (first / rounds.RUN / "log.jsonl").write_text('{"step": 4, "seconds": 8}\n')
    (first / rounds.RUN / "last.pt").write_bytes(b"step 4")
    assert rounds.progress_of(folder, 10) == (0.4, 12.0)
    second = begin_try(folder)
    assert (second / rounds.RUN / "last.pt").read_bytes() == b"step 4"
    # The machine of the first goes on, and even comes to an end.
    for path, text in (("log.jsonl", '{"step": 9, "seconds": 9}\n'), ("best.pt", "of the first")):
        (first / rounds.RUN).mkdir(parents=True, exist_ok=True)
        (first / rounds.RUN / path).write_text(text)
    (first / rounds.JUDGEMENT).write_text('{"won": true, "why": "of the first"}')
    assert rounds.progress_of(folder, 10)[0] == 0.4
    assert rounds.judgement_of(folder) is None
    assert not (folder / rounds.RUN / "best.pt").exists()
    (second / rounds.JUDGEMENT).write_text('{"won": false, "why": "of the second"}')
    assert rounds.judgement_of(folder) == {"won": False, "why": "of the second"}


def test_a_round_that_one_machine_began_goes_on_in_a_cluster(tmp_path: Path) -> None:
    folder = begun_round(tmp_path / "round")
    (folder / rounds.RUN).mkdir()
    (folder / rounds.RUN / "last.pt").write_bytes(b"step 4")
    assert (begin_try(folder) / rounds.RUN / "last.pt").read_bytes() == b"step 4"
    assert (begin_try(folder) / rounds.RUN / "last.pt").read_bytes() == b"step 4"
