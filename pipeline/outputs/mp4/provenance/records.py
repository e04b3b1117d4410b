"""Records and the ends of chains as files: signed JSON, of which no byte can be changed without its being seen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .keys import is_signed, public_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT = "nightday-provenance-1"
RECORD_ENDING = ".json"
"""Comes after the name of the recording."""
CHAIN_FILES = "provenance-*.json"
_PIECE = 2**20  # bytes

Record = dict[str, Any]


def record_path(recording: Path) -> Path:
    """Where the record of a recording is."""
    return recording.with_name(recording.name + RECORD_ENDING)


def signed(content: Record, key: Ed25519PrivateKey) -> bytes:
    """``content`` as a signed file."""
    whole = content | {"format": FORMAT, "public_key": public_text(key)}
    return _written(whole | {"signature": key.sign(_written(whole)).hex()})


def read(data: bytes) -> Record | None:
    """What a signed file says; None if it was not written so, to the byte, or if its signature is not its key's."""
    try:
        record = json.loads(data)
        if not isinstance(record, dict) or _written(record) != data or record.get("format") != FORMAT:
            return None
        content = dict(record)
        text, public = content.pop("signature"), content["public_key"]
        signature = bytes.fromhex(text)
        known = signature.hex() == text and isinstance(
            public, str
        )  # there are other ways to write hexadecimal
        return record if known and is_signed(_written(content), signature, public) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _written(content: Record) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode("ascii")


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 of a file in hexadecimal, and its bytes. Raises OSError."""
    found, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
            size += len(piece)
    return found.hexdigest(), size
