"""The command ``nightday-verify``."""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from nightday.engines.distribution import INSTALL_PROVENANCE, program_version

from ....core.faults import detail_of
from ....core.words import counted
from .original import OriginalFile


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if nothing was altered, 1 if something was, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="nightday-verify",
        description="Says what was altered, removed, swapped or renamed of recordings that nightday-stream signed.",
    )
    parser.add_argument("folder", nargs="?", type=Path, help="where the recordings are, as configured")
    parser.add_argument("--key", help="the public key that they must be signed with (64 hexadecimal digits)")
    parser.add_argument(
        "--original",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="a copy of what the camera sent, such as a recorder's file: says which recordings were made from it",
    )
    parser.add_argument("--public-key", action="store_true", help="print this machine's public key")
    parser.add_argument("--version", action="version", version=f"nightday-verify {program_version()}")
    given = parser.parse_args(arguments)
    if importlib.util.find_spec("cryptography") is None:
        parser.error(f"signatures need cryptography; install it with: {INSTALL_PROVENANCE}")
    from .keys import key_file, own_key, public_text

    if given.public_key:
        try:
            print(public_text(own_key(key_file())))
        except (OSError, ValueError) as error:
            parser.error(f"the key {key_file()} cannot be read: {error}")
        return 0
    if given.folder is None or not given.folder.is_dir():
        parser.error(
            "name a folder with recordings" if given.folder is None else f"no such folder: {given.folder}"
        )
    if given.key is not None and not re.fullmatch("[0-9a-f]{64}", given.key):
        parser.error(
            "a public key has 64 hexadecimal digits; nightday-verify --public-key prints this machine's"
        )
    key = given.key
    if key is None and key_file().is_file():
        key = public_text(own_key(key_file()))
    originals = []
    for path in given.original:
        try:
            originals.append(OriginalFile.read(path))
        except Exception as error:  # whatever FFmpeg says of it
            parser.error(f"{path}: {detail_of(error)}")
    return _told(given.folder, key, originals)


def _told(folder: Path, key: str | None, originals: Sequence[OriginalFile]) -> int:
    from .verify import verify

    report = verify(folder, public_key=key, originals=originals)
    for fault in report.faults:
        print(fault)
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    if key is None:
        for found in sorted(report.keys):
            print(f"note: signed by {found}; give the right key with --key", file=sys.stderr)
    found = counted(len(report.faults), "fault") if report.faults else "nothing was altered"
    print(f"{counted(report.recordings, 'recording')}: {found}")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
