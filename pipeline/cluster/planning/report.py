"""A plan as text and as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .configured import Assumed, PlannedCamera
from .demands import CameraKind, Scene, Written, demand_of, mixed, one_output
from .plan import Carried, Limit, Planner
from .profile import Profile
from .simulation import DROPPED_MOST, Demand

SIZES = ((352, 288), (1280, 720), (1920, 1080))
RATES = (10.0, 25.0)
WRITTEN: tuple[Written, ...] = ("recorded", "restreamed")
# What the cameras of a column see, each scene with the share of the cameras.
COLUMNS: Mapping[str, Sequence[tuple[Scene, float]]] = {
    "busy nights": (("busy", 1.0),),
    "quiet nights": (("quiet", 1.0),),
    "half busy, half days": (("busy", 0.5), ("day", 0.5)),
    "days": (("day", 1.0),),
}
# Share of the processors from which on little is left for other programs and the system.
TIGHT = 0.9
LIMITS: Mapping[Limit, str] = {
    "processor": "the processors are used up",
    "latency": "pictures would come too late, or be dropped",
    "memory": "the memory is used up",
    "interpreter": "one process cannot do more; run another beside it",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table, and how many such cameras a machine carries in each column."""

    width: int
    height: int
    fps: float
    written: Written
    carried: Mapping[str, Carried]


def kinds_carried(planner: Planner) -> list[Kind]:
    """The table: cameras by size, rate and output, and by what they see."""
    rows = []
    for width, height in SIZES:
        for fps in RATES:
            for written in WRITTEN:
                carried = {
                    column: _carried(
                        planner,
                        [(one_output(width, height, fps, scene, written), share) for scene, share in scenes],
                    )
                    for column, scenes in COLUMNS.items()
                }
                rows.append(Kind(width, height, fps, written, carried))
    return rows


def _carried(planner: Planner, kinds: Sequence[tuple[CameraKind, float]]) -> Carried:
    return planner.most(lambda count: mixed(kinds, count, planner.profile))


def machine_text(planner: Planner) -> str:
    """What was measured, and what a camera that is carried is."""
    profile = planner.profile
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(profile.measured_at))
    per_call = (
        "frames in batches"
        if profile.at_once is None
        else f"{profile.at_once} frame{'s' * (profile.at_once > 1)} at once"
    )
    return "\n".join(
        [
            f"This machine: {profile.machine}; {profile.processors} processor{'s' * (profile.processors > 1)} and "
            f"{profile.memory / 1e9:.1f} GB for this program",
            f"Model: {profile.model} on {profile.engine}, {per_call}; measured {at}",
            f"A camera is carried while 95 of 100 of its pictures are written within {1000 * planner.budget:g} ms of "
            f"being decoded, and no more than {100 * DROPPED_MOST:g} of 100 are dropped.",
        ]
    )


def costs_text(profile: Profile) -> str:
    """What a frame costs."""
    rows = [["picture", "decode", "busy night", "quiet night", "day", "encode", "record", "send"]]
    for width, height in SIZES:
        pixels = width * height
        quiet = profile.quiet or profile.night[1].processor
        curves = (
            profile.decode,
            profile.night[1].processor,
            quiet,
            profile.day,
            profile.encode_passed,
            profile.record,
            profile.send,
        )
        rows.append([f"{width}x{height}", *(f"{1000 * curve(pixels):.2f}" for curve in curves)])
    return "What a frame costs, in ms of a processor's time\n" + _table(rows)


