"""A real RTSP server for the tests, run by the system's Python: ``/usr/bin/python3 tests/gst_rtsp.py --help``.

It serves one clip (H.264, H.265 or MJPEG) at ``/cam`` as a live camera would and takes what clients RECORD at
``/day``, writing each recording to a Matroska file with RTP's own time stamps. Every event is one JSON line on
stdout (``ready``, ``playing``, ``started``, ``recording``, ``recorded``, ``closed``, ``dropped``, ``stalled``,
``switched``, ``error``). ``started`` says ``at`` which moment a client's frame of PTS 0 is due; ``recorded`` at
which one a frame came, and its ``pts``: seconds, the moments on this machine's monotonic clock. Commands are lines
on stdin: ``drop`` closes every client's connection, ``stall`` stops the pictures while connections stay open,
``switch CODEC FILE`` goes over to another clip (see ``Camera``), ``quit`` (or the end of stdin) ends it.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time

APT = (
    "apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav"
)
ELEMENTS = (
    *("qtdemux", "h264parse", "rtph264pay", "rtph264depay", "matroskamux", "appsrc", "appsink"),
    *("h265parse", "rtph265pay", "jpegparse", "rtpjpegpay"),
)
# How a clip's access units are got at, and how they are sent.
CODECS = {
    "h264": (
        "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au",
        "h264parse ! rtph264pay",
    ),
    "hevc": (
        "h265parse config-interval=-1 ! video/x-h265,stream-format=byte-stream,alignment=au",
        "h265parse ! rtph265pay",
    ),
    "mjpeg": ("identity", "jpegparse ! rtpjpegpay"),  # jpegparse would lose the durations
}


_saying = threading.Lock()


def say(event: str, **details: object) -> None:
    """Print one event for the process that started this one; from any thread, a whole line at a time."""
    with _saying:
        print(json.dumps({"event": event, **details}), flush=True)


try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstApp", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstApp, GstRtsp, GstRtspServer

    Gst.init(None)
    missing = [name for name in ELEMENTS if Gst.ElementFactory.find(name) is None]
    if missing:
        raise ImportError(f"no GStreamer element {', '.join(missing)}")
except (ImportError, ValueError) as error:
    say("error", message=f"GStreamer's RTSP server is not installed ({error}): {APT}")
    sys.exit(3)


def access_units(codec: str, clip: str) -> tuple[Gst.Caps, list[tuple[bytes, int, bool]]]:
    """The caps of a clip's stream and its access units as (bytes, duration in ns, is a keyframe)."""
    pipeline = Gst.parse_launch(
        f'filesrc location="{clip}" ! qtdemux ! {CODECS[codec][0]} ! appsink name=out sync=false'
    )
    sink, units, caps = pipeline.get_by_name("out"), [], None
    pipeline.set_state(Gst.State.PLAYING)
    while (sample := sink.emit("pull-sample")) is not None:
        buffer, caps = sample.get_buffer(), sample.get_caps()
        key = not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
        units.append((buffer.extract_dup(0, buffer.get_size()), buffer.duration, key))
    pipeline.set_state(Gst.State.NULL)
    if caps is None:
        raise SystemExit(f"no {codec} video in {clip}")
    return caps, units


