"""The film is taken, not its cover."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import pytest

from nightday.engines.video.streams import NoVideoError, best_video, rgb_pictures
from tests.support.clips import H264, ffmpeg, pattern, turned

FILM = (64, 96, 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film and two covers."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("cover.png", "cover.jpg"):
        ffmpeg("-f", "lavfi", "-i", "color=red:size=600x600", "-frames:v", "1", folder / name)
    pattern(folder / "film.mp4")
    return folder


@pytest.fixture
def film(made: Path, tmp_path: Path) -> Path:
    """A film with two covers beside it, in a folder of the test's own."""
    return shutil.copytree(made, tmp_path, dirs_exist_ok=True) / "film.mp4"


def shapes(path: Path) -> list[tuple[int, ...]]:
    with av.open(str(path)) as clip:
        return [picture.shape for picture in rgb_pictures(clip)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("marked.mp4", "-i cover.png -i film.mp4 -map 0 -map 1 -c copy -disposition:v:0 attached_pic"),
        ("attached.mkv", "-i film.mp4 -attach cover.png -metadata:s:t mimetype=image/png -c copy"),
        ("track.mp4", "-i cover.jpg -i film.mp4 -map 0 -map 1 -c copy"),
        ("only default.mp4", "-i cover.jpg -i film.mp4 -map 0 -map 1 -c copy -disposition:v:1 0"),
        ("track.mkv", "-i cover.jpg -i film.mp4 -map 0 -map 1 -c copy -disposition:v default"),
        (
            "default.mkv",
            "-i cover.png -i film.mp4 -map 0 -map 1 -c copy -disposition:v:0 default -disposition:v:1 0",
        ),
    ],
)
def test_a_cover_picture_is_not_the_film(
    film: Path, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(film.parent)
    ffmpeg(*words.split(), name)
    assert shapes(Path(name)) == [FILM] * 4


def test_of_two_videos_the_one_with_more_pixels_is_taken(film: Path) -> None:
    small = pattern(film.with_name("small.mp4"), size="48x32")
    for form in ("mp4", "ts"):
        both = film.with_name(f"both.{form}")
        ffmpeg("-i", small, "-i", film, "-map", "0", "-map", "1", "-c", "copy", both)
        assert shapes(both) == [FILM] * 4


def test_one_that_is_marked_as_default_comes_first(film: Path) -> None:
    big = pattern(film.with_name("big.mp4"), size="192x128")
    both = film.with_name("both.mkv")
    words = ("-disposition:v:0", "0", "-disposition:v:1", "default")
    ffmpeg("-i", big, "-i", film, "-map", "0", "-map", "1", "-c", "copy", *words, both)
    assert shapes(both) == [FILM] * 4


def test_a_cover_alone_is_no_video_and_nor_is_sound(film: Path) -> None:
    sound = ("-f", "lavfi", "-t", "0.2", "-i", "anullsrc")
    cover = film.with_name("cover.png")
    music = film.with_name("music.m4a")
    ffmpeg(
        *sound, "-i", cover, "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic", music
    )
    with av.open(str(music)) as clip, pytest.raises(NoVideoError, match="but a cover picture"):
        best_video(clip)
    ffmpeg(*sound, film.with_name("sound.m4a"))
    with (
        av.open(str(film.with_name("sound.m4a"))) as clip,
        pytest.raises(NoVideoError, match=r"no video in it$"),
    ):
        best_video(clip)


def test_only_the_wanted_pictures_are_given(film: Path) -> None:
    with av.open(str(film)) as clip:
        every = list(rgb_pictures(clip))
    with av.open(str(film)) as clip:
        some = list(rgb_pictures(clip, {1, 3}))
    assert [(picture == other).all() for picture, other in zip(some, every[1::2], strict=True)] == [
        True,
        True,
    ]


def test_interlaced_and_turned_clips_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "fields.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=50", "-vf", "tinterlace=interleave_top"),
        *("-frames:v", "4", *H264, "-flags", "+ilme+ildct", path),
    )
    assert shapes(turned(path, tmp_path / "turned.mp4", 90)) == [(96, 64, 3)] * 4
