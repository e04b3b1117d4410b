"""What can be seen of a run from outside: each camera's state, and the run as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from .control import Translate
from .counters import EventCounter, Histogram, StatsSnapshot
from .events import OutputChanged
from .words import counted

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nightday.engines.backends.base import EngineInfo
    from nightday.engines.device_copies import Pixels

    from .live import LiveForm, View, Viewer

OTHER_SCENE = (
    "its model was made for another scene than this camera shows, and paints that; "
    "train one on this camera's pictures"
)
"""What is said of a camera whose pictures do not show its model's scene."""


Lit = Literal["day", "dark", "infra-red", "lit"]
"""How a camera's picture is lit: by day; or at night dark, without colour under infra-red, or lit like day."""


LEARNT = 0.95
"""How far a scene has to be learnt to count as learnt."""


EngineState = Literal["preparing", "ready", "failed"]
"""Whether a camera's engine serves: it is being loaded or built, it is there, or it could not be built."""


OwnModelStage = Literal["collecting", "waiting", "training", "judging", "resting"]
"""Of a camera's own model: pictures are still missing; a round waits until there is room for its training; it is
trained; it is compared with the others; the next round is not due yet."""


@dataclass(frozen=True, slots=True)
class OwnModelStatus:
    """How a camera's own model fares.

    Attributes:
        serves: the round whose model serves; None while the general one does.
        stage: what is being done for the next.
        text: the same in a few words.
        progress: how far that is, 0 to 1; None where that cannot be told.
        seconds: until it is done; None where that cannot be told.
    """

    serves: int | None
    stage: OwnModelStage
    text: str
    progress: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera at one moment.

    Attributes:
        name: the camera's name.
        state: the state of its source: starting, playing, retrying, finished, failed, stopped.
        reason: why it is not playing; for a stopped camera, why it was away when it was stopped.
        night: what its night gate says; None without a gate, or before its first measurement.
        outputs_in_trouble: the outputs in trouble, secrets masked.
        stats: its counters.
        scheme: the scheme of its source's address, e.g. ``rtsp``; of a local path ``file``, ``device`` or ``pipe``.
        translate: when its frames are translated, as configured or set since.
        outputs: the present state of each of its outputs.
        next_try: seconds until its source is tried again; None if no try is due.
        decoder: what decoded its last frame, ``nvdec``, ``gstreamer`` or ``software``; None before the first.
        encoder: what encodes for its outputs, ``nvenc``, ``x264``, ``hevc_nvenc`` or ``x265``; None before the first.
        clock_fault: why its pictures are placed by their arrival rather than by its clock; None while by its clock.
        colour_fault: what its colours say that is not read here, and how they look then; None if all is read.
        night_told_by: what tells its bright nights from days; None without a gate.
        night_doubt: what its gate cannot tell and what to do, in a sentence; None while it is certain.
        model_fits: whether its pictures show its model's scene; None while that is not known.
        learnt_day: how far its scene by day is learnt, 0 to 1; None where its model needs no backgrounds.
        learnt_night: the same by night.
        engine: whether its engine serves; None where nothing is translated.
        engine_fault: why its engine could not be built; None where that is not so.
        backgrounds: the times of day, ``day`` and ``night``, by which its empty scene is known.
        brightened: why its night is brightened rather than translated, in a few words; None where it is not.
        own_model: how its own model fares; None where it learns none.
        light: how its picture is lit, by its night gate; None as with ``night``.
        sound: how its sound is coded, by FFmpeg's name; None where none is wanted, or none has come.
        silent: why an output passes on no sound, by the output's name, secrets masked.
        node: the node that has it; None outside clusters, and while none has.
        refused: why that node does not run it; None where it does.
    """

    name: str
    state: str
    reason: str | None
    night: bool | None
    outputs_in_trouble: tuple[str, ...]
    stats: StatsSnapshot
    scheme: str = "rtsp"
    translate: Translate | None = None
    outputs: tuple[OutputChanged, ...] = ()
    next_try: float | None = None
    decoder: str | None = None
    encoder: str | None = None
    clock_fault: str | None = None
    colour_fault: str | None = None
    night_told_by: Literal["sun", "own day", "light"] | None = None
    night_doubt: str | None = None
    model_fits: bool | None = None
    learnt_day: float | None = None
    learnt_night: float | None = None
    engine: EngineState | None = None
    engine_fault: str | None = None
    brightened: str | None = None
    own_model: OwnModelStatus | None = None
    backgrounds: tuple[Literal["day", "night"], ...] = ()
    light: Lit | None = None
    sound: str | None = None
    silent: Mapping[str, str] = field(default_factory=dict)
    node: str | None = None
    refused: str | None = None

    @property
    def pictures(self) -> int:
        """Pictures handed to the outputs since the start."""
        return self.stats.translated + self.stats.passed + self.stats.brightened


@dataclass(frozen=True, slots=True)
class Room:
    """How many more cameras the machine can take.

    Attributes:
        more: cameras like those that run.
        camera: processors that one has taken on average, in the dearest time.
        free: processors that are free, beside a reserve.
        overloaded: whether frames are lost because the machine is too slow; ``more`` is 0 then.
        hours: over which the dearest time is known, 24 at the most.
    """

    more: int
    camera: float
    free: float
    overloaded: bool
    hours: float


def room_text(room: Room) -> str:
    """How many more cameras the machine can take, and why, in a sentence."""
    if room.overloaded:
        return "This machine can take no more cameras: it loses frames of those that run."
    over = "the last day" if room.hours >= 23.5 else f"the last {max(1, round(room.hours))} h"
    if room.hours < 1:
        over = f"the last {max(1, round(60 * room.hours))} min"
    many = {0: "no more cameras", 1: "one more camera like these"}.get(
        room.more, f"{room.more} more cameras like these"
    )
    return (
        f"This machine can take {many}: one has taken up to {room.camera:.2f} of a processor in {over}, and "
        f"{room.free:.1f} processors are free."
    )


@dataclass(frozen=True, slots=True, eq=False)
class TrustMap:
    """What to make of a camera's last translated picture.

    Attributes:
        shares: where each part comes from, uint8 (h, w, 3) shares of 255: drawn from tonight's light, remembered from
            the day, unclear. On a GPU where the picture lay there.
        size: height and width of the picture, in pixels.
        pixel_aspect: width by height of one of them.
        wall_time: when the picture had been decoded, Unix seconds.
    """

    shares: Pixels
    size: tuple[int, int]
    pixel_aspect: Fraction
    wall_time: float


@dataclass(frozen=True, slots=True, eq=False)
class NewestPicture:
    """A camera's newest picture, which nobody draws into any more.

    Attributes:
        seen: uint8 (H, W, 3) RGB as the camera saw it; on a GPU where it lay there.
        shown: the same as it is shown, with marks and boxes; ``seen`` itself where nothing was done to it.
        pixel_aspect: width by height of a pixel.
        wall_time: when it had been decoded, Unix seconds.
    """

    seen: Pixels
    shown: Pixels
    pixel_aspect: Fraction
    wall_time: float


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What a camera sees when nothing passes.

    Attributes:
        rgb: uint8 (H, W, 3) RGB, which is never changed.
        pixel_aspect: width by height of a pixel.
    """

    rgb: NDArray[np.uint8]
    pixel_aspect: Fraction


