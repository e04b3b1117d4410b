"""``state.pt`` of a run: everything that is needed to go on, bit for bit on the same CPU."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from nightday.engines.errors import NightdayError

from .. import processes
from ..footage.scene import Scene
from .settings import TrainSettings


class ResumeError(NightdayError, ValueError):
    """The run's folder holds a state of another run. One line, with the way out."""


class Stateful(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Its tensors and numbers."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Take over what ``state_dict`` gave."""
        ...


class RunState:
    """Saves and loads what a run needs to go on.

    Args:
        path: of ``state.pt``.
        parts: networks and optimisers by name.
        settings: of the run.
        pictures: ``fingerprint`` of what is trained on.
        rng: this process's random generator beside torch's.
    """

    def __init__(
        self,
        path: Path,
        parts: Mapping[str, Stateful],
        settings: TrainSettings,
        pictures: str,
        rng: np.random.Generator,
    ) -> None:
        self.path, self.parts, self.rng = path, parts, rng
        self.settings, self.pictures = settings, pictures

    def save(self, step: int) -> None:
        """Write the state after ``step`` atomically. Process 0 writes; all must call."""
        random = processes.gather((torch.get_rng_state(), self.rng.bit_generator.state))
        if processes.rank() > 0:
            return
        state = {
            "settings": asdict(self.settings),
            "scene": self.pictures,
            "step": step,
            "torch_rng": [drawn for drawn, _ in random],
            "numpy_rng": [drawn for _, drawn in random],
            **{name: part.state_dict() for name, part in self.parts.items()},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + ".part")
        torch.save(state, part)
        os.replace(part, self.path)

    def load(self) -> int | None:
        """Take over the saved state and give its step; None where there is no such file.

        Raises:
            ResumeError: the file cannot be read, or belongs to another run.
        """
        path = self.path
        if not path.is_file():
            return None
        try:
            state = torch.load(path, map_location=self.settings.device, weights_only=True)
        except Exception as error:
            raise ResumeError(
                f"{path}: unreadable ({type(error).__name__}); delete it to start anew"
            ) from None
        if not isinstance(state, dict) or not {"settings", "scene", "step", *self.parts} <= state.keys():
            raise ResumeError(f"{path}: not the state of such a run; delete it or use another --out")
        # Settings that came later than the file were as they are by default.
        mine, theirs = plain(asdict(self.settings)), plain(asdict(TrainSettings()) | state["settings"])
        changed = sorted(k for k in mine if mine[k] != theirs.get(k))
        if changed or state["scene"] != self.pictures:
            what = ", ".join(changed) or "scene"
            raise ResumeError(
                f"{path}: made with another {what}; use the same arguments, another --out, or delete it"
            )
        random = [state[name] for name in ("torch_rng", "numpy_rng")]
        # Runs from before several processes could train hold one state, not a list of one.
        drawn_torch, drawn_numpy = (kept if isinstance(kept, list) else [kept] for kept in random)
        if len(drawn_torch) != processes.count():
            raise ResumeError(
                f"{path}: made by {len(drawn_torch)} processes, these are {processes.count()}; "
                "start as many, use another --out, or delete it"
            )
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(drawn_torch[processes.rank()].cpu())
        self.rng.bit_generator.state = drawn_numpy[processes.rank()]
        return int(state["step"])


def fingerprint(scene: Scene, others: Sequence[Scene] = ()) -> str:
    """What tells one run's pictures from another's: names, counts, sizes, and hashes of x_ref."""

    def described(camera: Scene) -> str:
        digest = hashlib.sha256(camera.background.tobytes()).hexdigest()[:16]
        return f"{camera.name} {len(camera.day)} {len(camera.night)} {camera.background.shape} {digest}"

    return "; ".join(map(described, (scene, *others)))


def plain(value: Any) -> Any:
    """Tuples as lists, so that settings compare equal after they were written to a file and read."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value
