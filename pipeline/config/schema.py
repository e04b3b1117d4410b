"""What a configuration may say: the models of ``cameras.yaml``.

Reading a file into them, with every fault at its line, is ``load_config``. Validation looks at
the machine as well: a model or a source file that is missing, or a folder that cannot be written, is a
fault of the configuration and is found before any camera opens. Relative paths start at the current directory.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from nightday.engines.choices import Backend, Precision
from nightday.engines.errors import CheckpointError
from nightday.engines.install import INSTALL_DETECT
from nightday.engines.model.checkpoint import read_checkpoint

from ..core.camera_url import MASK, CameraUrl, register_secret
from ..outputs.mp4.limits import Limits, retention_fault
from ..outputs.registry import output_fault
from ..sources.registry import source_fault

_FALSE = ("false", "no", "off")
SHORTEST_TOKEN = 8  # characters


def _fail(message: str) -> NoReturn:
    # Braces would be taken for a template's.
    raise PydanticCustomError("nightday", "{text}", {"text": message})


def _text(value: object, *, what: str) -> str:
    if not isinstance(value, str):
        _fail(f"must be {what}")
    if not value.strip():
        _fail(f"is empty; it must be {what}")
    if "\0" in value:
        _fail("holds a NUL character")
    return value


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        _fail("must be a number")
    return value


def _source(value: object) -> CameraUrl:
    text = value.reveal() if isinstance(value, CameraUrl) else _text(value, what="a camera's address")
    url = CameraUrl(text)
    if (fault := source_fault(url)) is not None:
        _fail(fault)
    return url


def _output(value: object) -> CameraUrl:
    text = value.reveal() if isinstance(value, CameraUrl) else _text(value, what="a path or an address")
    url = CameraUrl(text)
    fault = output_fault(url)
    if fault is not None:
        _fail(fault.removeprefix(f"output {url}: "))
    if url.is_file:
        _check_folder(url.path.parent)
    return url


def _model(value: object) -> Path:
    path = _path(value)
    try:
        if path.is_dir():
            _fail("is a folder, not a checkpoint")
        read_checkpoint(path)
    except CheckpointError as error:
        _fail(str(error).removeprefix(f"{path}: "))
    except OSError as error:
        _fail(f"cannot be read: {error.strerror}")
    return path


def _png(value: object) -> Path:
    path = _path(value)
    if path.suffix.lower() != ".png":
        _fail("must end in .png")
    _check_folder(path.parent)
    return path


def _folder(value: object) -> Path:
    path = _path(value)
    if "%" in str(path):
        _fail("holds a %, which stands for nothing here; {name}, the camera's name, is filled in")
    _check_folder(path)
    return path


def _detect(value: object) -> Path | Literal[False]:
    if value is False or (isinstance(value, str) and value.lower() in _FALSE):
        return False
    if not isinstance(value, (str, Path)):
        _fail("must be false or the path of an ultralytics model (e.g. weights/vehicles.pt)")
    path = _path(value)
    try:
        if path.is_dir():
            _fail("is a folder, not a model")
        if not path.is_file():
            _fail("no such model file")
    except OSError as error:
        _fail(f"cannot be read: {error.strerror}")
    if importlib.util.find_spec("ultralytics") is None:
        _fail(f"detection needs ultralytics; install it with: {INSTALL_DETECT}")
    return path


def _path(value: object) -> Path:
    return value if isinstance(value, Path) else Path(_text(value, what="a path"))


def _token(value: object) -> SecretStr:
    given = value.get_secret_value() if isinstance(value, SecretStr) else value
    text = _text(given, what="text (put it in quotes)")
    register_secret(text)
    if not re.fullmatch(rf"[!-~]{{{SHORTEST_TOKEN},}}", text):
        _fail(
            f"must be {SHORTEST_TOKEN} or more letters, digits and signs without blanks; "
            "make one with: openssl rand -hex 16"
        )
    return SecretStr(text)


def _check_folder(folder: Path) -> None:
    """Fail unless files can be written to ``folder``; it is made for the test and taken away again if missing.

    Names of folders may hold strftime codes: then the part above is what can be tried.
    """
    fixed = Path(*folder.parts[: _first_code(folder)])
    made: list[Path] = []
    try:
        try:
            for missing in reversed([level for level in (fixed, *fixed.parents) if not level.exists()]):
                missing.mkdir()
                made.append(missing)
            with tempfile.TemporaryFile(dir=fixed):
                pass
        finally:
            for level in reversed(made):
                level.rmdir()
    except (OSError, ValueError) as error:
        _fail(f"cannot write to {fixed}: {getattr(error, 'strerror', None) or error}")


def _first_code(folder: Path) -> int:
    return next((index for index, part in enumerate(folder.parts) if "%" in part), len(folder.parts))


SourceAddress = Annotated[CameraUrl, PlainValidator(_source)]
OutputAddress = Annotated[CameraUrl, PlainValidator(_output)]
Model = Annotated[Path, PlainValidator(_model)]
Png = Annotated[Path, PlainValidator(_png)]
Folder = Annotated[Path, PlainValidator(_folder)]
DetectorPath = Annotated[Path | Literal[False], PlainValidator(_detect)]
Token = Annotated[SecretStr, PlainValidator(_token)]
Count = Annotated[int, BeforeValidator(_no_bool)]
Seconds = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=86400, allow_inf_nan=False)]


class _Section(BaseModel):
    """A mapping whose keys are all known; a key without a value counts as left out."""

    # Inputs hold passwords: they stay out of pydantic's own messages.
    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            return {
                key: value for key, value in data.items() if value is not None or key not in cls.model_fields
            }
        return data


class BackgroundConfig(_Section):
    """``background``: the rolling median of the day view. Without this section none is kept.

    Attributes:
        save: the PNG it is written to, now and then and at the end: the median in use, by night that of the
            translated pictures, by day that of the camera's own. A file beside it, its name ending in ``.state``,
            keeps both for the next start.
        frames: pictures a median is taken over; memory is at most 2·frames + 5 pictures (25 of 1080p: 342 MB).
        every_s: seconds between them, by the camera's clock.
    """

    save: Png
    frames: Count = Field(default=25, ge=1, le=1000)
    every_s: Seconds = 2.0


class CollectConfig(_Section):
    """``collect``: the camera's own pictures, kept for ``nightday-train``. Without this section none are.

    Attributes:
        folder: where ``day`` and ``night`` are made.
        every_s: seconds between two pictures of a kind; twice as many each time ``keep`` is reached.
        keep: most pictures kept of a kind, spread over the whole time.
    """

    folder: Folder
    every_s: Annotated[Seconds, Field(ge=10)] = 60.0
    keep: Count = Field(default=500, ge=10, le=10_000)


class RetentionConfig(_Section):
    """``retention``: when files of each output are deleted, the oldest first. Without this section none is.

    Attributes:
        days: how old a file may get, from its last picture.
        gigabytes: how large an output's files may get together, in 10⁹ bytes; the one being written comes on top.
    """

    days: Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=36_525)] | None = None
    gigabytes: Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=1e6)] | None = None

    @model_validator(mode="after")
    def _needs_a_limit(self) -> RetentionConfig:
        if self.days is None and self.gigabytes is None:
            _fail("has no limit; add days (e.g. days: 7), gigabytes (e.g. gigabytes: 20) or both")
        return self

    @property
    def limits(self) -> Limits:
        """The limits as outputs take them."""
        return Limits(days=self.days, gigabytes=self.gigabytes)


class CameraConfig(_Section):
    """One entry of ``cameras``.

    Attributes:
        name: letters, digits, ``-`` and ``_``; unique.
        url: rtsp(s), http(s), srt, rtmp(s), the path of a file, or ``device:0``.
        model: checkpoint of the generator; needed unless ``translate`` is ``never`` or nothing but ``collect`` is
            wanted of the camera.
        translate: ``night`` translates what the gate takes for night, ``always`` and ``never`` speak for themselves.
        detect: false, or an ultralytics model.
        outputs: paths ending in ``.mp4`` (strftime codes allowed) and ``rtsp://`` addresses.
        pace: of a file: ``realtime`` plays it at its own speed; ``fast`` as fast as can be without losing a
            frame, to which live cameras beside it must wait now and then.
        loop: play a file again and again.
        frames: ``auto`` keeps those of a camera that is translated on a GPU there, from decoding to encoding, as far
            as the GPU has the units; ``host`` brings them to the host's memory in between.
        max_age: seconds after which a frame that waited is not worth translating, and dropped as "stale".
        stall_timeout: seconds without a picture after which a camera is given up and opened anew.
        segment_seconds: length of the files among the outputs.
        retention: when old ones are deleted.
        background: the rolling median.
        snapshot: a PNG, night left and day right, written now and then and at the end.
        collect: the pictures kept for training; in a file, a folder alone stands for the section with that folder.

    ``{name}`` in ``url``, ``model``, ``detect``, ``outputs``, ``snapshot``, ``background.save`` and
    ``collect.folder`` is filled in when a file is read, so that they can be defaults.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    url: SourceAddress
    model: Model | None = None
    translate: Literal["night", "always", "never"] = "night"
    detect: DetectorPath = False
    outputs: tuple[OutputAddress, ...] = ()
    pace: Literal["realtime", "fast"] = "realtime"
    loop: bool = False
    frames: Literal["auto", "host"] = "auto"
    max_age: Seconds = 1.0
    stall_timeout: Seconds = 10.0
    segment_seconds: Seconds = 60.0
    retention: RetentionConfig | None = None
    background: BackgroundConfig | None = None
    snapshot: Png | None = None
    collect: CollectConfig | None = None

    @field_validator("retention")
    @classmethod
    def _names_can_be_read_back(
        cls, value: RetentionConfig | None, info: ValidationInfo
    ) -> RetentionConfig | None:
        for output in info.data.get("outputs", ()) if value is not None else ():
            fault = retention_fault(output.path) if output.is_file else None
            if fault is not None:
                _fail(fault)
        return value


