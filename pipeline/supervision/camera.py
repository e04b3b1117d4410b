"""One camera while it runs: its source, its channel and its outputs, started, watched over and ended together."""

from __future__ import annotations

import threading
from functools import partial

from nightday.engines.backends.base import Engine

from ..config.fields import AUTO
from ..config.output import OutputConfig
from ..config.schema import CameraConfig
from ..core.backoff import RestartBudget
from ..core.clock import Clock
from ..core.counters import CameraStats
from ..core.events import Event, Notice, OutputChanged, Publish, SourceChanged
from ..core.fault_log import FaultLog
from ..core.lease import ALONE, Lease
from ..core.sound import SoundTrack
from ..core.stages import Detector
from ..core.status import CameraStatus, EngineState
from ..media.timeline import Timeline
from ..outputs.encoding.shared_encoder import CameraEncoders
from ..outputs.live.viewers import LiveViewers
from ..outputs.output import Output
from ..scene.model_scene import ModelScene, scene_of
from ..scene.night_gate import TIMES_OF_DAY, NightGate, doubt_text
from ..sources.latest_slot import LatestSlot
from ..sources.reader import Reader
from ..sources.registry import is_file, kind_of
from ..translation.channel import Channel
from ..translation.own_backgrounds import NO_DAY
from ..translation.pending_engine import PendingEngine
from .camera_parts import (
    OutputTroubles,
    is_fixed,
    output_of,
    pictures_of,
    reader_of,
    silent_outputs,
    tell_silent,
    wants_backgrounds,
)
from .commands import CommandQueue

ENDED = ("finished", "failed", "stopped")
NOT_FIXED = (
    "its model was trained without a fixed camera: no background is kept or compared with (x_ref, n_ref), so there "
    "is no trust map and nothing is remembered from the day; whether the camera moves is not watched"
)


class Camera:
    """What belongs to one entry of ``cameras``. The methods are for the runtime's thread.

    The threads of its outputs start with it, that of its reader with ``start``.

    Args:
        config: the entry.
        engine: its generator; None where nothing is translated.
        detector: its detector, if any.
        ready: the condition all slots share.
        commands: told ``"ended"`` when its source ends.
        publish: told what happens to it.
        clock: time.
        stats: its counters: those of its predecessor of the same name when a configuration was reloaded.
        lease: the right to write it.
    """

    def __init__(
        self,
        config: CameraConfig,
        *,
        engine: Engine | None,
        detector: Detector | None,
        ready: threading.Condition,
        commands: CommandQueue,
        publish: Publish,
        clock: Clock,
        stats: CameraStats | None = None,
        lease: Lease = ALONE,
    ) -> None:
        self.config, self.name, self.lease = config, config.name, lease
        self._commands, self._publish_on, self._clock = commands, publish, clock
        self._stop = threading.Event()
        self.opened = False
        """Whether its source was ever opened."""
        self.waits = engine is not None and _can_wait(config)
        """Whether its source is opened only when its engine is ready."""
        self._budget = RestartBudget()
        self.problem = ""
        """What could not be started again, if anything."""
        self.troubles = OutputTroubles()
        """What is wrong with outputs."""
        stats = stats or CameraStats()
        lossless = is_file(config.url) and config.pace == "fast"
        faults = FaultLog(config.name, publish)
        # The pictures of a file are not of this moment.
        own_gate = NightGate(location=None if is_file(config.url) else config.location, faults=faults)
        gate = own_gate if config.translate == "night" else None
        self._gate = own_gate if gate or config.collect else None
        own_backgrounds = wants_backgrounds(config, engine)
        self.fixed = is_fixed(config, engine)
        """Whether it keeps its position, by its model."""
        self.channel = Channel(
            config=config,
            stats=stats,
            slot=LatestSlot(ready=ready, stats=stats, max_age=None if lossless else config.max_age),
            engine=engine,
            detector=detector,
            gate=gate,
            spare_gate=own_gate,
            own_backgrounds=own_backgrounds,
            scene=_scene_of(config, engine),
            pictures=pictures_of(
                config,
                own_gate,
                stats,
                faults,
                publish,
                clock,
                translated=engine is not None,
                own_backgrounds=own_backgrounds,
                fixed=self.fixed,
            ),
            faults=faults,
            publish=publish,
        )
        self._sound = SoundTrack(partial(tell_silent, config, faults)) if config.audio else None
        self._encoders = CameraEncoders(camera=config.name, publish=publish, sound=self._sound)
        # What fails for those who watch is no trouble of the outputs that were asked for.
        self.live = self.channel.live = LiveViewers(
            camera=config.name,
            encoders=self._encoders,
            generated=engine is not None,
            stats=stats,
            publish=publish,
            clock=clock,
        )
        """Who watches it."""
        self._timeline = Timeline()
        self.channel.outputs = [self._output(output) for output in config.outputs]
        self.reader = self._reader()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come from its source."""
        return (self.opened and not self.reader.is_alive()) or self.reader.event.state in ENDED

    def start(self) -> None:
        """Open the source, unless that was done."""
        if not self.opened:
            self.opened, self.waits = True, False
            if not self.fixed:
                self._publish(Notice(camera=self.name, name="camera_not_fixed", detail=NOT_FIXED))
            self.reader.start()

    def go_without_engine(self, fault: str) -> None:
        """Its engine could not be built: a source that waits for it fails, else its nights stay brightened."""
        detail = f"its engine could not be built: {fault}"
        if self.waits:
            self.waits = False
            self.reader.refuse(detail)
        else:
            self.channel.faults.begin("engine", "engine_failed", f"{detail}; its nights are shown brightened")

    def adopt(self, config: CameraConfig) -> None:
        """Go on under ``config``, which differs from the present one in the model or its file at the most."""
        self.config = config
        if self.channel.engine is not None:
            self.channel.use_scene(_scene_of(config, self.channel.engine))

    def stop_reading(self) -> None:
        """Have the reader end. Returns at once; ``join`` waits."""
        self._stop.set()

    def finish_outputs(self) -> None:
        """Have the outputs write what they hold, and end. Returns at once; ``join`` waits."""
        for output in self.channel.outputs:
            output.finish()
        self.live.finish()

    def join(self, deadline: float) -> bool:
        """Wait for its threads until ``deadline`` (of ``time.monotonic``); True if all have ended."""
        for thread in self.threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)

    @property
    def threads(self) -> list[threading.Thread]:
        """Those of its outputs and, if it was started, its reader's."""
        return [*self.channel.outputs, *self.live.threads, *([self.reader] if self.opened else [])]

    def mend(self) -> bool:
        """Start again what died of a fault of ours; False, with ``problem`` set, when that happens too often."""
        if not self.opened or self._stop.is_set():
            return True
        if not self.reader.is_alive() and self.reader.event.state not in ENDED:
            if not self._may_restart(f"its reader died while {self.reader.event.state}"):
                return False
            self.channel.stats.set_up(False)
            self.reader = self._reader()
            self.reader.start()
        for index, output in enumerate(self.channel.outputs):
            if not output.is_alive() and output.event.state != "closed":
                if not self._may_restart(f"output {output.event.output} died while {output.event.state}"):
                    return False
                self.channel.outputs[index] = self._output(self.config.outputs[index])
        return True

    def status(self) -> CameraStatus:
        """Its state now."""
        return _status_of(self)

    def _publish(self, event: Event) -> None:
        """Keep what is wrong with outputs, wake the runtime when the source has ended, and pass the event on."""
        if isinstance(event, OutputChanged):
            self.troubles.note(event)
        elif isinstance(event, SourceChanged) and event.state in ENDED:
            self._commands.put("ended")
        self._publish_on(event)

    def _may_restart(self, death: str) -> bool:
        if not self._budget.take(self._clock.monotonic()):
            self.problem = f"{self.name}: {death}, again and again"
            return False
        detail = f"{death}; starting it again"
        self._publish(Notice(camera=self.name, name="restarted", detail=detail, level="error"))
        return True

    def _output(self, output: OutputConfig) -> Output:
        return output_of(
            self.config,
            output,
            self.channel,
            encoder=self._encoders.get(output.encoding),
            publish=self._publish,
            clock=self._clock,
            lease=self.lease,
        )

    def _reader(self) -> Reader:
        return reader_of(
            self.config,
            self.channel,
            stop=self._stop,
            timeline=self._timeline,
            publish=self._publish,
            clock=self._clock,
            sound=self._sound,
        )


