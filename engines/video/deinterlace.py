"""Whole pictures of the two fields of interlaced video."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
from av.filter import Graph
from av.filter.context import FilterContext


class Deinterlacer:
    """Takes decoded frames apart into fields and gives one whole picture for each, by FFmpeg's bwdif.

    Only frames that are marked as interlaced are changed. Before the first of them frames go through as they are;
    from it on each is held back until the next one is there, which tells what moved. PTS, colour tags, pixel aspect
    and display matrix stay. It takes frames on the host alone.
    """

    def __init__(self) -> None:
        # The graph itself is kept, too: its filters do not keep it, and crash without it.
        self._graph: tuple[Graph, FilterContext, FilterContext] | None = None
        self._of: tuple[int, int, str, int, int] | None = None

    @property
    def active(self) -> bool:
        """Whether an interlaced frame has come."""
        return self._graph is not None

    def frames(self, video: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """The frames that are whole once ``video`` is there. Raises PyAV's errors."""
        if self._graph is None and not video.interlaced_frame:
            yield video
            return
        kind = (
            video.width,
            video.height,
            video.format.name,
            int(video.colorspace),
            int(video.color_range),
        )
        if kind != self._of:
            yield from self.rest()
            self._graph, self._of = _graph(video), kind
        assert self._graph is not None
        _, source, sink = self._graph
        source.push(video)
        yield from self._pull(sink)

    def rest(self) -> Iterator[av.VideoFrame]:
        """The frames held back, at the end of the stream."""
        held, self._graph, self._of = self._graph, None, None
        if held is not None:
            _, source, sink = held
            source.push(None)
            yield from self._pull(sink)

    @staticmethod
    def _pull(sink: FilterContext) -> Iterator[av.VideoFrame]:
        while True:
            try:
                video = sink.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(video, av.VideoFrame)
            if video.pts is not None and video.time_base is not None:  # bwdif counts in half ticks
                video.pts //= 2
                video.time_base = Fraction(2 * video.time_base)
            yield video


def _graph(video: av.VideoFrame) -> tuple[Graph, FilterContext, FilterContext]:
    """A filter graph for frames like this one, and its two ends."""
    graph = Graph()
    what = {
        "video_size": f"{video.width}x{video.height}",
        "pix_fmt": video.format.name,
        "time_base": str(video.time_base),
        "colorspace": str(int(video.colorspace)),
        "range": str(int(video.color_range)),
    }
    source = graph.add("buffer", ":".join(f"{key}={value}" for key, value in what.items()))
    bwdif = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    sink = graph.add("buffersink")
    graph.link_nodes(source, bwdif, sink).configure()
    return graph, source, sink