def kinds_text(rows: Sequence[Kind], machines: int) -> str:
    """The table of kinds as text."""
    which = "it carries" if machines == 1 else f"{machines} machines like it carry"
    lines = [["picture", "fps", "output", *COLUMNS]]
    lines += [
        [
            f"{row.width}x{row.height}",
            f"{row.fps:g}",
            row.written,
            *(str(machines * carried.count) for carried in row.carried.values()),
        ]
        for row in rows
    ]
    limits = sorted({carried.limit for row in rows for carried in row.carried.values()})
    return (
        f"How many cameras {which}, if all are alike and see\n{_table(lines)}\n"
        "A busy night has traffic all over the picture; on a quiet one nothing moves. Real nights lie in between.\n"
        f"One more, and {'; or '.join(LIMITS[limit] for limit in limits)}."
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a configuration's cameras fit on so many machines."""

    cameras: Sequence[PlannedCamera]
    demands: Sequence[Demand]
    machines: int
    assigned: Mapping[str, str] | None
    busy: float
    p95: float | None
    limit: Limit | None
    remedies: Sequence[str]


def judge(
    planner: Planner, cameras: Sequence[PlannedCamera], profiles: Mapping[str, Profile], machines: int
) -> Verdict:
    """Whether cameras fit, each by the profile of its model, by its name."""
    kinds: dict[str, CameraKind] = {camera.config.name: camera.kind for camera in cameras}
    demands = [demand_of(name, kind, profiles[name]) for name, kind in kinds.items()]
    assigned = planner.spread(demands, machines)
    outcome = planner.outcome(demands) if machines == 1 and demands else None
    return Verdict(
        cameras,
        demands,
        machines,
        assigned,
        busy=sum(demand.cores for demand in demands),
        p95=max(outcome.p95) if outcome is not None else None,
        limit=None if assigned is not None or machines > 1 else planner.fault(demands),
        remedies=[] if assigned is not None else planner.remedies(kinds, profiles, machines),
    )


def verdict_text(verdict: Verdict, planner: Planner, assumed: Assumed) -> str:
    """What each camera costs, whether all fit, and what to change if not."""
    rows = [["camera", "picture", "fps", "sees", "outputs", "processors", "on"]]
    for camera, demand in zip(verdict.cameras, verdict.demands, strict=True):
        kind = camera.kind
        rows.append(
            [
                camera.config.name,
                f"{kind.width}x{kind.height}" + "*" * camera.assumed,
                f"{kind.fps:.4g}",
                "day" if kind.scene == "day" else f"{kind.scene} night",
                str(len(camera.config.outputs)),
                f"{demand.cores:.2f}",
                (verdict.assigned or {}).get(demand.name, "–"),
            ]
        )
    lines = [_table(rows)]
    if any(camera.assumed for camera in verdict.cameras):
        lines.append(
            f"* assumed: {assumed}. What a live camera sends is known once it is opened; --assume says otherwise."
        )
    for camera in verdict.cameras:
        lines += [f"{camera.config.name}: {remark}" for remark in camera.remarks]
    capacity = verdict.machines * planner.profile.processors
    machines = "this machine" if verdict.machines == 1 else f"{verdict.machines} machines like this one"
    wanted = f"they take {verdict.busy:.2f} of {capacity} processors"
    if verdict.assigned is not None:
        late = (
            ""
            if verdict.p95 is None
            else f", and 95 of 100 pictures are there within {1000 * verdict.p95:.0f} ms"
        )
        tight = (
            " That leaves less than a tenth of them for anything else."
            if verdict.busy > TIGHT * capacity
            else ""
        )
        lines.append(f"All fit on {machines}: {wanted}{late}.{tight}")
    else:
        why = "" if verdict.limit is None else f"; {LIMITS[verdict.limit]}"
        helps = "; or ".join(verdict.remedies) or "smaller pictures, fewer frames or fewer cameras"
        lines.append(f"They do not fit on {machines}: {wanted}{why}. What helps: {helps}.")
    return "\n".join(lines)


def plan_json(
    planner: Planner, machines: int, rows: Sequence[Kind], verdict: Verdict | None
) -> dict[str, Any]:
    """The plan for programs; times in milliseconds."""
    profile = planner.profile
    plan: dict[str, Any] = {
        "machine": profile.machine,
        "processors": profile.processors,
        "memory_bytes": profile.memory,
        "program": profile.program,
        "model": profile.model,
        "engine": profile.engine,
        "measured_at": profile.measured_at,
        "load_average": profile.load,
        "budget_ms": 1000 * planner.budget,
        "machines": machines,
        "kinds": [
            {
                "width": row.width,
                "height": row.height,
                "fps": row.fps,
                "output": row.written,
                "carried": {
                    column: {
                        "one_machine": carried.count,
                        "all_machines": machines * carried.count,
                        "limit": carried.limit,
                        "p95_ms": None if carried.p95 is None else round(1000 * carried.p95, 1),
                    }
                    for column, carried in row.carried.items()
                },
            }
            for row in rows
        ],
    }
    if verdict is not None:
        plan["cameras"] = [
            {
                "name": demand.name,
                "width": camera.kind.width,
                "height": camera.kind.height,
                "fps": camera.kind.fps,
                "assumed": camera.assumed,
                "sees": camera.kind.scene,
                "processors": round(demand.cores, 3),
                "memory_bytes": demand.memory,
                "machine": (verdict.assigned or {}).get(demand.name),
                "remarks": list(camera.remarks),
            }
            for camera, demand in zip(verdict.cameras, verdict.demands, strict=True)
        ]
        plan["fit"] = verdict.assigned is not None
        plan["processors_taken"] = round(verdict.busy, 3)
        plan["p95_ms"] = (
            None if verdict.p95 is None or verdict.p95 == float("inf") else round(1000 * verdict.p95, 1)
        )
        plan["limit"] = verdict.limit
        plan["what_helps"] = list(verdict.remedies)
    return plan


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
