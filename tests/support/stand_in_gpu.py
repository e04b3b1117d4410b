"""A GPU where there is none: tensors that lie on another device, compute on the CPU, and tell of every transfer.

Whatever moves bytes is seen, not only what the pipeline counts: PyTorch's own operations are watched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")  # which PyTorch knows everywhere; nothing of it computes, all goes to ``inner``


@dataclass(frozen=True)
class Transfer:
    """Bytes that crossed between host and GPU, and the operation that moved them."""

    direction: Literal["to_host", "to_device"]
    nbytes: int
    by: str


class OnGpu(Tensor):
    """A tensor "on the GPU". As on a real one, what mixes it with a tensor on the host raises RuntimeError."""

    inner: Tensor  # type: ignore[assignment]  # Tensor has a method of this name
    transfers: list[Transfer]

    @staticmethod
    def __new__(cls, inner: Tensor, transfers: list[Transfer]) -> OnGpu:
        with torch.inference_mode(False):  # whose tensors could not be looked at outside
            made = Tensor._make_wrapper_subclass(
                cls,
                inner.size(),
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=DEVICE,
                requires_grad=False,
            )
        made.inner, made.transfers = inner, transfers
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.inner!r})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        flat = tree_flatten((args, kwargs))[0]
        held = [one for one in flat if isinstance(one, OnGpu)]
        transfers = held[0].transfers
        name = str(func)

        def tell(direction: Literal["to_host", "to_device"], moved: Tensor) -> None:
            transfers.append(Transfer(direction, moved.numel() * moved.element_size(), name))

        def inner(one: Any) -> Any:
            return one.inner if isinstance(one, OnGpu) else one

        plain = [one for one in flat if isinstance(one, Tensor) and not isinstance(one, OnGpu)]
        to_host = False
        if func is torch.ops.aten._local_scalar_dense.default:
            tell("to_host", args[0])
            return func(args[0].inner)
        if func in (torch.ops.aten.copy_.default, torch.ops.aten._copy_from.default) and plain:
            to_host = not isinstance(args[0], OnGpu)
            tell("to_host" if to_host else "to_device", args[1])
        elif func is torch.ops.aten._to_copy.default and kwargs.get("device") is not None:
            to_host = torch.device(kwargs["device"]).type == "cpu"
            if to_host:
                tell("to_host", args[0])
        elif any(one.dim() for one in plain):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
        if "device" in kwargs and kwargs["device"] is not None:
            kwargs["device"] = torch.device("cpu")
        out = func(*tree_map(inner, args), **tree_map(inner, kwargs))
        known = {id(one.inner): one for one in held}

        def outer(one: Any) -> Any:
            if not isinstance(one, Tensor) or to_host:
                return one
            return known[id(one)] if id(one) in known else OnGpu(one, transfers)

        return tree_map(outer, out)


class _Moves(TorchFunctionMode):
    """Takes what is made on, or sent to, the GPU before PyTorch finds that there is none."""

    def __init__(self, transfers: list[Transfer]) -> None:
        super().__init__()
        self._transfers = transfers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        places = [*args, kwargs.get("device")]
        wanted = any(_is_device(one) for one in places if isinstance(one, (str, torch.device)))
        if func is Tensor.__setitem__ and isinstance(args[0], OnGpu) and isinstance(args[2], (int, float)):
            # PyTorch would make a meta tensor of the number, which has none.
            args = (*args[:2], OnGpu(torch.tensor(args[2], dtype=args[0].dtype), self._transfers))
        if not wanted:
            return func(*args, **kwargs)
        source: Tensor | None = args[0] if args and isinstance(args[0], Tensor) else None
        if isinstance(source, OnGpu):
            args, kwargs = _on_cpu(args), _on_cpu(kwargs)
            out = func(source.inner, *args[1:], **kwargs)
            return source if out is source.inner else OnGpu(out, self._transfers)
        out = func(*_on_cpu(args), **_on_cpu(kwargs))
        if source is not None:
            self._transfers.append(Transfer("to_device", out.numel() * out.element_size(), func.__name__))
        return OnGpu(source.clone() if out is source and source is not None else out, self._transfers)


def _is_device(one: str | torch.device) -> bool:
    return one in (DEVICE, DEVICE.type)


def _on_cpu(values: Any) -> Any:
    def swap(one: Any) -> Any:
        return torch.device("cpu") if isinstance(one, (str, torch.device)) and _is_device(one) else one

    return tree_map(swap, values)


@contextmanager
def stand_in_gpu() -> Iterator[list[Transfer]]:
    """Within it, in this thread, tensors can be on another device. Yields the transfers, filled as they happen."""
    transfers: list[Transfer] = []
    with _Moves(transfers):
        yield transfers
