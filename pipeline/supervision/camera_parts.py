"""Making the parts of a camera that its configuration asks for."""

from __future__ import annotations

import threading
from pathlib import Path

from nightday.engines.backends.base import Engine

from ..config.fields import AUTO
from ..config.output import OutputConfig
from ..config.schema import CameraConfig
from ..core.clock import Clock
from ..core.counters import CameraStats
from ..core.events import OutputChanged, Publish
from ..core.fault_log import FaultLog
from ..core.lease import Lease
from ..core.packet_log import PacketLog
from ..core.sound import SoundFormat, SoundTrack
from ..core.state_folder import SIGNING_KEY, name_of, state_folder
from ..media import gpu_video
from ..media.timeline import Timeline
from ..outputs.encoding.shared_encoder import SharedEncoder
from ..outputs.module import WINDOW
from ..outputs.output import Output
from ..outputs.registry import open_output, sound_fault
from ..scene.background import Background
from ..scene.model_scene import of_fixed_camera
from ..scene.night_gate import NightGate
from ..scene.training_pictures import TrainingPictures
from ..sources.decoders import nvdec_missing
from ..sources.reader import Reader
from ..translation.camera_pictures import CameraPictures
from ..translation.channel import Channel
from ..translation.own_backgrounds import needs_backgrounds

# Samples of a short median, and seconds between them, of a camera that says nothing of them: it covers a minute, and
# takes 22 pictures.
OWN_FRAMES, OWN_EVERY = 9, 6.0


class OutputTroubles:
    """What is wrong with a camera's outputs. Any thread may call it."""

    def __init__(self) -> None:
        self._events: dict[str, OutputChanged] = {}  # by the output's name, secrets masked

    def note(self, event: OutputChanged) -> None:
        """An output has changed. One that closes puts nothing right."""
        if event.reason is not None:
            self._events[event.output] = event
        elif event.state == "writing":
            self._events.pop(event.output, None)

    def events(self) -> list[OutputChanged]:
        """The last of each output that is in trouble."""
        return [*self._events.copy().values()]

    def texts(self) -> tuple[str, ...]:
        """The outputs that are in trouble, with the reason."""
        return tuple(f"{event.output} ({event.reason})" for event in self.events())


def silent_outputs(config: CameraConfig, form: SoundFormat | None) -> dict[str, str]:
    """Why outputs pass on no sound of this format, by their names, secrets masked; none without sound."""
    if form is None:
        return {}
    reasons = {str(output.to): sound_fault(output.to, form) for output in config.outputs}
    return {output: why for output, why in reasons.items() if why is not None}


def tell_silent(config: CameraConfig, faults: FaultLog, form: SoundFormat) -> None:
    """Say of each output once that the camera's sound, of this form, does not go along."""
    for output, why in silent_outputs(config, form).items():
        faults.begin(f"sound {output}", "sound_dropped", f"{output}: {why}")


def pictures_of(
    config: CameraConfig,
    gate: NightGate,
    stats: CameraStats,
    faults: FaultLog,
    publish: Publish,
    clock: Clock,
    *,
    translated: bool,
    own_backgrounds: bool,
    fixed: bool,
) -> CameraPictures:
    """What is kept of a camera's pictures.

    Args:
        config: the camera.
        gate: tells its nights.
        stats: counts what is collected.
        faults: told what cannot be kept.
        publish: told what happens to it.
        clock: time.
        translated: whether it is translated at all.
        own_backgrounds: whether its model needs its backgrounds.
        fixed: whether the camera keeps its position; else there is no background, and training pictures may show
            any view.
    """
    training = None
    background = None
    if fixed:
        background = _background_of(config, publish, clock, translated=translated, lasting=own_backgrounds)
    if config.collect:
        training = TrainingPictures(
            camera=config.name,
            folder=config.collect.folder,
            every=config.collect.every_s,
            keep=config.collect.keep,
            fixed=fixed,
            gate=gate,
            stats=stats,
            publish=publish,
        )
    return CameraPictures(
        faults=faults,
        background=background,
        background_png=config.background.save if config.background else None,
        training=training,
        snapshot_png=config.snapshot,
    )


