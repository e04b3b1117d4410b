"""A background's checkpoint: what is written is read, and whatever else is refused with its reason."""

import hashlib
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from nightday.pipeline.scene.background_file import (
    BackgroundRefusedError,
    SavedBackground,
    SavedMedian,
    load_background,
    save_background,
)

WHO = {"camera": "gate", "source": "rtsp://***@10.0.0.5/stream1"}


@pytest.fixture
def kept(rng: np.random.Generator) -> SavedBackground:
    day, night = rng.integers(0, 256, (2, 37, 53, 3), dtype=np.uint8)
    view = rng.integers(0, 256, (11, 16), dtype=np.uint8)
    return SavedBackground(
        medians={"day": SavedMedian(day, 25), "night": SavedMedian(night[:, ::-1], 3)},
        lasting={"day": SavedMedian(255 - day, 9, 6400.0)},
        agreements={"day": 0.97},
        views={"grey": (view, 900)},
        told_by="night",
    )


def refusal(path: Path, **who: str) -> str:
    with pytest.raises(BackgroundRefusedError) as refused:
        load_background(path, **(WHO | who))
    return str(refused.value)


def signed(first: bytes, rest: bytes) -> bytes:
    return first + b"\n" + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def test_what_is_saved_is_loaded(tmp_path: Path, kept: SavedBackground) -> None:
    path = tmp_path / "new" / "bg.state"
    assert load_background(path, **WHO) is None
    save_background(path, kept, **WHO)
    loaded = load_background(path, **WHO)
    assert loaded is not None
    for before, after in ((kept.medians, loaded.medians), (kept.lasting, loaded.lasting)):
        assert before.keys() == after.keys()
        for name, median in before.items():
            np.testing.assert_array_equal(after[name].picture, median.picture)
            assert (after[name].count, after[name].spacing) == (median.count, median.spacing)
    assert (loaded.agreements, loaded.told_by, loaded.left_out) == ({"day": 0.97}, "night", "")
    np.testing.assert_array_equal(loaded.views["grey"][0], kept.views["grey"][0])
    assert loaded.views["grey"][1] == 900
    assert os.listdir(path.parent) == ["bg.state"]


def test_nothing_kept_is_a_checkpoint_too(tmp_path: Path) -> None:
    save_background(tmp_path / "bg.state", SavedBackground(), **WHO)
    loaded = load_background(tmp_path / "bg.state", **WHO)
    assert loaded is not None
    assert (loaded.medians, loaded.views) == ({}, {})


def test_another_camera_or_source_is_refused_by_name(tmp_path: Path, kept: SavedBackground) -> None:
    path = tmp_path / "bg.state"
    save_background(path, kept, **WHO)
    assert refusal(path, camera="yard") == "its camera is 'gate', not 'yard'"
    assert refusal(path, source="rtsp://b") == "its source is 'rtsp://***@10.0.0.5/stream1', not 'rtsp://b'"


def test_every_torn_file_is_refused(tmp_path: Path, kept: SavedBackground) -> None:
    path = tmp_path / "bg.state"
    save_background(path, kept, **WHO)
    whole = path.read_bytes()
    for length in {0, 1, 18, 20, 21, 60, 86, 87, 200, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:length])
        assert refusal(path)
    path.write_bytes(b"")
    assert refusal(path) == "it is empty"
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(path) == "its checksum is wrong: it is torn or was altered"


