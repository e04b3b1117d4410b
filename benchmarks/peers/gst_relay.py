"""An RTSP server that plays at ``/NAME-view`` what is recorded at ``/NAME``, run by the system's Python.

``gst_relay.py NAME…``: names that end in ``-silent`` are recorded without sound. It prints its port.
"""

from __future__ import annotations

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: E402

Gst.init(None)
AS_UNITS = "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au"
KINDS = ("video", "sound")


class AsSent(GstRtspServer.RTSPMedia):
    """A recording whose time stamps are the sender's, not smoothed against the time of arrival."""

    def do_setup_rtpbin(self, rtpbin: Gst.Element) -> bool:
        """Take RTP's time stamps as they are."""
        Gst.util_set_object_arg(rtpbin, "buffer-mode", "none")
        return True


class Viewer:
    """Gets what comes from the next key frame on, at the distances in which it was sent."""

    def __init__(self, sources: dict[str, GstApp.AppSrc]) -> None:
        self.sources = sources
        self.shift: int | None = None

    def push(self, kind: str, sample: Gst.Sample) -> None:
        """Pass one piece on."""
        buffer, source = sample.get_buffer(), self.sources[kind]
        if self.shift is None:
            if kind != "video" or buffer.has_flags(Gst.BufferFlags.DELTA_UNIT):
                return
            clock = source.get_clock()
            now = clock.get_time() - source.get_base_time() if clock is not None else 0
            self.shift = now - buffer.pts
        if buffer.pts + self.shift < 0:
            return
        source.set_property("caps", sample.get_caps())
        passed = Gst.Buffer.new_wrapped(buffer.extract_dup(0, buffer.get_size()))
        passed.pts = buffer.pts + self.shift
        passed.duration = buffer.duration
        if buffer.has_flags(Gst.BufferFlags.DELTA_UNIT):
            passed.set_flags(Gst.BufferFlags.DELTA_UNIT)
        source.emit("push-buffer", passed)


class Path:
    """One stream and its viewers."""

    def __init__(self, mounts: GstRtspServer.RTSPMountPoints, name: str) -> None:
        self.lock = threading.Lock()
        self.viewers: list[Viewer] = []
        self.kinds = KINDS[:1] if name.endswith("-silent") else KINDS
        sound = "sound" in self.kinds
        publish = GstRtspServer.RTSPMediaFactory()
        publish.set_media_gtype(AsSent.__gtype__)
        publish.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        sink = "appsink emit-signals=true sync=false"
        heard = f"rtpmp4gdepay name=depay1 ! aacparse ! audio/mpeg,stream-format=raw ! {sink} name=sound"
        publish.set_launch(
            f"( rtph264depay name=depay0 ! {AS_UNITS} ! {sink} name=video {heard if sound else ''} )"
        )
        publish.connect("media-configure", self.recording)
        mounts.add_factory(f"/{name}", publish)
        view = GstRtspServer.RTSPMediaFactory()
        source = "appsrc is-live=true format=time"
        heard = f"{source} name=sound ! rtpmp4gpay name=pay1 pt=97"
        view.set_launch(
            f"( {source} name=video ! h264parse ! rtph264pay name=pay0 pt=96 {heard if sound else ''} )"
        )
        view.connect("media-configure", self.viewing)
        mounts.add_factory(f"/{name}-view", view)

    def recording(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        """A publisher has come."""
        for kind in self.kinds:
            media.get_element().get_by_name(kind).connect("new-sample", self.sample, kind)

    def viewing(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        """A viewer has come."""
        with self.lock:
            self.viewers.append(Viewer({kind: media.get_element().get_by_name(kind) for kind in self.kinds}))

    def sample(self, sink: GstApp.AppSink, kind: str) -> Gst.FlowReturn:
        """Pass one piece on to all viewers."""
        sample = sink.emit("pull-sample")
        with self.lock:
            for viewer in self.viewers:
                viewer.push(kind, sample)
        return Gst.FlowReturn.OK


def main() -> None:
    """Relay until standard input ends."""
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    # A viewer that asks waits for a picture, which a publisher must be able to send meanwhile.
    server.get_thread_pool().set_max_threads(8)
    paths = [Path(server.get_mount_points(), name) for name in sys.argv[1:]]
    if not paths or not server.attach(None):
        sys.exit("no paths, or no port")
    loop = GLib.MainLoop()

    def end() -> None:
        sys.stdin.read()
        GLib.idle_add(loop.quit)

    threading.Thread(target=end, daemon=True).start()
    print(server.get_bound_port(), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