def output_of(
    config: CameraConfig,
    output: OutputConfig,
    channel: Channel,
    *,
    encoder: SharedEncoder,
    lease: Lease,
    publish: Publish,
    clock: Clock,
) -> Output:
    """One output of a camera.

    Args:
        config: the camera.
        output: the entry of its ``outputs``.
        channel: the camera's.
        encoder: encodes its pictures as ``output`` wants them.
        lease: the right to write it.
        publish: told what happens to it.
        clock: time.
    """
    return open_output(
        output.to,
        camera=config.name,
        stats=channel.stats,
        segment_seconds=config.segment_seconds,
        window=output.window or WINDOW,
        generated=channel.engine is not None and output.view != "night",
        retention=config.retention.limits if config.retention else None,
        signing_key=state_folder() / SIGNING_KEY if config.provenance else None,
        content_credentials=config.provenance == "c2pa",
        encoder=encoder,
        publish=publish,
        clock=clock,
        lease=lease,
    )


def reader_of(
    config: CameraConfig,
    channel: Channel,
    *,
    stop: threading.Event,
    timeline: Timeline,
    sound: SoundTrack | None,
    publish: Publish,
    clock: Clock,
) -> Reader:
    """What reads a camera.

    Args:
        config: the camera.
        channel: the camera's, whose slot gets the frames.
        stop: ends it.
        timeline: that of the reader before it, which died, or a new one.
        sound: where its sound goes; None where none is wanted.
        publish: told what happens to the source.
        clock: time.
    """
    on_gpu = channel.stays_on_gpu and channel.engine is not None and channel.engine.device is not None
    return Reader(
        camera=config.name,
        source=config.url,
        slot=channel.slot,
        stats=channel.stats,
        stop=stop,
        pace=config.pace,
        loop=config.loop,
        stall_timeout=config.stall_timeout,
        publish=publish,
        clock=clock,
        timeline=timeline,
        nvdec=on_gpu and config.decoder == "auto" and _nvdec_works(config.name, publish),
        gstreamer=config.decoder == "gstreamer",
        transport=config.transport,
        every_s=config.every_s,
        ca=config.ca,
        packet_log=PacketLog() if config.provenance else None,
        sound=sound,
    )


def wants_backgrounds(config: CameraConfig, engine: Engine | None) -> bool:
    """Whether a camera's nights are translated with its own backgrounds."""
    return engine is not None and (config.model == AUTO or needs_backgrounds(engine))


def is_fixed(config: CameraConfig, engine: Engine | None) -> bool:
    """Whether a camera keeps its position: not so where its model was trained without a fixed camera."""
    return engine is None or config.model == AUTO or of_fixed_camera(config.model)


def _background_of(
    config: CameraConfig, publish: Publish, clock: Clock, *, translated: bool, lasting: bool
) -> Background | None:
    asked = config.background
    if asked is None and not lasting:
        return None
    background = Background(
        camera=config.name,
        frames=asked.frames if asked else OWN_FRAMES,
        every=asked.every_s if asked else OWN_EVERY,
        path=asked.save if asked else None,
        state=None if asked else state_file(config),
        lasting=lasting,
        source=str(config.url),
        told_by=config.translate if translated else "never",
        publish=publish,
        clock=clock,
    )
    background.restore()
    return background


def state_file(config: CameraConfig) -> Path:
    """Where the backgrounds of a camera are kept whose configuration names no place."""
    return state_folder() / "backgrounds" / f"{name_of(config.name, str(config.url))}.state"


def _nvdec_works(camera: str, publish: Publish) -> bool:
    """Whether the GPU can decode here; if not, that is published."""
    why = gpu_video.fault()
    if why:
        publish(nvdec_missing(camera, why))
    return not why
