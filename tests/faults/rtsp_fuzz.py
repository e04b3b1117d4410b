"""An RTSP server that lies: damaged session descriptions, headers and RTP, from a seed.

    python -m tests.faults.rtsp_fuzz --seconds 600

runs a reader in this process against a server in another, and prints, as JSON, what came of it; a crash in FFmpeg
ends the process, so whoever wants to survive one runs it as a child. What is measured is the reader's process alone:
a server in the same one leaves memory of its own behind. Each connection's lies follow from the seed and the
connection's number alone.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import logging
import random
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")] * (__name__ == "__main__")  # pytest does the same

from nightday.pipeline.core.backoff import Backoff  # noqa: E402
from nightday.pipeline.core.clock import SystemClock  # noqa: E402
from nightday.pipeline.core.counters import CameraStats, DropReason  # noqa: E402
from nightday.pipeline.core.event_log import to_log  # noqa: E402
from nightday.pipeline.core.frame import Frame  # noqa: E402
from tests.faults.camera import Camera  # noqa: E402
from tests.faults.usage import Held, Usage, settle_interned  # noqa: E402
from tests.support.media_helpers import KeepingSlot  # noqa: E402

CLIP = ROOT / "benchmarks" / "clips" / "night_tfl_07450_piccadilly.mp4"
PACKET = 1400  # bytes of a NAL unit that go into one RTP packet
PACKETS = 120  # of a connection, at most
NUMBERS = (0, 1, -1, 96, 255, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**63, 10**30)
WORDS = (
    "",
    "H264",
    "H265",
    "JPEG",
    "MPEG4-GENERIC",
    "VP8",
    "x" * 5000,
    "%s%n",
    "\x00",
    "é",
    "96 97 98",
    "../../etc",
)
EIGHTHS = 8  # parts of a run whose memory is told
AT_ONCE = Backoff(first=0.02, cap=0.02, floor=0.001)


def parameter_sets_and_units(path: Path, frames: int) -> tuple[list[bytes], list[list[bytes]]]:
    """SPS and PPS of an H.264 MP4, and the NAL units of its first ``frames`` frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        extra = stream.codec_context.extradata or b""
        sets, at = [], 6
        for _ in range(2):  # one SPS; then, behind its count, one PPS
            (size,) = struct.unpack_from(">H", extra, at)
            sets.append(extra[at + 2 : at + 2 + size])
            at += 2 + size + 1
        units = []
        for packet in container.demux(stream):
            data, nals = bytes(packet), []
            while len(data) > 4:
                (size,) = struct.unpack_from(">I", data)
                nals.append(data[4 : 4 + size])
                data = data[4 + size :]
            units.append(nals)
            if len(units) == frames:
                break
    return sets, units


SETS, UNITS = parameter_sets_and_units(CLIP, 12)

SDP = f"""v=0
o=- 1188340656180883 1 IN IP4 127.0.0.1
s=Session
i=rtsp-server
e=NONE
t=0 0
a=tool:GStreamer
a=type:broadcast
a=control:*
a=range:npt=now-
b=AS:5000
m=video 0 RTP/AVP 96
c=IN IP4 0.0.0.0
a=rtpmap:96 H264/90000
a=framerate:25
a=fmtp:96 packetization-mode=1;profile-level-id=42c01e;sprop-parameter-sets={
    ",".join(base64.b64encode(part).decode() for part in SETS)
}
a=control:stream=0
m=audio 0 RTP/AVP 97
a=rtpmap:97 MPEG4-GENERIC/48000/2
a=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;config=1190;sizelength=13;indexlength=3;indexdeltalength=3
a=control:stream=1
"""

# Ticks of 1/90000 s from one picture to the next: so few that a connection is played as fast as it is sent.
STEP = 90


def damaged_text(text: str, rng: random.Random, hits: int) -> str:
    """``text`` with lines lost, doubled, moved, cut or filled with other numbers and words."""
    for _ in range(hits):
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        line = lines[at]
        way = rng.randrange(9)
        if way == 0:
            del lines[at]
        elif way == 1:
            lines[at:at] = [line] * rng.choice((1, 2, 300))
        elif way == 2:
            rng.shuffle(lines)
        elif way == 3:
            lines[at] = line[: rng.randrange(len(line) + 1)]
        elif way == 4:
            parts = line.split("=")
            lines[at] = "=".join(rng.choice(WORDS) if rng.random() < 0.5 else part for part in parts)
        elif way == 5:
            lines[at] = "".join(
                str(rng.choice(NUMBERS)) if char.isdigit() and rng.random() < 0.3 else char for char in line
            )
        elif way == 6:
            spot = rng.randrange(len(line) + 1)
            lines[at] = line[:spot] + rng.choice(WORDS) + line[spot:]
        elif way == 7:
            lines[at] = "".join(chr(rng.randrange(1, 256)) if rng.random() < 0.1 else char for char in line)
        else:
            lines.insert(at, f"m=video {rng.choice(NUMBERS)} RTP/AVP {rng.choice(NUMBERS)}")
        text = "\n".join(lines) or " "
    return text


