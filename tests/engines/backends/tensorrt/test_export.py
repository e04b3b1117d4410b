"""The graph that goes to TensorRT: the same as the model, for any batch, with the types that it promises."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nightday.engines.backends.tensorrt.export import WholeGraph, export_program
from nightday.engines.model.checkpoint import load_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.footage.scene import read_frames

ROOT = Path(__file__).parents[4]

SETTINGS = {
    "paper": GeneratorSettings(blocks=1, width=4, reference=(40, 56)),
    "compact": GeneratorSettings(blocks=1, width=4, norm="batch", reference=(40, 56)),
    "light": GeneratorSettings(kind="light", blocks=1, width=4, norm="batch", reference=(40, 56)),
    "transposed": GeneratorSettings(blocks=1, width=4, norm="batch", input="replace", upsample="transposed"),
    "rgb": GeneratorSettings(blocks=1, width=4, input="rgb"),
    "light with backgrounds": GeneratorSettings(
        kind="light", blocks=1, width=4, norm="batch", backgrounds=True
    ),
    "compact with backgrounds": GeneratorSettings(blocks=1, width=4, norm="batch", backgrounds=True),
}


def trained(settings: GeneratorSettings, seed: int) -> NightToDay:
    """A model whose every number differs from what it begins with."""
    torch.manual_seed(seed)
    model = NightToDay(settings)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, 0, 0.1)  # type: ignore[arg-type]
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.2, 1)
            nn.init.normal_(module.bias)
    if model.invariant is not None:
        nn.init.uniform_(model.invariant.log2_sigma, -0.8, 0.9)
        nn.init.uniform_(model.invariant.weight, 0.5, 1.5)
    model.reference.random_(0, 256)
    return model.eval()


@pytest.mark.parametrize("name", SETTINGS)
def test_any_batch_of_the_exported_graph_is_the_model(name: str) -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    model = trained(SETTINGS[name], seed)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    size = (random.Random(seed).randint(33, 60), random.Random(seed + 1).randint(33, 60))
    program = export_program(WholeGraph(model, size), 3)
    graph = program.module()
    takes = 3 if model.settings.backgrounds else 1
    for count in (1, 2, 3):
        given = [torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8) for _ in range(takes)]
        with torch.no_grad():
            made, wanted = graph(*(one.float() for one in given)), model(*given)
        for day, want in zip(made, wanted, strict=True) if takes > 1 else [(made, wanted)]:
            assert day.dtype == torch.float32
            assert torch.equal(day, day.round())
            # Folding rounds otherwise: a level here and there.
            assert (day - want.float()).abs().max() <= 1
            assert (day != want.float()).float().mean() < 0.01
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])

    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    names = {str(node.target) for node in nodes}
    assert not any("exp" in name and "expand" not in name for name in names)  # σ's kernels are constants
    assert not any("batch_norm" in name or "wrap" in name or "item" in name for name in names)
    with pytest.raises(AssertionError, match="<= 3"):
        graph(*[torch.zeros((4, *size, 3))] * takes)


@pytest.mark.parametrize("name", SETTINGS)
def test_half_is_half_where_it_may_be(name: str) -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    model = trained(SETTINGS[name], seed)
    program = export_program(WholeGraph(model, (40, 48), half=True), 2)
    layers: list[torch.dtype] = []
    statistics: list[torch.dtype] = []
    for node in program.graph.nodes:
        operator = str(node.target)
        if operator.startswith(("aten.conv2d", "aten.conv_transpose2d")):
            layers.append(node.meta["val"].dtype)
        if "instance_norm" in operator:
            statistics.append(node.args[0].meta["val"].dtype)
    generator = [m for m in model.generator.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    invariant = 0 if model.invariant is None else 6  # one for the colours, two along x, three along y
    assert layers == [torch.float32] * invariant + [torch.float16] * (len(generator) - 1) + [torch.float32]
    assert all(dtype == torch.float32 for dtype in statistics)
    norms = sum(isinstance(m, nn.InstanceNorm2d) for m in model.generator.modules())
    assert len(statistics) == norms + (invariant > 0)


def test_half_loses_little_on_real_nights() -> None:
    model = load_checkpoint(ROOT / "weights" / "a1_barnet.pt")
    clips = ("night_a1_barnet_simulated.mp4", "night_tfl_07450_piccadilly.mp4")
    pictures = [read_frames(ROOT / "benchmarks" / "clips" / clip)[50] for clip in clips]
    frames = torch.from_numpy(np.stack(pictures))[:, 80:176, 100:228].contiguous()
    with torch.no_grad():
        want = model(frames)
        ratios = psnr(WholeGraph(model, (96, 128), half=True)(frames.float()), want)
    print(f"PSNR of fp16 against fp32: {ratios.tolist()} dB")
    assert ratios.min() > 50


def psnr(got: Tensor, want: Tensor) -> Tensor:
    return 10 * torch.log10(255**2 / (got.float() - want.float()).square().mean(dim=(1, 2, 3)))
