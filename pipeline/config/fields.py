"""Types of the values in ``cameras.yaml``: addresses, paths, numbers, and how each is checked.

Relative paths start at the current directory.
"""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from nightday.engines.choices import Reuse
from nightday.engines.distribution import INSTALL_C2PA, INSTALL_PROVENANCE

from ..core.camera_url import CameraUrl, register_secret
from ..core.state_folder import SIGNING_KEY, state_folder
from ..outputs.registry import output_fault, output_folder, output_url
from ..sources.registry import source_fault

CheckModel = Callable[[Path], str | None]
"""Looks into a checkpoint; gives what is wrong with it in one line, or None."""

AUTO: Literal["auto"] = "auto"
"""In place of a checkpoint: the general model, which comes with the package, with the camera's own backgrounds."""
SHORTEST_TOKEN = 8  # characters
_FALSE = ("false", "no", "off")
_TRUE = ("true", "yes", "on")
# How often a folder is tried that is there at one moment and not at the next.
_TRIES = 5


def fail(message: str) -> NoReturn:
    """Refuse a value with ``message``, which says what is wrong with it and what to do.

    In the fault's line it comes after the value: "is empty" reads on from there, "no such file" follows a colon.
    """
    # Pydantic fills in what stands in braces, which a message may hold: so the message itself is filled in.
    raise PydanticCustomError("nightday", "{text}", {"text": message})


def require_text(value: object, *, what: str) -> str:
    """``value``, if it is text that is not empty; ``what`` is named where it is not."""
    if not isinstance(value, str):
        fail(f"must be {what}")
    if not value.strip():
        fail(f"is empty; it must be {what}")
    if "\0" in value:
        fail("holds a NUL character")
    return value


def require_number(value: object) -> object:
    """``value``, unless it is true or false, which Python takes for numbers."""
    if isinstance(value, bool):
        fail("must be a number")
    return value


def _source(value: object) -> CameraUrl:
    url = value if isinstance(value, CameraUrl) else CameraUrl(require_text(value, what="a camera's address"))
    fault = source_fault(url)
    if fault is not None:
        fail(fault)
    return url


def _output(value: object) -> CameraUrl:
    url = output_url(
        value if isinstance(value, CameraUrl) else require_text(value, what="a path or an address")
    )
    fault = output_fault(url)
    if fault is not None:
        fail(fault.removeprefix(f"output {url}: "))
    folder = output_folder(url)
    if folder is not None:
        check_folder(folder)
    return url


def _model(value: object, info: ValidationInfo) -> Path | Literal["auto"]:
    if value == AUTO:
        return AUTO
    path = require_path(value)
    try:
        if path.is_dir():
            fail("is a folder, not a checkpoint")
        if not path.is_file():
            fail(f'no such checkpoint; nightday-train makes them, and "{AUTO}" stands for the general model')
        check: CheckModel | None = (info.context or {}).get("check_model")
        fault = check(path) if check is not None else None
    except OSError as error:
        fail(f"cannot be read: {error.strerror}")
    if fault is not None:
        fail(fault.removeprefix(f"{path}: "))
    return path


def _png(value: object) -> Path:
    path = require_path(value)
    if path.suffix.lower() != ".png":
        fail("must end in .png")
    check_folder(path.parent)
    return path


def _folder(value: object) -> Path:
    path = require_path(value)
    if "%" in str(path):
        fail("holds a %, which stands for nothing here; {name}, the camera's name, is filled in")
    check_folder(path)
    return path


def is_off(value: object) -> bool:
    """Whether a value says no, as YAML has it or as text."""
    return value is False or (isinstance(value, str) and value.lower() in _FALSE)


def _reuse(value: object) -> object:
    return "off" if is_off(value) else value


