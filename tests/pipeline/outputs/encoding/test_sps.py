"""The sequence parameter sets of what is encoded name no rate, and all else of them stays."""

from __future__ import annotations

import random
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest

from nightday.pipeline.outputs.encoding.encoder import Encoder
from nightday.pipeline.outputs.encoding.shared_encoder import SharedEncoder
from nightday.pipeline.outputs.encoding.sps import without_rate
from tests.support.media_helpers import ffmpeg_complaints, picture

RATE = ("timing_info_present_flag", "num_units_in_tick", "time_scale", "fixed_frame_rate_flag")


def parameters(path: Path) -> list[tuple[str, str]]:
    """Name and value of everything in the first SPS of a file, as FFmpeg reads it."""
    command = ["ffmpeg", "-nostdin", "-v", "verbose", "-i", str(path), "-c", "copy"]
    done = subprocess.run(
        [*command, "-bsf:v", "trace_headers", "-f", "null", "-"], capture_output=True, text=True, check=True
    )
    (first, *_) = done.stderr.split("Sequence Parameter Set")[1:]
    found = re.findall(r"\d+ +(\w+(?:\[\d+\])*) +[01]+ = (-?\d+)", first.split("Picture Parameter Set")[0])
    return [each for each in found if each[0] != "rbsp_alignment_zero_bit"]


def without(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What says nothing of the rate."""
    return [each for each in found if each[0] not in RATE]


def test_only_the_rate_goes_from_the_sets_of_random_pictures(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(4):
        base = Fraction(1, rng.choice([3, 1000, 12_800, 90_000, 1_000_003]))
        size = (rng.randrange(16, 1400), rng.randrange(16, 900))
        shown = picture(rng.randrange(10**9), time_base=base, size=size)
        (packet,) = Encoder(shown, preset="ultrafast").encode(shown)
        before, after = tmp_path / "before.h264", tmp_path / "after.h264"
        before.write_bytes(bytes(packet))
        after.write_bytes(without_rate(bytes(packet)))
        was, now = parameters(before), parameters(after)
        assert ("fixed_frame_rate_flag", "1") in was
        assert without(now) == without(was)
        assert [each for each in now if each[0] in RATE] == [("timing_info_present_flag", "0")]
        assert ffmpeg_complaints(after) == ""
        with av.open(str(before)) as one, av.open(str(after)) as other:
            pictures = [next(video.decode(video=0)).to_ndarray() for video in (one, other)]
        assert (pictures[0] == pictures[1]).all()
        assert without_rate(after.read_bytes()) == after.read_bytes()


# What x264 makes with other settings.
@pytest.mark.parametrize(
    ("options", "pixels"),
    [
        ("interlaced=1", "yuv420p"),
        ("sar=113/97", "yuv444p"),
        ("overscan=show", "yuv420p10le"),
        ("chromaloc=2:colorprim=bt2020:range=pc", "yuv420p"),
        ("nal-hrd=vbr:vbv-maxrate=900:vbv-bufsize=900", "yuv420p"),
    ],
)
def test_sets_of_other_settings_lose_the_rate_alone(tmp_path: Path, options: str, pixels: str) -> None:
    before, after = tmp_path / "before.h264", tmp_path / "after.h264"
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x232:rate=10",
        "-frames:v",
        "2",
    ]
    subprocess.run(
        [*command, "-pix_fmt", pixels, "-c:v", "libx264", "-x264-params", options, str(before)], check=True
    )
    after.write_bytes(without_rate(before.read_bytes()))
    now = parameters(after)
    assert without(now) == without(parameters(before))
    assert [each for each in now if each[0] in RATE] == [("timing_info_present_flag", "0")]


def test_every_key_frame_of_the_shared_encoder_names_no_rate() -> None:
    shared = SharedEncoder()
    coded = [shared.encode(picture(number * 512), key=number % 4 == 0) for number in range(12)]
    assert [each.key for each in coded if each] == [number % 4 == 0 for number in range(12)]
    for each in coded:
        assert each is not None
        assert without_rate(each.data) == each.data


def test_what_is_no_parameter_set_stays_byte_for_byte() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    slice_data = bytes([0, 0, 1, 0x65]) + rng.randbytes(5000).replace(b"\0\0", b"\0\1")
    assert without_rate(slice_data) == slice_data
