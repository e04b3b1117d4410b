"""Ending a run in good order: first the sources, then the workers, then the outputs."""

from __future__ import annotations

import threading

from ..core.camera_url import redact
from ..core.clock import Clock
from ..core.events import Notice, Publish
from ..core.words import counted
from ..translation.worker_pool import WorkerPool
from .camera import Camera
from .cameras import Cameras
from .commands import CommandQueue
from .outcome import Cause
from .saving import PictureSaver

# Seconds from a signal until every file is closed; 5 are promised.
STOP_WITHIN = 4.5
# The share of them that the workers have for the batches at hand.
WORKERS_SHARE = 0.5
# Seconds that the outputs have for their last pictures when the sources ended by themselves.
FINISH_WITHIN = 60.0
# Seconds the last pictures may take to be written before they are given up.
SAVE_WITHIN = 10.0


def shut_down(
    cause: Cause,
    *,
    cameras: Cameras,
    pool: WorkerPool,
    stop: threading.Event,
    commands: CommandQueue,
    publish: Publish,
    clock: Clock,
) -> tuple[list[str], bool]:
    """Stop sources and workers and let the outputs finish.

    Args:
        cause: why. When all sources have ended by themselves, the workers finish what waits, unless told to stop.
        cameras: all cameras.
        pool: their workers.
        stop: has the workers leave what waits.
        commands: the runtime's.
        publish: told what is lost.
        clock: time.

    Returns:
        One line for each thing that was not put right, and whether all threads ended.
    """
    problems = [camera.problem for camera in cameras if camera.problem]
    in_time = cause == "finished"
    if not in_time:
        _stop_all(cameras, stop)
    pool.finish()
    while in_time and pool.is_alive():
        pool.join(0.05)
        in_time = commands.get(0) != "stop"
    _stop_all(cameras, stop)
    deadline = clock.monotonic() + (FINISH_WITHIN if in_time else STOP_WITHIN)
    pool.join(STOP_WITHIN * WORKERS_SHARE)
    cameras.finish_outputs()
    for camera in cameras.with_retired:
        camera.join(deadline)
        problems += _unfinished(camera)
    if cause != "signal":  # whoever stops a camera for good need not be told again of a server that is away
        problems += _outputs_in_trouble(cameras)
    if pool.is_alive():
        lost = "the batch at hand is lost: the engine did not return in time"
        publish(Notice(name="batch_lost", detail=lost, level="warning"))
    if pool.error is not None:
        problems.append(failure_of(pool))
    for camera in cameras:
        event = camera.reader.event
        if event.state == "failed":
            problems.append(f"{camera.name}: failed ({event.reason}: {event.detail})")
    if cause in ("finished", "duration"):  # before a signal a camera may not have had time
        problems += without_pictures(cameras)
    threads = [pool, *(thread for camera in cameras.with_retired for thread in camera.threads)]
    return problems, not any(thread.is_alive() for thread in threads)


def save_last(cameras: Cameras, pool: WorkerPool, saver: PictureSaver, publish: Publish) -> bool:
    """Write the cameras' last pictures and backgrounds; whether that was done in time."""
    if not pool.is_alive():
        cameras.finish_pictures()
    if saver.save(cameras, final=True, within=SAVE_WITHIN):
        return True
    detail = "pictures are not saved: the disk does not answer"
    publish(Notice(name="save_failed", detail=detail, level="warning"))
    return False


def failure_of(pool: WorkerPool) -> str:
    """One line on what ended the workers."""
    error = pool.error
    return f"the workers failed: {type(error).__name__}: {redact(' '.join(str(error).split()))}"


def without_pictures(cameras: Cameras) -> list[str]:
    """A line for each camera from which nothing came to see, but for those that failed; one more if that is all."""
    problems = []
    for camera in cameras:
        status, event = camera.status(), camera.reader.event
        if status.pictures or status.state == "failed":
            continue
        if not status.stats.decoded:
            why = f"{event.reason}: {event.detail}" if event.reason else "it was still being opened"
            problems.append(f"{camera.name}: never delivered a picture ({why})")
        elif camera.channel.lost:
            text = (
                f"none of its {counted(status.stats.decoded, 'frame')} came through ({camera.channel.lost})"
            )
            problems.append(f"{camera.name}: {text}")
    if not any(camera.status().pictures for camera in cameras):
        problems.append("no camera delivered a single picture")
    return problems


def _stop_all(cameras: Cameras, stop: threading.Event) -> None:
    stop.set()
    for camera in cameras:
        camera.stop_reading()


def _unfinished(camera: Camera) -> list[str]:
    return [
        f"{camera.name}: output {output.event.output} could not be closed in time"
        for output in camera.channel.outputs
        if output.is_alive()
    ]


def _outputs_in_trouble(cameras: Cameras) -> list[str]:
    return [
        f"{event.camera}: output {event.output} failed ({event.reason}: {event.detail})"
        for camera in cameras
        for event in camera.troubles.events()
    ]
