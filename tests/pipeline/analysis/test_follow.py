"""Objects that are followed: against the tracker used directly, naive loops, and paths made by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import av
import numpy as np
import pytest
import supervision as sv
from trackers import ByteTrackTracker

from nightday.engines.detection.detections import Detection
from nightday.pipeline.analysis.areas import GRAIN, ZoneArea
from nightday.pipeline.analysis.follow import BREAK, OUTSIDE_FOR, Areas, Follower, make_follower
from nightday.pipeline.analysis.tracks import MISSED_FOR, TAIL, Tracks
from nightday.pipeline.core.events import CountsChanged, Event, LineCrossed, TrackChanged
from nightday.pipeline.core.found import Followed, FoundCounts
from nightday.pipeline.core.frame import Frame

WIDTH, HEIGHT = 640, 360
FPS = 25
Point = tuple[float, float]
YARD: tuple[Point, ...] = ((0.25, 0.0), (0.75, 0.0), (0.75, 1.0), (0.25, 1.0))
# From the upper edge down: what goes right goes to its left-hand side, for one who looks along it.
GATE = ((0.5, 0.2), (0.5, 0.8))


def at(x: float, y: float, label: str = "car", confidence: float = 0.9, side: float = 40) -> Detection:
    """An object that stands at (x, y)."""
    return Detection(label, confidence, (x - side / 2, y - side, x + side / 2, y))


def test_what_is_looked_for_is_counted_as_none_before_the_first_picture() -> None:
    counts = FoundCounts()
    areas = Areas(
        {"yard": YARD, "road": YARD}, {}, {"yard": frozenset({"person"})}, frozenset({"car", "person"})
    )
    make_follower(camera="gate", areas=areas, follow=False, confidence=0.25, counts=counts, publish=print)
    both = {"car": 0, "person": 0}
    assert counts.snapshot().now == {None: both, "yard": {"person": 0}, "road": both}
    counts.set_now("yard", {"dog": 1})  # of the settings before
    assert counts.snapshot().looked_for["yard"] == ("person",)


class Played:
    """A camera whose pictures are followed."""

    def __init__(
        self,
        *,
        zones: Mapping[str, tuple[Point, ...]] | None = None,
        lines: Mapping[str, tuple[Point, Point]] | None = None,
        classes: Mapping[str, frozenset[str]] | None = None,
        follow: bool = True,
    ) -> None:
        self.events: list[Event] = []
        self.counts = FoundCounts()
        self.follower: Follower = make_follower(
            camera="gate",
            areas=Areas(zones or {}, lines or {}, classes or {}),
            follow=follow,
            confidence=0.25,
            counts=self.counts,
            publish=self.events.append,
        )
        self.number = 0
        self.size = (WIDTH, HEIGHT)

    def show(
        self, *found: Detection, faint: Sequence[Detection] = (), after: int = 1
    ) -> tuple[Sequence[Detection], Followed]:
        self.number += after
        frame = Frame("gate", av.VideoFrame(*self.size, "gray"), self.number, Fraction(1, FPS), 0.0, 1e9)
        return self.follower.follow(frame, found, faint)

    def steps(self) -> list[str]:
        return [event.step for event in self.events if isinstance(event, TrackChanged)]

    def crossings(self) -> list[tuple[str, str]]:
        return [(event.line, event.direction) for event in self.events if isinstance(event, LineCrossed)]


def test_numbers_are_those_of_the_tracker_used_directly(rng: np.random.Generator) -> None:
    """Random walkers that are missed now and then, in random order, at an uneven rate."""
    tracks = Tracks(confidence=0.25)
    plain = ByteTrackTracker(track_activation_threshold=0.25, high_conf_det_threshold=0.25)
    starts, speeds = rng.uniform(0, 600, (8, 2)), rng.uniform(-60, 60, (8, 2))
    now = 100.0
    for _ in range(150):
        now += float(rng.uniform(0.02, 0.06))
        found = []
        for walker in rng.permutation(8):
            x, y = starts[walker] + speeds[walker] * (now - 100)
            if rng.random() < 0.85:
                found.append(at(float(x), float(y), confidence=float(rng.uniform(0.3, 1))))
        numbered, _, _ = tracks.update(found, [], now=now)
        expected = plain.update(
            sv.Detections(
                xyxy=np.array([one.box for one in found]).reshape(-1, 4),
                confidence=np.array([one.confidence for one in found]),
            ),
            timestamp=now,
        )
        given = {
            tuple(box): int(number)
            for box, number in zip(expected.xyxy.tolist(), expected.tracker_id, strict=True)
        }
        assert [one.track for one in numbered] == [
            None if given[one.box] < 0 else given[one.box] + 1 for one in found
        ]
        assert [(one.label, one.box, one.confidence) for one in numbered] == [
            (one.label, one.box, one.confidence) for one in found
        ]


def test_an_object_comes_and_goes() -> None:
    played = Played()
    ((first,), _) = played.show(at(100, 100))
    assert first.track is None  # one picture may be anything
    for step in range(1, 50):
        ((found,), followed) = played.show(at(100 + 2 * step, 100))
        assert found.track == 1
    assert played.steps() == ["appeared"]
    assert played.counts.snapshot().tracks_now == 1
    ((label, way),) = followed.tails
    assert (label, way[-1][1]) == ("car", 100)
    assert TAIL - 0.3 < (way[-1][0] - way[0][0]) / (2 * FPS) <= TAIL
    for _ in range(round((MISSED_FOR + 0.2) * FPS)):
        played.show()
    assert played.steps() == ["appeared", "gone"]
    gone = played.events[-1] if isinstance(played.events[-1], TrackChanged) else played.events[-2]
    assert isinstance(gone, TrackChanged)
    assert (gone.track, gone.label, gone.confidence, gone.at) == (1, "car", 0.9, 1e9)
    assert gone.seconds == pytest.approx(48 / FPS)
    snapshot = played.counts.snapshot()
    assert (snapshot.tracks_now, snapshot.tracks) == (0, {"car": 1})


def test_what_is_found_faintly_goes_on_but_does_not_begin() -> None:
    played = Played()
    for _ in range(10):
        played.show(faint=[at(400, 200, confidence=0.2)])
    assert played.steps() == []
    for _ in range(3):
        played.show(at(100, 100))
    for _ in range(3 * FPS):
        shown, _ = played.show(faint=[at(100, 100, confidence=0.15)])
        assert not shown
    assert played.steps() == ["appeared"]


def test_its_class_is_the_most_frequent_one_and_its_view_all_that_saw_it() -> None:
    played = Played()
    for number in range(20):
        label = "truck" if number % 4 == 3 else "car"
        view = "night" if number < 10 else "day"
        one = at(100, 100, label=label)
        played.show(Detection(one.label, one.confidence, one.box, view=view))  # type: ignore[arg-type]
    assert played.counts.snapshot().now[None] == {"car": 1}
    for _ in range(2 * FPS):
        played.show()
    gone = [event for event in played.events if isinstance(event, TrackChanged)][-1]
    assert (gone.step, gone.label, gone.view) == ("gone", "car", "both")


@pytest.mark.parametrize("what", ["a break", "another size"])
def test_what_was_there_before_is_forgotten_and_numbers_go_on(what: str) -> None:
    played = Played(zones={"yard": YARD})
    for _ in range(10):
        played.show(at(320, 100))
    if what == "a break":
        played.show(at(320, 100), after=round((BREAK + 1) * FPS))
    else:
        played.size = (1280, 720)
        played.show(at(320, 100))
    assert played.steps() == ["appeared", "entered", "left", "gone"]
    ((again,), _) = played.show(at(320, 100))
    assert again.track == 2


def test_a_camera_of_a_picture_a_second_is_followed() -> None:
    played = Played()
    for step in range(30):
        ((found,), _) = played.show(at(100 + 3 * step, 100), after=FPS + step % 3)
    assert found.track == 1
    assert played.steps() == ["appeared"]


def inside(point: Point, corners: Sequence[Point]) -> bool:
    """Whether a point is in a polygon: a ray to the right crosses its edges an odd number of times."""
    x, y = point
    odd = False
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            odd = not odd
    return odd


def distance(point: Point, corners: Sequence[Point]) -> float:
    """Of a point from the nearest edge of a polygon."""
    least = float("inf")
    for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
        start, along, there = np.array(a), np.array(b) - np.array(a), np.array(point)
        share = min(max(float((there - start) @ along / (along @ along)), 0.0), 1.0)
        least = min(least, float(np.hypot(*(there - start - share * along))))
    return least


def test_a_zone_holds_what_a_naive_loop_says(rng: np.random.Generator) -> None:
    """Star-shaped polygons, which have dents, against the ray; what is within a grain of the border may be either."""
    for _ in range(20):
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 12))))
        reach = rng.uniform(0.05, 0.45, len(angles))
        corners = [
            (0.5 + r * float(np.cos(a)), 0.5 + r * float(np.sin(a)))
            for r, a in zip(reach, angles, strict=True)
        ]
        zone = ZoneArea(corners)
        points = rng.uniform(0, 1, (300, 2))
        boxes = np.array([at(x * WIDTH, y * HEIGHT).box for x, y in points])
        told = zone.holds(boxes, size=(HEIGHT, WIDTH))
        wrong = [
            tuple(point)
            for point, yes in zip(points.tolist(), told, strict=True)
            if yes != inside(tuple(point), corners) and distance(tuple(point), corners) > 2 / GRAIN
        ]
        assert wrong == []


def test_a_zone_to_the_edge_of_the_picture_holds_what_stands_on_it() -> None:
    zone = ZoneArea([(0, 0), (1, 0), (1, 1), (0, 1)])
    corners = np.array([[0, 0, 10, HEIGHT], [WIDTH - 10, 0, WIDTH, HEIGHT], [0, 0, 0, 0]], float)
    assert zone.holds(corners, size=(HEIGHT, WIDTH)).all()
    assert zone.holds(np.zeros((0, 4)), size=(HEIGHT, WIDTH)).shape == (0,)


def test_counts_are_by_zone_and_class_with_and_without_following() -> None:
    for follow in (True, False):
        played = Played(
            zones={"yard": YARD, "people": YARD}, classes={"people": frozenset({"person"})}, follow=follow
        )
        for _ in range(FPS):
            found, followed = played.show(at(320, 100), at(320, 300, "person"), at(30, 200))
        assert {one.track is None for one in found} == {not follow}
        expected = {None: {"car": 2, "person": 1}, "yard": {"car": 1, "person": 1}, "people": {"person": 1}}
        assert played.counts.snapshot().now == expected
        assert [(zone.name, zone.count) for zone in followed.zones] == [("yard", 2), ("people", 1)]
        told = {event.zone: event.counts for event in played.events if isinstance(event, CountsChanged)}
        assert told == expected
        # Where objects are followed, there are none on the first picture.
        news = [event.counts for event in played.events if isinstance(event, CountsChanged)]
        assert len(news) == (6 if follow else 3)
        assert news[:3] == [{}] * 3 or not follow
        for _ in range(3 * FPS):
            played.show()
        left = played.counts.snapshot().now
        assert all(count == 0 for counts in left.values() for count in counts.values())
        assert [event.counts for event in played.events if isinstance(event, CountsChanged)][-3:] == [{}] * 3


def test_who_stands_on_the_border_of_a_zone_does_not_come_and_go() -> None:
    played = Played(zones={"yard": YARD})
    for number in range(100):
        played.show(at(0.25 * WIDTH + (4 if number % 3 else -4), 200))
    assert played.steps() == ["appeared", "entered"]
    for _ in range(round(OUTSIDE_FOR * FPS) + 2):
        played.show(at(0.25 * WIDTH - 8, 200))
    assert played.steps() == ["appeared", "entered", "left"]


def test_a_zone_of_one_class_never_counts_another_when_an_object_turns_out_to_be_that() -> None:
    played = Played(zones={"people": YARD}, classes={"people": frozenset({"person"})})
    for number in range(3 * FPS):
        played.show(at(320, 200, "person" if number < 4 else "car"))
    assert played.steps() == ["appeared", "entered", "left"]
    assert played.counts.snapshot().now == {None: {"person": 0, "car": 1}, "people": {"person": 0}}
    told = [event.counts for event in played.events if isinstance(event, CountsChanged) and event.zone]
    assert all(set(counts) <= {"person"} for counts in told)


Path = Callable[[float], Point]
STRAIGHT: dict[str, tuple[Path, list[tuple[str, str]]]] = {
    "through, to the right": (lambda t: (200 + 240 * t, 180), [("gate", "in")]),
    "through, to the left": (lambda t: (440 - 240 * t, 180), [("gate", "out")]),
    "aslant": (lambda t: (200 + 240 * t, 120 + 120 * t), [("gate", "in")]),
    "above its end": (lambda t: (200 + 240 * t, 40), []),
    "below its end": (lambda t: (200 + 240 * t, 330), []),
    "along it": (lambda t: (300, 40 + 300 * t), []),
    "around its end": (
        lambda t: (
            320 - 100 * np.cos(np.pi * t),
            288 - 160 * abs(np.cos(np.pi * t)) + 60 * np.sin(np.pi * t),
        ),
        [],
    ),
    "there and back": (lambda t: (200 + 240 * (1 - abs(2 * t - 1)), 180), [("gate", "in"), ("gate", "out")]),
}


@pytest.mark.parametrize("path", STRAIGHT)
def test_a_line_is_crossed_on_paths_made_by_hand(path: str) -> None:
    where, expected = STRAIGHT[path]
    played = Played(lines={"gate": GATE})
    for step in range(101):
        played.show(at(*where(step / 100), side=60))
    assert played.steps() == ["appeared"]
    assert played.crossings() == expected
    directions = Counter(direction for _, direction in expected)
    assert played.counts.crossed("gate") == (directions["in"], directions["out"])
    _, followed = played.show(at(*where(1.0), side=60))
    assert [(line.went_in, line.went_out) for line in followed.lines] == [
        (directions["in"], directions["out"])
    ]


def test_one_that_is_missed_while_it_crosses_has_crossed(rng: np.random.Generator) -> None:
    """Each picture is missed with a chance of a third, and half a second in the middle."""
    for _ in range(5):
        played = Played(lines={"gate": GATE})
        for step in range(101):
            missed = 45 < step < 57 or (step > 3 and rng.random() < 0.33)
            played.show(*([] if missed else [at(200 + 2.4 * step, 180, side=60)]))
        for _ in range(3):
            played.show(at(440, 180, side=60))
        assert played.crossings() == [("gate", "in")]


def test_who_stands_on_a_line_does_not_cross_it_each_moment(rng: np.random.Generator) -> None:
    played = Played(lines={"gate": GATE})
    for step in range(50):
        played.show(at(200 + 2.4 * step, 180, side=60))
    for step in range(100):  # on its feet: a picture on the other side, then back
        played.show(at(320 + (3 if step % 2 else -3), 180, side=60))
    assert played.crossings() == []


def test_two_that_cross_at_once_are_counted_by_class() -> None:
    played = Played(lines={"gate": GATE})
    for step in range(101):
        played.show(at(200 + 2.4 * step, 120, side=60), at(440 - 2.4 * step, 260, "person", side=60))
    assert sorted(played.crossings()) == [("gate", "in"), ("gate", "out")]
    assert played.counts.snapshot().crossings == {("gate", "in", "car"): 1, ("gate", "out", "person"): 1}
