"""A camera's live stream, for viewers who come and go: one more output of the camera while somebody watches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ..core.clock import Clock
from ..core.counters import CameraStats
from ..core.events import Publish
from ..core.frame import Picture
from ..core.live import LiveForm
from .encoder import GENERATED_COMMENT
from .live_mp4 import Mp4Muxer
from .mpeg_ts import TsMuxer
from .output import Output
from .shared_encoder import EncodedPicture, EncoderClient, SharedEncoder

# What may wait for a viewer to take it, in pictures (3 s at 25 fps) and in bytes. A viewer that is further behind
# loses all of it, and goes on with the next key frame.
MOST_PICTURES = 75
MOST_BYTES = 4 * 2**20


class Muxer(Protocol):
    """Makes bytes of the encoded pictures of one stream."""

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to its stream."""
        ...

    def mux(self, encoded: EncodedPicture) -> bytes:
        """What is complete with one picture more; may be empty."""
        ...

    def resume(self, first: EncodedPicture) -> Muxer | None:
        """What goes on with a key frame after pictures were left out; None where nothing can."""
        ...


_MUXERS: dict[LiveForm, type[TsMuxer] | type[Mp4Muxer]] = {"ts": TsMuxer, "mp4": Mp4Muxer}


class LiveViewers:
    """The viewers of one camera. The first starts an output, which encodes and hands out, and the last ends it.

    Any thread may call any method, and none blocks.

    Args:
        camera: its name.
        encoder: the camera's encoder, which all its outputs share.
        generated: whether generated pictures may come, which the stream's title then tells.
        stats: the camera's counters.
        publish: told how the output fares.
        clock: time.
    """

    def __init__(
        self,
        *,
        camera: str,
        encoder: SharedEncoder,
        generated: bool,
        stats: CameraStats,
        publish: Publish,
        clock: Clock,
    ) -> None:
        self._camera = camera
        self._encoder = encoder
        self._title = GENERATED_COMMENT if generated else "nightday-stream"
        self._stats = stats
        self._publish = publish
        self._clock = clock
        self._lock = threading.Lock()
        self._viewers: tuple[LiveViewer, ...] = ()
        self._output: Output | None = None
        self._ending: list[Output] = []
        self._finished = False

    def watch(self, form: LiveForm, wake: Callable[[], None]) -> LiveViewer:
        """One viewer more; ``wake`` is called, in another thread, when there is something for it to take.

        Its stream begins with the next picture, which becomes a key frame. It has ended at once where the camera has.
        """
        viewer = LiveViewer(begin=partial(_MUXERS[form], title=self._title), wake=wake, leave=self._leave)
        with self._lock:
            if self._finished:
                viewer.end()
                return viewer
            self._viewers = (*self._viewers, viewer)
            if self._output is None or not self._output.is_alive():
                self._output = self._start()
        return viewer

    def offer(self, picture: Picture) -> None:
        """Show ``picture`` to the viewers, if there are any; never waits."""
        output = self._output
        if output is not None:
            output.offer(picture)

    def finish(self) -> None:
        """End all streams, and take no more viewers. Returns at once; ``threads`` tells what is to be waited for."""
        with self._lock:
            self._finished = True
            viewers, self._viewers = self._viewers, ()
            self._end_output()
        for viewer in viewers:
            viewer.end()

    @property
    def count(self) -> int:
        """How many watch."""
        return len(self._viewers)

    @property
    def threads(self) -> list[threading.Thread]:
        """Those of its output, and of outputs before it that have not ended."""
        with self._lock:
            self._ending = [output for output in self._ending if output.is_alive()]
            return [*self._ending, *([self._output] if self._output is not None else [])]

    def _start(self) -> Output:
        output = Output(
            _LiveWriter(EncoderClient(self._encoder), lambda: self._viewers),
            camera=self._camera,
            output="live",
            stats=self._stats,
            publish=self._publish,
            clock=self._clock,
        )
        output.start()
        return output

    def _leave(self, viewer: LiveViewer) -> None:
        with self._lock:
            self._viewers = tuple(one for one in self._viewers if one is not viewer)
            if not self._viewers:
                self._end_output()

    def _end_output(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            output.finish()
            self._ending = [*(one for one in self._ending if one.is_alive()), output]


class LiveViewer:
    """One viewer's stream, and what of it waits to be taken. See ``Viewer``.

    Args:
        begin: makes the muxer of a stream that begins with this key frame.
        wake: called when there is something to take, or nothing will come any more.
        leave: told when it leaves.
    """

    def __init__(
        self,
        *,
        begin: Callable[[EncodedPicture], Muxer],
        wake: Callable[[], None],
        leave: Callable[[LiveViewer], None],
    ) -> None:
        self._begin = begin
        self._wake = wake
        self._leave = leave
        self._lock = threading.Lock()
        self._pieces: deque[bytes] = deque()
        self._bytes = 0
        self._muxer: Muxer | None = None
        self._behind = self._taken = self._ended = False
        self.begun = False
        """Whether it has had its first key frame."""
        self.times_behind = 0
        """How often it was so far behind that it lost what waited."""

    def put(self, encoded: EncodedPicture) -> None:
        """Add a picture to its stream, unless it waits for a key frame and this is none."""
        with self._lock:
            if self._ended:
                return
            if len(self._pieces) >= MOST_PICTURES or self._bytes >= MOST_BYTES:
                self._pieces.clear()
                self._bytes = 0
                self._behind = True
                self.times_behind += 1
            if self._behind or self._muxer is None or not self._muxer.accepts(encoded):
                if not encoded.key:
                    return
                # If nothing was taken, the beginning is lost, too.
                before = self._muxer if self._taken else None
                self._muxer = self._begin(encoded) if before is None else before.resume(encoded)
                self._behind = False
            if self._muxer is None:
                self._ended = True
            else:
                piece = self._muxer.mux(encoded)
                if piece:
                    self._pieces.append(piece)
                    self._bytes += len(piece)
            self.begun = True
        self._wake()

    def take(self) -> bytes | None:
        """The next piece of its stream; empty while there is none, None once none will come."""
        with self._lock:
            if self._pieces:
                piece = self._pieces.popleft()
                self._bytes -= len(piece)
                self._taken = True
                return piece
            return None if self._ended else b""

    def end(self) -> None:
        """Nothing more will come than what waits."""
        with self._lock:
            self._ended = True
            self._muxer = None
        self._wake()

    def leave(self) -> None:
        """Watch no longer. May be called more than once."""
        self._leave(self)
        with self._lock:
            self._ended = True
            self._muxer = None
            self._pieces.clear()
            self._bytes = 0


class _LiveWriter:
    """Encodes with the camera's encoder, and hands each picture to all viewers."""

    def __init__(self, encoder: EncoderClient, viewers: Callable[[], tuple[LiveViewer, ...]]) -> None:
        self._encoder = encoder
        self._viewers = viewers

    def write(self, picture: Picture) -> None:
        """Hand out one picture. Raises PictureSkipped before the first key frame, and PyAV's errors."""
        viewers = self._viewers()
        encoded = self._encoder.encode(picture, key=not all(viewer.begun for viewer in viewers))
        for viewer in viewers:
            viewer.put(encoded)

    def idle(self, seconds: float) -> None:
        """Nothing is to be done while no picture comes."""

    def close(self) -> None:
        """Nothing is open: each viewer's stream is its own."""