def _status_of(camera: Camera) -> CameraStatus:
    channel, event = camera.channel, camera.reader.event
    sound = None if camera._sound is None else camera._sound.format
    gate = channel.gate or camera._gate
    pending = channel.engine if isinstance(channel.engine, PendingEngine) else None
    return CameraStatus(
        name=camera.name,
        state=event.state,
        reason=event.reason,
        night=channel.gate.night if channel.gate else None,
        light=channel.gate.lit if channel.gate else None,
        outputs_in_trouble=camera.troubles.texts(),
        stats=channel.stats.snapshot(),
        scheme=kind_of(camera.config.url) if camera.config.url.is_file else camera.config.url.scheme,
        translate=channel.translate,
        outputs=tuple(output.event for output in channel.outputs),
        decoder=camera.reader.decoder,
        encoder=camera._encoders.name,
        clock_fault=camera.reader.doubts.clock,
        colour_fault=camera.reader.doubts.colours,
        night_told_by=gate.told_by if gate else None,
        night_doubt=doubt_text(gate.doubt, night=bool(gate.night)) if gate and gate.doubt else None,
        model_fits=channel.scene_watch.fits,
        learnt_day=channel.learnt("day"),
        learnt_night=channel.learnt("night"),
        backgrounds=tuple(time for time in TIMES_OF_DAY if channel.pictures.background_of(time) is not None),
        engine=None if channel.engine is None else _engine_state(pending, waits=camera.waits),
        engine_fault=(pending.fault or None) if pending is not None else None,
        brightened=_brightened(channel) or None,
        sound=None if sound is None else sound.codec,
        silent=silent_outputs(camera.config, sound),
        next_try=None if event.retry_at is None else max(0.0, event.retry_at - camera._clock.monotonic()),
    )


def _brightened(channel: Channel) -> str:
    """Why what is seen now is brightened, and how far what is missing is learnt; "" where it is not."""
    translated = channel.translate == "always" or channel.gate is None or channel.gate.night
    if not translated or channel.translate == "never":
        return ""
    learnt = channel.learnt("day")
    if channel.brightened == NO_DAY and learnt:
        return f"{100 * learnt:.0f} % of its day is learnt so far"
    return channel.brightened


def _can_wait(config: CameraConfig) -> bool:
    """Whether nothing is lost while a source is not open: that of a file, unless it is played like a live camera."""
    return is_file(config.url) and not (config.loop and config.pace == "realtime")


def _engine_state(pending: PendingEngine | None, *, waits: bool) -> EngineState:
    if pending is not None and pending.fault:
        return "failed"
    return "preparing" if pending is not None or waits else "ready"


def _scene_of(config: CameraConfig, engine: Engine | None) -> ModelScene | None:
    """The scene of a camera's model; the general model is of none."""
    return None if engine is None or config.model == AUTO else scene_of(config.model)
