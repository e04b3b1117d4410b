"""The model as compilers for GPUs take it: one graph of floats for one picture size, with its constants frozen."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ...model.blocks import fold_batch_norms, make_plain
from ...model.color_invariant import ColorInvariant
from ...model.generator import NightToDay
from ...model.lift import Lifted, module_for


class FrozenInvariant(ColorInvariant):
    """An invariant at the scales it was trained to: its kernels are constants of the graph."""

    def __init__(self, trained: ColorInvariant) -> None:
        super().__init__(radius=trained.radius, stride=trained.stride)
        self.load_state_dict(trained.state_dict())
        with torch.no_grad():
            smooth, derive = trained.kernels()
        self.register_buffer("smooth", smooth, persistent=False)
        self.register_buffer("derive", derive, persistent=False)

    smooth: Tensor
    derive: Tensor

    def kernels(self) -> tuple[Tensor, Tensor]:
        """See ``ColorInvariant.kernels``."""
        return self.smooth, self.derive

    def forward(self, rgb: Tensor) -> Tensor:
        """See ``ColorInvariant.forward``; nothing is autocast in a frozen graph."""
        return self.normalised(rgb)


class InFloat32(nn.Module):
    """A layer that computes in float32 between layers in half precision, and gives the dtype ``out``."""

    def __init__(self, layer: nn.Module, out: torch.dtype) -> None:
        super().__init__()
        self.layer = layer.float()
        self.out = out

    def forward(self, x: Tensor) -> Tensor:
        """Float of any precision → ``out``, the shape that the layer makes."""
        made: Tensor = self.layer(x.float())
        return made.to(self.out)


class HalfGenerator(nn.Module):
    """A generator in float16, except the statistics of its instance norms and its last convolution.

    It takes and gives float32. TensorRT is strongly typed since 11: it computes in the types that the graph has.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator.half()
        last = [module for module in generator.modules() if isinstance(module, nn.Conv2d)][-1]
        for parent in list(generator.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.InstanceNorm2d):
                    setattr(parent, name, InFloat32(child, torch.float16))
                elif child is last:
                    setattr(parent, name, InFloat32(child, torch.float32))

    def forward(self, seen: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Float32 (N, C, H', W') → what the generator gives, float32."""
        made: Tensor | tuple[Tensor, Tensor] = self.generator(seen.half())
        return made


class WholeGraph(nn.Module):
    """All of a model between bytes and bytes, for pictures of one size.

    Float32 (N, H, W, 3) RGB in whole grey levels 0…255 → the same. A model that takes backgrounds takes these too, by
    day and by night, of the size at which it translates, and also gives trust. Bytes become floats outside, because
    TensorRT fails on a uint8 input.

    Batch norms are folded, x_ref is stretched to the size of the translation, the invariant's kernels are computed
    once, and large pictures are lifted.

    Args:
        model: stays as it is.
        size: (H, W) in pixels.
        half: make its generator a ``HalfGenerator``.
    """

    def __init__(self, model: NightToDay, size: tuple[int, int], *, half: bool = False) -> None:
        super().__init__()
        model = copy.deepcopy(model).eval().requires_grad_(False)
        fold_batch_norms(model.generator)
        make_plain(model.generator)
        if model.invariant is not None:
            model.invariant = FrozenInvariant(model.invariant)
        if half:
            model.generator = HalfGenerator(model.generator)
        self.module = module_for(model.eval().requires_grad_(False), *size)
        self.size = size
        self.inner = self.module.size if isinstance(self.module, Lifted) else size
        sees = model.settings.reference is not None
        self.register_buffer("reference", model.reference_at(*self.inner) if sees else None, persistent=False)
        self.sizes = [size, self.inner, self.inner] if model.settings.backgrounds else [size]
        """(H, W) of what it takes."""

    module: NightToDay | Lifted
    reference: Tensor | None

    def forward(
        self, frames: Tensor, day_background: Tensor | None = None, night_background: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Float32 (N, H, W, 3) → float32 (N, H, W, 3), see the class."""
        rgb = frames.permute(0, 3, 1, 2) / 255
        if day_background is not None and night_background is not None:
            backgrounds = [one.permute(0, 3, 1, 2) / 255 for one in (day_background, night_background)]
            day, trust = self.module.translate_with_trust(rgb, *backgrounds)
            assert trust is not None
            return _levels(day), _levels(trust)
        reference = None if self.reference is None else self.reference.expand(frames.shape[0], -1, -1, -1)
        return _levels(self.module.translate(rgb, reference))


def _levels(rgb: Tensor) -> Tensor:
    """Float32 (N, 3, H, W) in [0, 1] → (N, H, W, 3) in whole grey levels."""
    return (rgb * 255).round().clamp(0, 255).permute(0, 2, 3, 1)


def export_program(whole: WholeGraph, max_batch: int) -> ExportedProgram:
    """``whole`` traced into one graph for any batch of 1 to ``max_batch`` pictures, on the device it lies on."""
    device = next(whole.parameters()).device
    count = min(max_batch, 2)
    examples = tuple(torch.zeros((count, *size, 3), device=device) for size in whole.sizes)
    batch = Dim("batch", min=1, max=max_batch)
    shapes = tuple({0: batch} for _ in examples) if max_batch > 1 else None
    with torch.no_grad():
        return torch.export.export(whole.eval(), examples, dynamic_shapes=shapes)
