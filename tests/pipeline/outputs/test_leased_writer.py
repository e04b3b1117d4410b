"""Outputs whose node may lose the camera at any moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.lease import Lease
from nightday.pipeline.outputs.leased_writer import LeasedWriter
from nightday.pipeline.outputs.mp4.recordings import find_recording, recorded
from nightday.pipeline.outputs.registry import open_output
from nightday.pipeline.outputs.writer import PictureSkipped
from tests.support.media_helpers import picture

WAIT = 20.0


class Recorder:
    """Keeps what a writer is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def write(self, picture: object) -> None:
        self.told.append("write")

    def idle(self, seconds: float) -> None:
        self.told.append("idle")

    def close(self) -> None:
        self.told.append("close")


def test_nothing_is_written_without_the_lease_not_even_an_end() -> None:
    holds, inner = [True], Recorder()
    writer = LeasedWriter(inner, Lease(1, lambda: holds[0]))
    shown = picture(0)
    writer.write(shown)
    writer.idle(1.0)
    holds[0] = False
    with pytest.raises(PictureSkipped) as skipped:
        writer.write(shown)
    assert skipped.value.reason == "no_lease"
    writer.idle(1.0)
    writer.close()
    assert inner.told == ["write", "idle"]


def test_what_was_to_be_closed_meanwhile_is_closed_before_the_next_picture() -> None:
    holds, inner = [False], Recorder()
    writer = LeasedWriter(inner, Lease(1, lambda: holds[0]))
    writer.close()
    holds[0] = True
    writer.write(picture(0))
    writer.write(picture(0))
    writer.close()
    assert inner.told == ["close", "write", "write", "close"]


def test_files_are_named_by_the_epoch_and_no_picture_is_written_after_the_lease(tmp_path: Path) -> None:
    template = tmp_path / "gate" / "%Y%m%d.mp4"
    held = {1: True, 2: True}
    for epoch in (1, 2):
        stats = CameraStats()
        output = open_output(
            str(template),
            camera="gate",
            stats=stats,
            lease=Lease(epoch, lambda: held[epoch]),  # noqa: B023 - closed within the round
        )
        for number in range(5):
            assert output.offer(picture(512 * number))
            while (
                not stats.snapshot().latency["output"].counts
                or sum(stats.snapshot().latency["output"].counts) <= number
            ):
                assert output.is_alive()
        held[epoch] = epoch != 1
        (before,) = [one.size for one in recorded(template) if f"-e{epoch}" in one.name]
        output.offer(picture(512 * 5))
        assert output.close(WAIT)
        (after,) = [one.size for one in recorded(template) if f"-e{epoch}" in one.name]
        assert (after == before) is (epoch == 1)
        assert stats.snapshot().dropped == ({"no_lease": 1} if epoch == 1 else {})
    names = sorted(one.name for one in recorded(template))
    assert [name.rpartition("-")[2] for name in names] == ["e1.mp4", "e2.mp4"]
    assert all(find_recording(template, name) is not None for name in names)
    assert find_recording(template, names[0].replace("-e1", "-x1")) is None
