"""One camera while it runs: its line, its reader and its outputs, started, watched over and ended together."""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path

from ..config.schema import CameraConfig
from ..core.camera_url import CameraUrl
from ..core.clock import Clock
from ..core.counters import CameraStats
from ..core.event_log import to_log
from ..core.events import EventBus
from ..core.restart_budget import RestartBudget
from ..media import gpu_video
from ..media.timeline import Timeline
from ..monitoring.status_text import CameraStatus
from ..outputs.output import Output
from ..outputs.registry import open_output
from ..outputs.shared_encoder import SharedEncoder
from ..scene.background import Background
from ..scene.night_gate import NightGate
from ..scene.training_pictures import TrainingPictures
from ..serving.probation import Probation
from ..sources.latest_slot import LatestSlot
from ..sources.reader import Reader, ReaderEvent
from ..translation.channel import Channel, Detector
from ..translation.engine_call import Translate, device_of
from .commands import CommandQueue

log = logging.getLogger(__name__)

ENDED = ("finished", "failed", "stopped")


class Camera:
    """What belongs to one entry of ``cameras``. The methods are for one thread, that of the runtime.

    Its outputs' threads start with it, its reader's with ``start``.

    Args:
        config: the entry.
        engine: its generator; None where nothing is translated.
        detect: its detector, if any.
        ready: the condition all slots share.
        inbox: told ``"ended"`` when its reader ends.
        clock: time.
        stats: its counters, those of its predecessor of the same name when a configuration was reloaded.
    """

    def __init__(
        self,
        config: CameraConfig,
        *,
        engine: Translate | None,
        detect: Detector | None,
        ready: threading.Condition,
        commands: CommandQueue,
        clock: Clock,
        stats: CameraStats | None = None,
    ) -> None:
        self.config = config
        self._commands = commands
        self._clock = clock
        self._stop = threading.Event()
        self._started = False
        self._budget = RestartBudget()
        self.problem = ""
        """What could not be started again, if anything."""
        stats = stats or CameraStats()
        lossless = config.url.is_file and config.pace == "fast"
        self.channel = Channel(
            config=config,
            stats=stats,
            slot=LatestSlot(ready=ready, stats=stats, max_age=None if lossless else config.max_age),
            engine=engine,
            detect=detect,
            gate=NightGate() if config.translate == "night" else None,
        )
        if config.background:
            kept = config.background
            self.channel.background = Background(
                camera=config.name,
                frames=kept.frames,
                every=kept.every_s,
                path=kept.save,
                source=str(config.url),
                model=_fingerprint(config.model) if engine is not None and config.model else "",
                clock=clock,
            )
            self.channel.background.restore()
        if config.collect:
            self.channel.collection = TrainingPictures(
                camera=config.name,
                folder=config.collect.folder,
                every=config.collect.every_s,
                keep=config.collect.keep,
                gate=self.channel.gate or NightGate(),
                stats=stats,
            )
        self._proven = "unknown" if isinstance(engine, Probation) else self._model
        self._encoder = SharedEncoder(camera=config.name)
        self._timeline = Timeline()
        self.channel.outputs = [self._output(output) for output in config.outputs]
        self.reader = self._reader()

    @property
    def name(self) -> str:
        """The camera's name."""
        return self.config.name

    @property
    def ended(self) -> bool:
        """Whether nothing more will come from its source."""
        return not self.reader.is_alive() or self.reader.event.state in ENDED

    def start(self) -> None:
        """Open the source."""
        self._started = True
        self.reader.start()

    @property
    def _model(self) -> str:
        return self.channel.background.model if self.channel.background else ""

    def adopt(self, config: CameraConfig) -> None:
        """Go on under ``config``, which differs from the present one in the model or its file at the most."""
        self.config = self.channel.config = config
        if self.channel.background and self.channel.engine is not None and config.model:
            self.channel.background.use_model(_fingerprint(config.model))

    def settle(self, *, kept: bool) -> None:
        """Its engine's probation is over; if that was not kept, the model is the one before."""
        if kept:
            self._proven = self._model
        elif self.channel.background:
            self.channel.background.use_model(self._proven)

    def stop_reading(self) -> None:
        """Have the reader end. Returns at once; ``join`` waits."""
        self._stop.set()

    def finish_outputs(self) -> None:
        """Have the outputs write what they hold, and end. Returns at once; ``join`` waits."""
        for output in self.channel.outputs:
            output.finish()

    def join(self, deadline: float) -> bool:
        """Wait for its threads until ``deadline`` (of ``time.monotonic``); True if all have ended."""
        for thread in self.threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)

    @property
    def threads(self) -> list[threading.Thread]:
        """Its outputs' and, if it was started, its reader's."""
        return [*self.channel.outputs, *([self.reader] if self._started else [])]

    def mend(self) -> bool:
        """Start again what died of a fault of ours; False, with ``problem`` set, when that happens too often."""
        if self._started and not self._stop.is_set():
            if not self.reader.is_alive() and self.reader.event.state not in ENDED:
                if not self._granted(f"its reader died while {self.reader.event.state}"):
                    return False
                self.channel.stats.set_up(False)
                self.reader = self._reader()
                self.reader.start()
            for index, output in enumerate(self.channel.outputs):
                if not output.is_alive() and output.event.state != "closed":
                    if not self._granted(f"output {output.event.output} died while {output.event.state}"):
                        return False
                    self.channel.outputs[index] = self._output(self.config.outputs[index])
        return True

    def status(self) -> CameraStatus:
        """Its state now."""
        channel, event = self.channel, self.reader.event
        troubled = tuple(f"{name} ({trouble.reason})" for name, trouble in channel.troubles.copy().items())
        return CameraStatus(
            name=self.name,
            state=event.state,
            reason=event.reason,
            night=channel.gate.night if channel.gate else None,
            outputs_in_trouble=troubled,
            stats=channel.stats.snapshot(),
            translate=self.config.translate,
            outputs=tuple(output.event for output in channel.outputs),
            decoder=self.reader.decoder,
            encoder=self._encoder.name,
            next_try=None if event.retry_at is None else max(0.0, event.retry_at - self._clock.monotonic()),
        )

    def _granted(self, death: str) -> bool:
        if not self._budget.take(self._clock.monotonic()):
            self.problem = f"{self.name}: {death}, again and again"
            return False
        extra = {"event": "restarted", "camera": self.name}
        log.error("%s: %s; starting it again", self.name, death, extra=extra)
        return True

    def _output(self, output: CameraUrl) -> Output:
        return open_output(
            output,
            camera=self.name,
            stats=self.channel.stats,
            segment_seconds=self.config.segment_seconds,
            generated=self.channel.engine is not None,
            retention=self.config.retention.limits if self.config.retention else None,
            encoder=self._encoder,
            publish=EventBus(to_log, self.channel.output_changed).publish,
            clock=self._clock,
        )

    def _reader(self) -> Reader:
        def changed(event: ReaderEvent) -> None:
            if event.state in ENDED:
                self._commands.put("ended")

        nvdec = self.channel.stays_on_gpu and device_of(self.channel.engine) is not None
        if nvdec and (why := gpu_video.fault()):
            nvdec = False
            log.warning(
                "%s: NVDEC does not decode here (%s); the CPU decodes", self.name, why,
                extra={"event": "nvdec_missing", "camera": self.name},
            )  # fmt: skip
        return Reader(
            camera=self.name,
            source=self.config.url,
            slot=self.channel.slot,
            stats=self.channel.stats,
            stop=self._stop,
            pace=self.config.pace,
            loop=self.config.loop,
            stall_timeout=self.config.stall_timeout,
            on_event=changed,
            clock=self._clock,
            timeline=self._timeline,
            nvdec=nvdec,
        )


def _fingerprint(model: Path) -> str:
    """What tells a checkpoint from another one under the same name; "" if it cannot be read any more."""
    try:
        return hashlib.sha256(model.read_bytes()).hexdigest()
    except OSError:
        return ""
