"""Restreaming over WebRTC, with sound where the server takes it."""

from __future__ import annotations

from ...core.camera_url import CameraUrl
from ...core.clock import Clock
from ...core.event_log import to_log
from ...core.events import Publish
from ..encoding.shared_encoder import EncodedPicture, SharedEncoder
from ..module import WEBRTC_SOUNDS
from ..restream.refused_sound import RefusedSound
from ..restream.writer import Restreamer
from .connection import WhipConnection


class WhipWriter(Restreamer):
    """Publishes pictures to a server that speaks WHIP, and sound where the server takes it. See ``Restreamer``.

    Args:
        url: ``whip://`` or ``whips://`` address, its token included.
        encoder: the camera's, shared with its other outputs; without one it encodes for itself.
        camera: the camera's name, for events.
        publish: told once if the server does not take the sound.
        clock: time.
    """

    def __init__(
        self,
        *,
        url: CameraUrl,
        encoder: SharedEncoder | None = None,
        camera: str = "",
        publish: Publish = to_log,
        clock: Clock | None = None,
    ) -> None:
        self._url = url
        self._refused = RefusedSound(url=url, camera=camera, publish=publish)
        super().__init__(connect=self._begin, sounds=WEBRTC_SOUNDS, encoder=encoder, clock=clock)

    def _begin(self, first: EncodedPicture) -> WhipConnection:
        connection, form = self._refused.connected(
            first.sound_in(WEBRTC_SOUNDS), lambda form: WhipConnection(self._url, first, sound=form)
        )
        if form is not None and not connection.takes_sound:
            self._refused.note(form, "its answer leaves it out")
        return connection
