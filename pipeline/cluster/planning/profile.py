"""What a frame costs on this machine, by the size of its picture: the figures that a plan is made from."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nightday.engines.errors import NightdayError

# Of files written by other versions of this module.
FORMAT = 1


class PlanError(NightdayError, ValueError):
    """A plan cannot be made. The message names what is wrong and the way out."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A cost over the size of a picture: measured at a few sizes, in between in proportion to the pixels.

    Attributes:
        points: (pixels, cost), by rising pixels; at least one. Costs are seconds.
    """

    points: tuple[tuple[int, float], ...]

    def __call__(self, pixels: float) -> float:
        """The cost at a size; beyond the largest measured it goes on as between the last two."""
        points = self.points
        if pixels <= points[0][0] or len(points) == 1:
            return points[0][1]
        at = min(bisect_right([size for size, _ in points], pixels), len(points) - 1)
        (low, low_cost), (high, high_cost) = points[at - 1], points[at]
        return max(0.0, low_cost + (high_cost - low_cost) * (pixels - low) / (high - low))


@dataclass(frozen=True, slots=True)
class BatchCost:
    """What translating a batch costs, everything that a worker does with its frames included.

    Attributes:
        seconds: from its beginning to its end; where an engine works on single frames side by side, of a lone one.
        processor: processor time of it.
    """

    seconds: Curve
    processor: Curve


@dataclass(frozen=True, slots=True)
class Profile:
    """What a frame costs on a machine. All times are processor time in seconds, measured with all processors busy.

    Attributes:
        machine: the processor, and the GPU if there is one.
        processors: that this process may use.
        memory: bytes that this process may use.
        program: version of the program that measured.
        model: file name of the checkpoint.
        engine: backend and precision that ``auto`` takes here.
        on_gpu: whether the engine computes on a GPU, where a worker that waits for it keeps no processor busy.
        at_once: calls that the engine works on side by side; None where it takes batches.
        needs_backgrounds: whether the model takes the camera's backgrounds.
        generator_share: on which share of the measured night's picture the generator ran; None where not told.
        decode: reading, decoding and handing over a frame of a night.
        decode_day: the same by day.
        day: what a worker does with a frame that is not translated.
        night: what it does with a batch of so many frames that are.
        quiet: what it does with one that is, on which nothing moves; None where that makes no difference.
        encode: making H.264 of a translated picture.
        encode_passed: the same of a picture as the camera sent it by day.
        record: writing an encoded picture to a file.
        send: sending one over the network.
        by_second: what a camera takes each second whatever its rate: samples of its scene, and judging night or day.
        decode_lock, work_lock, encode_lock: what of these does not depend on the size of the picture. It is taken to
            hold the interpreter's lock, which one thread at a time has.
        night_spread, encode_spread: deciles of single frames as multiples of their mean.
        measured_at: Unix seconds.
        load: the machine's load average when it was measured, and its own share in that is small.
    """

    machine: str
    processors: int
    memory: int
    program: str
    model: str
    engine: str
    on_gpu: bool
    at_once: int | None
    needs_backgrounds: bool
    generator_share: float | None
    decode: Curve
    decode_day: Curve
    day: Curve
    night: Mapping[int, BatchCost]
    quiet: Curve | None
    encode: Curve
    encode_passed: Curve
    record: Curve
    send: Curve
    by_second: Curve
    decode_lock: float
    work_lock: float
    encode_lock: float
    night_spread: tuple[float, ...]
    encode_spread: tuple[float, ...]
    measured_at: float
    load: float

    def to_json(self) -> str:
        """As text that ``from_json`` reads."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """Read what ``to_json`` wrote. Raises ValueError for anything else."""
        try:
            values: dict[str, Any] = json.loads(text)
            if values.pop("format") != FORMAT:
                raise ValueError("of another version")
            for name in (
                "decode",
                "decode_day",
                "day",
                "encode",
                "encode_passed",
                "record",
                "send",
                "by_second",
            ):
                values[name] = _curve(values[name])
            values["quiet"] = None if values["quiet"] is None else _curve(values["quiet"])
            values["night"] = {
                int(count): BatchCost(_curve(cost["seconds"]), _curve(cost["processor"]))
                for count, cost in values["night"].items()
            }
            for name in ("night_spread", "encode_spread"):
                values[name] = tuple(values[name])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a profile: {error}") from None


def _curve(value: Mapping[str, Any]) -> Curve:
    return Curve(tuple((int(pixels), float(cost)) for pixels, cost in value["points"]))
