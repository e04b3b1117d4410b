"""Puts another engine behind cameras that run; their readers, outputs and counters notice nothing.

The new engine is loaded, qualified and prepared for the sizes of its cameras in the reload's thread, beside the one
that serves. ``begin`` then swaps them between two batches and puts the new one on probation (``probation``);
``settle`` ends that, and lets go of the engine that lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nightday.engines.backends.base import EngineInfo

from ..core.camera_url import redact
from ..core.clock import Clock
from ..serving.probation import PROBATION_BATCHES, PROBATION_SECONDS, Probation
from ..translation.engine_call import Translate
from ..translation.warm_up import is_prepared, prepare
from ..translation.worker_pool import WorkerPool
from .camera import Camera
from .commands import CommandQueue

if TYPE_CHECKING:
    from ..config.schema import CameraConfig
    from .runtime import Setup

log = logging.getLogger(__name__)

SETTLED = "settled"
"""The word in the inbox when a probation has ended."""


@dataclass(frozen=True, slots=True, eq=False)
class Swap:
    """Cameras that go from one engine to another together.

    Attributes:
        before: the engine that serves them, or, if that is on probation, the one before it.
        engine: the one that is to serve them.
        cameras: they themselves, with their new entries in the configuration.
    """

    before: Translate
    engine: Translate
    cameras: list[tuple[Camera, CameraConfig]] = field(default_factory=list)

    @property
    def names(self) -> str:
        """Its cameras."""
        return ", ".join(camera.name for camera, _ in self.cameras)

    def missing(self) -> list[tuple[int, int]]:
        """The sizes (height, width) its cameras send that the present engine is ready for and the new one is not."""
        channels = [camera.channel for camera, _ in self.cameras]
        served = {
            channel.size
            for channel in channels
            if channel.size and channel.engine and is_prepared(channel.engine, *channel.size)
        }
        return [size for size in sorted(served) if not is_prepared(self.engine, *size)]


def change(camera: Camera, config: CameraConfig, setup: Setup) -> Literal["none", "engine", "more"]:
    """What of a running ``camera`` is another in ``setup``, where its entry is ``config``."""
    channel, engine = camera.channel, setup.engine_of(config)
    alike = camera.config.model_copy(update={"model": config.model}) == config
    if not alike or channel.detect != setup.detector_of(config):
        return "more"
    now = channel.engine.engine if isinstance(channel.engine, Probation) else channel.engine
    if engine is now:
        return "none"
    return "more" if engine is None or now is None else "engine"


def find_swaps(cameras: Mapping[str, Camera], setup: Setup) -> list[Swap]:
    """The cameras of which ``setup`` changes the engine alone, by the engines they go from and to."""
    swaps: dict[tuple[int, int], Swap] = {}
    for config in setup.config.cameras:
        camera, engine = cameras.get(config.name), setup.engine_of(config)
        if camera is None or engine is None or change(camera, config, setup) != "engine":
            continue
        now = camera.channel.engine
        before = now.before if isinstance(now, Probation) else now
        assert before is not None  # else more than the engine would be another
        swaps.setdefault((id(before), id(engine)), Swap(before, engine)).cameras.append((camera, config))
    return list(swaps.values())


def prepare_all(swaps: Sequence[Swap]) -> None:
    """Have the new engines prepared for what their cameras send. Takes seconds or minutes; raises what they raise."""
    for swap in swaps:
        _tell(swap, "offered", f"{_name(swap.engine)} is offered in place of {_name(swap.before)}")
    # Engines keep some sizes only, and may have dropped the first: each is prepared once.
    tried: set[tuple[int, tuple[int, int]]] = set()
    while todo := [
        (swap.engine, size)
        for swap in swaps
        for size in swap.missing()
        if (id(swap.engine), size) not in tried
    ]:
        for engine, size in todo:
            tried.add((id(engine), size))
            prepare(engine, *size)


def begin(
    swaps: Sequence[Swap],
    *,
    cameras: Iterable[Camera],
    pool: WorkerPool,
    clock: Clock,
    commands: CommandQueue,
) -> None:
    """Swap, and put what has not served yet on probation; what that ends in is told by ``SETTLED`` in the inbox.

    Args:
        swaps: what to swap.
        cameras: all that run.
        loop: theirs.
        clock: time.
        inbox: the runtime's.
    """
    proven = {
        id(camera.channel.engine) for camera in cameras
    }  # one on probation stands behind another object
    for swap in swaps:
        engine = swap.engine
        if id(engine) not in proven and engine is not swap.before:
            same = all(camera.config.model == config.model for camera, config in swap.cameras)
            engine = Probation(
                engine,
                before=swap.before,
                usual=pool.times.usual(swap.before),
                clock=clock,
                on_verdict=lambda: commands.put(SETTLED),
                model=swap.cameras[0][1].model if same else None,
            )
        pool.swap({camera.name: engine for camera, _ in swap.cameras})
        for camera, config in swap.cameras:
            camera.adopt(config)
            if engine is swap.engine:
                camera.settle(kept=True)
        text = f"{_name(swap.engine)} serves in place of {_name(swap.before)}"
        if isinstance(engine, Probation):
            text += f"; on probation for {PROBATION_BATCHES} batches and {PROBATION_SECONDS:g} s"
        _tell(swap, "swapped", text)


def settle(cameras: Iterable[Camera], pool: WorkerPool) -> None:
    """Leave the cameras whose engine's probation has ended to the engine that won."""
    ended: dict[int, tuple[Probation, Swap]] = {}
    for camera in cameras:
        on = camera.channel.engine
        if isinstance(on, Probation) and on.verdict is not None:
            swap = ended.setdefault(id(on), (on, Swap(on.before, on.engine)))[1]
            swap.cameras.append((camera, camera.config))
    for probation, swap in ended.values():
        verdict = probation.verdict
        assert verdict is not None
        pool.swap({camera.name: probation.serving for camera, _ in swap.cameras})
        for camera, _ in swap.cameras:
            camera.settle(kept=verdict.kept)
        if verdict.kept:
            _tell(swap, "kept", f"{_name(swap.engine)} stays: {verdict.figures}")
        else:
            text = f"{_name(swap.engine)} is out, {_name(swap.before)} serves again: {verdict.reason}"
            _tell(swap, "rolled_back", f"{text}; {verdict.figures}", reason=verdict.reason)


def _name(engine: Translate) -> str:
    info = getattr(engine, "info", None)
    return f"{info.model} ({info.backend} {info.precision})" if isinstance(info, EngineInfo) else "an engine"


def _tell(swap: Swap, what: str, text: str, *, reason: str | None = None) -> None:
    extra = {
        "event": f"engine_{what}",
        "cameras": [camera.name for camera, _ in swap.cameras],
        "reason": reason,
    }
    log.log(logging.WARNING if reason else logging.INFO, "%s: %s", swap.names, redact(text), extra=extra)
