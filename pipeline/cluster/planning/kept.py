"""Profiles on disk: what was measured once on a machine, with a program and a model, need not be measured again."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from nightday.engines import cores
from nightday.engines.cache import machine
from nightday.engines.cache.engine_cache import default_folder
from nightday.engines.distribution import program_version
from nightday.engines.errors import CheckpointError, EngineError
from nightday.engines.selection.load import load_engine

from ...config.schema import EngineConfig
from ...core.atomic_file import write_atomically
from .measure import Say, measure
from .profile import FORMAT, PlanError, Profile

log = logging.getLogger(__name__)


def profile_of(
    checkpoint: Path,
    settings: EngineConfig,
    *,
    say: Say = lambda line: None,
    again: bool = False,
    folder: Path | None = None,
) -> Profile:
    """The profile of this machine with a model, measured if it is not kept from before.

    Args:
        checkpoint: the model.
        settings: what runs it.
        say: told, in a line each, what takes long.
        again: measure in any case.
        folder: where profiles are kept; by default ``plans`` beside the cache of engines.

    Raises:
        PlanError: the model cannot be run here.
    """
    path = (folder or default_folder().with_name("plans")) / f"{_key(checkpoint, settings)}.json"
    if not again and (kept := _read(path)) is not None:
        return kept
    say(
        f"measuring this machine with {checkpoint.name}, once: up to 40 s, and as many more to choose its engine"
    )
    try:
        engine = load_engine(
            checkpoint,
            settings.backend,
            settings.precision,
            max_batch=settings.max_batch,
            reuse=settings.reuse == "auto",
        )
    except (CheckpointError, EngineError, OSError) as error:
        raise PlanError(str(error)) from None
    profile = measure(engine, checkpoint.name, max_batch=settings.max_batch, say=say)
    try:
        write_atomically(path, [profile.to_json().encode()])
    except OSError as error:
        say(f"{path}: cannot be written ({error.strerror}); the next plan measures again")
    return profile


def _key(checkpoint: Path, settings: EngineConfig) -> str:
    """A digest of all that the costs depend on."""
    try:
        content = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    except OSError as error:
        raise PlanError(f"{checkpoint}: cannot be read: {error.strerror}") from None
    depends = (
        str(FORMAT),
        program_version(),
        *machine.device_and_driver(),
        str(cores.processors()),
        content,
        settings.model_dump_json(),
    )
    return hashlib.sha256("\n".join(depends).encode()).hexdigest()[:32]


def _read(path: Path) -> Profile | None:
    try:
        return Profile.from_json(path.read_text())
    except (OSError, ValueError):
        return None
