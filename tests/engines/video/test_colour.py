"""What is shown of a copy is what is shown of the original, by an independent float64 reference."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from nightday.engines.video import colour
from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.media import gpu_video
from nightday.pipeline.media.colour import to_rgb
from nightday.pipeline.outputs.encoding.encoder import Encoder
from tests.support import colour_patches as cp

# (matrix, primaries, transfer) as a stream names them; 2 is nothing named.
TAGS = {
    "untagged": (2, 2, 2),
    "709": (1, 1, 1),
    "601": (6, 6, 6),
    "pal": (5, 5, 6),
    "2020": (9, 9, 14),
    "fcc": (4, 4, 4),
    "240m": (7, 7, 7),
    "matrix alone": (1, 2, 2),
}


def made(
    rng: np.random.Generator, rows: int, pix_fmt: str, tags: tuple[int, int, int], *, full: bool
) -> tuple[av.VideoFrame, cp.Array]:
    """A frame of random patches that name ``tags``, and what a player shows of it."""
    bits = 10 if pix_fmt.endswith("10le") else 8
    matrix = cp.matrix_shown(tags[0], full=full, rows=rows)
    levels = cp.coded(
        rng.integers(0, 256, (cp.ROWS, cp.COLUMNS, 3)).astype(float), matrix, full=full, bits=bits
    )
    video = cp.patches(levels, rows, 128, pix_fmt)
    video.colorspace, video.color_primaries, video.color_trc = tags
    if not pix_fmt.startswith("yuvj") and (full or tags != TAGS["untagged"]):
        video.color_range = 2 if full else 1
    return video, cp.shown(*levels, matrix, full=full, bits=bits)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv420p10le"])
@pytest.mark.parametrize(
    ("name", "rows"),
    [("untagged", rows) for rows in (288, 576, 718, 720, 1080, 2160)]
    + [(name, rows) for name in TAGS if name != "untagged" for rows in (288, 720)],
)
def test_colours_are_read_as_players_show_them_and_a_copy_is_shown_alike(
    rng: np.random.Generator, name: str, pix_fmt: str, rows: int
) -> None:
    tags, full = TAGS[name], pix_fmt == "yuvj420p"
    # swscale cuts off where it should round, and eight bits of ten lose another half of a level.
    read_within, copied_within = (4.5, 5.5) if pix_fmt == "yuv420p10le" else (3.1, 4.0)
    video, wanted = made(rng, rows, pix_fmt, tags, full=full)
    rgb = to_rgb(video, VideoReformatter())
    assert np.abs(cp.centres(rgb) - wanted).max() <= read_within

    picture = Picture(Frame("gate", video, 0, Fraction(1, 25), 0.0, 0.0), rgb, False)
    decoder = VideoCodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    (copy,) = [
        frame
        for packet in [*Encoder(picture, preset="veryfast").encode(picture), None]
        for frame in decoder.decode(packet)
    ]
    shown_by = cp.matrix_shown(copy.colorspace, full=full, rows=rows)
    assert np.abs(cp.shown(*cp.planes_at_centres(copy), shown_by, full=full) - wanted).max() <= copied_within
    assert (copy.color_range == 2) == full
    if tags == TAGS["untagged"]:
        assert (copy.colorspace, copy.color_primaries, copy.color_trc) == (
            (6, 1, 13) if full else (1, 1, 1) if rows >= 720 else (6, 6, 6)
        )
    else:  # also where they say half: a player makes the same of both
        assert (copy.colorspace, copy.color_primaries, copy.color_trc) == tags


@pytest.mark.parametrize("rows", [288, 720])
def test_h264_that_codes_red_green_and_blue_is_read_as_these(
    rng: np.random.Generator, tmp_path: Path, rows: int
) -> None:
    levels = rng.integers(0, 256, (cp.ROWS, cp.COLUMNS, 3), np.uint8)
    down, across = np.arange(rows) * cp.ROWS // rows, np.arange(128) * cp.COLUMNS // 128
    with av.open(str(tmp_path / "rgb.mp4"), "w") as container:
        stream = container.add_stream("libx264rgb", rate=5, options={"qp": "0", "preset": "ultrafast"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 128, rows, "rgb24"
        picture = np.ascontiguousarray(levels[down][:, across])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(tmp_path / "rgb.mp4")) as container:
        (video,) = container.decode(video=0)
    assert video.format.name == "gbrp"
    rgb = to_rgb(video, VideoReformatter())
    np.testing.assert_array_equal(rgb, picture)
    copy = encoded(Picture(Frame("gate", video, 0, Fraction(1, 5), 0.0, 0.0), rgb, False, seen=rgb))
    matrix = cp.matrix_shown(copy.colorspace, full=False, rows=rows)
    assert np.abs(cp.shown(*cp.planes_at_centres(copy), matrix, full=False) - levels).max() <= 4.0


@pytest.mark.parametrize("rows", [288, 720])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_the_path_on_a_gpu_reads_the_same(
    rng: np.random.Generator, tags: tuple[int, int, int], full: bool, rows: int
) -> None:
    video, wanted = made(rng, rows, "yuv420p", tags, full=full)
    nv12 = video.reformat(format="nv12")
    nv12.colorspace, nv12.color_primaries, nv12.color_trc = tags
    nv12.color_range = video.color_range
    assert np.abs(cp.centres(gpu_video.rgb_of(nv12).numpy()) - wanted).max() < 0.51


@pytest.mark.parametrize("reserved", [0, 3, 8, 99])
def test_a_matrix_that_is_no_matrix_is_none(reserved: int) -> None:
    assert colour.matrix_of(reserved, full_range=False, rows=720) == colour.BT709
    assert colour.matrix_of(reserved, full_range=False, rows=719) == colour.BT601
    assert colour.matrix_of(reserved, full_range=True, rows=2160) == colour.BT601


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv420p10le", "yuv422p", "nv12", "gray"])
def test_no_tag_keeps_a_frame_from_being_read(rng: np.random.Generator, pix_fmt: str) -> None:
    """swscale refuses frames of some matrices in more than eight bits."""
    for matrix in range(17):
        for primaries in (0, 1, 2, 3, 6, 9, 12, 22):
            for transfer in (1, 2, 3, 8, 13, 16, 18, 19):
                video = av.VideoFrame(64, 48, pix_fmt)
                video.colorspace, video.color_primaries, video.color_trc = matrix, primaries, transfer
                assert to_rgb(video, VideoReformatter()).shape == (48, 64, 3)


@pytest.mark.parametrize("rows", [288, 720])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv420p10le"])
@pytest.mark.parametrize(
    "tags", [*TAGS.values(), (9, 9, 16), (9, 9, 18), (8, 1, 1), (10, 9, 14), (1, 12, 13)]
)
def test_a_picture_to_which_nothing_was_done_keeps_its_levels_whatever_their_tags(
    rng: np.random.Generator, tags: tuple[int, int, int], pix_fmt: str, rows: int
) -> None:
    known = tags if tags[0] in (2, *cp.KR_KB) else (1, 1, 1)
    video, _ = made(rng, rows, pix_fmt, known, full=pix_fmt == "yuvj420p")
    video.colorspace, video.color_primaries, video.color_trc = tags
    rgb = to_rgb(video, VideoReformatter())
    frame = Frame("gate", video, 0, Fraction(1, 25), 0.0, 0.0)
    same, other = (
        encoded(Picture(frame, rgb, False, seen=rgb)),
        encoded(Picture(frame, rgb // 2, False, seen=rgb)),
    )
    ten = pix_fmt == "yuv420p10le"
    wanted = [
        cp.centres(np.asarray(plane, np.float64)) / (4 if ten else 1)
        for plane in planes_of(video, "<u2" if ten else "u1")
    ]
    # x264 loses a level or two at its usual quality, and eight bits of ten another half.
    for plane, expected in zip(cp.planes_at_centres(same), wanted, strict=True):
        assert np.abs(plane - expected).max() <= 2.5
    assert np.abs(cp.planes_at_centres(other)[0] - wanted[0]).max() > 20
    if tags != (2, 2, 2):
        assert (same.colorspace, same.color_primaries, same.color_trc) == tags


def planes_of(video: av.VideoFrame, dtype: str) -> list[np.ndarray]:
    wide = np.dtype(dtype).itemsize
    return [
        np.frombuffer(bytes(plane), dtype).reshape(-1, plane.line_size // wide)[:, : plane.width]
        for plane in video.planes
    ]


def encoded(picture: Picture) -> av.VideoFrame:
    decoder = VideoCodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    packets = [*Encoder(picture, preset="veryfast").encode(picture), None]
    (copy,) = [frame for packet in packets for frame in decoder.decode(packet)]
    return copy


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ((9, 9, 16), "HDR (PQ"),
        ((9, 9, 18), "HDR (HLG"),
        ((1, 1, 18), "HDR (HLG"),
        ((8, 1, 1), "YCgCo"),
        ((0, 1, 13), "GBR"),
        ((10, 9, 14), "constant luminance"),
        ((14, 9, 14), "ICtCp"),
        *(((matrix, 2, 2), None) for matrix in (1, 2, 4, 5, 6, 7, 9)),
    ],
)
def test_what_is_not_read_is_said_in_one_line(tags: tuple[int, int, int], said: str | None) -> None:
    video = av.VideoFrame(64, 48, "yuv420p")
    video.colorspace, video.color_primaries, video.color_trc = tags
    fault = colour.unread(video)
    assert fault is None if said is None else fault is not None
    if said is not None and fault is not None:
        assert said in fault
        assert "\n" not in fault
        assert "set the camera to" in fault


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
@pytest.mark.parametrize("limited", [True, False])
def test_grey_of_limited_range_is_shown_as_luma_without_colour(pix_fmt: str, limited: bool) -> None:
    """By its definition (ITU-T H.273): 16 is black and 235 white where the range is limited."""
    rng = np.random.default_rng(seed := int(np.random.SeedSequence().generate_state(1)[0]))
    print("seed", seed)
    luma = rng.integers(16, 236, (48, 64), np.uint8)
    stored = luma if pix_fmt == "gray" else luma.astype(np.uint16) * 4
    video = av.VideoFrame.from_ndarray(stored, format=pix_fmt)
    video.color_range = colour.LIMITED_RANGE if limited else colour.FULL_RANGE
    shown = colour.to_rgb(video, VideoReformatter()).astype(float)
    meant = (luma - 16.0) * 255 / 219 if limited else luma.astype(float)
    # Ten bits become eight with a dither.
    most = 0.5 if pix_fmt == "gray" else 1.5
    assert np.abs(shown - meant[..., None]).max() <= most * 255 / 219 + 1.0
    if limited:
        kept = colour.eight_bits(video, VideoReformatter())
        assert kept is not None
        assert np.abs(kept[:48].astype(int) - luma).max() <= round(most - 0.5)
        assert np.array_equal(kept[48:], np.full((24, 64), 128))
