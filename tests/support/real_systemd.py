"""A real systemd as the first process of namespaces of its own, which runs nothing but the unit under test."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

SYSTEMD = Path("/lib/systemd/systemd")
UP_WITHIN = 15.0  # seconds
TARGET = "[Unit]\nDefaultDependencies=no\n"
# What the host has in these places stays as it is: the mounts are this namespace's own. They are shared among those
# that systemd makes in it, or the unit would not see its credentials.
BEGIN = """\
echo $$ > "$1/cgroup.procs" || exit
exec unshare --mount --pid --fork --cgroup --ipc --uts --mount-proc --kill-child sh -ec '
mount --make-rprivate /
mount --make-rshared /
mount -t tmpfs tmpfs /run
umount -l /sys/fs/cgroup/* 2>/dev/null || true
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /etc/systemd/system
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /var/cache
. "$1/../open"
cp "$1"/* /etc/systemd/system/
container=test exec /lib/systemd/systemd --system --unit=alone.target --show-status=0 --log-target=console
' sh "$2"
"""


class CannotRunError(Exception):
    """Systemd, root or namespaces are not to be had here."""


class Systemd:
    """Runs ``unit`` as ``it.service``; a context manager. Raises CannotRunError where that cannot be done.

    Args:
        folder: an empty one.
        unit: the text of the unit.
        opened: folders that every user can read within, wherever they lie.
    """

    def __init__(self, folder: Path, unit: str, opened: Iterable[Path] = ()) -> None:
        self._folder = folder
        self._unit = unit
        self._opened = opened
        self._group = _own_group() / f"nightday-test-{os.getpid()}"

    def __enter__(self) -> Systemd:
        units = self._folder / "units"
        units.mkdir()
        (units / "alone.target").write_text(TARGET)
        (self._folder / "open").write_text("\n".join(_opening(self._opened)))
        (units / "it.service").write_text(f"{self._unit}\n[Unit]\nDefaultDependencies=no\nWants=\nAfter=\n")
        try:
            self._group.mkdir()
        except OSError as error:
            raise CannotRunError(f"no group of processes can be made: {error}") from None
        self._said = (self._folder / "said").open("wb")
        command = ["sh", "-c", BEGIN, "sh", str(self._group), str(units)]
        self._process = subprocess.Popen(command, stdout=self._said, stderr=self._said)
        until = time.monotonic() + UP_WITHIN
        while self.systemctl("is-active", "alone.target").stdout != "active\n":
            if time.monotonic() > until or self._process.poll() is not None:
                self.close()
                raise CannotRunError((self._folder / "said").read_text()[-500:])
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it and all that runs in it."""
        self._process.kill()
        self._process.wait()
        self._said.close()
        until = time.monotonic() + UP_WITHIN
        while self._group.exists() and time.monotonic() < until:
            for folder, _, _ in os.walk(self._group, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    time.sleep(0.05)  # its processes have not all gone yet

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What ``systemctl`` says within."""
        command = [
            "nsenter",
            "-t",
            self._first(),
            "-m",
            "-p",
            "-C",
            "-i",
            "-u",
            "systemctl",
            "--no-pager",
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def root(self) -> Path:
        """The folder / as it is within."""
        return Path(f"/proc/{self._first()}/root")

    def _first(self) -> str:
        """The number of systemd's process; 0 while there is none."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return ((children.read_text().split() if children.exists() else []) or ["0"])[0]

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.systemctl("show", "it", "--value", "-p", name).stdout.strip()


def _opening(folders: Iterable[Path]) -> Iterator[str]:
    """Shell commands that put folders into an empty one, where they lie in one that root alone can enter."""
    closed: dict[Path, list[Path]] = {}
    for folder in dict.fromkeys(folders):
        first = next((p for p in reversed(folder.parents) if p.stat().st_mode & 0o1 == 0), None)
        if first is not None:
            closed.setdefault(first, []).append(folder)
    for number, (outer, within) in enumerate(closed.items()):
        aside = f"/run/closed-{number}"
        # Private, or what is mounted over the one would be mounted over the other.
        yield f"mkdir {aside}; mount --rbind {outer} {aside}; mount --make-rprivate {aside}"
        yield f"mount -t tmpfs -o mode=755 tmpfs {outer}"
        for folder in within:
            yield f"mkdir -p {folder}; mount --rbind {aside}/{folder.relative_to(outer)} {folder}"


def _own_group() -> Path:
    """The folder of this process's own group, where systemd's could be made."""
    if os.geteuid() != 0 or not SYSTEMD.exists() or shutil.which("unshare") is None:
        raise CannotRunError("it takes root, systemd and unshare")
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    roots = [Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"]
    groups = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line[3:] for line in groups if line.startswith("0::")), None)
    if not roots or own is None:
        raise CannotRunError("there is no cgroup2")
    return roots[0] / own.lstrip("/")