def test_every_altered_byte_is_found(tmp_path: Path, kept: SavedBackground, rng: np.random.Generator) -> None:
    path = tmp_path / "bg.state"
    save_background(path, kept, **WHO)
    whole = path.read_bytes()
    for place in {0, 5, 19, 21, 40, 87, 120, len(whole) - 1, *rng.integers(0, len(whole), 50).tolist()}:
        altered = bytearray(whole)
        altered[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(altered)
        assert refusal(path)
    path.write_bytes(whole + b"\0")
    assert "checksum" in refusal(path)


def test_another_version_is_refused(tmp_path: Path, kept: SavedBackground) -> None:
    path = tmp_path / "bg.state"
    save_background(path, kept, **WHO)
    path.write_bytes(path.read_bytes().replace(b"nightday-background 2\n", b"nightday-background 3\n", 1))
    assert refusal(path) == "it is of version 3, this program writes 2"


def version_1(pictures: list[str], model: str, data: bytes) -> bytes:
    """A file as earlier releases wrote it."""
    listed = ", ".join(
        f'{{"what": "median", "name": "{name}", "shape": [4, 5, 3], "count": 7}}' for name in pictures
    )
    header = f'{{"camera": "gate", "source": "s", "model": "{model}", "pictures": [{listed}]}}\n'
    return signed(b"nightday-background 1", header.encode() + zlib.compress(data))


@pytest.mark.parametrize(
    ("pictures", "model", "kept", "told_by", "left_out"),
    [
        (["day"], "", ["day"], "never", ""),
        (["day"], "f00d", ["day"], "night", ""),
        (["day", "night"], "f00d", ["day"], "night", "its night was made of translated pictures"),
        (["night"], "f00d", [], "night", "its night was made of translated pictures"),
    ],
)
def test_of_the_version_before_the_day_is_taken_over(
    tmp_path: Path,
    rng: np.random.Generator,
    pictures: list[str],
    model: str,
    kept: list[str],
    told_by: str,
    left_out: str,
) -> None:
    path, data = tmp_path / "bg.state", rng.integers(0, 256, (len(pictures), 4, 5, 3), dtype=np.uint8)
    path.write_bytes(version_1(pictures, model, data.tobytes()))
    loaded = load_background(path, camera="gate", source="s")
    assert loaded is not None
    assert [*loaded.medians] == kept
    assert (loaded.told_by, loaded.left_out, loaded.lasting) == (told_by, left_out, {})
    if kept:
        np.testing.assert_array_equal(loaded.medians["day"].picture, data[0])
        assert loaded.medians["day"].count == 7


@pytest.mark.parametrize("value", ["NaN", "-1", "2", '"x"', "null"])
def test_a_number_out_of_range_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "bg.state"
    header = f'{{"camera": "gate", "source": "s", "pictures": [], "agreements": {{"day": {value}}}}}\n'
    path.write_bytes(signed(b"nightday-background 2", header.encode()))
    assert "where a number up to 1 is due" in refusal(path, source="s")


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (b"", "header cannot be read"),
        (b"[]\n", "header cannot be read"),
        (b"\xff\xfe\n", "header cannot be read"),
        (b"[" * 70_000 + b"\n", "header cannot be read"),
        (b"[" * 60_000 + b"\n", "header cannot be read"),
        (b'{"camera": "gate", "source": "s"}\n', "lists no pictures"),
        (b'{"camera": "gate", "source": "s", "pictures": [7]}\n', "describes no picture"),
        (b'{"camera": "gate", "source": "s", "pictures": [@]}\n', "describes no picture"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, rest: bytes, reason: str) -> None:
    path = tmp_path / "bg.state"
    for shape in ("[2, 3]", "[-2, -3, 3]", "[0, 4, 3]", "[1e9, 1, 3]", "[99999, 99999, 3]", '"x"'):
        picture = f'{{"what": "median", "name": "day", "shape": {shape}, "count": 3}}'.encode()
        path.write_bytes(signed(b"nightday-background 1", rest.replace(b"@", picture)))
        assert reason in refusal(path, source="s")


def test_pictures_that_end_early_or_would_swell_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bg.state"
    header = (
        b'{"camera": "gate", "source": "s", "pictures": '
        b'[{"what": "median", "name": "day", "shape": [4, 4, 3], "count": 3}]}\n'
    )
    for data, reason in (
        (zlib.compress(bytes(47)), "its picture day ends early"),
        (b"", "its picture day ends early"),
        (b"\0\1\2", "cannot be inflated"),
    ):
        path.write_bytes(signed(b"nightday-background 1", header + data))
        assert reason in refusal(path, source="s")
    path.write_bytes(signed(b"nightday-background 1", header + zlib.compress(bytes(10**8))))
    loaded = load_background(path, camera="gate", source="s")  # 100 MB behind 48 bytes: never inflated
    assert loaded is not None
    assert loaded.medians["day"].picture.nbytes == 48


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "bg.state"
    os.mkfifo(pipe)
    assert refusal(pipe) == "it is not a file"
    assert refusal(tmp_path) == "it is not a file"


def test_a_failed_write_leaves_the_old_checkpoint_and_no_litter(
    tmp_path: Path, kept: SavedBackground, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bg.state"
    save_background(path, kept, **WHO)
    before = path.read_bytes()
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:

            def disk_full(*_: object) -> None:
                raise OSError(28, "No space left on device", str(path))

            patch.setattr(os, call, disk_full)
            with pytest.raises(OSError, match="No space left"):
                save_background(path, SavedBackground(), **WHO)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["bg.state"]


def test_it_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, kept: SavedBackground, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for call in ("fsync", "replace"):
        real = getattr(os, call)

        def noted(*args: object, call: str = call, real=real) -> None:  # type: ignore[no-untyped-def]
            done.append(call)
            real(*args)

        monkeypatch.setattr(os, call, noted)
    save_background(tmp_path / "bg.state", kept, **WHO)
    assert done == ["fsync", "replace", "fsync"]
