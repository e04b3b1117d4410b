"""One camera between its source and its outputs, as the workers see it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from nightday.engines.backends.base import Engine
from nightday.engines.detection.detections import Detection

from ..config.schema import CameraConfig
from ..core.backgrounds import Backgrounds
from ..core.camera_url import redact
from ..core.clock import Clock
from ..core.control import Translate
from ..core.counters import CameraStats, DropReason
from ..core.event_log import to_log
from ..core.events import NightChanged, NoticeName, Publish, TranslateChanged
from ..core.fault_log import FaultLog
from ..core.frame import Frame, Picture
from ..core.stages import BatchItem, Detector
from ..core.status import NewestPicture, TrustMap
from ..outputs.live.viewers import LiveViewers
from ..outputs.output import Output
from ..scene.model_scene import ModelScene, SceneWatch
from ..scene.night_gate import NightGate, TimeOfDay
from ..sources.latest_slot import LatestSlot
from ..sources.registry import is_file
from .brighten import Brightener
from .camera_pictures import CameraPictures
from .looking import follower_of, looking_of
from .own_backgrounds import why_brightened


class Channel:
    """The parts of one camera, wired up by its ``Camera``. One worker at a time has a frame of it.

    Each part that changes has one owner:

    - ``engine``: the worker pool, which swaps it under its lock.
    - ``outputs``: the camera, which replaces one that died.
    - ``translate``: whoever sets it, under a lock of its own.
    - ``size``, ``lost``, ``trust``, ``newest`` and the gate: the worker that has the camera's frame.

    Args:
        config: what the user asked for.
        stats: its counters.
        slot: where its reader puts frames.
        engine: its generator; None where nothing is translated.
        detector: its detector, if any.
        gate: tells night from day where ``translate`` is ``night``.
        spare_gate: does so where ``translate`` is set to ``night`` later.
        own_backgrounds: whether its model is one that needs the camera's backgrounds.
        scene: the scene of its model.
        pictures: what is kept of its pictures: background, snapshot, training pictures.
        faults: what is wrong with it.
        publish: told what happens to it.
    """

    def __init__(
        self,
        *,
        config: CameraConfig,
        stats: CameraStats,
        slot: LatestSlot,
        engine: Engine | None = None,
        detector: Detector | None = None,
        gate: NightGate | None = None,
        spare_gate: NightGate | None = None,
        own_backgrounds: bool = False,
        scene: ModelScene | None = None,
        pictures: CameraPictures | None = None,
        faults: FaultLog | None = None,
        publish: Publish = to_log,
    ) -> None:
        self.name = config.name
        self.stats = stats
        self.slot = slot
        self.engine = engine
        self.detector = detector
        self.gate = gate
        self._spare_gate = spare_gate
        self.translate: Translate = config.translate
        """When its frames are translated, as configured or set since."""
        self._setting = threading.Lock()
        self.faults = faults or FaultLog(config.name, publish)
        self.pictures = pictures or CameraPictures(faults=self.faults)
        self.own_backgrounds = own_backgrounds
        """Whether nights are translated only with the camera's backgrounds, and brightened until then."""
        self.brightened = ""
        """Why the last of its nights was brightened; "" if it was not."""
        self.trust: TrustMap | None = None
        """What to make of the last of its translated pictures, where its engine tells."""
        self.newest: NewestPicture | None = None
        """The last picture that was handed to its outputs."""
        self._brightener = Brightener()
        self.looking = looking_of(config)
        """What it asks of its detector."""
        self._follower = follower_of(config, stats.found, publish)
        self.overlay = config.overlay
        """What is drawn over its translated pictures."""
        self.outputs: list[Output] = []
        self.live: LiveViewers | None = None
        """Who watches; they get what they can take, also where nothing may be lost on the way to the outputs."""
        self.size: tuple[int, int] | None = None
        """(height, width) of its last frame."""
        self.lost = ""
        """Why the last of its frames that was lost on the way was lost; "" if none was."""
        self.stays_on_gpu = config.frames == "auto"
        """Whether its frames are kept on the GPU while they are translated there."""
        self.lossless = is_file(config.url) and config.pace == "fast"
        """Whether no picture may be lost on the way out: a file at ``pace: fast``.

        The price is waiting, which all cameras pay: a worker goes no faster than this camera's outputs.
        """
        self._publish = publish
        self.use_scene(scene)

    def use_scene(self, scene: ModelScene | None) -> None:
        """From now on pictures are compared with this scene of the model; None where it holds none."""
        self.scene_watch = SceneWatch(scene, self.faults)
        if self.gate is not None:
            self.gate.know_day(None)

    def set_translate(self, when: Translate) -> None:
        """Translate its frames ``when`` from the next one on. ValueError where it has no model."""
        with self._setting:
            if when == self.translate:
                return
            if self.engine is None:
                raise ValueError(
                    f"{self.name} runs without a model; give it one in the configuration, with `translate: night` "
                    "and an output, a snapshot or detection, and reload"
                )
            if when == "night" and self.gate is None:
                self.gate = self._spare_gate
            self.translate, self.brightened = when, ""
            self._publish(TranslateChanged(camera=self.name, translate=when))

    def is_night(self, frame: Frame) -> bool:
        """Whether ``frame`` is to be translated, by the camera's own clock, so that a fast file counts alike."""
        if self.engine is None:
            return False
        gate, night = self.gate, True
        if gate is not None:  # it is asked whatever is translated, since the backgrounds go by it, too
            before = gate.night
            night = gate.decide(frame.video, now=float(frame.pts * frame.time_base), time=frame.wall_time)
            if night is not before and gate.light is not None:
                luma, chroma = gate.light.luma, gate.light.chroma
                self._publish(NightChanged(camera=self.name, night=night, luma=luma, chroma=chroma))
        translate = self.translate
        return night if translate == "night" else translate == "always"

    @property
    def backgrounds(self) -> Backgrounds:
        """What it sees when nothing passes, by day and by night, as far as that is known."""
        return self.pictures.backgrounds

    def learnt(self, time: TimeOfDay) -> float | None:
        """How far its scene by ``time`` is learnt, 0 to 1; None where no engine needs that."""
        background = self.pictures.background
        return background.learnt(time) if self.own_backgrounds and background is not None else None

    def why_brightened(
        self, engine: Engine, frame: Frame, backgrounds: Backgrounds, *, starting: str = ""
    ) -> str:
        """Why a night is brightened rather than translated by ``engine``, in a few words; "" if it is translated.

        ``starting`` says why the engine cannot be called yet.
        """
        why = why_brightened(engine, backgrounds, *frame.size) if self.own_backgrounds else ""
        self.brightened = why or starting
        return self.brightened

    def brighten(self, item: BatchItem) -> None:
        """Make a night that cannot be translated yet brighter."""
        item.day = self._brightener(item.seen)

    def observe(self, item: BatchItem) -> None:
        """Show the background what the camera saw, as night or as day.

        Where nothing is translated all is day, and where everything is, all is night. What looks like the other of
        the two, as the first seconds of a night do, belongs to neither.
        """
        if self.engine is None:
            self.pictures.observe(item, "day")
        elif self.gate is None:
            self.pictures.observe(item, "night")
        elif not self.gate.contradicted:
            self.pictures.observe(item, "night" if self.gate.night else "day")

    def follow(self, item: BatchItem, faint: Sequence[Detection]) -> None:
        """Follow what was found on a picture; see ``StageCamera``."""
        if self._follower is not None:
            item.detections, item.followed = self._follower.follow(item.frame, item.detections, faint)

    def deliver(self, item: BatchItem, *, cancelled: threading.Event, clock: Clock) -> None:
        """Hand a finished picture to the outputs; a lossless camera waits for them until ``cancelled``."""
        picture = Picture(
            item.frame, item.day, item.translated, trust=item.trust, seen=item.seen, made_by=item.made_by
        )
        for output in self.outputs:
            if not (self.lossless and output.put_wait(picture, cancelled=cancelled)):
                output.offer(picture)
        if self.live is not None:
            self.live.offer(picture)
        frame = item.frame
        self.newest = NewestPicture(item.seen, item.day, frame.pixel_aspect, frame.wall_time)
        if item.trust is not None:
            self.trust = TrustMap(item.trust, frame.size, frame.pixel_aspect, frame.wall_time)
        self.stats.count_output(translated=item.translated, brightened=bool(item.brightened))
        if not self.outputs:  # otherwise each output counts what it has written
            self.stats.count_latency(clock.monotonic() - item.frame.decoded_at)
        self.pictures.keep_last(item.seen, item.day, item.frame.pixel_aspect)

    def lose(self, reason: DropReason, fault: str, notice: NoticeName, detail: str) -> None:
        """Count a frame as dropped and begin ``fault``."""
        self.stats.count_dropped(reason)
        self.lost = redact(" ".join(detail.split()))
        self.faults.begin(fault, notice, detail)
