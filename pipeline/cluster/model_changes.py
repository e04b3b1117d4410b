"""Cameras whose model changes while they run: they keep the one they have until the engine of the next is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config.fields import AUTO
from ..config.load import LoadedConfig
from ..core.camera_url import redact
from ..core.events import Notice, Publish
from ..serving.setup import Setup
from .messages import Part


class ModelChanges:
    """A reload that loads an engine would hold up cameras that come meanwhile, and nights would be brightened.

    The methods but for ``_work`` are for the node's thread that sets parts up.

    Args:
        build: loads what a configuration needs, engines included, which may take minutes.
        again: called when an engine is there, to have the part set up again; must not block.
        publish: told of engines that cannot be built.
    """

    def __init__(
        self, build: Callable[[LoadedConfig], Setup], *, again: Callable[[], None], publish: Publish
    ) -> None:
        self._build = build
        self._again = again
        self._publish = publish
        self._serving: dict[str, tuple[int, Any]] = {}  # each camera's epoch and model
        self._busy = False
        # The present attempt: what is to serve, and the engines, which the loader knows while they are held here.
        self._wanted: Mapping[str, Any] = {}
        self._built: Setup | None = None
        self._failed: Mapping[str, Any] = {}

    def held_back(self, part: Part) -> tuple[Part, Mapping[str, Any]]:
        """``part`` with the models that serve now where the next is not there yet, and those next ones by camera."""
        later = {
            name: model
            for name, values in part.cameras.items()
            if (model := values.get("model")) is not None
            and name in self._serving
            and self._serving[name][0] == part.epochs[name]
            and self._serving[name][1] != model
            and not (self._built is not None and self._wanted.get(name) == model)
        }
        cameras = {
            name: {**values, "model": self._serving[name][1]} if name in later else values
            for name, values in part.cameras.items()
        }
        return replace(part, cameras=cameras), later

    def served(self, part: Part, later: Mapping[str, Any], loaded: LoadedConfig) -> None:
        """``part`` was set up, without what ``held_back`` said comes ``later``; ``loaded`` is what runs of it."""
        self._serving = {
            name: (part.epochs[name], values.get("model")) for name, values in part.cameras.items()
        }
        if not later:
            self._built = None
        elif not self._busy and later != self._failed:
            self._wanted, self._built, self._busy = later, None, True
            cameras = tuple(
                one.model_copy(update={"model": AUTO if later[one.name] == AUTO else Path(later[one.name])})
                for one in loaded.config.cameras
                if one.name in later
            )
            wanted = replace(loaded, config=loaded.config.model_copy(update={"cameras": cameras}))
            threading.Thread(target=self._work, args=(wanted,), name="own models", daemon=True).start()

    def forget(self) -> None:
        """Nothing runs any more."""
        self._serving = {}

    def _work(self, wanted: LoadedConfig) -> None:
        try:
            self._built = self._build(wanted)
        except Exception as error:
            self._failed = self._wanted
            detail = f"models of their own do not serve: {redact(' '.join(str(error).split()))}"
            self._publish(Notice(name="engine_failed", detail=detail, level="error"))
        self._busy = False
        self._again()
