"""``nightday-stream --plan``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from nightday.engines.bundled import bundled_weights

from ...config.errors import ConfigError
from ...config.load import LoadedConfig
from ...config.schema import GENERAL, CameraConfig, EngineConfig
from ...core.camera_url import redact
from .configured import Assumed, planned
from .kept import profile_of
from .plan import Planner
from .profile import PlanError, Profile
from .report import costs_text, judge, kinds_carried, kinds_text, machine_text, plan_json, verdict_text


def run_plan(
    loaded: LoadedConfig | None, *, budget_ms: float, more_machines: int, assume: str | None, as_json: bool
) -> None:
    """Measure this machine if that was not done before, and print what it carries.

    Args:
        loaded: the configuration whose cameras are to be planned; None for kinds of cameras.
        budget_ms: milliseconds that the 95th percentile of latencies may be.
        more_machines: machines like this one beside it.
        assume: see ``Assumed.parse``; None for its defaults.
        as_json: print JSON.

    Raises:
        ConfigError: a model cannot be run, or a file not be read.
    """
    try:
        text = _plan_text(loaded, budget_ms, more_machines, assume, as_json)
    except PlanError as error:
        raise ConfigError([redact(str(error))]) from None
    print(text)


def _plan_text(
    loaded: LoadedConfig | None, budget_ms: float, more_machines: int, assume: str | None, as_json: bool
) -> str:
    assumed = Assumed() if assume is None else Assumed.parse(assume)
    settings = EngineConfig() if loaded is None else loaded.config.engine
    cameras = () if loaded is None else loaded.config.cameras
    seen = [planned(camera, assumed) for camera in cameras]
    profiles = _profiles(cameras, settings)
    general = bundled_weights(GENERAL)
    base = next(iter(profiles.values()), None) or profile_of(general, settings, say=_say)
    planner = Planner(base, budget=budget_ms / 1000, max_batch=settings.max_batch)
    machines = 1 + more_machines
    verdict = None
    if loaded is not None:
        by_name = {camera.name: profiles.get(camera.checkpoint or general, base) for camera in cameras}
        verdict = judge(planner, seen, by_name, machines)
    rows = kinds_carried(planner) if loaded is None else []
    if as_json:
        return json.dumps(plan_json(planner, machines, rows, verdict), indent=1)
    parts = [machine_text(planner), costs_text(base)]
    parts.append(kinds_text(rows, machines) if verdict is None else verdict_text(verdict, planner, assumed))
    return "\n\n".join(parts)


def _profiles(cameras: Sequence[CameraConfig], settings: EngineConfig) -> dict[Path, Profile]:
    """The profile of each model that cameras have."""
    models = dict.fromkeys(camera.checkpoint for camera in cameras if camera.checkpoint is not None)
    return {model: profile_of(model, settings, say=_say) for model in models}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