class Camera(GstRtspServer.RTSPMediaFactory):
    """``/cam``: every client gets the clip from its first frame, at its own pace, ``loops`` times (0: for ever).

    After ``switch``, clients that are there go on with the new clip from its first frame, in mid-stream, if it has
    the codec they were told of; if not, their stream ends, as a camera's does that starts its encoder anew.
    New clients get the new clip.
    """

    def __init__(self, codec: str, clip: str, loops: int, *, transport: str = "", loss: float = 0.0) -> None:
        super().__init__()
        self.loops, self.loss = loops, loss
        if transport:
            self.set_protocols(getattr(GstRtsp.RTSPLowerTrans, transport.upper()))
        self.stalled = threading.Event()
        self.switch(codec, clip)
        self.connect("media-configure", self.configure)

    def switch(self, codec: str, clip: str) -> None:
        """Go over to ``clip``."""
        self.clip = (codec, *access_units(codec, clip))
        send = CODECS[codec][1]
        # What loses packets stands where the server looks for what makes them, and has its numbers already.
        lossy = f"{send} pt=96 ! identity drop-probability={self.loss} name=pay0"
        last = lossy if self.loss else f"{send} name=pay0 pt=96"
        self.set_launch(f"( appsrc name=src is-live=true format=time ! {last} )")

    def configure(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        """Feed a new client's pipeline."""
        playing = self.clip
        position = {"number": 0, "pts": 0}
        source = media.get_element().get_by_name("src")
        source.set_property("caps", playing[1])

        def feed(source: GstApp.AppSrc, _length: int) -> None:
            nonlocal playing
            if self.clip is not playing and self.clip[0] == playing[0]:
                playing, position["number"] = self.clip, 0
                source.set_property("caps", playing[1])
            number, (codec, _, units) = position["number"], playing
            if codec != self.clip[0] or (self.loops and number >= self.loops * len(units)):
                source.emit("end-of-stream")
                return
            if self.stalled.is_set():
                return
            data, duration, key = units[number % len(units)]
            buffer = Gst.Buffer.new_wrapped(data)
            buffer.pts = buffer.dts = position["pts"]
            buffer.duration = duration
            if not key:
                buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
            position["number"] += 1
            position["pts"] += duration
            source.emit("push-buffer", buffer)

        def started(_media: GstRtspServer.RTSPMedia, state: int) -> None:
            if state == int(Gst.State.PLAYING):
                say("started", at=source.get_base_time() / 1e9)

        source.connect("need-data", feed)
        media.connect("new-state", started)
        say("playing")


class RecordedMedia(GstRtspServer.RTSPMedia):
    """A recording whose time stamps are the sender's, not smoothed against the time of arrival."""

    def do_setup_rtpbin(self, rtpbin: Gst.Element) -> bool:
        """Take RTP's time stamps as they are."""
        Gst.util_set_object_arg(rtpbin, "buffer-mode", "none")
        return True


# How recorded sound is unpacked.
SOUNDS = {
    "aac": "rtpmp4gdepay name=depay1 ! aacparse",
    "opus": "rtpopusdepay name=depay1 ! opusparse",
    "pcm_alaw": "rtppcmadepay name=depay1",
    "pcm_mulaw": "rtppcmudepay name=depay1",
}


class Recorder(GstRtspServer.RTSPMediaFactory):
    """``/day``, ``/h265``, and ``/heard/CODEC`` with sound: writes what a client RECORDs to ``{prefix}{n}.mkv``.

    It says after each frame how many came.
    """

    def __init__(self, prefix: str, sound: str = "", codec: str = "h264") -> None:
        super().__init__()
        self.prefix, self.sessions = prefix, 0
        self.set_media_gtype(RecordedMedia.__gtype__)
        self.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        self.set_eos_shutdown(True)  # else the last frame may be lost between the parser and the file
        # A file of two streams is written once both have begun, so what comes later is told by the parser alone.
        heard = f"{SOUNDS[sound]} ! queue ! mux." if sound else ""
        self.set_launch(
            "( rtph264depay name=depay0 ! h264parse name=parse ! queue ! mux. matroskamux name=mux streamable=true "
            f"! filesink name=file buffer-mode=unbuffered sync=false {heard} )"
            if sound
            else f"( rtp{codec}depay name=depay0 ! {codec}parse name=parse "
            "! matroskamux streamable=true ! filesink name=file buffer-mode=unbuffered sync=false )"
        )
        self.connect("media-configure", self.configure)

    def configure(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        """Give a new recording its file and count its frames."""
        path, frames = f"{self.prefix}{self.sessions}.mkv", 0
        self.sessions += 1
        element = media.get_element()
        element.get_by_name("file").set_property("location", path)

        def count(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
            nonlocal frames
            frames += 1
            pts, now = info.get_buffer().pts, time.monotonic()
            say("recorded", path=path, frames=frames, pts=pts / 1e9, at=now)
            return Gst.PadProbeReturn.OK

        element.get_by_name("parse").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, count)
        media.connect("unprepared", lambda _media: say("closed", path=path, frames=frames))
        say("recording", path=path)


def protect(
    server: GstRtspServer.RTSPServer, factories: list[GstRtspServer.RTSPMediaFactory], login: str
) -> None:
    """Let only ``login`` ("user:password") in."""
    user, _, password = login.partition(":")
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "member")
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    role = "member, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
    for factory in factories:
        factory.add_role_from_structure(Gst.Structure.new_from_string(role))


def main() -> None:
    """Serve until told to quit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", required=True, help="MP4 file with one video stream")
    parser.add_argument("--codec", default="h264", choices=tuple(CODECS), help="of the clip")
    parser.add_argument("--record", required=True, help="prefix of the files recordings go to")
    parser.add_argument("--port", default="0", help="0: any free one")
    parser.add_argument("--loops", type=int, default=0, help="0: for ever")
    parser.add_argument("--login", default="", help="user:password; without it everybody may")
    parser.add_argument("--transport", default="", choices=("", "tcp", "udp"), help="the only one of /cam")
    parser.add_argument("--loss", type=float, default=0.0, help="share of the packets of /cam that get lost")
    arguments = parser.parse_args()

    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    camera = Camera(
        arguments.codec,
        arguments.clip,
        arguments.loops,
        transport=arguments.transport,
        loss=arguments.loss,
    )
    recorder = Recorder(arguments.record)
    server.get_mount_points().add_factory("/cam", camera)
    server.get_mount_points().add_factory("/day", recorder)
    server.get_mount_points().add_factory("/h265", Recorder(f"{arguments.record}-h265", codec="h265"))
    for sound in SOUNDS:
        server.get_mount_points().add_factory(
            f"/heard/{sound}", Recorder(f"{arguments.record}-{sound}", sound)
        )
    if arguments.login:
        protect(server, [camera, recorder], arguments.login)
    if not server.attach(None):
        say("error", message=f"port {arguments.port} cannot be bound")
        sys.exit(3)
    loop = GLib.MainLoop()

    def drop() -> bool:
        clients = server.client_filter(lambda _server, _client: GstRtspServer.RTSPFilterResult.REF)
        for client in clients:
            client.close()
        say("dropped", clients=len(clients))
        return False

    def obey() -> None:
        for line in sys.stdin:
            if line.strip() == "drop":
                GLib.idle_add(drop)
            elif line.strip() == "stall":
                camera.stalled.set()
                say("stalled")
            elif line.startswith("switch "):
                _, codec, clip = line.strip().split(maxsplit=2)
                camera.switch(codec, clip)
                say("switched")
            elif line.strip() == "quit":
                break
        GLib.idle_add(loop.quit)

    threading.Thread(target=obey, daemon=True).start()
    say("ready", port=server.get_bound_port())
    loop.run()


if __name__ == "__main__":
    main()
