"""The scene watch on the bundled clips: what must not alarm it, and what must."""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.pipeline.scene.scene_change import (
    LEAST_LOOKS,
    LEAST_SECONDS,
    VIEWS,
    WIDTH,
    SceneWatch,
    compare,
    median,
    small_view,
)

Pixels = NDArray[np.uint8]

CLIPS = Path(__file__).parents[3] / "benchmarks" / "clips"
DAY, NIGHT, OTHER = "day_tfl_09731_a1_barnet", "night_a1_barnet_simulated", "night_tfl_07450_piccadilly"
EVERY = 2.0  # seconds between looks
LATEST = 20  # looks after which a move must be told
SETTLED, ENOUGH = 14, 45  # looks for a reference; looks in which whatever is told is told


@cache
def clip(name: str) -> list[Pixels]:
    """Some twenty pictures, RGB (288, 352, 3)."""
    with av.open(str(CLIPS / f"{name}.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [np.asarray(frame) for frame in frames[::12]]


class Camera:
    """Shows a watch pictures, one each ``EVERY`` seconds."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.watch, self.seconds, self._rng = SceneWatch(), 0.0, rng
        noise = (4 * rng.standard_normal((4, 400, 400, 1), np.float32)).astype(np.int16)
        self._noise = noise.repeat(3, axis=3)  # of no colour, as infrared is

    def show(self, pictures: Iterable[Pixels], looks: int, noise: int = 1) -> tuple[str | None, int]:
        """The first change told and after how many looks, or (None, ``looks``)."""
        shown = list(pictures)
        for look in range(looks):
            picture = shown[look % len(shown)]
            height, width = picture.shape[:2]
            fresh = self._noise[look % 4] * noise
            if height <= 400 and width <= 400:
                place = tuple(self._rng.integers(0, (400 - height + 1, 400 - width + 1)))
                grain = fresh[place[0] : place[0] + height, place[1] : place[1] + width]
                picture = cv2.add(picture, grain, dtype=cv2.CV_8U)
            self.seconds += EVERY
            change = self.watch.look(picture, seconds=self.seconds)
            if change is not None:
                return change, look + 1
        return None, looks


@pytest.fixture
def camera(rng: np.random.Generator) -> Camera:
    return Camera(rng)


def panned(pictures: list[Pixels], part: float, *, before: bool) -> list[Pixels]:
    """What a camera sees before and after it turned by ``part`` of its view, with nothing made up at the edge."""
    width = pictures[0].shape[1]
    cut = round(part * width / (1 + part))
    return [picture[:, : width - cut] if before else picture[:, cut:] for picture in pictures]


def zoomed(pictures: list[Pixels], factor: float) -> list[Pixels]:
    height, width = pictures[0].shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 0, factor)
    return [cv2.warpAffine(picture, turn, (width, height)) for picture in pictures]


def blurred(pictures: list[Pixels], sigma: float) -> list[Pixels]:
    return [cv2.GaussianBlur(picture, (0, 0), sigma) for picture in pictures]


def covered(rng: np.random.Generator, pictures: list[Pixels], part: float) -> list[Pixels]:
    """With a lorry of its own pattern that stands in ``part`` of the view."""
    height, width = pictures[0].shape[:2]
    wide = round(part * width)
    left = int(rng.integers(0, width - wide + 1))
    lorry = cv2.resize(rng.integers(0, 256, (12, 12, 3)).astype(np.uint8), (wide, height))
    return [np.hstack((picture[:, :left], lorry, picture[:, left + wide :])) for picture in pictures]


def with_headlights(rng: np.random.Generator, pictures: list[Pixels]) -> list[Pixels]:
    height, width = pictures[0].shape[:2]
    y, x = np.mgrid[:height, :width]
    lit = []
    for picture in pictures:
        cx, cy = rng.uniform(0, width), rng.uniform(height / 3, height)
        beam = 255 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * (0.12 * width) ** 2))
        lit.append(np.clip(picture + beam[..., None], 0, 255).astype(np.uint8))
    return lit


def rainy(rng: np.random.Generator, pictures: list[Pixels]) -> list[Pixels]:
    wet = []
    for picture in pictures:
        streaks = (rng.random(picture.shape[:2]) < 0.01).astype(np.float32) * 900
        streaks = cv2.blur(streaks, (1, 15))[..., None]
        wet.append(np.clip(picture * 0.8 + 25 + streaks, 0, 255).astype(np.uint8))
    return wet


def grey(pictures: list[Pixels]) -> list[Pixels]:
    return [cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for p in pictures]


def test_the_median_of_views_is_numpys(rng: np.random.Generator) -> None:
    for count in (1, 3, VIEWS):
        views = list(rng.integers(0, 256, (count, 20, 30)).astype(np.uint8))
        kept = [view.copy() for view in views]
        np.testing.assert_array_equal(median(views), np.median(views, axis=0))
        np.testing.assert_array_equal(views, kept)


# --- what must not alarm it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [DAY, NIGHT, OTHER])
def test_traffic_noise_and_rain_are_no_change(camera: Camera, rng: np.random.Generator, name: str) -> None:
    assert camera.show(clip(name), ENOUGH)[0] is None
    assert camera.show(rainy(rng, clip(name)), ENOUGH)[0] is None
    assert camera.show(clip(name), SETTLED, noise=3)[0] is None


@pytest.mark.parametrize("name", [DAY, NIGHT, OTHER])
def test_a_lorry_that_stands_in_half_of_the_view_is_no_change(
    camera: Camera, rng: np.random.Generator, name: str
) -> None:
    camera.show(clip(name), SETTLED)
    assert camera.show(covered(rng, clip(name), 0.5), ENOUGH)[0] is None
    assert camera.show(clip(name), SETTLED)[0] is None


@pytest.mark.slow
def test_a_lorry_softer_than_what_it_hides_is_no_lost_focus() -> None:
    rng = np.random.default_rng(3517988308)  # its pattern comes to resemble the reference
    camera = Camera(rng)
    camera.show(clip(NIGHT), SETTLED)
    assert camera.show(covered(rng, clip(NIGHT), 0.5), 2 * ENOUGH)[0] is None
    assert camera.show(clip(NIGHT), ENOUGH)[0] is None


@pytest.mark.parametrize("name", [NIGHT, OTHER])
def test_headlights_are_no_change(camera: Camera, rng: np.random.Generator, name: str) -> None:
    camera.show(clip(name), SETTLED)
    assert camera.show(with_headlights(rng, clip(name)), 2 * ENOUGH)[0] is None


def test_day_night_and_infrared_by_turns_are_no_change(camera: Camera) -> None:
    infrared = [
        255 - picture // 2 for picture in grey(clip(NIGHT))
    ]  # lit from elsewhere: light and dark swapped
    for pictures in 3 * [clip(DAY), clip(NIGHT), infrared]:
        assert camera.show(pictures, SETTLED)[0] is None


def test_exposure_and_contrast_are_no_change(camera: Camera) -> None:
    camera.show(clip(DAY), SETTLED)
    for gain, offset in ((0.7, 0), (0.5, 110), (1.3, 0), (0.9, -20)):
        pictures = [np.clip(p * gain + offset, 0, 255).astype(np.uint8) for p in clip(DAY)]
        assert camera.show(pictures, SETTLED)[0] is None


def test_black_white_and_foggy_pictures_say_nothing(camera: Camera) -> None:
    camera.show(clip(DAY), SETTLED)
    for pictures in (
        [np.zeros((288, 352, 3), np.uint8)],
        [np.full((288, 352, 3), 255, np.uint8)],
        [(p * 0.02 + 180).astype(np.uint8) for p in clip(DAY)],
    ):
        assert camera.show(pictures, ENOUGH)[0] is None
    assert camera.show(clip(DAY), SETTLED)[0] is None


@pytest.mark.slow
def test_a_slow_sun_is_followed(camera: Camera, rng: np.random.Generator) -> None:
    """A shadow with sharp edges that crosses the whole view in 12 minutes."""
    camera.show(clip(DAY), SETTLED)
    for step in range(59):
        shadow = np.ones((288, 352, 1))
        shadow[:, : 6 * step] = 0.45
        pictures = [np.asarray(picture * shadow, np.uint8) for picture in clip(DAY)[:6]]
        assert camera.show(pictures, 6)[0] is None


def test_what_passes_within_seconds_is_no_change(camera: Camera) -> None:
    camera.show(clip(NIGHT), SETTLED)
    for _ in range(5):
        assert camera.show(zoomed(clip(NIGHT), 1.5), VIEWS // 2)[0] is None  # less than half of the views
        assert camera.show(clip(NIGHT), VIEWS)[0] is None


# --- what must ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [DAY, NIGHT, OTHER])
@pytest.mark.parametrize("part", [0.05, 0.1, 0.2, 0.5])
def test_a_pan_is_told(camera: Camera, name: str, part: float) -> None:
    assert camera.show(panned(clip(name), part, before=True), SETTLED)[0] is None
    change, looks = camera.show(panned(clip(name), part, before=False), ENOUGH)
    assert change == "moved"
    assert looks <= LATEST
    assert camera.show(panned(clip(name), part, before=False), ENOUGH)[0] is None  # it knows the new scene
    assert camera.show(panned(clip(name), part, before=True), ENOUGH)[0] == "moved"


@pytest.mark.parametrize("name", [DAY, NIGHT, OTHER])
@pytest.mark.parametrize("factor", [1.05, 1.1, 1.2, 1.5])
def test_a_zoom_is_told(camera: Camera, name: str, factor: float) -> None:
    camera.show(clip(name), SETTLED)
    change, looks = camera.show(zoomed(clip(name), factor), ENOUGH)
    assert change == "moved"
    assert looks <= LATEST


@pytest.mark.parametrize("name", [DAY, NIGHT, OTHER])
def test_a_lost_focus_is_told_after_a_minute_and_its_return_as_well(camera: Camera, name: str) -> None:
    camera.show(clip(name), SETTLED)
    change, looks = camera.show(blurred(clip(name), 8), ENOUGH)
    assert change == "refocused"
    assert looks * EVERY >= LEAST_SECONDS["refocused"]
    assert camera.show(clip(name), ENOUGH)[0] == "refocused"


def test_another_cameras_picture_is_told(camera: Camera) -> None:
    camera.show(grey(clip(NIGHT)), SETTLED)
    assert camera.show(grey(clip(OTHER)), ENOUGH)[0] == "moved"


def test_a_camera_moved_by_night_is_told_by_night(camera: Camera) -> None:
    """Against the reference of nights, not of the days between."""
    for name in (NIGHT, DAY):
        assert camera.show(panned(clip(name), 0.2, before=True), SETTLED)[0] is None
    assert camera.show(panned(clip(NIGHT), 0.2, before=False), ENOUGH)[0] == "moved"
    assert (
        camera.show(panned(clip(DAY), 0.2, before=False), ENOUGH)[0] is None
    )  # what it knew of days is forgotten


@pytest.mark.slow
def test_it_takes_its_time_by_looks_and_by_seconds(rng: np.random.Generator) -> None:
    for every in (0.1, 2.0, 60.0):
        watch, seconds, looks = SceneWatch(), 0.0, 0
        for picture in panned(clip(NIGHT), 0.3, before=True):
            assert watch.look(picture, seconds=seconds) is None
            seconds += every
        moved_at = seconds
        pictures = panned(clip(NIGHT), 0.3, before=False)
        while watch.look(pictures[looks % len(pictures)], seconds=seconds) is None:
            looks += 1
            seconds += every
            assert looks < 500
        assert looks + 1 >= VIEWS // 2 + LEAST_LOOKS
        assert seconds - moved_at >= LEAST_SECONDS["moved"]


def test_what_it_knows_can_be_kept(camera: Camera, rng: np.random.Generator) -> None:
    for name in (DAY, NIGHT):
        camera.show(panned(clip(name), 0.1, before=True), SETTLED)
    kept = camera.watch.references()
    assert set(kept) == {"colour", "dark"}
    assert all(view.dtype == np.uint8 and view.shape[1] == WIDTH for view, _ in kept.values())
    for before, change in ((True, None), (False, "moved")):
        later = Camera(rng)
        later.watch.restore(kept)
        assert later.show(panned(clip(NIGHT), 0.1, before=before), ENOUGH)[0] == change
    odd = Camera(rng)
    odd.watch.restore(
        {"dark": (np.zeros((3, 5), np.uint8), 9), "unheard of": (np.zeros((1, 1), np.uint8), 1)}
    )
    assert odd.show(clip(NIGHT), ENOUGH)[0] is None


# --- its parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "scale"), [((0, 0), 1.0), ((7, 0), 1.0), ((-4, 6), 1.0), ((0, 0), 1.08), ((3, -2), 0.94)]
)
def test_the_warp_found_is_the_warp_made(
    rng: np.random.Generator, shift: tuple[int, int], scale: float
) -> None:
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (190, 260)), (0, 0), 1.5) * 3 - 255
    texture = np.clip(texture, 0, 255).astype(np.uint8)
    warp = cv2.getRotationMatrix2D((130, 95), 0, scale)
    moved = cv2.warpAffine(texture, warp + np.array([[0, 0, shift[0]], [0, 0, shift[1]]]), (260, 190))
    found = compare(texture[50:140, 50:210], moved[50:140, 50:210])
    x, y = np.meshgrid((np.arange(6) + 0.5) * 160 / 6 - 80, (np.arange(4) + 0.5) * 22.5 - 45)
    true = np.hypot(shift[0] + (scale - 1) * x, shift[1] + (scale - 1) * y).mean()
    assert found.blocks == 24
    assert found.agreement >= 0.7
    assert found.shift == pytest.approx(
        true, abs=0.5 if scale == 1 else 0.3 * true
    )  # what left the view is not found
    assert found.change == ("moved" if true > 0 else None)
    assert (found.in_place == 1.0) == (true == 0)


@pytest.mark.parametrize("blur", [0.5, 2.0, 4.0])
def test_sharpness_does_not_depend_on_contrast(blur: float) -> None:
    _, view = small_view(clip(DAY)[0])
    soft = cv2.GaussianBlur(view.astype(np.float32), (0, 0), blur)
    low = compare(view, soft).sharpness
    assert low < 1
    assert compare(view, soft * 0.4 + 60).sharpness == pytest.approx(low, rel=0.05)
    assert compare(soft, view).sharpness > 1


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (lambda: clip(DAY)[0], "colour"),
        (lambda: clip(NIGHT)[0], "dark"),
        (lambda: grey(clip(DAY))[0], "grey"),
        (lambda: np.zeros((2160, 3840, 3), np.uint8), "grey"),
    ],
)
def test_views_are_small_and_of_a_kind(picture: Callable[[], Pixels], kind: str) -> None:
    rgb = picture()
    found, view = small_view(rgb)
    assert found == kind
    assert view.shape == (round(WIDTH * rgb.shape[0] / rgb.shape[1]), WIDTH)
    assert view.dtype == np.uint8


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (48, 64), (500, 20), (20, 2000)])
def test_odd_sizes_are_no_trouble(camera: Camera, rng: np.random.Generator, size: tuple[int, int]) -> None:
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8)]
    assert camera.show(pictures, SETTLED)[0] is None
