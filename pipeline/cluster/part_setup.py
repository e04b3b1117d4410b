"""Making ready what a part of the configuration needs on this node. A camera that cannot run here hurts no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from nightday.engines.errors import NightdayError

from ..config.errors import ConfigError
from ..config.load import LoadedConfig
from ..config.schema import CameraConfig, Config
from ..core.camera_url import redact
from ..learning.own_models import with_own_models
from ..serving.setup import Setup
from .fence import Fence
from .messages import Part

Load = Callable[[LoadedConfig], Setup]
"""Loads what a configuration needs, without waiting for engines; see ``ModelLoader.begin``. Raises ConfigError."""

# Characters of a value that a message shows.
_LONGEST = 100

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PartSetup:
    """What of a part can run here.

    Attributes:
        setup: its cameras with all they need.
        refused: why other cameras cannot run here, by name, in a line.
    """

    setup: Setup
    refused: Mapping[str, str] = field(default_factory=dict)


def setup_of(part: Part, load: Load, fence: Fence, *, without: frozenset[str] = frozenset()) -> PartSetup:
    """What of ``part`` can run here, but for the cameras ``without``. Raises ConfigError where nothing can."""
    refused: dict[str, str] = {}
    cameras: list[CameraConfig] = []
    for name, values in part.cameras.items():
        if name not in without:
            camera, fault = _tried(lambda: CameraConfig.model_validate(values))  # noqa: B023 - called at once
            refused |= {name: fault} if camera is None else {}
            cameras += [] if camera is None else [camera]
    rest, fault = _tried(lambda: Config.model_validate({**part.rest, "cameras": []}))
    if rest is None:
        raise ConfigError([fault])

    def loaded_with(some: list[CameraConfig]) -> Setup:
        config = with_own_models(rest.model_copy(update={"cameras": tuple(some)}))
        return load(LoadedConfig(config, part.file, {}))

    setup, _ = _tried(lambda: loaded_with(cameras))
    if setup is None:
        for camera in [*cameras]:
            alone, fault = _tried(lambda: loaded_with([camera]))  # noqa: B023 - called at once
            if alone is None:
                refused[camera.name] = fault
                cameras.remove(camera)
        setup = loaded_with(cameras)
    leases = {one.name: fence.lease(one.name, part.epochs[one.name]) for one in setup.config.cameras}
    return PartSetup(Setup(setup.config, setup.engines, setup.detectors, leases), refused)


def _tried(make: Callable[[], _T]) -> tuple[_T | None, str]:
    """What ``make`` makes, or None and why not."""
    try:
        return make(), ""
    except ConfigError as error:
        return None, "; ".join(error.faults)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(key) for key in first["loc"])
        value = f"{first['input']}"[:_LONGEST]
        return None, redact(f"{place} {value}: {first['msg']}")
    except (NightdayError, OSError) as error:
        return None, redact(f"{type(error).__name__}: {error}")


def enter(folder: Path) -> str | None:
    """Go to the folder where relative paths start; why that cannot be done, or None."""
    try:
        os.chdir(folder)
    except OSError as error:
        return (
            f"no folder {folder} here ({error.strerror}); every node needs it, as the paths of the "
            "configuration start there"
        )
    return None
