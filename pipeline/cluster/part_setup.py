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
from ..core.events import Publish
from ..serving.setup import Setup
from .fence import Fence
from .messages import Part
from .model_changes import ModelChanges
from .shared import apart, without_share

Load = Callable[[LoadedConfig], Setup]
"""Loads what a configuration needs, without waiting for engines; see ``ModelLoader.begin``. Raises ConfigError."""

Build = Callable[[LoadedConfig, Mapping[str, tuple[int, int]]], Setup]
"""The same, engines included, for frames of these sizes (height, width), by camera; see ``ModelLoader.setup``."""

# Characters of a value that a message shows.
_LONGEST = 100

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PartSetup:
    """What of a part can run here.

    Attributes:
        setup: its cameras with all they need.
        refused: why other cameras cannot run here, by name, in a line.
        apart: why its cameras do not learn here; None where they do, or none is to.
    """

    setup: Setup
    refused: Mapping[str, str] = field(default_factory=dict)
    apart: str | None = None


def setup_of(part: Part, load: Load, fence: Fence, *, without: frozenset[str] = frozenset()) -> PartSetup:
    """What of ``part`` can run here, but for the cameras ``without``. Raises ConfigError where nothing can."""
    refused: dict[str, str] = {}
    cameras: list[CameraConfig] = []
    why = None if part.learnt is None else apart(part.learnt)
    for name, values in part.cameras.items():
        if name not in without:
            camera, fault = _tried(lambda: CameraConfig.model_validate(values))  # noqa: B023 - called at once
            if camera is not None and part.learnt is not None and why is not None:
                camera, fault = without_share(camera, part.learnt, why)
            if camera is None or fault:
                refused[name] = fault
            else:
                cameras.append(camera)
    rest, fault = _tried(lambda: Config.model_validate({**part.rest, "cameras": []}))
    if rest is None:
        raise ConfigError([fault])

    def loaded_with(some: list[CameraConfig]) -> Setup:
        return load(LoadedConfig(rest.model_copy(update={"cameras": tuple(some)}), part.file, {}))

    setup, _ = _tried(lambda: loaded_with(cameras))
    if setup is None:
        for camera in [*cameras]:
            alone, fault = _tried(lambda: loaded_with([camera]))  # noqa: B023 - called at once
            if alone is None:
                refused[camera.name] = fault
                cameras.remove(camera)
        setup = loaded_with(cameras)
    leases = {one.name: fence.lease(one.name, part.epochs[one.name]) for one in setup.config.cameras}
    return PartSetup(Setup(setup.config, setup.engines, setup.detectors, leases), refused, why)


class PartSetups:
    """Sets one part after the other up on a node. ``make`` is for one thread, and any may read what came of it.

    Args:
        load, build: see ``Load`` and ``Build``.
        fence: what cameras ask before they write.
        sizes: tells (height, width) of what cameras send, by name.
        again: called when the part is to be made again; must not block.
        publish: told what happens.
    """

    def __init__(
        self,
        load: Load,
        build: Build,
        fence: Fence,
        *,
        sizes: Callable[[], Mapping[str, tuple[int, int]]],
        again: Callable[[], None],
        publish: Publish,
    ) -> None:
        self._load = load
        self._fence = fence
        self._models = ModelChanges(lambda loaded: build(loaded, sizes()), again=again, publish=publish)
        self.refused: Mapping[str, str] = {}
        """Why cameras cannot run here, by name."""
        self.apart: str | None = None
        """Why cameras do not learn here; None where they do, or none is to."""

    def make(self, part: Part, *, without: frozenset[str]) -> Setup | None:
        """What of ``part`` can run here, but for the cameras ``without``; None if nothing can."""
        fault = enter(part.folder)
        made = None
        try:
            if fault is None:
                now, later = self._models.held_back(part)
                made = setup_of(now, self._load, self._fence, without=without)
                self._models.served(now, later, LoadedConfig(made.setup.config, part.file, {}))
        except Exception as error:  # whatever is wrong here, other nodes may do it
            fault = redact(f"{type(error).__name__}: {' '.join(str(error).split())}")
        self.refused = dict.fromkeys(part.cameras, fault or "") if made is None else made.refused
        self.apart = None if made is None else made.apart
        return None if made is None else made.setup

    def forget(self) -> None:
        """Nothing runs any more: no camera keeps a model until the next is there."""
        self._models.forget()


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
