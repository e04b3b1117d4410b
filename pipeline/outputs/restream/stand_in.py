"""The last picture once more, with the time at which it came: for viewers, while a camera is away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nightday.engines import device_copies
from nightday.engines.video.look import without_pixels

from ...analysis.draw import draw_absence
from ...core.frame import Frame, Picture
from ...core.live import View
from ..encoding.encoder import Encoder
from ..encoding.shared_encoder import EncodedPicture, finished

# Seconds by which a stand-in stays behind the time that has passed. The next picture's PTS lies after it then,
# although that picture waited until it was written.
LAG = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class StandIn:
    """What may stand in for pictures that do not come.

    Attributes:
        last: the last picture, encoded.
        picture: the same, in its pixels.
        shown_at: when it was sent, in monotonic seconds.
        shape: makes of the picture what is encoded, its view and size.
        view: that view.
    """

    last: EncodedPicture
    picture: Picture
    shown_at: float
    shape: Callable[[Picture], Picture] = lambda picture: picture
    view: View = "day"

    def encoded(self, now: float) -> EncodedPicture:
        """The picture with "no picture since …" in it, at ``now`` (monotonic seconds): a key frame.

        An encoder of its own makes it, so the camera's other outputs notice nothing. Raises what PyAV raises.
        """
        shown = self.shape(self.picture)
        rgb = np.array(device_copies.on_host(shown.rgb, "encode"))
        draw_absence(rgb, shown.frame.wall_time)
        pts = self.last.pts + max(1, round((now - self.shown_at - LAG) / self.last.time_base))
        frame = replace(shown.frame, pts=pts)
        still = replace(shown, frame=frame, rgb=rgb)
        codec = self.last.codec
        (packet,) = Encoder(still, preset="veryfast", codec=codec).encode(still, key=True)
        return replace(self.last, data=finished(bytes(packet), still, self.view, codec), pts=pts, key=True)


def stand_in_for(
    picture: Picture,
    encoded: EncodedPicture,
    *,
    shown_at: float,
    shape: Callable[[Picture], Picture] = lambda picture: picture,
    view: View = "day",
) -> StandIn:
    """One for ``picture``, which was sent as ``encoded``. It keeps nothing of the decoder's."""
    frame = picture.frame
    kept = Frame(
        camera=frame.camera,
        video=without_pixels(frame.video),
        pts=frame.pts,
        time_base=frame.time_base,
        decoded_at=frame.decoded_at,
        wall_time=frame.wall_time,
    )
    return StandIn(replace(encoded, sound=()), replace(picture, frame=kept), shown_at, shape, view)
