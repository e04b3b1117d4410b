"""Plays an address with GStreamer; run by the system's Python.

``gst_player.py URL SECONDS SOUND COLUMNS ROWS WHITE`` prints one JSON object: the time stamps of pictures and sound
(running time, seconds), when it flashed and when it beeped, the lowest and highest levels that it saw in the middle
of each patch but for flashes, and what GStreamer said.
"""

from __future__ import annotations

import array
import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import GLib, Gst, GstApp  # noqa: E402

Gst.init(None)
RATE = 48_000


class Player:
    """Looks at each picture and hears each sample."""

    def __init__(self, columns: int, rows: int, white: float) -> None:
        self.columns, self.rows, self.white = columns, rows, white
        self.stamps: dict[str, list[float]] = {"video": [], "audio": []}
        self.flashes: list[float] = []
        self.beeps: list[float] = []
        self.lowest: list[int] = []
        self.highest: list[int] = []
        self.said: list[str] = []
        self.bright = False
        self.heard_at = -1.0

    def picture(self, sink: GstApp.AppSink) -> Gst.FlowReturn:
        """Look at one picture."""
        at, data, caps = taken(sink, "video", self.stamps)
        width, height = (caps.get_structure(0).get_int(name).value for name in ("width", "height"))
        levels = self.centres(data, width, height)
        count = self.columns * self.rows
        white = sum(levels[:count]) / count > self.white
        if white and not self.bright:
            self.flashes.append(at)
        self.bright = white
        if not white:
            self.lowest = [*map(min, self.lowest or levels, levels)]
            self.highest = [*map(max, self.highest or levels, levels)]
        return Gst.FlowReturn.OK

    def centres(self, data: bytes, width: int, height: int) -> list[int]:
        """The levels of Y, Cb and Cr in the middle of each patch of an I420 picture."""
        found, start = [], 0
        for across, down in ((width, height), (width // 2, height // 2), (width // 2, height // 2)):
            stride = (across + 3) // 4 * 4
            for row in range(self.rows):
                line = start + (2 * row + 1) * down // (2 * self.rows) * stride
                found += [
                    data[line + (2 * column + 1) * across // (2 * self.columns)]
                    for column in range(self.columns)
                ]
            start += stride * down
        return found

    def sound(self, sink: GstApp.AppSink) -> Gst.FlowReturn:
        """Hear one piece of sound."""
        at, data, _ = taken(sink, "audio", self.stamps)
        for number, sample in enumerate(array.array("f", data)):
            if abs(sample) > 0.2:
                if at + number / RATE - self.heard_at > 0.5:
                    self.beeps.append(at + number / RATE)
                self.heard_at = at + number / RATE
        return Gst.FlowReturn.OK


def taken(sink: GstApp.AppSink, kind: str, stamps: dict[str, list[float]]) -> tuple[float, bytes, Gst.Caps]:
    """One sample: when it is due, its bytes and what they are."""
    sample = sink.emit("pull-sample")
    buffer = sample.get_buffer()
    # The full one, since the first picture may be due before the segment begins.
    sign, since = sample.get_segment().to_running_time_full(Gst.Format.TIME, buffer.pts)
    at: float = sign * since / Gst.SECOND
    stamps[kind].append(at)
    return at, buffer.extract_dup(0, buffer.get_size()), sample.get_caps()


def by_the_sender(_bin: Gst.Element, source: Gst.Element) -> None:
    """Take the sender's time stamps as they are, not smoothed against the times of arrival."""
    if source.find_property("buffer-mode"):  # RTSP
        Gst.util_set_object_arg(source, "buffer-mode", "none")
    elif source.get_factory().get_name() == "udpsrc":
        source.set_property("do-timestamp", False)


def main(url: str, seconds: float, sound: bool, player: Player) -> None:
    """Play ``url`` for so long and print what was found."""
    heard = (
        "source. ! queue ! audioconvert ! audioresample "
        f"! audio/x-raw,format=F32LE,channels=1,rate={RATE} ! appsink name=sound emit-signals=true"
    )
    pipeline = Gst.parse_launch(
        f'uridecodebin name=source uri="{url}" source. ! queue ! videoconvert ! video/x-raw,format=I420 '
        f"! appsink name=picture emit-signals=true {heard if sound else ''}"
    )
    pipeline.get_by_name("source").connect("source-setup", by_the_sender)
    pipeline.get_by_name("picture").connect("new-sample", player.picture)
    if sound:
        pipeline.get_by_name("sound").connect("new-sample", player.sound)
    loop = GLib.MainLoop()

    def told(_bus: Gst.Bus, message: Gst.Message) -> None:
        if message.type in (Gst.MessageType.ERROR, Gst.MessageType.WARNING):
            parse = message.parse_error if message.type == Gst.MessageType.ERROR else message.parse_warning
            error, detail = parse()
            player.said.append(f"{message.src.get_name()}: {error.message} {detail}")
        if message.type == Gst.MessageType.EOS:
            player.said.append("the stream ended")
        if message.type in (Gst.MessageType.ERROR, Gst.MessageType.EOS):
            loop.quit()

    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message", told)
    pipeline.set_state(Gst.State.PLAYING)
    GLib.timeout_add(round(1000 * seconds), loop.quit)
    loop.run()
    pipeline.set_state(Gst.State.NULL)
    found = ("stamps", "flashes", "beeps", "lowest", "highest", "said")
    print(json.dumps({name: getattr(player, name) for name in found}), flush=True)


if __name__ == "__main__":
    _, url, seconds, sound, columns, rows, white = sys.argv
    main(url, float(seconds), sound == "yes", Player(int(columns), int(rows), float(white)))
