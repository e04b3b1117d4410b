"""Where things are published."""

from __future__ import annotations

from dataclasses import dataclass

DEVICE_END = "/config"
"""How the topics end at which Home Assistant is told of devices; no other does."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one program.

    Attributes:
        prefix: what its own begin with.
        discovery: what Home Assistant's discovery topics begin with; None where it is told nothing.
    """

    prefix: str
    discovery: str | None

    @property
    def status(self) -> str:
        """Whether the program is there: ``online`` or ``offline``."""
        return f"{self.prefix}/status"

    @property
    def commands(self) -> str:
        """Filter of all topics at which commands come."""
        return f"{self.prefix}/+/translate/set"

    def event(self, camera: str | None) -> str:
        """Events of a camera, or of the whole program."""
        return f"{self.prefix}/event" if camera is None else f"{self.prefix}/{camera}/event"

    def state(self, camera: str) -> str:
        """A camera's state."""
        return f"{self.prefix}/{camera}/state"

    def picture(self, camera: str) -> str:
        """A camera's newest picture."""
        return f"{self.prefix}/{camera}/picture"

    def translate(self, camera: str) -> str:
        """Where it is set when a camera is translated."""
        return f"{self.prefix}/{camera}/translate/set"

    def node(self, camera: str) -> str:
        """A camera's name among all devices of a home."""
        return f"{self.prefix.replace('/', '-')}-{camera}"

    def device(self, camera: str) -> str | None:
        """Where Home Assistant is told of a camera."""
        return None if self.discovery is None else f"{self.discovery}/device/{self.node(camera)}{DEVICE_END}"

    def kept(self, cameras: list[str]) -> set[str]:
        """All topics of cameras at which the broker keeps a value."""
        devices = [self.device(camera) for camera in cameras]
        return {
            *(topic for camera in cameras for topic in (self.state(camera), self.picture(camera))),
            *(device for device in devices if device is not None),
        }

    def camera_of(self, command: str) -> str:
        """The camera that a topic of ``commands`` is about."""
        return command.removeprefix(f"{self.prefix}/").split("/", 1)[0]
