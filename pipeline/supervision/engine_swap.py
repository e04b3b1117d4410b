"""Puts another engine behind cameras that run; their sources, outputs and counters notice nothing.

The new engine is loaded, qualified and prepared for the sizes of its cameras in the reload's thread, beside the one
that serves. ``start_swaps`` then swaps the two between batches and puts the new one on probation; ``end_probations``
ends that and lets go of the engine that lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nightday.engines.backends.base import Engine

from ..config.schema import CameraConfig
from ..core.clock import Clock
from ..core.events import EngineChanged, Publish
from ..serving.probation import PROBATION_BATCHES, PROBATION_SECONDS, Probation
from ..serving.setup import Setup
from ..translation.pending_engine import PendingEngine
from ..translation.warm_up import prepare
from ..translation.worker_pool import WorkerPool
from .camera import Camera
from .camera_parts import is_fixed, wants_backgrounds
from .commands import CommandQueue


@dataclass(frozen=True, slots=True, eq=False)
class Swap:
    """Cameras that go from one engine to another together.

    Attributes:
        before: the engine that serves them or, if that is on probation, the one before it; a ``PendingEngine`` where
            none has served yet.
        engine: the engine that is to serve them.
        cameras: the cameras, with their new configurations.
    """

    before: Engine
    engine: Engine
    cameras: list[tuple[Camera, CameraConfig]] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """The cameras' names."""
        return tuple(camera.name for camera, _ in self.cameras)

    @property
    def is_first(self) -> bool:
        """Whether no engine has served the cameras yet."""
        return isinstance(self.before, PendingEngine)

    @property
    def in_place(self) -> str:
        """In place of which engine, as the end of a sentence."""
        return "" if self.is_first else f" in place of {_name(self.before)}"

    def unprepared(self) -> list[tuple[int, int]]:
        """The sizes (height, width) its cameras send that the present engine is ready for and the new one is not."""
        served = set()
        for camera, _ in self.cameras:
            engine, size = camera.channel.engine, camera.channel.size
            if engine is None or size is None:
                continue
            if isinstance(engine, PendingEngine) or engine.prepared(*size):
                served.add(size)
        return [size for size in sorted(served) if not self.engine.prepared(*size)]


def engine_on_trial(cameras: Iterable[Camera], config: CameraConfig, engine: Engine | None) -> Engine | None:
    """The probation that ``engine`` is on at another camera with the same model, or else ``engine`` itself."""
    for camera in cameras:
        trial = camera.channel.engine
        if isinstance(trial, Probation) and (trial.model, trial.engine) == (config.checkpoint, engine):
            return trial
    return engine


def difference(camera: Camera, config: CameraConfig, setup: Setup) -> Literal["none", "engine", "more"]:
    """What ``setup``, where the camera's configuration is ``config``, changes of a running camera."""
    channel, engine = camera.channel, setup.engine_of(config)
    alike = camera.config.model_copy(update={"model": config.model}) == config
    if camera.lease != setup.lease_of(config.name):
        return "more"
    if not alike or channel.detector is not setup.detector_of(config):
        return "more"
    now = channel.engine.engine if isinstance(channel.engine, Probation) else channel.engine
    if engine is now:
        return "none"
    # Whether backgrounds are kept is settled when a camera starts.
    same = (channel.own_backgrounds, camera.fixed) == (
        wants_backgrounds(config, engine),
        is_fixed(config, engine),
    )
    return "engine" if engine is not None and now is not None and same else "more"


def find_swaps(cameras: Mapping[str, Camera], setup: Setup) -> list[Swap]:
    """The cameras of which ``setup`` changes the engine alone, by the engines they go from and to."""
    swaps: dict[tuple[int, int], Swap] = {}
    for config in setup.config.cameras:
        camera, engine = cameras.get(config.name), setup.engine_of(config)
        if camera is None or engine is None or difference(camera, config, setup) != "engine":
            continue
        now = camera.channel.engine
        before = now.before if isinstance(now, Probation) else now
        assert before is not None  # otherwise more than the engine would differ
        swaps.setdefault((id(before), id(engine)), Swap(before, engine)).cameras.append((camera, config))
    return list(swaps.values())


