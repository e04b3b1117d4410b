"""Who watches a camera: for each view that somebody watches one more output of the camera."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Literal

from nightday.engines.device_copies import on_host

from ...core.clock import Clock
from ...core.counters import CameraStats
from ...core.events import Notice, Publish
from ...core.frame import Picture
from ...core.live import LiveForm, View, Viewer
from ...core.picture_files import jpeg_of, with_square_pixels
from ..encoding.encoder import GENERATED_COMMENT
from ..encoding.settings import Encoding
from ..encoding.shared_encoder import CameraEncoders, EncoderClient
from ..encoding.views import view_of
from ..module import MEDIA_SOURCE_SOUNDS, MP4_SOUNDS, NO_SOUNDS, TS_SOUNDS, WEBRTC_SOUNDS, Sounds
from ..mpeg_ts import TsMuxer
from ..output import Output
from ..writer import Writer
from .mp4 import Mp4Muxer
from .timed import TimedPictures
from .viewer import JpegViewer, LiveViewer

# Seconds between two JPEGs of a stream of them; a little less than 0.1, or a camera of 10 fps would lose half.
JPEG_EVERY = 0.095
# Seconds between key frames that viewers ask for: all who share the encoder get them, recordings too.
KEY_EVERY = 1.0

# What a stream says of itself in which nothing is generated.
_TITLE = "nightday-stream"
_MUXERS: dict[LiveForm, tuple[type[TsMuxer] | type[Mp4Muxer] | type[TimedPictures], Sounds]] = {
    "ts": (TsMuxer, TS_SOUNDS),
    "mp4": (Mp4Muxer, MP4_SOUNDS),
    "media_source": (Mp4Muxer, MEDIA_SOURCE_SOUNDS),
    "timed": (TimedPictures, WEBRTC_SOUNDS),
}
_Codec = Literal["h264", "jpeg"]


class LiveViewers:
    """The viewers of one camera. The first of a view starts an output, which encodes and hands out; the last ends it.

    Any thread may call any method, and none blocks.

    Args:
        camera: its name.
        encoders: the camera's, which all its outputs share.
        generated: whether generated pictures may come, which the stream's title then tells.
        stats: the camera's counters.
        publish: told how the outputs fare.
        clock: time.
    """

    def __init__(
        self,
        *,
        camera: str,
        encoders: CameraEncoders,
        generated: bool,
        stats: CameraStats,
        publish: Publish,
        clock: Clock,
    ) -> None:
        self._camera = camera
        self._encoders = encoders
        self._title = GENERATED_COMMENT if generated else _TITLE
        self._stats = stats
        self._publish = publish
        self._clock = clock
        self._lock = threading.Lock()
        self._streams: dict[tuple[View, _Codec], _Stream] = {}
        self._ending: list[Output] = []
        self._told: set[str] = set()
        self._finished = False

    def watch(
        self, form: LiveForm, wake: Callable[[], None], *, view: View = "day", sound: bool = True
    ) -> Viewer:
        """One viewer more; ``wake`` is called, in another thread, when there is something for it to take.

        With ``sound``, the camera's goes along where the form takes it. Its stream begins with the next picture,
        which becomes a key frame. It has ended at once where the camera has.
        """
        key: tuple[View, _Codec] = (view, "jpeg" if form == "jpeg" else "h264")
        leave = partial(self._leave, key)
        viewer: LiveViewer | JpegViewer
        if form == "jpeg":
            viewer = JpegViewer(wake=wake, leave=leave)
        else:
            title = _TITLE if view == "night" else self._title
            muxer, sounds = _MUXERS[form]
            if sound:
                self._tell_silent(sounds)
            begin = partial(muxer, title=title, sounds=sounds if sound else NO_SOUNDS)
            viewer = LiveViewer(begin=begin, wake=wake, leave=leave)
        with self._lock:
            if self._finished:
                viewer.end()
                return viewer
            stream = self._streams.get(key)
            if stream is None or not stream.output.is_alive():
                stream = self._start(key, () if stream is None else stream.viewers)
            stream.viewers = (*stream.viewers, viewer)
        return viewer

    def offer(self, picture: Picture) -> None:
        """Show ``picture`` to the viewers, if there are any; never waits."""
        for stream in self._streams.values():
            stream.offer(picture)

    def finish(self) -> None:
        """End all streams, and take no more viewers. Returns at once; ``threads`` tells what is to be waited for."""
        with self._lock:
            self._finished = True
            streams, self._streams = self._streams, {}
            for stream in streams.values():
                self._end(stream)
        for stream in streams.values():
            for viewer in stream.viewers:
                viewer.end()

    @property
    def count(self) -> int:
        """How many watch."""
        return sum(len(stream.viewers) for stream in self._streams.values())

    @property
    def threads(self) -> list[threading.Thread]:
        """Those of its outputs, and of outputs before them that have not ended."""
        with self._lock:
            self._ending = [output for output in self._ending if output.is_alive()]
            return [*self._ending, *(stream.output for stream in self._streams.values())]

    def _tell_silent(self, sounds: Sounds) -> None:
        """Say once that the camera's sound, as it is now, does not go along."""
        form = self._encoders.sound_format
        fault = None if form is None else sounds.fault(form)
        if fault is not None and fault not in self._told:
            self._told.add(fault)
            detail = f"live pictures: {fault}"
            self._publish(Notice(camera=self._camera, name="sound_dropped", detail=detail, level="warning"))

    def _start(self, key: tuple[View, _Codec], viewers: tuple[LiveViewer | JpegViewer, ...]) -> _Stream:
        view, codec = key
        stream = _Stream(viewers, every=JPEG_EVERY if codec == "jpeg" else 0.0)
        writer: Writer
        if codec == "jpeg":
            writer = _JpegWriter(view, lambda: stream.viewers)
        else:
            shared = self._encoders.get(Encoding(view=view))
            writer = _LiveWriter(EncoderClient(shared), lambda: stream.viewers)
        stream.output = Output(
            writer,
            camera=self._camera,
            output="live" if key == ("day", "h264") else f"live ({view}, {codec})",
            # What is encoded for viewers alone, and comes late or not at all, is nothing that the camera lost.
            stats=self._stats if key == ("day", "h264") else CameraStats(),
            publish=self._publish,
            clock=self._clock,
        )
        stream.output.start()
        self._streams = {**self._streams, key: stream}  # another, since workers go through it
        return stream

    def _leave(self, key: tuple[View, _Codec], viewer: LiveViewer | JpegViewer) -> None:
        with self._lock:
            stream = self._streams.get(key)
            if stream is None:
                return
            stream.viewers = tuple(one for one in stream.viewers if one is not viewer)
            if not stream.viewers:
                self._streams = {other: one for other, one in self._streams.items() if other != key}
                self._end(stream)

    def _end(self, stream: _Stream) -> None:
        stream.output.finish()
        self._ending = [*(one for one in self._ending if one.is_alive()), stream.output]


