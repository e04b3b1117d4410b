"""A configuration with everything loaded that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nightday.engines.backends.base import Engine

from ..config.detection import DetectorChoice
from ..config.schema import CameraConfig, Config
from ..core.lease import ALONE, Lease
from ..core.stages import Detector


@dataclass(frozen=True, slots=True)
class Setup:
    """A configuration and what it needs.

    Attributes:
        config: what to run.
        engines: the generator of each checkpoint the cameras name.
        detectors: the detectors that the cameras ask for.
        leases: the right to write each camera, by its name, where another program may run it, too.
    """

    config: Config
    engines: Mapping[Path, Engine]
    detectors: Mapping[DetectorChoice, Detector] = field(default_factory=dict)
    leases: Mapping[str, Lease] = field(default_factory=dict)

    def engine_of(self, camera: CameraConfig) -> Engine | None:
        """The generator of a camera; None where nothing is translated."""
        return self.engines[camera.checkpoint] if camera.checkpoint is not None else None

    def lease_of(self, camera: str) -> Lease:
        """The right to write a camera."""
        return self.leases.get(camera, ALONE)

    def detector_of(self, camera: CameraConfig) -> Detector | None:
        """The detector of a camera, if it has one."""
        return self.detectors[camera.detect.detector] if camera.detect else None
