"""A real RTSP server on a free loopback port, for tests: GStreamer's, in a process of its own."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from tests.support.ports import lasting_port

SCRIPT = Path(__file__).with_name("gst_rtsp.py")
CLIP = Path(__file__).parents[2] / "benchmarks" / "clips" / "night_tfl_07450_piccadilly.mp4"
WAIT = 60.0  # seconds until a server that says nothing fails the test


class RtspServer:
    """Serves ``clip`` at ``/cam`` and records ``/day``; a context manager, ready once entered.

    Args:
        record: folder the recordings go to, as ``day0.mkv``, ``day1.mkv`` and so on.
        clip: MP4 that ``/cam`` plays: H.264, H.265 or MJPEG.
        loops: how often a client gets it, 0 for ever.
        login: ``user:password`` that clients must have; "" lets everybody in.
        port: 0 takes a free one. After ``kill``, entering again takes the same one.
        transport: the only one that ``/cam`` takes, ``tcp`` or ``udp``; "" for any.
        loss: share of the packets of ``/cam`` that get lost on the way.

    Raises RuntimeError, which says what to install, when GStreamer's server is not there.
    """

    def __init__(
        self,
        *,
        record: Path,
        clip: Path = CLIP,
        loops: int = 0,
        login: str = "",
        port: int = 0,
        transport: str = "",
        loss: float = 0.0,
    ) -> None:
        self.port = port or lasting_port()
        self._arguments = ["--codec", _codec(clip), "--clip", str(clip)]
        self._arguments += ["--record", str(record / "day"), "--loops", str(loops)]
        self._arguments += ["--transport", transport, "--loss", str(loss)]
        self._login = login
        self._process: subprocess.Popen[str] | None = None
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()

    def __enter__(self) -> RtspServer:
        command = ["/usr/bin/python3", str(SCRIPT), *self._arguments, "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, "--login", self._login], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._events = queue.Queue()
        threading.Thread(target=self._listen, args=(self._process, self._events), daemon=True).start()
        self.port = self.expect("ready")["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def url(self, path: str, *, login: str = "") -> str:
        """The address of ``path`` (``/cam`` or ``/day``), with ``login`` in it if given."""
        return f"rtsp://{login + '@' if login else ''}127.0.0.1:{self.port}{path}"

    def expect(self, event: str, *, within: float = WAIT) -> dict[str, Any]:
        """Wait for the server's next ``event``, passing over others, at most ``within`` seconds in all.

        Raises RuntimeError, which names the last events that came instead.
        """
        return self.expect_all(event, within=within)[0]

    def expect_all(self, *events: str, within: float = WAIT) -> list[dict[str, Any]]:
        """As ``expect``, for the next one of each of ``events``, in whatever order they come."""
        end, others = time.monotonic() + within, deque[dict[str, Any]](maxlen=5)
        found: dict[str, dict[str, Any]] = {}
        while len(found) < len(events):
            try:
                heard = self._events.get(timeout=max(end - time.monotonic(), 0.001))
            except queue.Empty:
                missing = [event for event in events if event not in found]
                raise RuntimeError(
                    f"the RTSP server did not say {missing} within {within:g} s; last: {[*others]}"
                ) from None
            if heard["event"] in events:
                found.setdefault(heard["event"], heard)
            elif heard["event"] in ("error", "gone"):
                raise RuntimeError(f"the RTSP server failed: {heard.get('message', 'it ended')}")
            else:
                others.append(heard)
        return [found[event] for event in events]

    def expect_recorded(self, frames: int) -> None:
        """Wait until the recording under way has ``frames`` frames, at most ``WAIT`` seconds in all."""
        end = time.monotonic() + WAIT
        while self.expect("recorded", within=end - time.monotonic())["frames"] < frames:
            pass

    def forget(self) -> list[dict[str, Any]]:
        """Forget the events nobody waited for, which a long run would pile up; returns them, the oldest first."""
        forgotten = []
        while not self._events.empty():
            forgotten.append(self._events.get())
        return forgotten

    def command(self, word: str) -> None:
        """Send ``drop`` or ``stall``; the server answers with ``dropped`` or ``stalled``."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def switch(self, clip: Path) -> None:
        """Go over to ``clip``: in mid-stream if its codec is the same; else streams end and new ones have it."""
        self.command(f"switch {_codec(clip)} {clip}")
        self.expect("switched")

    def lock(self, login: str) -> None:
        """Start anew at the same port, now letting in only ``login`` (``user:password``)."""
        self.kill()
        self._login = login
        self.__enter__()

    def freeze(self) -> None:
        """Stop the server's process while its connections stay open, as a cut cable does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End the server at once, connections and all, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(WAIT)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    @staticmethod
    def _listen(process: subprocess.Popen[str], events: queue.Queue[dict[str, Any]]) -> None:
        assert process.stdout is not None
        line = ""
        try:
            for line in process.stdout:
                events.put(json.loads(line))
            said = "it ended"
        except json.JSONDecodeError:
            said = f"it said {line!r}"
        except ValueError:
            said = "its pipe was closed"  # by kill()
        events.put({"event": "gone", "message": said})


def _codec(clip: Path) -> str:
    with av.open(str(clip)) as container:
        name: str = container.streams.video[0].codec_context.name
        return name
