from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
import torch.utils.flop_counter

from nightday.engines.model.blocks import ResidualBlock, ResizeConv2d
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.layers import BlendedGenerator
from nightday.engines.model.networks import LightGenerator, ResnetGenerator
from nightday.engines.model.settings import COMPACT, LIGHT, PAPER, GeneratorSettings, InputMode, Upsample

TINY = GeneratorSettings(blocks=1, width=4)


@pytest.mark.parametrize(("settings", "blocks", "width"), [(PAPER, 9, 64), (COMPACT, 6, 16)])
def test_paper_and_compact_are_one_class(settings: GeneratorSettings, blocks: int, width: int) -> None:
    generator = NightToDay(settings).generator
    assert sum(isinstance(m, ResidualBlock) for m in generator.modules()) == blocks
    stem = next(m for m in generator.modules() if isinstance(m, torch.nn.Conv2d))
    assert stem.out_channels == width
    assert stem.kernel_size == (7, 7)


@pytest.mark.parametrize("size", [(64, 64), (61, 50), (288, 352), (17, 16)])
@pytest.mark.parametrize(
    "settings",
    [
        TINY,
        replace(TINY, input="replace", upsample="transposed", norm="batch"),
        replace(LIGHT, blocks=1, width=4),
        replace(LIGHT, blocks=1, width=4, input="replace"),
        replace(LIGHT, blocks=1, width=4, reference=(40, 56), blend=True),
        replace(TINY, reference=(40, 56), blend=True),
    ],
)
def test_uint8_in_uint8_out_at_any_size(settings: GeneratorSettings, size: tuple[int, int]) -> None:
    model = NightToDay(settings).eval()
    frames = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    with torch.inference_mode():
        day = model(frames)
    assert day.dtype == torch.uint8
    assert day.shape == frames.shape


def test_normalisation_and_invariant_are_in_the_graph() -> None:
    """The uint8 graph equals the steps written out by hand on floats."""
    torch.manual_seed(torch.seed() % 2**32)
    model = NightToDay(replace(TINY, norm="batch")).eval()
    assert model.invariant is not None
    frames = torch.randint(0, 256, (1, 32, 48, 3), dtype=torch.uint8)
    with torch.inference_mode():
        rgb = frames.permute(0, 3, 1, 2).float() / 255
        seen = torch.cat((2 * rgb - 1, model.invariant(rgb)), dim=1)
        want = (255 * (model.generator(seen) + 1) / 2).round().permute(0, 2, 3, 1)
        got = model(frames).float()
    assert (got - want).abs().max() <= 1  # a value on the edge of rounding


@pytest.mark.parametrize("base", [replace(TINY, norm="batch"), replace(LIGHT, blocks=1, width=4)])
def test_the_mask_blends_the_drawn_picture_with_the_background(base: GeneratorSettings) -> None:
    torch.manual_seed(torch.seed() % 2**32)
    model = NightToDay(replace(base, reference=(32, 48), blend=True)).eval()
    model.reference.random_(0, 256)
    frames = torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8)
    assert isinstance(model.generator, BlendedGenerator)
    inner = model.generator.generator
    assert isinstance(inner, (ResnetGenerator, LightGenerator))
    out = inner.layers[-2] if isinstance(inner, ResnetGenerator) else inner.out[0]
    assert isinstance(out, torch.nn.Conv2d)
    assert out.bias is not None
    masks = (
        slice(3, None) if base.kind == "resnet" else slice(12, None)
    )  # pixel shuffle: four of each channel
    with torch.inference_mode():
        drawn = ((inner(model.see(frames.permute(0, 3, 1, 2).float() / 255))[:, :3] + 1) * 127.5).round()
        for level, want in ((-50.0, model.reference.expand(2, -1, -1, -1)), (50.0, drawn)):
            out.weight[masks].zero_()
            out.bias[masks] = level
            assert (model(frames).permute(0, 3, 1, 2) - want.float()).abs().max() <= 1


@pytest.mark.parametrize("base", [replace(TINY, norm="batch"), replace(LIGHT, blocks=1, width=4)])
def test_the_layers_make_up_the_picture(base: GeneratorSettings) -> None:
    torch.manual_seed(torch.seed() % 2**32)
    model = NightToDay(replace(base, reference=(30, 50), blend=True)).eval()
    model.reference.random_(0, 256)
    night = torch.rand(2, 3, 30, 50)
    with torch.inference_mode():
        layers = model.translate_in_layers(night)
        torch.testing.assert_close(layers.day, model.translate(night))
        alpha = torch.sigmoid(layers.present)
        torch.testing.assert_close(layers.day, alpha * layers.drawn + (1 - alpha) * model.reference / 255)
    with pytest.raises(TypeError, match="neither blends nor has backgrounds"):
        NightToDay(base).translate_in_layers(night)


def test_light_sees_every_pixel_at_half_size() -> None:
    model = NightToDay(LIGHT)
    assert model.invariant is not None
    rgb = torch.rand(1, 3, 26, 40)
    seen = model.see(rgb)
    assert seen.shape == (1, 12 + 5, 16, 20)  # 26 rows grow to 32
    shown = torch.nn.functional.pixel_shuffle(seen[:, :12], 2) / 2 + 0.5
    torch.testing.assert_close(shown[..., :26, :], rgb)
    torch.testing.assert_close(
        seen[:, 12:], model.invariant(torch.nn.functional.pad(rgb, (0, 0, 0, 6), mode="replicate"))
    )