class _Stream:
    """One view of a camera, encoded once, and those who watch it.

    Args:
        viewers: those who watch.
        every: seconds between two of its pictures; 0 for all of them.
    """

    output: Output

    def __init__(self, viewers: tuple[LiveViewer | JpegViewer, ...], *, every: float) -> None:
        self.viewers = viewers
        self._every = every
        self._last = float("-inf")

    def offer(self, picture: Picture) -> None:
        """Pass on a picture that is due; never waits."""
        at = picture.frame.decoded_at
        if self._every and at - self._last < self._every:
            return
        self._last = at
        self.output.offer(picture)


class _LiveWriter:
    """Encodes the pictures, and hands each to all who watch."""

    def __init__(
        self, encoder: EncoderClient, viewers: Callable[[], tuple[LiveViewer | JpegViewer, ...]]
    ) -> None:
        self._encoder = encoder
        self._viewers = viewers
        self._key_at = float("-inf")

    def write(self, picture: Picture) -> None:
        """Hand out one picture. Raises PictureSkipped before the first key frame, and PyAV's errors."""
        viewers = [viewer for viewer in self._viewers() if isinstance(viewer, LiveViewer)]
        due = picture.frame.decoded_at - self._key_at >= KEY_EVERY
        key = any(not viewer.begun or (viewer.wants_key and due) for viewer in viewers)
        encoded = self._encoder.encode(picture, key=key)
        if encoded.key:
            self._key_at = encoded.decoded_at
        for viewer in viewers:
            viewer.put(encoded)

    def idle(self, seconds: float) -> None:
        """Nothing is to be done while no picture comes."""

    def close(self) -> None:
        """Nothing is open: each viewer's stream is its own."""


class _JpegWriter:
    """Makes a JPEG with square pixels of a view of the pictures, and hands it to all who watch."""

    def __init__(self, view: View, viewers: Callable[[], tuple[LiveViewer | JpegViewer, ...]]) -> None:
        self._view = view
        self._viewers = viewers

    def write(self, picture: Picture) -> None:
        """Hand out one picture. Raises ValueError for one too large for a JPEG."""
        rgb = on_host(view_of(picture, self._view).rgb, "snapshot")
        jpeg = jpeg_of(with_square_pixels(rgb, picture.frame.pixel_aspect))
        for viewer in self._viewers():
            if isinstance(viewer, JpegViewer):
                viewer.put(jpeg)

    def idle(self, seconds: float) -> None:
        """Nothing is to be done while no picture comes."""

    def close(self) -> None:
        """Nothing is open."""
