"""Sound that a server does not take: told once, and not offered again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ...core.camera_url import CameraUrl, redact
from ...core.events import Notice, Publish
from ...core.faults import OutputError
from ...core.sound import SoundFormat

Connected = TypeVar("Connected")


class RefusedSound:
    """What one output's server refused.

    Args:
        url: the server's address.
        camera: the camera's name, for events.
        publish: told of each format that is refused, once.
    """

    def __init__(self, *, url: CameraUrl, camera: str, publish: Publish) -> None:
        self._url = url
        self._camera = camera
        self._publish = publish
        self._formats: set[SoundFormat] = set()

    def connected(
        self, form: SoundFormat | None, connect: Callable[[SoundFormat | None], Connected]
    ) -> tuple[Connected, SoundFormat | None]:
        """What ``connect`` gives, with sound of ``form`` unless the server refuses that, and the sound it was given.

        Raises what ``connect`` raises without sound.
        """
        if form is None or form in self._formats:
            return connect(None), None
        try:
            return connect(form), form
        except (OutputError, ConnectionError) as error:
            if isinstance(error, OutputError) and error.reason != "failed":
                raise
            # Only where it takes the pictures alone was it the sound.
            connection = connect(None)
            self.note(form, str(error))
            return connection, None

    def note(self, form: SoundFormat, why: str) -> None:
        """``form`` was refused."""
        self._formats.add(form)
        detail = (
            f"{self._url}: the server takes no sound of the codec {form.codec} ({redact(why)}), so the pictures go "
            "without it; let the camera send another codec, or have the server take this one"
        )
        self._publish(Notice(camera=self._camera, name="sound_dropped", detail=detail, level="warning"))
