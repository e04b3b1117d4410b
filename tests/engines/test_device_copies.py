"""What counts as a copy of a frame, where there is a GPU and where there is none."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from nightday.engines import device_copies
from tests.support.stand_in_gpu import DEVICE, stand_in_gpu


def since(
    before: dict[tuple[device_copies.Direction, device_copies.CopyReason], int],
) -> Counter[tuple[device_copies.Direction, device_copies.CopyReason]]:
    """What was counted meanwhile, without the zeros."""
    return Counter(
        {key: count for key, count in device_copies.counted().items() if count > before[key]}
    ) - Counter(before)


def test_frames_are_counted_by_direction_and_reason() -> None:
    frames = np.random.default_rng().integers(0, 256, (3, 8, 10, 3), np.uint8)
    before = device_copies.counted()
    with stand_in_gpu() as transfers:
        there = device_copies.to_device(frames, DEVICE, "decode")
        one = device_copies.to_device(frames[0, ::2], DEVICE, "engine")
        back = device_copies.to_host(there, "background")
        assert np.array_equal(device_copies.on_host(one, "snapshot"), frames[0, ::2])
    assert since(before) == {
        ("to_device", "decode"): 3,
        ("to_device", "engine"): 1,
        ("to_host", "background"): 3,
        ("to_host", "snapshot"): 1,
    }
    assert np.array_equal(back, frames)
    assert [(one.direction, one.nbytes) for one in transfers] == [
        ("to_device", 720),
        ("to_device", 120),
        ("to_host", 720),
        ("to_host", 120),
    ]


def test_on_a_cpu_nothing_is_copied_or_counted() -> None:
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    before = device_copies.counted()
    tensor = device_copies.to_device(frames, torch.device("cpu"), "engine")
    tensor[0] = 7
    assert frames[0].min() == 7
    assert np.shares_memory(device_copies.to_host(tensor, "engine"), frames)
    assert device_copies.on_host(frames, "encode") is frames
    assert not since(before)