class EngineConfig(_Section):
    """``engine``: what runs the generators, and the most frames it is given at once."""

    backend: Backend = "auto"
    precision: Precision = "auto"
    max_batch: Count = Field(default=8, ge=1, le=256)


class HttpConfig(_Section):
    """``http``: where the endpoints listen. Without this section there are none.

    Attributes:
        token: what whoever asks must show; needed where other machines can ask. Masked wherever it is shown.
        host: an address of this machine, or a name for one.
        port: 0 takes a free one.
    """

    token: Token | None = None  # first, since whether the host will do depends on it
    host: str = "127.0.0.1"
    port: Count = Field(default=8080, ge=0, le=65535)

    @field_validator("host", mode="plain")
    @classmethod
    def _host(cls, value: object, info: ValidationInfo) -> str:
        host = _text(value, what="an address of this machine")
        if _ip_address(host) is None and not re.fullmatch(r"[\w.-]+", host):
            _fail("is no address; give one such as 127.0.0.1 or ::1, without port or brackets")
        if not is_loopback(host) and info.data.get("token", ...) is None:
            _fail(
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


class Config(_Section):
    """A whole configuration, with ``defaults`` worked into the cameras."""

    cameras: tuple[CameraConfig, ...]
    engine: EngineConfig = EngineConfig()
    http: HttpConfig | None = None

    def dump(self) -> dict[str, Any]:
        """Plain values for printing: every key spelled out, secrets masked."""
        plain = _plain(self)
        assert isinstance(plain, dict)
        return plain


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return {key: _plain(getattr(value, key)) for key in type(value).model_fields}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, (CameraUrl, Path)):
        return str(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value
