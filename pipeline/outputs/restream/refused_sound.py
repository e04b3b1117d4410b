"""Sound that a server does not take: told once, and not offered again."""

from __future__ import annotations

from ...core.camera_url import CameraUrl, redact
from ...core.events import Notice, Publish
from ...core.sound import SoundFormat


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

    def unless(self, form: SoundFormat | None) -> SoundFormat | None:
        """``form``, or None where it was refused before."""
        return None if form in self._formats else form

    def note(self, form: SoundFormat, why: str) -> None:
        """``form`` was refused."""
        self._formats.add(form)
        detail = (
            f"{self._url}: the server takes no sound of the codec {form.codec} ({redact(why)}), so the pictures go "
            "without it; let the camera send another codec, or have the server take this one"
        )
        self._publish(Notice(camera=self._camera, name="sound_dropped", detail=detail, level="warning"))
