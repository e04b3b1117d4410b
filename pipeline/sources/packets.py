"""A connection's packets: those of a file as they are asked for, those of a live source when they are due."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias, cast

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from ..core.clock import Clock
from ..core.counters import CameraStats
from ..media.clock_watch import ClockWatch
from ..media.interruptible import Watch, interruptible
from .base import SourceLostError
from .damage import DamageWatch
from .playout import HOLD_MOST, Playout
from .repeats import Repeats
from .sound import SoundInput

# Read errors of the container without a packet between them after which a connection is given up.
CORRUPT_RUN = 100
# What may wait of a live source. Then no more is read, and the rest waits in the socket.
PACKETS_MOST, BYTES_MOST = 1000, 32 * 2**20
# Seconds that a read must wait until what had piled up in the socket is known to have been read.
_BLOCKED = 0.005
# Of a stream in pieces: seconds without a packet that end a piece, and the longest one whose successor is waited for.
_PIECE_ENDS, PIECE_MOST = 0.2, 15.0
# Seconds between looks at the clock and at ``stop`` while nothing else wakes a thread.
_LOOK = 0.05

Packet: TypeAlias = "av.Packet[VideoStream]"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet for the decoder.

    Attributes:
        packet: the packet; an empty one at the end flushes the decoder.
        at: when it arrived, monotonic seconds; of a source whose clock is not believed, when it was due.
        on_time: whether it was read as soon as it came, so that ``at`` says how late the network was.
        waited: seconds that were spent waiting for it, or for it to be due.
        repeated: whether an earlier connection has brought it.
    """

    packet: Packet
    at: float
    on_time: bool = True
    waited: float = 0.0
    repeated: bool = False


def demuxed(
    container: InputContainer,
    stream: VideoStream,
    stats: CameraStats,
    damage: DamageWatch | None = None,
    sound: SoundInput | None = None,
) -> Iterator[Packet]:
    """The stream's packets, over errors in the data that the next read may leave behind. Raises PyAV's errors.

    ``damage`` is shown each, and ``sound`` takes those of the sound, in the thread that reads.
    """
    errors = 0
    heard = None if sound is None else sound.stream_of(container)
    streams: tuple[VideoStream | AudioStream, ...] = (stream,) if heard is None else (stream, heard)
    if damage is not None:
        damage.begin()
    while True:
        try:
            for packet in container.demux(*streams):
                errors = 0
                if sound is not None and packet.stream is heard:
                    sound.take(cast("av.Packet[AudioStream]", packet))
                    continue
                if damage is not None and packet.size:
                    damage.see_picture(key=packet.is_keyframe)
                yield cast(Packet, packet)
            return
        except av.error.InvalidDataError:
            errors += 1
            stats.count_dropped("decode_error")
            if errors >= CORRUPT_RUN:
                raise


