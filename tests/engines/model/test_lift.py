"""The lift to full resolution, with stand-ins for the generator whose day is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightday.engines import EngineError, load_engine
from nightday.engines.model.checkpoint import load_checkpoint, save_checkpoint
from nightday.engines.model.evidence import GREY
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.lift import (
    LAMP_RATIO,
    MAX_NOISE,
    MIN_VARIANCE,
    NOISE_REACH,
    SHARPEN,
    Lifted,
    module_for,
)
from nightday.engines.model.settings import GeneratorSettings

TINY = GeneratorSettings(kind="light", blocks=1, width=4, norm="batch")
MODEL = Path(__file__).parents[3] / "weights" / "a1_barnet.pt"
CAN_BF16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
RgbImage = NDArray[np.uint8]


class Known(NightToDay):
    """A model whose day is a given function of the small night."""

    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        super().__init__(TINY)
        self.draw = draw

    def translate_with_trust(
        self, rgb: Tensor, day_background: Tensor | None = None, night_background: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        return self.draw(rgb), None


def blobs(rng: np.random.Generator, height: int, width: int, *, low: int, high: int) -> RgbImage:
    """A picture with edges: overlapping boxes of one grey each, slightly tinted."""
    picture = np.full((height, width, 3), (low + high) // 2, np.uint8)
    for _ in range(60):
        y, x = rng.integers(0, height), rng.integers(0, width)
        h, w = rng.integers(height // 16, height // 4), rng.integers(width // 16, width // 4)
        picture[y : y + h, x : x + w] = rng.integers(low, high) + np.array((3, 0, -3))
    return picture


def run(lifted: Lifted, picture: RgbImage) -> RgbImage:
    with torch.inference_mode():
        day: RgbImage = lifted(torch.from_numpy(picture)[None])[0].numpy()
        return day


def psnr(a: NDArray[np.generic], b: RgbImage) -> float:
    return float(10 * np.log10(255**2 / ((a.astype(float) - b) ** 2).mean()))


def enlarged(day: Tensor, height: int, width: int) -> NDArray[np.float64]:
    """The small day (3, h, w) alone, as the lift enlarges it: sharpened, then bilinear; by OpenCV."""
    small = day.permute(1, 2, 0).numpy().astype(np.float64)
    blurred = cv2.blur(small, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    sharp = small + SHARPEN * (small - blurred)
    large: NDArray[np.float64] = cv2.resize(sharp, (width, height), interpolation=cv2.INTER_LINEAR)
    return large


def naive_line(cells_of_night: NDArray[np.float32], day: NDArray[np.float32]) -> NDArray[np.float64]:
    """a and b pixel by pixel in float64: windows of 3×3, smaller at the border."""
    night, spread = cells_of_night.astype(np.float64)
    day = day.astype(np.float64)
    grey = np.tensordot(np.array(GREY), day, 1)
    height, width = night.shape

    def around(y: int, x: int, reach: int = 1) -> tuple[slice, slice]:
        return np.s_[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]

    def everywhere(f: Callable[[int, int], float]) -> NDArray[np.float64]:
        return np.array([[f(y, x) for x in range(width)] for y in range(height)])

    variance = everywhere(lambda y, x: night[around(y, x)].var())
    spread_around = everywhere(lambda y, x: spread[around(y, x)].mean())

    def slope(y: int, x: int) -> float:
        n, g = night[around(y, x)], grey[around(y, x)]
        covariance = ((n - n.mean()) * (g - g.mean())).mean()
        correlation = abs(covariance) / np.sqrt(n.var() * g.var() + 1e-12)
        lamp = max(0.0, spread[around(y, x)].max() - LAMP_RATIO * variance[around(y, x)].max())
        noise = spread_around[around(y, x, NOISE_REACH)].min()
        a = covariance * correlation / (n.var() + lamp + MIN_VARIANCE)
        return float(a / np.sqrt(1 + a**2 * noise / MAX_NOISE**2))

    a = everywhere(slope)
    smooth = everywhere(lambda y, x: a[around(y, x)].mean())
    blurred = np.stack([everywhere(lambda y, x, c=c: c[around(y, x)].mean()) for c in day])  # type: ignore[misc]
    return np.concatenate((smooth[None], day + SHARPEN * (day - blurred) - smooth * night))


def test_the_fit_is_that_of_a_naive_loop_in_float64(rng: np.random.Generator) -> None:
    night = rng.random((1, 19, 26), np.float32) * 0.3
    cells_of_night = np.concatenate((night, rng.random((1, 19, 26), np.float32) ** 6 * 0.1))
    day = (night * 2.5 + rng.normal(0.1, 0.05, (3, 19, 26)).astype(np.float32)).clip(0, 1)
    lifted = Lifted(NightToDay(TINY), (19, 26))
    line = lifted.line(torch.from_numpy(cells_of_night)[None], torch.from_numpy(day)[None])[0].numpy()
    assert np.abs(naive_line(cells_of_night, day)[0]).max() > 0.1  # there is something to agree on
    np.testing.assert_allclose(line, naive_line(cells_of_night, day), atol=2e-4)


def test_cells_are_means_and_variances(rng: np.random.Generator) -> None:
    night = rng.random((3, 41, 62), np.float32)
    small, cells_of_night = Lifted(NightToDay(TINY), (11, 16)).shrink(torch.from_numpy(night)[None])
    grown = np.pad(night.astype(np.float64), ((0, 0), (0, 3), (0, 2)), mode="edge")
    cells = grown.reshape(3, 11, 4, 16, 4)
    grey = np.tensordot(np.array(GREY), cells, 1)
    np.testing.assert_allclose(small[0], cells.mean((2, 4)), atol=1e-6)
    np.testing.assert_allclose(cells_of_night[0, 0], grey.mean((1, 3)), atol=1e-6)
    np.testing.assert_allclose(cells_of_night[0, 1], grey.var((1, 3)), atol=1e-6)


@pytest.mark.parametrize("cell", [2, 3, 4])
def test_a_day_that_is_the_night_comes_back(rng: np.random.Generator, cell: int) -> None:
    night = blobs(rng, 48 * cell, 64 * cell, low=20, high=235)
    small = torch.from_numpy(night).permute(2, 0, 1).float()[None] / 255
    small = torch.nn.functional.avg_pool2d(small, cell)
    alone = enlarged(small[0], *night.shape[:2]).clip(0, 1) * 255
    lifted = run(Lifted(Known(lambda rgb: rgb), (48, 64)), night)
    gain = psnr(lifted, night) - psnr(alone, night)
    print(f"cell {cell}: {psnr(lifted, night):.1f} dB, {gain:.1f} above the small picture alone")
    assert gain > 6


def test_an_edge_of_the_night_is_sharp_in_the_day() -> None:
    night = np.full((96, 128, 3), 30, np.uint8)
    night[:, 66:] = 80  # in mid-cell
    days = run(Lifted(Known(lambda rgb: rgb * 2 + 0.1), (24, 32)), night)
    small = np.full((24, 32, 3), 30.0)
    small[:, 16], small[:, 17:] = 55, 80
    blurred = cv2.resize(small * 2 + 25.5, (128, 96), interpolation=cv2.INTER_LINEAR)

    def width(picture: NDArray[np.generic]) -> int:
        """Pixels between a tenth and nine tenths of the step."""
        row = picture[48, :, 1].astype(float)
        return int(((row > 85.5 + 10) & (row < 185.5 - 10)).sum())

    print(f"edge: {width(days)} pixels, bilinear {width(blurred)}")
    assert width(blurred) >= 6
    assert width(days) <= 2
    overshoot = max(days[48, :, 1].max() - 185.5, 85.5 - days[48, :, 1].min())
    assert overshoot < 15  # grey levels, of a step of 100: no halo


@pytest.mark.parametrize("level", [255, 0])
def test_where_the_night_is_clipped_the_small_day_is_all(rng: np.random.Generator, level: int) -> None:
    night = blobs(rng, 128, 160, low=20, high=90)
    night[40:100, 48:112] = level
    day = torch.from_numpy(rng.random((3, 32, 40), np.float32)) * 0.6 + 0.2
    out = run(Lifted(Known(lambda rgb: day[None]), (32, 40)), night)
    inner = np.s_[56:84, 64:96]  # three cells from the edge: fitted, smoothed and enlarged over one each
    expected = enlarged(day, 128, 160) * 255
    assert np.abs(out[inner] - expected[inner].clip(0, 255)).max() <= 1
    # At its edge, too, the lamp itself does not show through.
    rim = np.s_[30:110, 38:122]
    stray = np.abs(out[rim] - expected[rim].clip(0, 255)).mean()
    assert stray < 6, stray


def test_lamps_smaller_than_a_cell_do_not_show_through(rng: np.random.Generator) -> None:
    night = np.full((96, 128, 3), 12, np.uint8)
    for y, x in ((20, 30), (41, 66), (70, 101)):
        night[y : y + 2, x : x + 2] = 255
    day = torch.full((1, 3, 24, 32), 0.4)
    day[..., 8:, :] += 0.2
    out = run(Lifted(Known(lambda rgb: day), (24, 32)), night).astype(float)
    assert np.abs(out - enlarged(day[0], 96, 128) * 255).max() <= 8


def test_noise_stays_in_the_night(rng: np.random.Generator) -> None:
    scene = blobs(rng, 192, 256, low=10, high=60)
    small = torch.from_numpy(cv2.resize(scene, (64, 48), interpolation=cv2.INTER_AREA)).permute(2, 0, 1)
    day = (small[None] / 255 * 4).clamp(0, 1)  # four times as bright as the night, and so would its noise be
    lifted = Lifted(Known(lambda rgb: day), (48, 64))
    nights = [(scene + rng.normal(0, 8, scene.shape)).clip(0, 255).astype(np.uint8) for _ in range(6)]
    noise = np.std(nights, axis=0).mean()
    left = np.std([run(lifted, night) for night in nights], axis=0).mean()
    print(f"temporal std: night {noise:.2f}, day {left:.2f} grey levels")
    assert left < 0.35 * noise


@pytest.mark.parametrize("shape", [(433, 607), (1080, 1920)])
def test_bytes_to_bytes_at_odd_sizes_and_at_1080p(shape: tuple[int, int], rng: np.random.Generator) -> None:
    lifted = module_for(NightToDay(TINY).eval(), *shape)
    assert isinstance(lifted, Lifted)
    frames = torch.from_numpy(rng.integers(0, 256, (1, *shape, 3), dtype=np.uint8))
    with torch.inference_mode():
        days = lifted(frames)
    assert days.dtype == torch.uint8
    assert days.shape == frames.shape


@pytest.mark.parametrize(
    ("size", "side", "translated"),
    [
        ((288, 352), None, None),
        ((400, 640), None, None),
        ((1080, 1920), None, (270, 480)),
        ((1081, 1923), None, (271, 481)),
        ((1920, 1080), 288, (480, 270)),
        ((2160, 3840), 288, (270, 480)),
        ((720, 1280), 288, (288, 512)),  # neither a half nor a third comes near
        ((1080, 1920), 1080, None),
        ((1080, 1920), 720, (720, 1280)),
        ((480, 640), 400, None),
        ((540, 960), 270, (270, 480)),
    ],
)
def test_large_frames_alone_are_translated_small(
    size: tuple[int, int], side: int | None, translated: tuple[int, int] | None
) -> None:
    model = NightToDay(TINY)
    model.side = side
    module = module_for(model, *size)
    if translated is None:
        assert module is model
    else:
        assert isinstance(module, Lifted)
        assert module.size == translated


def test_a_size_between_whole_cells_lines_up() -> None:
    ramp = np.linspace(20, 220, 1000, dtype=np.float32)[None, :, None].repeat(500, 0).repeat(3, 2)
    out = run(Lifted(Known(lambda rgb: rgb), (200, 400)), ramp.round().astype(np.uint8))
    assert np.abs(out[:, 20:-20] - ramp[:, 20:-20]).max() < 1.5


@pytest.mark.slow
def test_one_graph_for_any_batch(rng: np.random.Generator) -> None:
    lifted = module_for(NightToDay(TINY).eval(), 432, 771)
    frames = torch.from_numpy(rng.integers(0, 256, (3, 432, 771, 3), dtype=np.uint8))
    batch = torch.export.Dim("batch", min=1, max=4)
    program = torch.export.export(lifted, (frames[:2],), dynamic_shapes=({0: batch},))
    with torch.inference_mode():
        difference = (program.module()(frames).int() - lifted(frames)).abs()
    assert difference.max() <= 1


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "model.pt", load_checkpoint(MODEL), training={"side": 288})
    return tmp_path / "model.pt"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_backends_agree(checkpoint: Path, precision: str, rng: np.random.Generator) -> None:
    if precision == "bf16" and not CAN_BF16:
        with pytest.raises(EngineError, match="bf16"):
            load_engine(checkpoint, "openvino", "bf16")
        return
    frames = np.stack([blobs(rng, 433, 580, low=5, high=120) for _ in range(2)])
    expected = load_engine(checkpoint, "eager", "fp32")(frames).astype(int)
    assert expected.std() > 10
    bar = 0.3 if precision == "fp32" else 2.0  # OpenVINO's small day is whole grey levels
    for backend in ("openvino", "eager"):
        engine = load_engine(checkpoint, backend, precision)  # type: ignore[arg-type]
        day = engine(frames)
        assert day.shape == frames.shape
        np.testing.assert_array_equal(engine(frames), day)
        difference = np.abs(day - expected).mean()
        print(f"{backend} {precision}: {difference:.4f} grey levels")
        assert difference <= bar


def test_the_size_of_translation_can_be_told(checkpoint: Path, rng: np.random.Generator) -> None:
    assert load_checkpoint(checkpoint).side == 288
    frames = blobs(rng, 440, 600, low=5, high=120)[None]
    whole = load_engine(checkpoint, "eager", translate_size=440)(frames)
    with torch.inference_mode():
        expected = load_checkpoint(checkpoint)(torch.from_numpy(frames)).numpy()
    np.testing.assert_array_equal(whole, expected)
    assert not np.array_equal(load_engine(checkpoint, "eager", translate_size=110)(frames), whole)
    with pytest.raises(EngineError, match="translate_size 5: must be at least 64 pixels"):
        load_engine(checkpoint, "eager", translate_size=5)
