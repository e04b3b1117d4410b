"""Converts a model to one serialised TensorRT engine."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from ...errors import EngineError
from ...model.generator import NightToDay
from . import int8
from .export import WholeGraph, export_program


def build(
    model: NightToDay, *, size: tuple[int, int], max_batch: int, precision: str, ranges: Sequence[float] = ()
) -> bytes:
    """Convert the whole model to one serialised engine for pictures of a size.

    It has one optimisation profile, 1 to ``max_batch`` frames, tuned for full batches: under load, batches are full.
    TF32 is off, as the invariant's ratios do not survive its ten bits.

    Args:
        model: on the device that the engine is for.
        size: (H, W) of the pictures.
        max_batch: most frames at once.
        precision: ``int8``, ``fp16`` or ``fp32``. With ``int8`` the generator's convolutions are int8 and all else is
            as with ``fp16``.
        ranges: of the model, see ``int8.ranges``; for int8 alone.

    Raises:
        EngineError: an operator has no converter, or the builder failed.
    """
    logging.getLogger("torch_tensorrt").setLevel(
        logging.CRITICAL
    )  # else it logs a page of graph for each error
    import torch_tensorrt

    whole = WholeGraph(model, size, half=precision != "fp32")
    if precision == "int8":
        int8.teach_torch_tensorrt()
        int8.quantise(whole, ranges)
    program = export_program(whole, max_batch)
    given = [
        torch_tensorrt.Input(
            min_shape=(1, *one, 3),
            opt_shape=(max_batch, *one, 3),
            max_shape=(max_batch, *one, 3),
            dtype=torch.float32,
        )
        for one in whole.sizes
    ]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            plan = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
                program,
                arg_inputs=given,
                min_block_size=1,
                disable_tf32=True,
                use_explicit_typing=True,  # needed before 2.13; since then there is nothing else
                timing_cache_path=str(Path(scratch) / "timing"),  # by default one file in /tmp for all users
            )
        except Exception as error:
            # The builder raises anything, with the whole graph in the text; the first cause names the operator.
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            reason = " ".join(str(cause).split())[:200]
            way_out = "fp16" if precision == "int8" else "eager"
            raise EngineError(
                f"backend tensorrt: the model does not convert for {size[1]}x{size[0]} {precision}: {reason}; "
                f"use {way_out}",
                setting="backend",
            ) from error
    return bytes(plan)
