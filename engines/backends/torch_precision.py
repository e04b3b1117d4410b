"""The precisions that PyTorch itself computes in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..choices import Precision


def offered() -> tuple[Precision, ...]:
    """The precisions that pay on this machine: bf16 where a GPU computes in it, and fp32."""
    bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return ("bf16", "fp32") if bf16 else ("fp32",)


@contextmanager
def computing_in(device: torch.device, *, bf16: bool) -> Iterator[None]:
    """Compute in bf16 by autocast, or else in full float32, on ``device``."""
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        if device.type == "cuda" and not bf16:
            # cuDNN's default for float32 is TF32 with ten bits: the invariant's ratios do not survive them.
            with torch.backends.cudnn.flags(allow_tf32=False):
                yield
        else:
            yield
