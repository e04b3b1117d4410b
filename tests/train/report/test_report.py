"""The report of a run: what it says of a model, and a page that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from nightday.engines.model.settings import GeneratorSettings
from nightday.train.footage.scene import Image, Scene, read_frames, temporal_median
from nightday.train.report import page
from nightday.train.report.page import write_report
from nightday.train.report.verdict import (
    FLICKER,
    MARGIN,
    NOTHING,
    REAL_GAIN,
    REAL_LEAST,
    STEEP,
    Measured,
    assess,
)
from nightday.train.run import validation
from nightday.train.run.settings import TrainSettings
from nightday.train.run.step_log import read_log
from nightday.train.run.trainer import Trainer
from nightday.train.run.validation import Validation, Validator
from nightday.train.scores.baselines import Score
from nightday.train.scores.things import NightsShown, Thing

CLIP = Path(__file__).parents[3] / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"
NAN = float("nan")


def scores(whole: float, foreground: float) -> list[Score]:
    return [
        Score("night", 8, 7, 8),
        Score("gamma 0.25", 15, 14, 15),
        Score("CLAHE 8", 13, 13, 13),
        Score("showing the empty scene", 24, 13, 30),
        Score("relit paste", 25, 13.5, 29),
        Score("this model", whole, foreground, whole),
    ]


def history(*values: float) -> list[Validation]:
    return [Validation(100 * (i + 1), v, v, v) for i, v in enumerate(values)]


def seen(
    shown: int,
    *,
    hidden: int = 0,
    share: float = 0.0002,
    night: float = 8,
    output: float = 20,
    worst: float = 19,
) -> NightsShown:
    """So many things, small ones unless told otherwise, in eight nights."""
    things = [Thing(i % 8, (40, 50 + i, 60, 62 + i), share, i < shown) for i in range(shown + hidden)]
    return NightsShown(tuple(things), False, (night,) * 8, (*(output,) * 7, worst), 0.001)


GOOD = Measured(
    scores=scores(22, 18), history=history(10, 15, 18, 19, 19.9, 20, 20.1, 20.1), step=800, steps=800,
    flicker=4, nights=seen(20), real_nights=8, kept_back=True, simulated=seen(9, hidden=3), unseen=8,
)  # fmt: skip


def test_a_good_model_is_fit_and_says_why() -> None:
    verdict, rules = assess(GOOD)
    assert verdict == "fit"
    assert all(rule.passed for rule in rules)
    text = " ".join(rule.text for rule in rules)
    assert "Cars and people come out 4.0 dB better than by the best cheap trick, gamma 0.25." in text
    assert "7.0 dB closer to the true day" in text  # x_ref is not what the whole picture is compared with


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        ({"scores": scores(22, 14 + MARGIN - 0.05)}, "Moving things", "0.9 dB better"),
        ({"scores": scores(22, 10)}, "Moving things", "4.0 dB worse"),
        ({"scores": scores(14, 18)}, "Whole picture", "1.0 dB farther"),
        (
            {"nights": seen(20, night=18, output=18 + REAL_GAIN - 0.1, worst=18 + REAL_GAIN - 0.1)},
            "Your own nights",
            "20.9 dB",
        ),
        # Seven good pictures, of which the median would be, and a bad one.
        ({"nights": seen(20, output=38, worst=REAL_LEAST - 0.1)}, "Your own nights", "the worst at 14.9"),
        ({"nights": seen(9, hidden=11)}, "Things in your nights", "45% of the 20 things"),
        ({"flicker": FLICKER + 1}, "Steadiness", "11.0 of 255"),
        (
            {"history": history(10, 15, 18, 19, 19.5, 19.6, 20, 19.6 + STEEP + 0.1)},
            "Done learning",
            "0.60 dB",
        ),
    ],
)
def test_each_broken_rule_makes_it_unfit(change: dict[str, object], rule: str, words: str) -> None:
    verdict, rules = assess(replace(GOOD, **change))  # type: ignore[arg-type]
    assert verdict == "unfit"
    (broken,) = (r for r in rules if r.passed is False)
    assert broken.name == rule
    assert words in broken.text


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"step": 800, "steps": 900}, "Finished"),
        ({"unseen": 0}, "Fair test"),
        ({"unseen": 1}, "Fair test"),
        ({"real_nights": 2}, "Your own nights"),
        ({"nights": None}, "Your own nights"),
        ({"kept_back": False}, "Your own nights"),
        ({"nights": seen(17, hidden=3)}, "Things in your nights"),
        ({"history": history(20)}, "Done learning"),
        ({"history": []}, "Done learning"),
        ({"scores": scores(22, NAN)}, "Moving things"),
        ({"history": history(10, 15, 20, 20, 22, 21, 20, 19)}, "Past its best"),
    ],
)
def test_what_could_not_be_shown_is_a_reservation(change: dict[str, object], rule: str) -> None:
    verdict, rules = assess(replace(GOOD, **change))  # type: ignore[arg-type]
    assert verdict == "reservations"
    assert rule in [r.name for r in rules if r.passed is None]


def test_a_car_hidden_in_mid_road_is_never_fit() -> None:
    """Although 49 of 50 things show; the report says where it is."""
    small = seen(49)
    car = Thing(3, (100, 60, 130, 80), 0.006, False)
    verdict, rules = assess(replace(GOOD, nights=replace(small, things=(*small.things, car))))
    assert verdict == "reservations"
    (rule,) = (r for r in rules if r.name == "Things in your nights")
    assert rule.passed is None
    assert "98% of the 50 things" in rule.text
    assert "in real night 4 what stands at x=100, y=60, 30×20 pixels." in rule.text


def test_a_model_that_shows_nothing_is_unfit_in_those_words() -> None:
    """And is not told to train longer, whatever its scores still do."""
    rising = history(10, 15, 18, 19, 19.5, 19.6, 20, 25)
    nothing = replace(GOOD, nights=seen(0, hidden=5), simulated=seen(0, hidden=9), history=rising)
    verdict, rules = assess(nothing)
    assert verdict == "unfit"
    (rule,) = (r for r in rules if r.name == NOTHING)
    assert rule.passed is False
    assert "It shows nothing of what is there by night: none of 14 things" in rule.text
    assert not [r for r in rules if r.name == "Done learning"]
    assert not [r for r in assess(GOOD)[1] if r.name == NOTHING]
    # Where there is nothing, nothing can be missing.
    assert assess(replace(GOOD, nights=seen(0), simulated=seen(0)))[0] == "fit"


class Tags(HTMLParser):
    """Fails on tags that do not match; remembers attributes."""

    VOID = ("meta", "img", "input", "path", "circle")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_holds_everything_and_needs_nothing(tmp_path: Path) -> None:
    frames = [cv2.resize(f, (160, 128), interpolation=cv2.INTER_AREA) for f in read_frames(CLIP)[::12]]
    nights = [(f * 0.2).astype(np.uint8) for f in frames[:8]]
    scene = Scene(
        "gate <b>&",
        frames[:16],
        nights,
        temporal_median(frames[:16]),
        frames[16:],
        held_back_nights=nights[:4],
    )
    generator = GeneratorSettings(blocks=1, width=4, norm="batch", invariant_radius=4)
    settings = TrainSettings(generator=generator, steps=4, batch=1, crop=(64, 80), sample_every=2)
    trainer = Trainer(scene, settings, tmp_path)
    validator = Validator(scene, tmp_path)

    def scored(step: int, _terms: dict[str, float]) -> None:
        validator(trainer.model, step, trainer.card())

    trainer.run(scored)
    (tmp_path / "log.jsonl").write_text(
        '{"step": 2, "paired": 0.5, "steps_per_s": 1}\n{"step": 4, "paired": 0.25}\n{"step": 9, "paired": 0.1}\n{"st'
    )
    path = write_report(trainer, validator, seconds=4000, findings=["few <pictures>"])
    text = path.read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    addresses = [
        v for _, attrs in tags.seen for k, v in attrs.items() if k in ("src", "href", "srcset", "data")
    ]
    assert addresses
    assert all(str(v).startswith("data:image/") for v in addresses)
    assert not re.search(r"https?:|@import|url\(|<script|<link|<b>&", text)
    assert "gate &lt;b&gt;&amp;" in text
    assert "few &lt;pictures&gt;" in text
    sliders = [a for tag, a in tags.seen if tag == "input"]
    assert [a["type"] for a in sliders] == ["range", "range"]  # a range is worked by the arrow keys
    assert all(a["aria-label"] for a in sliders)
    assert all(a.get("alt") for tag, a in tags.seen if tag == "img")
    curves = [str(a["aria-label"]) for tag, a in tags.seen if tag == "svg"]
    assert any(c.startswith("Loss: paired: value from 0.5 to 0.25") for c in curves)  # step 9 is not yet
    assert any(c.startswith("Score on held-back pictures") for c in curves)
    for words in (
        "Step 2",
        "Step 4",
        "67 min",
        "CLAHE",
        "showing the empty scene",
        "relit paste",
        "In 4 of your real nights, never trained on,",
        "generator.blocks",
        "SHA-256",
        "held back",
    ):
        assert words in text
    assert re.search(
        r"Not fit to use yet</h1><p>It failed at: [^<]*moving things, whole picture[^<]*\.", text
    )
    assert len(text) < 2_000_000


def test_a_log_torn_by_a_kill_is_read_and_the_later_of_two_counts(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_log(path, 100) == []
    path.write_text('{"step": 50, "a": 1}\n{"step": 100, "a": 2}\n{"step": 50, "a": 3}\n[1]\n{"step": 15')
    assert read_log(path, 60) == [{"step": 50, "a": 3}]
    assert [line["a"] for line in read_log(path, 100)] == [3, 2]


def test_a_model_that_gives_x_ref_back_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured by the page itself, on cars that cross by night; its perfect background has no number."""
    frames = [cv2.resize(f, (160, 128), interpolation=cv2.INTER_AREA) for f in read_frames(CLIP)[::6]]
    background = temporal_median(frames)
    nights = [(f * 0.3).astype(np.uint8) for f in frames]
    scene = Scene("gate", frames[:24], nights[:24], background, frames[24:], held_back_nights=nights[-8:])
    generator = GeneratorSettings(blocks=1, width=4, norm="batch", invariant_radius=4)
    trainer = Trainer(scene, TrainSettings(generator=generator, steps=4, batch=1, crop=(64, 80)), tmp_path)
    validator = Validator(scene, tmp_path)

    def paste(_model: object, pictures: Sequence[Image], *_: object) -> list[Image]:
        return [background] * len(pictures)

    for module in (page, validation):
        monkeypatch.setattr(module, "translate", paste)
    text = write_report(trainer, validator, seconds=4).read_text()
    assert "It shows nothing of what is there by night" in text
    assert re.search(r"Not fit to use yet</h1><p>It failed at: shows what is there", text)
    assert "identical" not in text  # x_ref is not the true day
    assert "168" not in re.sub(r'src="[^"]*"|<td>[0-9a-f]{64}</td>|d="[^"]*"', "", text)