def learning_text(camera: CameraStatus) -> str | None:
    """How far a camera's scene is learnt, where that is not done, by the time of day that it sees; else None."""
    time, learnt = ("night", camera.learnt_night) if camera.night else ("day", camera.learnt_day)
    if learnt is None or learnt >= LEARNT:
        return None
    return f"learning your empty scene by {time}: {100 * learnt:.0f} %"


def own_model_text(camera: CameraStatus) -> str | None:
    """How a camera's own model fares, in a sentence without its end; None where it learns none."""
    own = camera.own_model
    if own is None:
        return None
    text = "the general model serves" if own.serves is None else f"its own model of round {own.serves} serves"
    text += f"; {own.text}"
    if own.progress is not None:
        text += f", {100 * own.progress:.0f} %"
    if own.stage == "training" and own.seconds is not None:
        text += f", about {counted(max(1, round(own.seconds / 60)), 'minute')} left"
    return text


def generator_text(camera: CameraStatus) -> str | None:
    """On how much of a picture the generator has run lately, in a sentence; None where that is not told."""
    share = camera.stats.generator_share
    if share is None:
        return None
    if share >= 0.995:
        return "the generator runs on the whole picture, as much of it differs from the empty scene"
    much = "less than 1" if 0 < share < 0.005 else f"{100 * share:.0f}"
    return f"the generator runs on {much} % of the picture; the rest is as in the empty scene"


class RunState(Protocol):
    """How a run is. Any thread may call it at any time, and no call waits."""

    @property
    def batches(self) -> Histogram:
        """How many frames the engines were given at once."""
        ...

    @property
    def events(self) -> EventCounter:
        """How often each event has happened."""
        ...

    def cameras(self) -> Sequence[CameraStatus]:
        """Each camera at present."""
        ...

    def engines(self) -> Sequence[EngineInfo]:
        """The engines that serve."""
        ...

    def engines_ready(self) -> bool:
        """Whether every engine that the cameras need is there; not if one could not be built."""
        ...

    def room(self) -> Room | None:
        """How many more cameras the machine can take; None until that was measured."""
        ...

    def beating(self) -> bool:
        """Whether the workers and their supervisor have lately shown that they are not stuck."""
        ...


class Pictured(Protocol):
    """Cameras, and the newest picture of each. Any thread may call it at any time."""

    def cameras(self) -> Sequence[CameraStatus]:
        """Each camera at present."""
        ...

    def newest(self, name: str) -> NewestPicture | None:
        """A camera's newest picture; None where there is none. KeyError if there is no such camera."""
        ...


class Watched(RunState, Pictured, Protocol):
    """A run as monitoring sees it, pictures included. Any thread may call it at any time, and no call waits."""

    def trust(self, name: str) -> TrustMap | str:
        """A camera's newest trust map, or why there is none, in a sentence. KeyError if there is no such camera."""
        ...

    def background(self, name: str, *, night: bool) -> Background | None:
        """What a camera sees by night, or by day, when nothing passes; None while that is not known.

        KeyError if there is no such camera.
        """
        ...

    def recordings(self, name: str) -> Sequence[Path]:
        """The strftime templates of the files that a camera's outputs record. KeyError if there is no such camera."""
        ...

    def report_folder(self, name: str) -> Path:
        """Where the reports of a camera's nights are, if there are any. KeyError if there is no such camera."""
        ...

    def watch(
        self, name: str, form: LiveForm, wake: Callable[[], None], *, view: View = "day", sound: bool = True
    ) -> Viewer:
        """One viewer more of a camera, to be woken in any thread, with its ``sound`` where the form takes it.

        KeyError if there is no such camera.
        """
        ...
