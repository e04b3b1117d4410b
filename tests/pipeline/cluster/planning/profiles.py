"""Profiles with costs that are told, not measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nightday.pipeline.cluster.planning.profile import BatchCost, Curve, Profile


def flat(seconds: float) -> Curve:
    return Curve(((1000, seconds),))


def made_up(**changes: Any) -> Profile:
    """Two processors; a frame takes 1 ms to decode, 10 ms to translate, 2 ms to encode, next to nothing else."""
    ten = flat(0.01)
    profile = Profile(
        machine="a machine",
        processors=2,
        memory=64_000_000_000,
        program="0",
        model="general.pt",
        engine="openvino int8",
        on_gpu=False,
        at_once=2,
        needs_backgrounds=True,
        generator_share=1.0,
        decode=flat(0.001),
        decode_day=flat(0.001),
        day=flat(0.0005),
        night={1: BatchCost(ten, ten)},
        quiet=flat(0.002),
        encode=flat(0.002),
        encode_passed=flat(0.002),
        record=flat(0.0001),
        send=flat(0.0001),
        by_second=flat(0.0),
        decode_lock=0.00005,
        work_lock=0.00005,
        encode_lock=0.00005,
        night_spread=(1.0,),
        encode_spread=(1.0,),
        measured_at=0.0,
        load=0.0,
    )
    return replace(profile, **changes)
