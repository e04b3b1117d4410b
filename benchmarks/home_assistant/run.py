"""A run whose cameras are made up, told to a broker until it is killed; ``gone`` in its folder takes one away."""

from __future__ import annotations

import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.control import Translate
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.events import CountsChanged, EventBus, TranslateChanged
from nightday.pipeline.core.status import NewestPicture
from nightday.pipeline.monitoring.notify.notifications import Notifications
from tests.support.watched import FakeRun

bus = EventBus()


class Run(FakeRun):
    """Tells when it is switched, as a real one does."""

    def set_translate(self, camera: str, when: Translate) -> None:
        """See ``Controls``."""
        super().set_translate(camera, when)
        bus.publish(TranslateChanged(camera=camera, translate=when))


def main(folder: Path, port: int) -> None:
    """Tell the broker at ``port``, for ever."""
    grey = np.full((90, 160, 3), 120, np.uint8)
    run = Run(stats={"gate": CameraStats(), "yard": CameraStats()})
    for name in run.stats:
        run.pictures[name] = NewestPicture(grey, grey, Fraction(1), 1.0)
        run.states[name] = {"engine": "ready", "translate": "night", "night": True, "light": "dark"}
    stats = run.stats["gate"]
    stats.set_up(True)
    stats.count_latency(0.04)
    notifications = Notifications(run, publish=bus.publish, clock=SystemClock())
    bus.subscribe(notifications.note)
    camera = {"name": "gate", "url": "rtsp://10.0.0.5/s", "translate": "never"}
    notifications.serve(
        Config.model_validate({"cameras": [camera], "mqtt": {"host": "127.0.0.1", "port": port}})
    )
    bus.publish(CountsChanged(camera="gate", zone=None, counts={"car": 3}, at=0.0))
    bus.publish(CountsChanged(camera="gate", zone="yard", counts={"car": 2}, at=0.0))
    while True:
        time.sleep(0.04)
        stats.count_output(translated=True)
        if (folder / "gone").exists() and "yard" in run.stats:
            del run.stats["yard"], run.pictures["yard"]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
