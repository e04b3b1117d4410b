"""NV12 to RGB and back against the definitions in float64, and against what swscale makes of the same planes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from nightday.pipeline.media import gpu_video, nv12
from nightday.pipeline.media.colour import to_rgb as on_host

CLIP = Path(__file__).parents[3] / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"
# ITU-T H.273: BT.709, FCC, BT.601 twice, SMPTE 240M, BT.2020; 2 and 0 tell nothing, which means BT.601
KR_KB = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087),
         9: (0.2627, 0.0593), 2: (0.299, 0.114), 0: (0.299, 0.114)}  # fmt: skip
Grey = NDArray[np.uint8]


def wanted_rgb(y: Grey, chroma: Grey, colorspace: int, full: bool) -> NDArray[np.float64]:
    """By the book, unrounded."""
    kr, kb = KR_KB[colorspace]
    rows, columns = (
        np.minimum(np.arange(n) // 2, m - 1) for n, m in zip(y.shape, chroma.shape, strict=False)
    )
    cb, cr = np.moveaxis(chroma.astype(float)[rows[:, None], columns] - 128, -1, 0) / (255 if full else 224)
    luma = y.astype(float) / 255 if full else (y.astype(float) - 16) / 219
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    rgb: NDArray[np.float64] = np.clip(np.stack((red, green, blue), -1) * 255, 0, 255)
    return rgb


def frame_of(planes: list[Grey], pix_fmt: str, colorspace: int, full: bool) -> av.VideoFrame:
    height, width = planes[0].shape[:2]
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size), np.uint8)
        rows[: values.shape[0], : values.shape[1]] = values
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = colorspace, 2 if full else 1
    return frame


@pytest.mark.parametrize("colorspace", KR_KB)
@pytest.mark.parametrize("full", [False, True])
def test_rgb_is_by_the_frame_s_own_matrix_and_range(
    rng: np.random.Generator, colorspace: int, full: bool
) -> None:
    height, width = 2 * int(rng.integers(8, 30)), 2 * int(rng.integers(8, 30))
    y = rng.integers(0, 256, (height, width), np.uint8)
    chroma = rng.integers(0, 256, (height // 2, width // 2, 2), np.uint8)
    shared = frame_of([y, chroma.reshape(height // 2, width)], "nv12", colorspace, full)
    rgb = gpu_video.rgb_of(shared).numpy()  # through DLPack, as from a GPU
    assert rgb.dtype == np.uint8
    assert np.abs(rgb - wanted_rgb(y, chroma, colorspace, full)).max() < 0.51
    # swscale, which makes the pictures on the host, counts in tables: off by 2.8 itself at the worst
    planar = frame_of([y, chroma[..., 0], chroma[..., 1]], "yuv420p", colorspace, full)
    host = on_host(planar, VideoReformatter()).astype(int)
    assert np.abs(rgb - host).max() <= 3
    assert np.abs(rgb - host).mean() < 0.8


def test_a_real_frame_is_the_same_on_both_paths() -> None:
    with av.open(str(CLIP)) as clip:
        decoded = next(clip.decode(video=0))
    host = on_host(decoded, VideoReformatter()).astype(int)
    there = gpu_video.rgb_of(decoded.reformat(format="nv12")).numpy()
    assert np.abs(there - host).max() <= 3  # swscale's tables again; a grey level darker on the whole
    assert np.abs(there - host).mean() < 1.2


@pytest.mark.parametrize("size", [(17, 23), (16, 23), (17, 22)])
def test_odd_sizes_repeat_the_last_chroma(rng: np.random.Generator, size: tuple[int, int]) -> None:
    y = rng.integers(0, 256, size, np.uint8)
    chroma = rng.integers(0, 256, (size[0] // 2, size[1] // 2, 2), np.uint8)
    rgb = nv12.to_rgb(torch.from_numpy(y), torch.from_numpy(chroma), colorspace=1, full_range=False)
    assert np.abs(rgb.numpy() - wanted_rgb(y, chroma, 1, False)).max() < 0.51


def test_batches_and_shrinking(rng: np.random.Generator) -> None:
    y = torch.from_numpy(rng.integers(70, 180, (3, 32, 48), np.uint8))
    chroma = torch.from_numpy(rng.integers(118, 139, (3, 16, 24, 2), np.uint8))  # nothing clips
    batch = nv12.to_rgb(y, chroma, colorspace=1, full_range=False)
    small = nv12.to_rgb(y, chroma, colorspace=1, full_range=False, size=(8, 12))
    assert batch.is_contiguous()
    for i in range(3):
        one = nv12.to_rgb(y[i], chroma[i], colorspace=1, full_range=False)
        assert torch.equal(batch[i], one)
        exact = wanted_rgb(y[i].numpy(), chroma[i].numpy(), 1, False)
        means = exact.reshape(8, 4, 12, 4, 3).mean(axis=(1, 3))
        assert np.abs(small[i].numpy() - means).max() < 0.51
        assert torch.equal(
            small[i], nv12.to_rgb(y[i], chroma[i], colorspace=1, full_range=False, size=(8, 12))
        )


def test_of_ten_bits_the_upper_eight_count(rng: np.random.Generator) -> None:
    y = rng.integers(64, 941, (16, 32)).astype("<u2") << 6
    chroma = rng.integers(64, 961, (8, 16, 2)).astype("<u2") << 6
    planes = [y.view(np.uint8), chroma.reshape(8, 32).view(np.uint8)]
    frame = av.VideoFrame(32, 16, "p010le")
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((values.shape[0], plane.line_size), np.uint8)
        rows[:, : values.shape[1]] = values
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = 1, 1
    luma, pairs = gpu_video.planes_of(frame)
    assert np.array_equal(luma.numpy(), y >> 8)
    assert np.array_equal(pairs.numpy(), chroma >> 8)


@pytest.mark.parametrize("colorspace", [1, 6])
def test_nv12_is_by_the_book(rng: np.random.Generator, colorspace: int) -> None:
    height, width = 2 * int(rng.integers(8, 30)), 2 * int(rng.integers(8, 150))
    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    packed = nv12.from_rgb(torch.from_numpy(rgb), colorspace=colorspace)
    kr, kb = KR_KB[colorspace]
    red, green, blue = np.moveaxis(rgb / 255, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    pairs = np.stack(((blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))), -1)
    means = 128 + 224 * pairs.reshape(height // 2, 2, width // 2, 2, 2).mean(axis=(1, 3))
    assert np.abs(packed[:height].numpy() - (16 + 219 * luma)).max() < 0.51
    assert np.abs(packed[height:].numpy().reshape(means.shape) - means).max() < 0.51


def test_nvenc_finds_the_chroma_behind_the_luma(rng: np.random.Generator) -> None:
    """It is told of one address and the length of a row."""
    rgb = torch.from_numpy(rng.integers(0, 256, (34, 98, 3), np.uint8))
    packed = nv12.from_rgb(rgb, colorspace=1)
    frame = gpu_video.as_frame(packed, None)
    pitch = frame.planes[0].line_size
    assert pitch % 256 == 0
    assert frame.planes[1].line_size == pitch
    assert frame.planes[1].buffer_ptr == frame.planes[0].buffer_ptr + 34 * pitch
    assert frame.planes[0].buffer_ptr == packed.data_ptr()  # and nothing was copied
    kept = packed.clone()
    del packed
    assert np.array_equal(frame.to_ndarray(), kept.numpy())  # the frame keeps the memory


@pytest.mark.parametrize(("matrix", "number"), [(Colorspace.ITU709, 1), (Colorspace.SMPTE170M, 6)])
def test_a_real_picture_is_encoded_alike_on_both_paths(matrix: Colorspace, number: int) -> None:
    with av.open(str(CLIP)) as clip:
        rgb = next(clip.decode(video=0)).to_ndarray(format="rgb24")
    host = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="nv12", dst_colorspace=matrix, dst_color_range=ColorRange.MPEG
    )
    difference = np.abs(
        host.to_ndarray().astype(int) - nv12.from_rgb(torch.from_numpy(rgb), colorspace=number).numpy()
    )
    assert difference[: rgb.shape[0]].max() <= 1
    assert difference[rgb.shape[0] :].mean() < 0.4  # swscale averages chroma over more pixels across
