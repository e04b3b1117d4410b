"""Several processes that train one model together, as ``torchrun`` starts them. For a single process nothing is done.

Each process draws crops of its own and averages its gradients with the others', so that n processes are a batch n
times as large. All therefore hold the same weights after every step; process 0 alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nightday.engines.errors import NightdayError


class ProcessesError(NightdayError, ValueError):
    """The processes cannot train together. One line, with the way out."""


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the other processes where torchrun says that there are any: NCCL on GPUs, one GPU each, else gloo.

    Args:
        device: cpu or cuda; a process takes the GPU of its ``LOCAL_RANK``.

    Raises:
        ProcessesError: more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    if device == "cuda":
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= gpus:
            raise ProcessesError(
                f"process {local + 1} of this machine, which has {gpus} GPUs: start one process a GPU"
            )
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def average_gradients(module: nn.Module) -> None:
    """Every parameter's gradient becomes the mean of all processes'."""
    _average(p.grad for p in module.parameters() if p.grad is not None)


def average_buffers(module: nn.Module) -> None:
    """Running statistics become the mean of all processes', which normalise by their own batches."""
    _average(b for b in module.buffers() if b.is_floating_point())


@torch.no_grad()
def _average(tensors: Iterable[Tensor]) -> None:
    if count() < 2:
        return
    parts = list(tensors)
    if not parts:
        return
    # One message instead of a hundred.
    together = torch.cat([p.reshape(-1).float() for p in parts])
    dist.all_reduce(together)
    together /= count()
    for part, mean in zip(parts, torch.split(together, [p.numel() for p in parts]), strict=True):
        part.copy_(mean.view_as(part))


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` is set in any process; all must call."""
    if count() < 2:
        return flag
    highest = torch.tensor(float(flag), device=device)
    dist.all_reduce(highest, op=dist.ReduceOp.MAX)
    return bool(highest.item())


def gather(value: Any) -> list[Any]:
    """Each process's value, by rank; all must call."""
    if count() < 2:
        return [value]
    values: list[Any] = [None] * count()
    dist.all_gather_object(values, value)
    return values
