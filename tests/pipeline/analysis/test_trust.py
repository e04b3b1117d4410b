"""The trust map over a picture: what is seen stays, what is remembered and what is unclear can be told apart."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.pipeline.analysis.trust import REMEMBERED, UNCLEAR, draw_trust, shares_of, trust_stage
from nightday.pipeline.core.counters import TRUST_RATE, CameraStats
from nightday.pipeline.core.fault_log import FaultLog
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.core.stages import BatchItem

Pixels = NDArray[np.uint8]
SIZES = [(288, 352), (1080, 1920), (32, 32), (40, 2000)]


def thirds(height: int, width: int) -> Pixels:
    """Left third drawn, middle remembered, right unclear."""
    trust = np.zeros((height, width, 3), np.uint8)
    for part in range(3):
        trust[:, part * width // 3 : (part + 1) * width // 3, part] = 255
    return trust


def above_legend(height: int) -> slice:
    return slice(0, height - max(15, round(height / 24)) - 1)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_drawn_stays_and_the_rest_is_told_apart(size: tuple[int, int]) -> None:
    height, width = size
    before = np.full((*size, 3), 128, np.uint8)
    shown = before.copy()
    draw_trust(shown, thirds(height, width))
    rows, inside = above_legend(height), width // 12
    seen, remembered, unclear = (
        shown[rows, part * width // 3 + inside : (part + 1) * width // 3 - inside].astype(float)
        for part in range(3)
    )
    assert (seen == 128).all()
    tint = remembered.reshape(-1, 3).mean(axis=0)
    assert tint[2] > tint[0] + 40  # blue
    assert remembered.std(axis=(0, 1)).max() < 2
    on = unclear[(unclear != 128).any(axis=2)]
    assert on[:, 0].mean() > on[:, 2].mean() + 100  # orange
    assert 0.35 < len(on) / unclear[..., 0].size < 0.65  # in stripes, so that it is told without colours


def test_the_colours_differ_for_those_who_cannot_tell_red_from_green() -> None:
    """In the plane left to protanopes and deuteranopes, blue against yellow, and in lightness."""
    one, two = (np.array(colour, float) for colour in (REMEMBERED, UNCLEAR))
    for red, green in (
        (0.11, 0.89),
        (0.29, 0.71),
    ):  # what stands in for both in either case; Viénot et al., 1999
        mixed = [red * colour[0] + green * colour[1] for colour in (one, two)]
        assert abs((mixed[0] - one[2]) - (mixed[1] - two[2])) > 150
    luma = [float(colour @ (0.299, 0.587, 0.114)) for colour in (one, two)]
    assert abs(luma[0] - luma[1]) > 50


@pytest.mark.parametrize("size", [(288, 352), (1080, 1920)])
def test_the_legend_is_legible_and_leaves_room_for_the_mark(size: tuple[int, int]) -> None:
    height, width = size
    shown = np.full((*size, 3), 128, np.uint8)
    draw_trust(shown, np.full((*size, 3), (255, 0, 0), np.uint8))
    tall = max(15, round(height / 24))
    strip = shown[height - tall :]
    assert (shown[: height - tall] == 128).all()
    assert (strip[:, width * 3 // 5 :] == 128).all()
    letters = strip.min(axis=2) > 180
    assert letters.any(axis=1).mean() > 0.45  # they fill most of its height
    ink = letters.any(axis=0)
    assert int((np.diff(ink.astype(int)) == 1).sum()) >= 12  # 21 letters, some of which touch
    for colour in (REMEMBERED, UNCLEAR):
        likest = np.abs(strip.astype(int) - np.array(colour)).sum(axis=2).min()
        assert likest < 260


def test_a_small_map_is_scaled_and_shares_are_mixed(rng: np.random.Generator) -> None:
    shares = rng.dirichlet((1, 1, 1), (18, 22))
    trust = np.rint(255 * shares).astype(np.uint8)
    shown = np.full((288, 352, 3), 100, np.uint8)
    draw_trust(shown, trust)
    remembered = cv2.resize(np.ascontiguousarray(trust[..., 1]), (352, 288)).astype(float)
    unclear = cv2.resize(np.ascontiguousarray(trust[..., 2]), (352, 288))
    calm = (unclear < 3)[:270]
    expected = 100 + 0.4 * remembered[:270] / 255 * (REMEMBERED[2] - 100)
    if calm.any():
        assert np.abs(shown[:270, :, 2][calm] - expected[calm]).max() < 4


def test_a_tensor_is_drawn_into_where_it_lies_and_alike(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
    trust = thirds(24, 32)
    on_host, tensor = picture.copy(), torch.from_numpy(picture.copy())
    draw_trust(on_host, trust)
    draw_trust(tensor, torch.from_numpy(trust))
    assert np.abs(tensor.numpy().astype(int) - on_host).max() <= 2


@pytest.mark.parametrize("as_tensor", [False, True])
def test_shares_are_means_over_the_map(rng: np.random.Generator, as_tensor: bool) -> None:
    trust = np.repeat(np.repeat(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), 4, 0), 4, 1)
    found = shares_of(torch.from_numpy(trust) if as_tensor else trust)
    np.testing.assert_allclose(found, trust.reshape(-1, 3).mean(axis=0) / 255, atol=1e-5)


class Camera:
    """As much of a camera as the stage asks for."""

    def __init__(self, overlay: str) -> None:
        self.overlay = overlay
        self.stats = CameraStats()
        self.faults = FaultLog("gate", lambda _: None)
        self.lost: list[str] = []

    def lose(self, _reason: object, _fault: str, _notice: str, detail: str) -> None:
        self.lost.append(detail)


def item(camera: Camera, trust: Any) -> BatchItem:
    frame = Frame("gate", av.VideoFrame(64, 48, "yuv420p"), 0, Fraction(1, 25), 0.0, 0.0)
    return BatchItem(
        cast(Any, camera),
        frame,
        seen=np.zeros((48, 64, 3), np.uint8),
        day=np.full((48, 64, 3), 99, np.uint8),
        translated=True,
        trust=trust,
    )


@pytest.mark.parametrize("overlay", ["none", "trust"])
def test_every_map_is_counted_and_drawn_where_asked_for(overlay: str) -> None:
    camera = Camera(overlay)
    maps = [np.full((48, 64, 3), (0, 255, 0), np.uint8), np.full((48, 64, 3), (0, 0, 255), np.uint8), None]
    items = [item(camera, trust) for trust in maps]
    assert trust_stage(items) == items
    for one, trust in zip(items, maps, strict=True):
        assert (np.asarray(one.day) == 99).all() == (overlay == "none" or trust is None)
    stats = camera.stats.snapshot()
    assert stats.remembered == pytest.approx(1 - TRUST_RATE)
    assert stats.unclear == pytest.approx(TRUST_RATE)
    assert Camera(overlay).stats.snapshot().remembered is None


def test_a_map_that_is_wrong_costs_its_frame_alone() -> None:
    camera = Camera("trust")
    good = item(camera, np.full((48, 64, 3), (0, 255, 0), np.uint8))
    assert trust_stage([item(camera, np.zeros((48, 64), np.uint8)), good]) == [good]
    assert len(camera.lost) == 1
