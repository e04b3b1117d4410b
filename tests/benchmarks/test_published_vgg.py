"""VGG-16 as its authors published it: read from a classifier, turned to torchvision's input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from openvino import opset13 as opset

from benchmarks.study.published_vgg import CAFFE_MEAN, KNOWN, SCALES, convolutions, for_torchvision
from nightday.train.objectives.vgg import PLAN, Vgg16Features

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]

CONVOLUTIONS = [step for step in PLAN if not isinstance(step, str)]


def published(generator: torch.Generator) -> Layers:
    """Random layers whose first values are those that the published network is known by."""
    layers = {
        index: (
            (torch.randn(o, i, 3, 3, generator=generator) / (9 * i) ** 0.5).numpy(),
            torch.randn(o, generator=generator).numpy(),
        )
        for index, i, o in CONVOLUTIONS
    }
    for index, kernel, bias in KNOWN:
        layers[index][0].flat[0], layers[index][1][0] = kernel, bias
    return list(layers.values())


def test_published_weights_give_the_features_of_their_own_input(tmp_path: Path) -> None:
    seed = int(torch.randint(2**31, ()))
    print("seed", seed)
    generator = torch.Generator().manual_seed(seed)
    layers = published(generator)
    torch.save(for_torchvision(layers), tmp_path / "vgg.pth")
    rgb = torch.rand(1, 3, 96, 96, generator=generator)

    # As Caffe runs them: BGR from 0 to 255, less its means
    x = (255 * rgb).flip(1) - torch.tensor(CAFFE_MEAN).flip(0).view(1, 3, 1, 1)
    wanted, rest = [], iter(layers)
    for step in PLAN:
        if isinstance(step, str):
            x = F.max_pool2d(x, 2)
            continue
        kernel, bias = map(torch.from_numpy, next(rest))
        x = F.relu(F.conv2d(x, kernel, bias, padding=1))
        if step[0] in SCALES:
            wanted.append(x / SCALES[step[0]])

    # Zero padding is the mean colour, which differs by half a grey level: only what it does not reach is compared
    for made, want, edge in zip(Vgg16Features(tmp_path / "vgg.pth")(rgb), wanted, (4, 4), strict=True):
        inner = (..., slice(edge, -edge), slice(edge, -edge))
        torch.testing.assert_close(made[inner], want[inner], rtol=1e-3, atol=1e-3 * float(want.max()))


def test_other_weights_are_not_taken_for_the_published_ones() -> None:
    layers = published(torch.Generator())
    layers[4][1][0] += 0.01
    with pytest.raises(ValueError, match="convolution 10"):
        for_torchvision(layers)


def test_a_classifiers_convolutions_are_read_in_order(tmp_path: Path) -> None:
    seed = int(torch.randint(2**31, ()))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    layers = [
        (rng.normal(size=(o, i, 3, 3)).astype(np.float32), rng.normal(size=o).astype(np.float32))
        for o, i in ((4, 3), (5, 4))
    ]
    x = image = opset.parameter([1, 3, 8, 8], np.float32)
    for kernel, bias in layers:
        x = opset.convolution(x, opset.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1])
        x = opset.relu(opset.add(x, opset.constant(bias.reshape(1, -1, 1, 1))))
    ov.save_model(ov.Model([opset.reshape(x, [1, -1], False)], [image]), tmp_path / "net.xml")
    for (kernel, bias), read in zip(layers, convolutions(tmp_path / "net.xml"), strict=True):
        np.testing.assert_allclose(read[0], kernel, rtol=1e-3, atol=1e-3)  # saved in half precision
        np.testing.assert_allclose(read[1], bias, rtol=1e-3, atol=1e-3)