def prepare_all(swaps: Sequence[Swap], publish: Publish) -> None:
    """Have the new engines prepared for what their cameras send. Takes seconds or minutes; raises what they raise."""
    for swap in swaps:
        detail = f"{_name(swap.engine)} is offered{swap.in_place}"
        publish(EngineChanged(step="offered", cameras=swap.names, detail=detail))
    # Engines keep a few sizes only and may have dropped the first by the time the last is prepared, so each size is
    # tried once.
    tried: set[tuple[int, tuple[int, int]]] = set()
    while todo := [
        (swap.engine, size)
        for swap in swaps
        for size in swap.unprepared()
        if (id(swap.engine), size) not in tried
    ]:
        for engine, size in todo:
            tried.add((id(engine), size))
            prepare(engine, *size, publish=publish)


def start_swaps(
    swaps: Sequence[Swap],
    *,
    cameras: Iterable[Camera],
    pool: WorkerPool,
    clock: Clock,
    commands: CommandQueue,
    publish: Publish,
    may_be_slower: bool = False,
) -> None:
    """Swap, and put what has not served yet on probation; ``"probation_ended"`` among the commands tells of its end.

    Args:
        swaps: what to swap.
        cameras: all that run.
        pool: their workers.
        clock: time.
        commands: the runtime's.
        publish: told of each swap.
        may_be_slower: whether new engines stay however long they take.
    """
    proven = {
        id(camera.channel.engine) for camera in cameras
    }  # one on probation stands behind another object
    for swap in swaps:
        engine: Engine = swap.engine
        text = f"{_name(swap.engine)} serves{swap.in_place}"
        # Nothing could stand behind the first engine of a camera.
        if not swap.is_first and id(engine) not in proven and engine is not swap.before:
            same_model = all(camera.config.checkpoint == config.checkpoint for camera, config in swap.cameras)
            engine = Probation(
                engine,
                before=swap.before,
                usual=pool.times.usual(swap.before),
                clock=clock,
                on_end=lambda: commands.put("probation_ended"),
                model=swap.cameras[0][1].checkpoint if same_model else None,
                may_be_slower=may_be_slower,
            )
            text += f"; on probation for {PROBATION_BATCHES} batches and {PROBATION_SECONDS:g} s"
        pool.swap(dict.fromkeys(swap.names, engine))
        for camera, config in swap.cameras:
            camera.adopt(config)
        publish(EngineChanged(step="swapped", cameras=swap.names, detail=text))


def end_probations(cameras: Iterable[Camera], pool: WorkerPool, publish: Publish) -> None:
    """Leave the cameras whose engine's probation has ended to the engine that won."""
    ended: dict[int, tuple[Probation, list[Camera]]] = {}
    for camera in cameras:
        engine = camera.channel.engine
        if isinstance(engine, Probation) and engine.result is not None:
            ended.setdefault(id(engine), (engine, []))[1].append(camera)
    for probation, its_cameras in ended.values():
        result = probation.result
        assert result is not None
        names = tuple(camera.name for camera in its_cameras)
        pool.swap(dict.fromkeys(names, probation.serving))
        new, before = _name(probation.engine), _name(probation.before)
        if result.kept:
            publish(EngineChanged(step="kept", cameras=names, detail=f"{new} stays: {result.figures}"))
        else:
            detail = f"{new} is out, {before} serves again: {result.reason}; {result.figures}"
            model = its_cameras[0].config.checkpoint if probation.model is None else None
            publish(
                EngineChanged(
                    step="rolled_back", cameras=names, detail=detail, reason=result.reason, model=model
                )
            )


def _name(engine: Engine) -> str:
    return f"{engine.info.model} ({engine.info.backend} {engine.info.precision})"