def rtp_packets() -> Iterator[bytes]:
    """The clip's first frames as RTP (RFC 6184), over and over."""
    sequence = 0
    for number in range(10**9):
        for unit in SETS * (number % len(UNITS) == 0) + UNITS[number % len(UNITS)]:
            pieces = [unit]
            if len(unit) > PACKET:
                kind, rest = unit[0], unit[1:]
                pieces = [rest[start : start + PACKET] for start in range(0, len(rest), PACKET)]
                last = len(pieces) - 1
                pieces = [
                    bytes([kind & 0xE0 | 28, (at == 0) << 7 | (at == last) << 6 | kind & 0x1F]) + piece
                    for at, piece in enumerate(pieces)
                ]
            for piece in pieces:
                yield struct.pack(">BBHII", 0x80, 96, sequence & 0xFFFF, number * STEP, 0x1234) + piece
                sequence += 1


def damaged_packet(packet: bytes, rng: random.Random) -> bytes:
    """An RTP packet with lies in its header, its length or what it carries."""
    data = bytearray(packet)
    way = rng.randrange(8)
    if way == 0:
        for _ in range(rng.randrange(1, 20)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif way == 1:
        del data[rng.randrange(len(data)) :]
    elif way == 2:
        data += rng.randbytes(rng.randrange(3000))
    elif way == 3:
        data[0] = rng.randrange(256)  # padding, extensions and sources that are not there
    elif way == 4:
        data[1] = rng.randrange(256)  # another payload type, or an RTCP packet's
    elif way == 5:
        data[12:14] = bytes([rng.randrange(24, 32), rng.randrange(256)])  # aggregates and fragments
    elif way == 6:
        struct.pack_into(">HII", data, 2, rng.randrange(2**16), rng.randrange(2**32), rng.randrange(2**32))
    else:
        data[12:] = rng.randbytes(rng.randrange(1, 2000))
    return bytes(data)


class LyingServer(socketserver.ThreadingTCPServer):
    """Answers every RTSP request on a free loopback port, some honestly; a context manager.

    Attributes:
        seed: what all lies follow from.
        honest: share of the connections that are told no lies.
        connections: how many came.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, seed: int, *, honest: float = 0.05) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.seed, self.honest, self.connections = seed, honest, 0
        self.url = f"rtsp://127.0.0.1:{self.server_address[1]}/cam"

    def __enter__(self) -> LyingServer:
        threading.Thread(target=self.serve_forever, name="lying-server", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that left is none."""


class _Connection(socketserver.StreamRequestHandler):
    server: LyingServer

    def handle(self) -> None:
        number = self.server.connections
        self.server.connections += 1
        rng = random.Random(f"{self.server.seed} {number}")
        honest = rng.random() < self.server.honest
        with suppress(OSError):
            while method := self._request():
                self._answer(method[0], method[1], rng, honest)
                if method[0] == "PLAY":
                    self._play(rng, honest)
                    break

    def _request(self) -> tuple[str, str] | None:
        line = self.rfile.readline(65536).decode("latin-1").split()
        sequence = "0"
        while (header := self.rfile.readline(65536).decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            if name.lower() == "cseq":
                sequence = value.strip()
        return (line[0], sequence) if line else None

    def _answer(self, method: str, sequence: str, rng: random.Random, honest: bool) -> None:
        body, headers = "", [f"CSeq: {sequence}"]
        if method == "OPTIONS":
            headers.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        elif method == "DESCRIBE":
            body = SDP if honest else damaged_text(SDP, rng, rng.randrange(4))
            headers += ["Content-Type: application/sdp", f"Content-Base: {self.server.url}/"]
        elif method == "SETUP":
            headers += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 12345678;timeout=60"]
        elif method == "PLAY":
            headers += ["Session: 12345678", f"RTP-Info: url={self.server.url}/stream=0;seq=0;rtptime=0"]
        content = body.encode("utf-8", "surrogateescape")
        if content:
            length = len(content) if honest or rng.random() < 0.95 else rng.choice(NUMBERS)
            headers.append(f"Content-Length: {length}")
        head = "RTSP/1.0 200 OK\n" + "\n".join(headers)
        if not honest and rng.random() < 0.1:
            head = damaged_text(head, rng, 1)
        self.wfile.write(
            head.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n\r\n" + content
        )

    def _play(self, rng: random.Random, honest: bool) -> None:
        packets = rtp_packets()
        share = 0.0 if honest else rng.choice((0.02, 0.2, 0.9))
        for number in range(rng.randrange(PACKETS)):
            packet, channel = next(packets), 0
            if rng.random() < share:
                packet = damaged_packet(packet, rng)
                channel = rng.choice((0, 0, 0, 1, 1, 2, 3, 255))
            length = len(packet) if honest or rng.random() < 0.995 else rng.randrange(65536)
            self.wfile.write(b"$" + struct.pack(">BH", channel, length & 0xFFFF) + packet)
            if number % 40 == 39:
                time.sleep(0.01)


@contextmanager
def lying_process(seed: int) -> Iterator[str]:
    """A lying server in a process of its own; its address."""
    command = [sys.executable, "-m", "tests.faults.rtsp_fuzz", "--serve", "--seed", str(seed)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address, "the lying server did not start"
            yield address
        finally:
            process.stdin.close()  # which ends it


class EmptySlot(KeepingSlot):
    """Takes every frame and keeps none: a picture's size is one of the lies."""

    def put(self, frame: Frame, *, reason: DropReason = "overload") -> None:
        pass


class BetweenConnections(SystemClock):
    """The reader's clock: when it is asked to wait before another try, no connection is under way.

    What is allocated then is measured, in the reader's own thread, after what only waits for the cycle collector is
    gone. A measurement at any other time would count the connection under way, whose decoder alone holds megabytes.

    Args:
        length: how much is to be measured: connections, or seconds if ``by_time``.
        settle: how much of that passes before.
    """

    def __init__(self, *, length: float, settle: float, by_time: bool) -> None:
        self._length, self._settle, self._by_time = length, settle, by_time
        self._began = time.monotonic()
        self._connections = 0
        self.settled = Usage.now()
        self.c, self.blocks, self.rss = (
            [0] * EIGHTHS for _ in range(3)
        )  # no list that grows: that counts too
        gc.collect()
        gc.freeze()  # so that a collection takes milliseconds

    @property
    def passed(self) -> float:
        """How much has passed."""
        return time.monotonic() - self._began if self._by_time else self._connections

    @property
    def over(self) -> bool:
        """Whether all has passed."""
        return self.passed >= self._length

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Measure, and then wait."""
        self._connections += 1
        gc.collect()
        if self.passed <= self._settle:
            self.settled = Usage.now()
        else:
            share = (self.passed - self._settle) / (self._length - self._settle)
            self._measure(min(EIGHTHS - 1, int(share * EIGHTHS)))
        return super().wait(event, seconds)

    def _measure(self, part: int) -> None:
        held = Held.now()
        self.rss[part] = max(self.rss[part], Usage.now().rss)
        self.c[part] = min(self.c[part] or held.c, held.c)
        self.blocks[part] = min(self.blocks[part] or held.python_blocks, held.python_blocks)


def fuzz(*, seed: int, length: float, settle: float = 0.0, by_time: bool = True) -> dict[str, object]:
    """Run one reader against the lying server for ``length`` seconds or connections; what came of it.

    ``reasons`` counts why connections ended. The first ``settle`` seconds or connections are left out of what tells
    of growth: ``rss_growth`` is in bytes from then to the end. The others have a value for each eighth of what passed
    since, measured between connections: ``rss_mb`` the highest, ``c_mb`` and ``python_blocks`` the least that was
    allocated. Raises AssertionError if the reader ends or does not try again.
    """
    with (
        lying_process(seed) as address,
        Camera(
            address,
            slot=EmptySlot(CameraStats()),
            backoff=AT_ONCE,
            open_timeout=0.5,
            stall_timeout=0.5,
            # What it publishes is only logged: a list of it would be what grows.
            publish=to_log,
            clock=(clock := BetweenConnections(length=length, settle=settle, by_time=by_time)),
        ) as camera,
    ):
        began = time.monotonic()
        while not clock.over:
            assert camera.reader.is_alive(), camera.reader.event
            camera.stop.wait(0.02)
        stats, now = camera.stats.snapshot(), Usage.now()
    return {
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "connections": sum(stats.reconnects.values()),
        "frames": stats.decoded,
        "reasons": stats.reconnects,
        "dropped": stats.dropped,
        "rss_growth": now.rss - clock.settled.rss,
        "rss_mb": [round(each / 1e6, 2) for each in clock.rss],
        "c_mb": [round(each / 1e6, 3) for each in clock.c],
        "python_blocks": clock.blocks,
        "fds": [clock.settled.fds, now.fds],
    }


def main(argv: list[str] | None = None) -> int:
    """Fuzz for a while and print the outcome as one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rtsp_fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, help="end after as many, however long they take")
    parser.add_argument(
        "--settle",
        type=float,
        default=10.0,
        help="seconds, or with --connections connections, from which memory is compared",
    )
    parser.add_argument("--serve", action="store_true", help="be the server, until stdin ends")
    arguments = parser.parse_args(argv)
    if arguments.serve:
        with LyingServer(arguments.seed) as server:
            print(server.url, flush=True)
            sys.stdin.read()
        return 0
    print(f"seed {arguments.seed}", file=sys.stderr, flush=True)
    logging.disable()
    settle_interned()
    by_time = arguments.connections is None
    length = arguments.seconds if by_time else arguments.connections
    print(json.dumps(fuzz(seed=arguments.seed, length=length, settle=arguments.settle, by_time=by_time)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
