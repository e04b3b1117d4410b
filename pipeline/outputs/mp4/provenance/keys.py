"""The key that records are signed with: Ed25519, made at first use, readable by its owner alone."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ....core.state_folder import SIGNING_KEY, state_folder


def key_file() -> Path:
    """Where this machine's key is."""
    return state_folder() / SIGNING_KEY


def own_key(path: Path) -> Ed25519PrivateKey:
    """The key in ``path``, which is made if there is none. Raises OSError, and ValueError for what is no such key."""
    if not path.exists():
        _make(path)
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key")
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    handle, temporary = tempfile.mkstemp(dir=path.parent)  # with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:  # another camera was faster
        pass
    finally:
        os.unlink(temporary)


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half of ``key``, in hexadecimal."""
    return key.public_key().public_bytes_raw().hex()


def is_signed(data: bytes, signature: bytes, public: str) -> bool:
    """Whether ``signature`` is that of ``data`` by the owner of the public key ``public``, in hexadecimal."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