def test_light_needs_a_quarter_of_the_compact_products() -> None:
    frame = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    flops = []
    for settings in (LIGHT, COMPACT):
        with torch.utils.flop_counter.FlopCounterMode(display=False) as counter, torch.inference_mode():
            NightToDay(settings).eval()(frame)
        flops.append(counter.get_total_flops())
    assert flops[0] < flops[1] / 4


def test_replace_sees_the_invariant_alone() -> None:
    """C and N do not see the brightness; a generator of them alone hardly does, one with RGB must."""
    torch.manual_seed(0)
    scene = torch.rand(1, 3, 6, 6).repeat_interleave(12, 2).repeat_interleave(12, 3) * 0.5 + 0.2
    change = {}
    modes: tuple[InputMode, ...] = ("replace", "concat")
    for mode in modes:
        model = NightToDay(replace(TINY, input=mode, norm="batch")).eval()
        assert model.invariant is not None
        with torch.no_grad():
            model.invariant.weight[0] = 0  # E keeps the brightness
            a, b = model.translate(scene), model.translate(scene * 0.5)
        change[mode] = float((a - b).abs().mean() / a.std())
    assert change["replace"] < 0.2 * change["concat"]


@pytest.mark.parametrize("base", [replace(TINY, norm="batch"), replace(LIGHT, blocks=1, width=4)])
def test_rgb_alone_has_no_invariant(base: GeneratorSettings) -> None:
    model = NightToDay(replace(base, input="rgb")).eval()
    assert model.invariant is None
    assert model.see(torch.rand(1, 3, 32, 32)).shape[1] == (12 if base.kind == "light" else 3)


@pytest.mark.parametrize("base", [replace(TINY, norm="batch"), replace(LIGHT, blocks=1, width=4)])
def test_the_background_is_seen_where_the_frame_is(base: GeneratorSettings) -> None:
    """The stored picture for whole frames of any size, a given one for crops; without it the output differs."""
    torch.manual_seed(torch.seed() % 2**32)
    model = NightToDay(replace(base, reference=(32, 48))).eval()
    model.reference.random_(0, 256)
    rgb, own = torch.rand(2, 3, 32, 48), model.reference[None].float() / 255
    with torch.inference_mode():
        whole = model.translate(rgb)
        torch.testing.assert_close(whole, model.translate(rgb, own.expand(2, -1, -1, -1)))
        assert (
            whole - model.translate(rgb, 1 - own.expand(2, -1, -1, -1))
        ).abs().max() > 1e-6  # far above rounding
        assert model.translate(torch.rand(1, 3, 61, 50)).shape == (1, 3, 61, 50)
        seen = model.see(rgb)[:, -12 if base.kind == "light" else -3 :]
    shown = torch.nn.functional.pixel_shuffle(seen, 2) if base.kind == "light" else seen
    torch.testing.assert_close(shown / 2 + 0.5, own.expand(2, -1, -1, -1))


def test_a_batch_is_its_frames_one_by_one() -> None:
    model = NightToDay(TINY).eval()
    frames = torch.randint(0, 256, (3, 40, 40, 3), dtype=torch.uint8)
    with torch.inference_mode():
        together = model(frames)
        alone = torch.cat([model(f[None]) for f in frames])
    assert (together.int() - alone.int()).abs().max() <= 1


def test_resizing_upsample_leaves_no_checkerboard() -> None:
    """A flat input must give a picture without the stride's period, away from the border."""
    torch.manual_seed(0)
    flat = torch.full((1, 8, 128, 128), 0.3)
    power = {}
    ways: tuple[Upsample, ...] = ("resize", "transposed")
    for upsample in ways:
        generator = NightToDay(replace(TINY, norm="batch", upsample=upsample)).generator.eval()
        for m in generator.modules():
            if isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
                torch.nn.init.normal_(m.weight, std=0.1)
        with torch.inference_mode():
            power[upsample] = float(generator(flat)[..., 48:-48, 48:-48].std(dim=(2, 3)).max())
    assert power["resize"] < 1e-5
    assert power["transposed"] > 1e-3


@pytest.mark.parametrize("size", [(16, 12), (5, 8)])
def test_convolving_the_enlarged_picture_is_one_transposed_convolution(size: tuple[int, int]) -> None:
    conv = ResizeConv2d(6, 4).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    enlarged = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    padded = torch.nn.functional.pad(enlarged, (1, 1, 1, 1), mode="reflect")
    plainly = torch.nn.functional.conv2d(padded, conv.weight, conv.bias)
    torch.testing.assert_close(conv(x), plainly)
    torch.testing.assert_close(conv.plain()(x), plainly)
    wanted = torch.randn_like(plainly)
    assert conv.bias is not None
    inputs = (x, conv.weight, conv.bias)
    torch.testing.assert_close(
        torch.autograd.grad(conv(x), inputs, wanted), torch.autograd.grad(plainly, inputs, wanted)
    )


def test_light_begins_without_a_lattice() -> None:
    """Untrained, every 2×2 pixels of a picture are alike: the shuffles draw nothing of their own."""
    torch.manual_seed(torch.seed() % 2**32)
    generator = NightToDay(LIGHT).generator.eval()
    with torch.inference_mode():
        picture = generator(torch.rand(1, 17, 32, 32))
    pixels = torch.unflatten(torch.nn.functional.pixel_unshuffle(picture, 2), 1, (3, 4))
    assert picture.std() > 1e-3
    assert float(pixels.std(dim=2).max()) < 1e-6


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("blocks", 0),
        ("width", 2.5),
        ("input", "grey"),
        ("reference", (8, 8)),
        ("blend", True),
        ("norm", "layer"),
        ("upsample", "x"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{field}={value!r}")):
        GeneratorSettings(**{field: value})  # type: ignore[arg-type]
