"""What costs that no frame's way shows: by the time rather than the frame, and of a call that is alone."""

from __future__ import annotations

import time

from av.video.reformatter import VideoReformatter

from nightday.engines.backends.base import Engine

from ...media.colour import to_rgb
from ...scene.background import Background
from ...scene.night_gate import INTERVAL, NightGate
from ...supervision.camera_parts import OWN_EVERY, OWN_FRAMES
from ...translation.engine_call import beside_of, call_engine
from .footage import Footage
from .parts import silent

# Samples of a scene that are measured, and frames from one to the next, over which the work is spread.
SAMPLES, STEPS = 3, 150
# Frames that a night gate judges.
GATED = 10
# Calls of which the shortest is taken: others may have had the processors meanwhile.
LONE = 6


def by_second(footage: Footage, *, lasting: bool) -> float:
    """Processor time a second that a camera takes whatever its rate: for its scene and its night gate."""
    gate = NightGate()
    began = time.process_time()
    for number, video in enumerate(footage.video[:GATED]):
        gate.decide(video, now=number * INTERVAL, time=None)
    judging = (time.process_time() - began) / min(GATED, len(footage.video)) / INTERVAL
    return judging + _sampling_time(footage, lasting=lasting) / OWN_EVERY


def _sampling_time(footage: Footage, *, lasting: bool) -> float:
    """Seconds of processor time that one sample of a camera's scene takes."""
    background = Background(
        camera="plan", frames=OWN_FRAMES, every=OWN_EVERY, lasting=lasting, publish=silent
    )
    picture = footage.backgrounds.night
    assert picture is not None
    began = 0.0
    for sample in range(1 + SAMPLES):
        if sample == 1:  # the first one begins the medians
            began = time.process_time()
        for step in range(STEPS):
            background.observe(picture, time="night", seconds=OWN_EVERY * (sample + step / STEPS))
    return (time.process_time() - began) / SAMPLES


def lone_call(footage: Footage, engine: Engine) -> float:
    """Seconds that translating one frame takes where nothing else is under way: the shortest of some."""
    frame = to_rgb(footage.video[0], VideoReformatter())[None]
    beside = beside_of([footage.backgrounds]) if engine.needs_backgrounds else None
    took = []
    for _ in range(LONE):
        began = time.monotonic()
        call_engine(engine, frame, beside)
        took.append(time.monotonic() - began)
    return min(took)
