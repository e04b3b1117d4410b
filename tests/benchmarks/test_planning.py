"""The simulated cluster, small."""

from __future__ import annotations

import random

import pytest

from benchmarks.planning import cluster
from benchmarks.planning.cluster import Cluster
from nightday.pipeline.cluster.placement import Placement, place


def test_a_small_cluster_keeps_what_placement_promises() -> None:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    figures = Cluster(400, 40, seed).run(80)
    summary = figures.summary(400, 40)
    assert sum(figures.events.values()) == 81
    assert {"node fails", "nodes return"} <= set(figures.events)
    assert summary["moved_needlessly"] == 0
    assert summary["overfilled_nodes"] == 0
    # Of all that failed at once, a rack is the most: half of these nodes.
    assert max(summary["moved_worst_percent"].values()) < 100


def test_its_judgement_sees_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def on_one(cameras: object, nodes: object, current: object) -> Placement:
        good = place(cameras, nodes, current)  # type: ignore[arg-type]
        first = min(good.assigned.values())
        return Placement(dict.fromkeys(good.assigned, first), ())

    monkeypatch.setattr(cluster, "place", on_one)
    figures = Cluster(200, 20, 1).run(5)
    assert figures.overfilled > 0