class LivePackets:
    """Reads a live source in a thread of its own, and hands its packets out when they are due (``Playout``).

    So the time at which a packet arrives is known however busy the decoder is, and bursts wait as packets, which are
    small. While the decoder cannot keep up, so that packets wait for longer than ``HOLD_MOST`` or become too many, no
    more is read. Where the camera's clock is not believed, the time at which a packet is due stands for its arrival.

    Args:
        packets: the packets; its blocking reads are FFmpeg's.
        time_base: seconds a tick of their time stamps.
        stall_timeout: seconds without a packet until the source is lost.
        watch: whether the camera's clock is believed.
        stop: ends it once set, even while it waits for the network.
        clock: time.
        pieces: whether it comes in pieces of several seconds. The next one is due when the last has been played, and
            the source is lost ``stall_timeout`` seconds after that.
        repeats: tells which packets an earlier connection has brought; None: none has.
    """

    def __init__(
        self,
        packets: Iterator[Packet],
        *,
        time_base: Fraction,
        stall_timeout: float,
        watch: ClockWatch,
        stop: threading.Event,
        clock: Clock,
        pieces: bool = False,
        repeats: Repeats | None = None,
    ) -> None:
        self._packets = packets
        self._time_base = time_base
        self._stall_timeout = stall_timeout
        self._pieces = pieces
        self._repeats = repeats
        self._piece_began: float | None = None  # the stamp of the first packet of the present piece
        self._lasts = 0.0  # seconds that it lasts, as far as it has come
        self._clock_watch = watch
        self._stop = stop
        self._clock = clock
        self._playout = Playout()
        self._queue: deque[Arrival] = deque()
        self._bytes = 0
        self._behind = False  # whether packets pile up in the socket, because the decoder does not keep up
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._reads = Watch(stop)
        self._thread = threading.Thread(target=self._read, name="demuxer", daemon=True)

    def __iter__(self) -> Iterator[Arrival]:
        """The packets, each once it is due, until the source ends or ``stop`` is set.

        Raises SourceLostError if it stalls, and what PyAV raises; what was waiting then comes first.
        """
        self._thread.start()
        while (arrival := self._next()) is not None:
            yield arrival
        if self._error is not None and not self._stop.is_set():
            raise self._error

    def close(self) -> None:
        """End the thread and wait for it, so that the container can be closed."""
        self._reads.end()
        with self._changed:
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def _next(self) -> Arrival | None:
        asked = self._clock.monotonic()
        with self._changed:
            while not self._stop.is_set():
                now = self._clock.monotonic()
                wait = _LOOK
                if self._queue:
                    due = self._due(now)
                    if due <= now:
                        return self._take(due, waited=now - asked)
                    wait = min(wait, due - now)
                elif self._ended:
                    return None
                self._changed.wait(wait)
        return None

    def _due(self, now: float) -> float:
        if isinstance(self._error, SourceLostError):  # a stall, which is to be known
            return self._queue[0].at
        return self._playout.due(now)

    def _take(self, due: float, *, waited: float) -> Arrival:
        arrival = self._queue.popleft()
        self._bytes -= arrival.packet.size
        self._playout.play(due)
        self._changed.notify_all()
        at = arrival.at if self._clock_watch.reason is None else due
        return replace(arrival, at=at, waited=waited)

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            with interruptible(self._reads):
                self._read_all()
        except BaseException as raised:  # for the thread that takes the packets
            error = raised
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def _read_all(self) -> None:
        if self._repeats is not None:
            self._repeats.begin()
        while self._wait_for_room():
            asked = self._clock.monotonic()
            patience = self._stall_timeout + self._lasts
            self._reads.expect(patience)
            packet = next(self._packets, None)
            if packet is None:
                return
            at = self._clock.monotonic()
            self._behind = self._behind and at - asked < _BLOCKED
            self._put(packet, at, waited=at - asked)
            # FFmpeg's RTSP client answers a read that has timed out with a picture that it had held back.
            if at - asked >= patience:
                raise stalled(self._stall_timeout)

    def _wait_for_room(self) -> bool:
        """Wait until another packet may be read; False if none is to be."""
        with self._changed:
            while not self._reads.over_for_good:
                now = self._clock.monotonic()
                late = bool(self._queue) and now - self._queue[0].at > HOLD_MOST
                if not late and len(self._queue) < PACKETS_MOST and self._bytes < BYTES_MOST:
                    return True
                self._behind = True
                self._changed.wait(_LOOK)
        return False

    def _put(self, packet: Packet, at: float, *, waited: float) -> None:
        ticks = packet.dts if packet.dts is not None else packet.pts
        stamp = None if ticks is None else float(ticks * self._time_base)
        if self._pieces and stamp is not None:
            self._see_piece(stamp, begins=waited > _PIECE_ENDS)
        repeated = self._repeats is not None and packet.size > 0 and self._repeats.see(packet)
        with self._changed:
            # What is not shown is due at once.
            believed = repeated or self._clock_watch.reason is None
            self._playout.arrived(None if repeated else stamp, at, believed=believed)
            self._queue.append(Arrival(packet, at, on_time=not self._behind, repeated=repeated))
            self._bytes += packet.size
            if len(self._queue) == 1:
                self._changed.notify_all()

    def _see_piece(self, stamp: float, *, begins: bool) -> None:
        if begins or self._piece_began is None:
            self._piece_began = stamp
        self._lasts = min(max(0.0, stamp - self._piece_began), PIECE_MOST)


def stalled(stall_timeout: float) -> SourceLostError:
    """What a source is lost to that sends nothing."""
    return SourceLostError("stall", f"no data for {stall_timeout:g} s")
