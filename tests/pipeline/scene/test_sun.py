"""The sun's height, against the package astral 3.2 (``elevation(..., with_refraction=False)``)."""

import pytest

from nightday.pipeline.scene.sun import elevation


@pytest.mark.parametrize(
    ("latitude", "longitude", "second", "height"),
    [
        (-58.502, 125.076, 1082205672, -31.642),
        (-39.189, -1.643, 1911959505, -38.081),
        (-4.441, -43.339, 1397559318, 29.011),
        (-64.982, -169.795, 1783792838, -16.185),
        (-10.757, 94.421, 951207507, 54.995),
        (31.333, -84.121, 1437947928, 31.752),
        (14.585, -143.198, 1628359753, 39.661),
        (-75.106, -170.839, 2109359247, 28.176),
    ],
)
def test_the_suns_height(latitude: float, longitude: float, second: int, height: float) -> None:
    assert elevation(latitude, longitude, second) == pytest.approx(height, abs=0.02)


@pytest.mark.parametrize("turn", [-360, 360])
def test_a_turn_around_the_earth_changes_nothing(turn: float) -> None:
    assert elevation(40, 20, 1.7e9) == pytest.approx(elevation(40, 20 + turn, 1.7e9), abs=1e-6)