def _signing(given: object) -> bool | Literal["c2pa"]:
    said = given.lower() if isinstance(given, str) else given
    if said not in (True, False, "c2pa", *_TRUE, *_FALSE):
        fail("must be true, false or c2pa")
    value: bool | Literal["c2pa"] = "c2pa" if said == "c2pa" else not is_off(given)
    if value and importlib.util.find_spec("cryptography") is None:
        fail(f"needs cryptography; install it with: {INSTALL_PROVENANCE}")
    if value == "c2pa" and importlib.util.find_spec("c2pa") is None:
        fail(f"needs c2pa-python; install it with: {INSTALL_C2PA}")
    if value and not (state_folder() / SIGNING_KEY).exists():
        fault = folder_fault(state_folder())
        if fault is not None:
            fail(f"needs a key, for which there is no place: {fault}; set STATE_DIRECTORY to another folder")
    return value


def require_path(value: object) -> Path:
    """``value`` as a path, if it is text or one."""
    return value if isinstance(value, Path) else Path(require_text(value, what="a path"))


def _certificate(value: object) -> Path:
    path = require_path(value)
    try:
        if "-----BEGIN CERTIFICATE-----" not in path.read_text("ascii"):
            fail("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
    except OSError as error:
        fail(f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        fail("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
    return path


def _token(value: object) -> SecretStr:
    given = value.get_secret_value() if isinstance(value, SecretStr) else value
    text = require_text(given, what="text (put it in quotes)")
    register_secret(text)
    if not re.fullmatch(rf"[!-~]{{{SHORTEST_TOKEN},}}", text):
        fail(
            f"must be {SHORTEST_TOKEN} or more letters, digits and signs without blanks; "
            "make one with: openssl rand -hex 16"
        )
    return SecretStr(text)


def check_folder(folder: Path) -> None:
    """Fail unless files can be written to ``folder``."""
    fault = folder_fault(folder)
    if fault is not None:
        fail(fault)


def folder_fault(folder: Path) -> str | None:
    """Why no files can be written to ``folder``, if so; a missing one is made for the test and removed again.

    Names of folders may hold strftime codes: then only the part above the first code can be tried.
    """
    fixed = Path(*folder.parts[: _first_code(folder)])
    for left in reversed(range(_TRIES)):
        try:
            _try_folder(fixed)
        except FileNotFoundError as error:  # another program that tries it, too, has just removed it again
            if not left:
                return f"cannot write to {fixed}: {error.strerror}"
        except (OSError, ValueError) as error:
            return f"cannot write to {fixed}: {getattr(error, 'strerror', None) or error}"
        else:
            break
    return None


def _try_folder(folder: Path) -> None:
    """Write to a folder. Raises OSError or ValueError."""
    made: list[Path] = []
    try:
        for missing in reversed([level for level in (folder, *folder.parents) if not level.exists()]):
            with suppress(FileExistsError):  # made by another meanwhile, and not ours to remove
                missing.mkdir()
                made.append(missing)
        with tempfile.TemporaryFile(dir=folder):
            pass
    finally:
        for level in reversed(made):
            with suppress(OSError):  # another uses it by now
                level.rmdir()


def _first_code(folder: Path) -> int:
    return next((index for index, part in enumerate(folder.parts) if "%" in part), len(folder.parts))


SourceAddress = Annotated[CameraUrl, PlainValidator(_source)]
OutputAddress = Annotated[CameraUrl, PlainValidator(_output)]
Model = Annotated[Path | Literal["auto"], PlainValidator(_model)]
Png = Annotated[Path, PlainValidator(_png)]
Folder = Annotated[Path, PlainValidator(_folder)]
Certificate = Annotated[Path, PlainValidator(_certificate)]
Signing = Annotated[bool | Literal["c2pa"], PlainValidator(_signing)]
OnOff = Annotated[Reuse, BeforeValidator(_reuse)]
Token = Annotated[SecretStr, PlainValidator(_token)]
Number = Annotated[float, BeforeValidator(require_number)]
Count = Annotated[int, BeforeValidator(require_number)]
Latitude = Annotated[Number, Field(ge=-90, le=90)]
Longitude = Annotated[Number, Field(ge=-180, le=180)]
Seconds = Annotated[Number, Field(gt=0, le=86400, allow_inf_nan=False)]
