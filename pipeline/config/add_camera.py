"""Adding a camera to the configuration's file: checked as a whole first, the old one kept, passwords elsewhere."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..core.atomic_file import write_atomically
from ..core.camera_url import CameraUrl, without_secrets
from ..core.control import Added, NewCamera
from ..core.state_folder import secrets_folder
from ..sources.network import PROTOCOLS
from .errors import ConfigError
from .insert_camera import BY_HAND, with_camera
from .yaml_document import LARGEST, read_yaml

BACKUP_ENDING = ".bak"
_NO_NAME_SIGN = re.compile(r"[^A-Z0-9_]")


class CameraAdder:
    """Adds cameras to one configuration file. Any thread may call it.

    Args:
        file: as it was given to the program.
        check: reads and validates the file of this name, as the program does. Raises ConfigError.
    """

    def __init__(self, file: str, *, check: Callable[[str], object]) -> None:
        self._file = file
        self._check = check
        self._lock = threading.Lock()

    def fault(self) -> str | None:
        """Why no camera can be added, in a sentence; None if one can."""
        path = Path(self._file)
        if not path.is_file():
            return f"{self._file} is no file that could be changed"
        real = path.resolve()
        if not os.access(real, os.W_OK) or not os.access(real.parent, os.W_OK):
            return f"{self._file} or its folder cannot be written by this program; {BY_HAND}"
        return None

    def add(self, camera: NewCamera) -> Added:
        """Write ``camera`` into the file. Raises ValueError with one line, and changes nothing then.

        Passwords in its address go to files of their own in the state folder, readable by their owner alone; the
        configuration names them as ``${NAME}``.
        """
        fault = self.fault() or _url_fault(camera.url)
        if fault is not None:
            raise ValueError(f"not added: {fault}")
        with self._lock:
            try:
                return self._add(camera)
            except ConfigError as error:
                more = f" (and {len(error.faults) - 1} more)" if len(error.faults) > 1 else ""
                raise ValueError(f"not added: {error.faults[0]}{more}") from None
            except OSError as error:
                raise ValueError(
                    f"not added: {error.filename or self._file}: {error.strerror}; {BY_HAND}"
                ) from None

    def _add(self, camera: NewCamera) -> Added:
        path = Path(self._file).resolve()
        before = path.read_bytes()
        if len(before) > LARGEST:
            raise ConfigError([f"{self._file}: has more than {LARGEST // 1024} KiB"])
        try:
            text = before.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError([f"{self._file}: is not text in UTF-8; {BY_HAND}"]) from None
        self._check(self._file)  # else its own faults would be taken for the new camera's
        made: list[Path] = []
        try:
            url, secrets = without_secrets(camera.url, _variable(camera.name))
            made += [_keep(name, value) for name, value in secrets.items()]
            after = self._with(text, replace(camera, url=url)).encode()
            backup = path.with_name(path.name + BACKUP_ENDING)
            self._put(path, before, after, backup)
        except BaseException:
            for file in made:
                file.unlink(missing_ok=True)
            raise
        return Added(Path(self._file), backup, tuple(made))

    def _with(self, text: str, camera: NewCamera) -> str:
        try:
            after = with_camera(text, camera)
        except ValueError as error:
            raise ConfigError([f"{self._file}: {error}"]) from None
        old, new = (read_yaml(one, os.environ).root for one in (text, after))
        if new != old | {"cameras": [*(old.get("cameras") or []), new["cameras"][-1]]}:
            raise ConfigError([f"{self._file}: its lines cannot be told apart; {BY_HAND}"])
        return after

    def _put(self, path: Path, before: bytes, after: bytes, backup: Path) -> None:
        """Check what is to be written, then put it in place of the old file, which is kept. Raises as ``add``."""
        kept = path.stat()
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".yaml", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(after)
                file.flush()
                os.fsync(file.fileno())
            try:
                self._check(name)
            except ConfigError as error:
                raise ConfigError([fault.replace(name, self._file) for fault in error.faults]) from None
            os.chmod(name, stat.S_IMODE(kept.st_mode))
            with suppress(PermissionError):
                os.chown(name, kept.st_uid, kept.st_gid)
            if path.read_bytes() != before:
                raise ConfigError([f"{self._file}: was changed meanwhile; try again"])
            write_atomically(backup, [before], durable=True, mode=stat.S_IMODE(kept.st_mode))
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _url_fault(url: str) -> str | None:
    """Why a page may not add this address, though the configuration's own author may."""
    if CameraUrl(url).scheme not in PROTOCOLS:
        return (
            f"only addresses on the network can be added here: {', '.join(f'{one}://' for one in PROTOCOLS)}"
        )
    if "${" in url:  # it could send the program's other secrets to any host
        return "variables cannot be used here; write the password itself, which is then kept in a file of its own"
    return None


def _variable(camera: str) -> str:
    """A name for a secret of ``camera`` that no variable and no secret has yet."""
    stem = "CAMERA_" + _NO_NAME_SIGN.sub("_", camera.upper())
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}_{number}"
        taken = [one for one in os.environ if one.startswith(name)]
        if not taken and not list(secrets_folder().glob(f"{name}*")):
            return name
        number += 1


def _keep(name: str, value: str) -> Path:
    """Keep a secret where ``${name}`` finds it. Raises OSError."""
    folder = secrets_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(folder / name, [value.encode()], durable=True)
    return folder / name
