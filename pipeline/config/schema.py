"""What a configuration may say: the models of ``cameras.yaml``.

Reading a file into them, with every fault at its line, is ``load_config``. Validation looks at
the machine as well: a model or a source file that is missing, or a folder that cannot be written, is a
fault of the configuration and is found before any camera opens. Relative paths start at the current directory.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from nightday.engines.bundled import bundled_weights
from nightday.engines.choices import Backend, Precision

from ..core.camera_url import CameraUrl
from ..outputs.mp4.limits import Limits, retention_fault
from ..sources.decoders import DecoderChoice, decoder_fault
from ..sources.registry import is_file
from ..sources.tls import ca_fault
from ..sources.transport import TransportChoice
from .detection import Detection
from .fields import (
    AUTO,
    Certificate,
    Count,
    Folder,
    Latitude,
    Longitude,
    Model,
    Number,
    OnOff,
    Png,
    Seconds,
    Signing,
    SourceAddress,
    Token,
    fail,
    require_text,
)
from .notify import EventsConfig, MqttConfig, Webhooks
from .output import OutputConfig
from .plain import plain
from .section import Section

GENERAL = "general.pt"
"""The weights that ``model: auto`` stands for."""


class BackgroundConfig(Section):
    """``background``: what the camera sees when nothing passes, by day and by night: medians of its own pictures.

    A camera whose model needs them keeps them without this section, too, in the program's state folder.

    Attributes:
        save: the PNG it is written to, now and then and at the end: by day if that is known, else by night. A file
            beside it, its name ending in ``.state``, keeps both for the next start.
        frames: pictures a short median is taken over; memory is at most 2·frames + 7 pictures (25 of 1080p: 355 MB),
            and 24 more where the model needs backgrounds.
        every_s: seconds between them, by the camera's clock.
    """

    save: Png
    frames: Count = Field(default=25, ge=1, le=1000)
    every_s: Seconds = 2.0


class CollectConfig(Section):
    """``collect``: the camera's own pictures, kept for ``nightday-train``. Without this section none are.

    Attributes:
        folder: where ``day`` and ``night`` are made.
        every_s: seconds between two pictures of a kind; twice as many each time ``keep`` is reached.
        keep: most pictures kept of a kind, spread over the whole time.
    """

    folder: Folder
    every_s: Annotated[Seconds, Field(ge=10)] = 60.0
    keep: Count = Field(default=500, ge=10, le=10_000)


class RetentionConfig(Section):
    """``retention``: when files of each output are deleted, the oldest first. Without this section none is.

    Attributes:
        days: how old a file may get, from its last picture.
        gigabytes: how large an output's files may get together, in 10⁹ bytes; the one being written comes on top.
    """

    days: Annotated[Number, Field(gt=0, le=36_525)] | None = None
    gigabytes: Annotated[Number, Field(gt=0, le=1e6)] | None = None

    @model_validator(mode="after")
    def _needs_a_limit(self) -> RetentionConfig:
        if self.days is None and self.gigabytes is None:
            fail("has no limit; add days (e.g. days: 7), gigabytes (e.g. gigabytes: 20) or both")
        return self

    @property
    def limits(self) -> Limits:
        """The limits as outputs take them."""
        return Limits(days=self.days, gigabytes=self.gigabytes)


class CameraConfig(Section):
    """One entry of ``cameras``.

    Attributes:
        name: letters, digits, ``-`` and ``_``; unique.
        url: rtsp(s), http(s), srt, rtmp(s), the path of a file, a pipe or a device, or ``device:0``.
        model: checkpoint of the generator, or ``auto``: the general model that comes with the package, with this
            camera's own backgrounds.
        translate: when frames are translated: ``night`` when the night gate says so, ``always`` or ``never``.
        learn: whether a model of its own is trained from its pictures and put into service where it is better; by
            default so where ``model`` is ``auto`` and the source is live.
        location: latitude and longitude in degrees. The sun then tells lit nights from days, of live cameras.
        any_scene: do not have ``--check`` refuse a model that was made for another scene.
        overlay: what is drawn over translated pictures: ``none``, or ``trust``, which tells what is remembered from
            the day and what is unclear, where the model tells.
        detect: what is looked for on its pictures. In a file, ``detect: MODEL`` is short for a section with only
            that model.
        outputs: where its pictures go; an entry may be an address alone.
        pace: how a file is played: ``realtime`` at its own speed, ``fast`` as fast as the machine can without losing
            a frame. Live cameras beside a fast file must wait for it now and then.
        loop: play a file again and again.
        audio: pass on its sound, unchanged, with recordings and streams that hold it.
        transport: how an RTSP camera sends its packets: ``tcp``, ``udp``, or ``auto``, over TCP unless it refuses.
        ca: a certificate in PEM: that of who signed the camera's, or the camera's own, which is then checked.
        decoder: what decodes an RTSP camera: ``auto``, or ``gstreamer``, by which a Jetson decodes in hardware.
        every_s: the url answers one JPEG, which is fetched every so many seconds.
        frames: where frames of a camera stay that is translated on a GPU: ``auto`` keeps them on the GPU from
            decoding to encoding, as far as it can decode and encode; ``host`` brings them to main memory in between.
        max_age: seconds after which a frame that waits is not worth translating; it is dropped as "stale".
        stall_timeout: seconds without a picture after which the connection is closed and opened anew.
        segment_seconds: length of each file of a file output.
        retention: when the oldest files are deleted.
        provenance: sign recordings, so that ``nightday-verify`` can tell what was altered; ``c2pa``: also with a
            manifest within them that other programs read.
        background: what the camera sees when nothing passes, kept as a picture.
        snapshot: a PNG, night left and day right, written every few seconds and at the end.
        collect: the pictures kept for training. In a file, ``collect: FOLDER`` is short for a section with only
            that folder.

    ``{name}`` in ``url``, ``model``, ``detect.model``, ``outputs``, ``snapshot``, ``background.save`` and
    ``collect.folder`` is filled in when a file is read, so that they can be defaults.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    url: SourceAddress
    model: Model = AUTO
    translate: Literal["night", "always", "never"] = "night"
    learn: bool | None = None
    location: tuple[Latitude, Longitude] | None = None
    any_scene: bool = False
    overlay: Literal["none", "trust"] = "none"
    detect: Detection = False
    outputs: tuple[OutputConfig, ...] = ()
    pace: Literal["realtime", "fast"] = "realtime"
    loop: bool = False
    audio: bool = False
    transport: TransportChoice = "auto"
    ca: Certificate | None = None
    decoder: DecoderChoice = "auto"
    every_s: Seconds | None = None
    frames: Literal["auto", "host"] = "auto"
    max_age: Seconds = 1.0
    stall_timeout: Seconds = 10.0
    segment_seconds: Seconds = 60.0
    retention: RetentionConfig | None = None
    provenance: Signing = False
    background: BackgroundConfig | None = None
    snapshot: Png | None = None
    collect: CollectConfig | None = None

    @property
    def checkpoint(self) -> Path | None:
        """What translates: the checkpoint, for ``auto`` the general one; None where nothing is translated.

        With ``auto`` that is also so where nobody sees the pictures, as at a camera that only collects.
        """
        if self.translate == "never":
            return None
        if self.model != AUTO:
            return self.model
        seen = any(output.view != "night" for output in self.outputs)
        return bundled_weights(GENERAL) if seen or self.snapshot or self.detect else None

    @property
    def learns(self) -> bool:
        """Whether a model of its own is trained for it."""
        if self.learn is not None:
            return self.learn
        return self.model == AUTO and self.checkpoint is not None and not is_file(self.url)

    @field_validator("learn")
    @classmethod
    def _replaces_the_general_model(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value and info.data.get("model", AUTO) != AUTO:
            fail("trains a model of its own in place of the general one; leave `model` out, or learn")
        if value and info.data.get("translate") == "never":
            fail(
                "trains what translates, and `translate: never` has nothing translated; leave one of them out"
            )
        return value

    @field_validator("decoder")
    @classmethod
    def _can_decode(cls, value: DecoderChoice, info: ValidationInfo) -> DecoderChoice:
        url: CameraUrl | None = info.data.get("url")
        fault = None if url is None else decoder_fault(value, url)
        if fault is not None:
            fail(fault)
        return value

    @field_validator("ca")
    @classmethod
    def _can_be_checked(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        url: CameraUrl | None = info.data.get("url")
        fault = None if value is None or url is None else ca_fault(url)
        if fault is not None:
            fail(fault)
        return value

    @field_validator("every_s")
    @classmethod
    def _is_for_http(cls, value: float | None, info: ValidationInfo) -> float | None:
        url: CameraUrl | None = info.data.get("url")
        if value is not None and url is not None and url.scheme not in ("http", "https"):
            fail(
                "is for a JPEG at an http:// or https:// address; leave it out for a source that sends a video, and "
                "put that of background or collect below it"
            )
        return value

    @field_validator("retention")
    @classmethod
    def _names_can_be_read_back(
        cls, value: RetentionConfig | None, info: ValidationInfo
    ) -> RetentionConfig | None:
        for output in info.data.get("outputs", ()) if value is not None else ():
            fault = retention_fault(output.to.path) if output.to.is_file else None
            if fault is not None:
                fail(fault)
        return value


class EngineConfig(Section):
    """``engine``: what runs the generators.

    Attributes:
        backend: what computes.
        precision: what it computes in.
        max_batch: most frames it is given at once.
        reuse: ``auto`` leaves the generator out where a picture does not differ from its camera's backgrounds, as far
            as backend and model can; ``off`` runs it on the whole of every picture.
    """

    backend: Backend = "auto"
    precision: Precision = "auto"
    max_batch: Count = Field(default=8, ge=1, le=256)
    reuse: OnOff = "auto"


class LearningConfig(Section):
    """``learning``: how cameras' own models are trained beside the cameras.

    Attributes:
        threads: of a training, which runs only where no other program wants the processor.
        device: where it runs.
        steps: of a training.
        every_days: days from a round to the next.
        at_once: trainings at a time, of a machine.
        folder: where models and what they learn from are kept, by default below the state folder. All machines of a
            cluster see it.
    """

    threads: Count = Field(default=1, ge=1, le=256)
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    steps: Count = Field(default=1500, ge=1, le=100_000)
    every_days: Annotated[Number, Field(gt=0, le=365)] = 7.0
    at_once: Count = Field(default=1, ge=1, le=64)
    folder: Folder | None = None


class HttpConfig(Section):
    """``http``: where the endpoints listen. Without this section there are none.

    Attributes:
        token: what whoever asks must show; needed where other machines can ask. Masked wherever it is shown.
        host: an address of this machine, or a name for one.
        port: 0 takes a free one.
    """

    # Comes first, because the check of the host looks at it.
    token: Token | None = None
    host: str = "127.0.0.1"
    port: Count = Field(default=8080, ge=0, le=65535)

    @field_validator("host", mode="plain")
    @classmethod
    def _host(cls, value: object, info: ValidationInfo) -> str:
        host = require_text(value, what="an address of this machine")
        if _ip_address(host) is None and not re.fullmatch(r"[\w.-]+", host):
            fail("is no address; give one such as 127.0.0.1 or ::1, without port or brackets")
        if not is_loopback(host) and info.data.get("token", ...) is None:
            fail(
                "is reached from other machines, so whoever asks must show a token; "
                "add `token: ${NIGHTDAY_TOKEN}` under http"
            )
        return host


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``; a name other than ``localhost`` is not trusted to say so."""
    address = _ip_address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class Config(Section):
    """A whole configuration, with ``defaults`` worked into the cameras."""

    cameras: tuple[CameraConfig, ...]
    engine: EngineConfig = EngineConfig()
    learning: LearningConfig = LearningConfig()
    http: HttpConfig | None = None
    events: EventsConfig = EventsConfig()
    webhooks: Webhooks = ()
    mqtt: MqttConfig | None = None

    def dump(self, *, reveal: bool = False) -> dict[str, Any]:
        """Plain values, every key spelled out: for printing, or with secrets as they are, where those are meant."""
        values = plain(self, reveal=reveal)
        assert isinstance(values, dict)
        return values
