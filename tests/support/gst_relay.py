"""A relay with go2rtc's ways, run by the system's Python: ``/usr/bin/python3 tests/support/gst_relay.py --help``.

What a client RECORDs at ``/day`` is played to whoever asks for ``/view``. A publisher that sends nothing for
``--patience`` seconds is closed, and the viewers it had get nothing any more, even when it comes back. Every event is
one JSON line on stdout: ``ready`` (with its ``port``), ``recording``, ``viewing``, ``closed`` (with its ``why``).
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: E402

Gst.init(None)
AS_UNITS = "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"


def say(event: str, **details: object) -> None:
    """Print one event."""
    print(json.dumps({"event": event, **details}), flush=True)


class Relay:
    """Hands the access units of each publisher to the viewers who came while it was there."""

    def __init__(self, server: GstRtspServer.RTSPServer, patience: float) -> None:
        self.server, self.patience = server, patience
        self.lock = threading.Lock()
        self.session = 0
        self.heard_at: float | None = None
        self.viewers: list[tuple[int, GstApp.AppSrc, dict[str, bool]]] = []
        mounts = server.get_mount_points()
        publish = GstRtspServer.RTSPMediaFactory()
        publish.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        publish.set_launch(
            f"( rtph264depay name=depay0 ! {AS_UNITS} ! appsink name=out emit-signals=true sync=false )"
        )
        publish.connect("media-configure", self.recording)
        mounts.add_factory("/day", publish)
        view = GstRtspServer.RTSPMediaFactory()
        view.set_launch(
            "( appsrc name=src is-live=true format=time do-timestamp=true "
            "caps=video/x-h264,stream-format=byte-stream,alignment=au ! h264parse ! rtph264pay name=pay0 pt=96 )"
        )
        view.connect("media-configure", self.viewing)
        mounts.add_factory("/view", view)
        GLib.timeout_add(100, self.look)

    def recording(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        """A publisher has come."""
        with self.lock:
            self.session += 1
            session, self.heard_at = self.session, time.monotonic()
        media.get_element().get_by_name("out").connect("new-sample", self.sample, session)
        say("recording", session=session)

    def viewing(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        """A viewer has come."""
        source = media.get_element().get_by_name("src")
        with self.lock:
            self.viewers.append((self.session, source, {"begun": False}))
        say("viewing", session=self.session)

    def sample(self, sink: GstApp.AppSink, session: int) -> Gst.FlowReturn:
        """Pass on one picture; each viewer begins at a key frame."""
        buffer = sink.emit("pull-sample").get_buffer()
        key = not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
        data = buffer.extract_dup(0, buffer.get_size())
        with self.lock:
            self.heard_at = time.monotonic()
            viewers = list(self.viewers)
        for of, source, state in viewers:
            state["begun"] |= key
            if of == session and state["begun"]:
                source.emit("push-buffer", Gst.Buffer.new_wrapped(data))
        return Gst.FlowReturn.OK

    def look(self) -> bool:
        """Close a publisher that has been silent for too long."""
        with self.lock:
            silent = self.heard_at is not None and time.monotonic() - self.heard_at > self.patience
            if silent:
                self.heard_at = None
        if silent:
            say("closed", why=f"no picture for {self.patience:g} s")
            for client in self.server.client_filter(lambda *_: GstRtspServer.RTSPFilterResult.REF):
                if self.records(client):
                    client.close()
        return True

    def records(self, client: GstRtspServer.RTSPClient) -> bool:
        """Whether a client is the publisher."""
        sessions = client.session_filter(lambda *_: GstRtspServer.RTSPFilterResult.REF)
        return any(session.get_media("/day")[0] is not None for session in sessions)


def main() -> None:
    """Relay until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="0", help="0: any free one")
    parser.add_argument("--patience", type=float, default=15.0, help="seconds; go2rtc's is 15")
    arguments = parser.parse_args()
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    # A viewer that asks waits for a picture, which a publisher must be able to send meanwhile.
    server.get_thread_pool().set_max_threads(8)
    relay = Relay(server, arguments.patience)
    if not server.attach(None):
        say("error", message=f"port {arguments.port} cannot be bound")
        sys.exit(3)
    loop = GLib.MainLoop()

    def end() -> None:
        sys.stdin.read()
        GLib.idle_add(loop.quit)

    threading.Thread(target=end, daemon=True).start()
    say("ready", port=server.get_bound_port(), patience=relay.patience)
    loop.run()


if __name__ == "__main__":
    main()
