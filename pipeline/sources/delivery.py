"""From a connection's decoded frames to the camera's slot: each gets its place in time, and waits until it is due."""

from __future__ import annotations

import threading

from ..core.clock import Clock
from ..core.counters import CameraStats, DropReason
from ..core.frame import Frame
from ..media.timeline import Timeline
from .base import Connection, Decoded
from .frame_skipping import FrameSkipping
from .latest_slot import LatestSlot
from .sound import SoundInput


class FrameDelivery:
    """Puts one camera's frames into its slot, for its reader's thread.

    What a network source had stored when it was opened is played faster than it was filmed. Those of its frames that
    nobody can take in time are dropped as "backlog": they are old, not too many. Later ones are dropped as
    "overload". A file's frame out of order is dropped as "decode_error".

    Args:
        camera: the camera's name.
        slot: where the frames go.
        stats: its counters.
        stop: ends waiting once set.
        lossless: whether each frame waits until the one before was taken. Else those of a clip wait until they are
            due by their PTS.
        timeline: gives the frames their PTS.
        clock: time.
    """

    def __init__(
        self,
        *,
        camera: str,
        slot: LatestSlot,
        stats: CameraStats,
        stop: threading.Event,
        lossless: bool,
        timeline: Timeline,
        clock: Clock,
    ) -> None:
        self._camera = camera
        self._slot = slot
        self._stats = stats
        self._stop = stop
        self._live = True
        self._lossless = lossless
        self._timeline = timeline
        self._clock = clock
        self._skipping = FrameSkipping()
        self._sound: SoundInput | None = None
        self._origin: tuple[float, int] | None = None  # when the first frame was played, and its PTS
        self._backlog = False
        self._last: tuple[float, int] | None = None  # when the last frame came, and its PTS

    def begin(self, connection: Connection, skipping: FrameSkipping, sound: SoundInput | None = None) -> None:
        """Frames come from another connection from now on; ``skipping`` is shown what becomes of them.

        ``sound`` is told where they are placed.
        """
        self._sound = sound
        self._live = connection.clock_watch is not None
        self._origin = None
        self._timeline.begin(
            time_base=connection.time_base,
            frame_seconds=connection.frame_seconds,
            watch=connection.clock_watch,
        )
        self._skipping = skipping
        self._backlog, self._last = self._live, None

    def deliver(self, decoded: Decoded) -> bool:
        """Place one decoded frame in time and in the slot. False if ``stop`` was set meanwhile."""
        video = decoded.video
        pts = self._timeline.place(video.pts, now=decoded.at, on_time=decoded.on_time)
        if pts is None:
            self._stats.count_dropped("decode_error")
            return True
        self._stats.count_decoded()
        if self._sound is not None:
            self._sound.place(self._timeline.shift, pts * self._timeline.time_base)
        if not self._live and not self._lossless and not self._wait_until_due(pts):
            return False
        frame = Frame(
            camera=self._camera,
            video=video,
            pts=pts,
            time_base=self._timeline.time_base,
            decoded_at=self._clock.monotonic(),
            wall_time=self._clock.time(),
            packets=decoded.packets,
        )
        if (
            self._lossless or decoded.held_back
        ):  # those come all at once, though the machine has time for them
            return self._slot.put_wait(frame, cancelled=self._stop)
        # A frame that is replaced came before this one, so the last of the backlog gives way to the first that keeps
        # pace.
        reason: DropReason = "backlog" if self._backlog else "overload"
        self._see_pace(frame)
        if not self._backlog:
            self._skipping.saw_frame(replaced=self._slot.pending)
        self._slot.put(frame, reason=reason)
        return True

    def _see_pace(self, frame: Frame) -> None:
        """End the backlog once a frame comes no faster than it was taken."""
        if self._backlog and self._last is not None:
            came, pts = self._last
            self._backlog = frame.decoded_at - came < float((frame.pts - pts) * frame.time_base) / 2
        self._last = (frame.decoded_at, frame.pts)

    def _wait_until_due(self, pts: int) -> bool:
        """Wait for a clip's frame to be due, counted from the first one so that errors do not add up."""
        if self._origin is None:
            self._origin = (self._clock.monotonic(), pts)
        began, first = self._origin
        due = began + float((pts - first) * self._timeline.time_base)
        while (early := due - self._clock.monotonic()) > 0:
            if self._clock.wait(self._stop, early):
                return False
        return True
