"""Camera and output addresses that keep their secrets: ``CameraUrl`` and ``redact``.

Users paste passwords with ``@``, ``/`` and ``?`` in them unescaped, cameras take ``?pwd=`` in the query or in
the path, and FFmpeg quotes any of it in its errors. So rather too much is masked than too little: everything before
the last ``@`` of an address is hidden if a colon or another ``@`` makes it look like a login.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

MASK = "***"
PORT_FAULT = "no usable port after the host; give a number from 1 to 65535, or leave it out with its colon"
VARIABLE = "\ufdd0"
"""Stands for a variable in what ``with_variables`` is given: one of the code points that no text holds."""
_PERCENT = "\ufdd1"
# Characters. Shorter secrets would hide ordinary words and numbers of a log line.
SHORTEST_SECRET = 4

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_HOST_PORT = re.compile(r"(\[[^\]]*\]|[^:@\[\]]*)(:[0-9]{0,5})?")
_ADDRESS = re.compile(
    r"(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.%]+\]|localhost|[^:/?#\[\]@]+\.[^:/?#\[\]@]+)(:\d+)?"
)
_SECRET_KEY = r"[\w.-]*(?:pass|pwd|psw|token|secret|key|auth|sig|cred|user|usr|login|account|streamid)[\w.-]*"
# A quotation mark behind what is masked already is the sentence's, not the secret's.
# Each begins where its word does: looked for within words, too, long words would take seconds.
_SECRET_PAIR = re.compile(
    rf"(?<![\w.-])({_SECRET_KEY})(=)(\*\*\*(?=[\"'][:;,.]?(?:\s|$))|[^&\s]*)", re.IGNORECASE
)
# What stands where a port should be and is no port. A number is one, with a sentence's punctuation behind it as well,
# and so is ${PORT}.
_NO_PORT = re.compile(
    r"^((?:\[[^\]]*\]|[^:/?#\[\]]*):)(?![0-9]{0,5}[^\w/?#]*(?:[/?#]|$)|\$\{\w+\}(?:[/?#]|$))[^/?#'\"]+"
)
# viewer:secret@10.0.0.5
_BARE_LOGIN = re.compile(r"(?<![^\s'\"/:@])[^\s'\"/:@]*:[^\s'\"]+@(?=[\w\[])")
_URL_IN_TEXT = re.compile(r"(?<![A-Za-z])[A-Za-z][A-Za-z0-9+.-]*://")

_WORD_START = re.compile(r"(?<!\w)(?=.)", re.DOTALL)
_WORD = re.compile(r"\w")

# The registered secrets by their first SHORTEST_SECRET characters, the longest first. So a text is compared with few,
# even where there are a thousand cameras.
_secrets: dict[str, tuple[str, ...]] = {}
_secrets_lock = threading.Lock()


class CameraUrl:
    """The address of a camera or an output: a network URL, ``device:0``, ``hls:…`` or a local path.

    ``str``, ``repr`` and f-strings show it with login and secret-looking parameters as ``***``; ``reveal()``
    is the only way to the text itself. Two are equal when their texts are. Immutable; copying gives the same
    object; pickling raises ``TypeError``, since a pickle would hold the secret.
    """

    __slots__ = ("__text",)
    __text: str

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_CameraUrl__text", text)
        # FFmpeg quotes the address as it was given it, so the secrets of that form are registered too.
        for secret in (*_secrets_of(text), *_secrets_of(self.reveal())):
            register_secret(secret)

    def reveal(self) -> str:
        """The real URL, secrets included, fit for FFmpeg.

        It is the text as given, except that a ``/``, ``?``, ``#``, ``@``, bracket or blank in the password is
        percent-encoded. Otherwise FFmpeg would end the host name there and look the password up in the DNS, and
        Python could not read an address with a bracket.
        """
        head, userinfo, rest = _split(self.__text)
        if not userinfo:
            return self.__text
        return head + re.sub(r"[][/?#@ \t]", lambda hit: f"%{ord(hit[0]):02X}", userinfo) + "@" + rest

    @property
    def scheme(self) -> str:
        """Lower-case scheme, e.g. ``"rtsp"`` or ``"device"``; ``"file"`` for a local path."""
        found = _SCHEME.match(self.__text)
        return found[1].lower() if found else "file"

    @property
    def is_file(self) -> bool:
        """Whether this is a local path (``clip.mp4``, ``./odd:name.mp4``, ``file:///srv/clip.mp4``)."""
        return self.scheme == "file"

    @property
    def path(self) -> Path:
        """The local path of a file. Raises ``ValueError`` for anything else."""
        if not self.is_file:
            raise ValueError(f"{self} is not a local file")
        found = _SCHEME.match(self.__text)
        if not found:
            return Path(self.__text)
        rest = self.__text[found.end() :]
        return Path(unquote(rest) if found[2] else rest)

    @property
    def port_is_usable(self) -> bool:
        """Whether the port, if one is given, is a number from 1 to 65535; True for anything but a network URL."""
        if self.is_file or "://" not in self.__text:
            return True
        authority = re.split(r"[/?#]", _split(self.__text)[2], maxsplit=1)[0]
        port = authority.rpartition("]")[2].partition(":")
        return not port[1] or (re.fullmatch(r"[0-9]{1,5}", port[2]) is not None and 0 < int(port[2]) < 65536)

    def __str__(self) -> str:
        """The address with its secrets masked."""
        return _mask_url(_hide_registered(self.__text))

    def __repr__(self) -> str:
        """The masked address, said to be one."""
        return f"CameraUrl({str(self)!r})"

    def __format__(self, spec: str) -> str:
        """The masked address."""
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        """Whether both are the same address."""
        return self.__text == other.__text if isinstance(other, CameraUrl) else NotImplemented

    def __hash__(self) -> int:
        """Equal addresses hash alike."""
        return hash(self.__text)

    def __copy__(self) -> CameraUrl:
        """Itself: it cannot change."""
        return self

    def __deepcopy__(self, memo: object) -> CameraUrl:
        """Itself: it cannot change."""
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse: a pickle would hold the secret."""
        raise TypeError(
            "a CameraUrl cannot be pickled: it may hold a password; send reveal() where that is meant"
        )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: it is a value."""
        raise AttributeError(f"a CameraUrl cannot change: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse: it is a value."""
        raise AttributeError(f"a CameraUrl cannot change: {name}")


def without_secrets(address: str, stem: str) -> tuple[str, dict[str, str]]:
    """An address with ``${…}`` in place of its secrets, and what these are, by the names of the variables.

    The names begin with ``stem``. Filled in again by ``with_variables`` it is the same address.
    """
    values: dict[str, str] = {}

    def kept(value: str, what: str) -> str:
        if not value or "${" in value:
            return value
        name = f"{stem}_{what}" if f"{stem}_{what}" not in values else f"{stem}_{what}_{len(values) + 1}"
        values[name] = value
        return f"${{{name}}}"

    def pair(hit: re.Match[str]) -> str:
        return hit[1] + hit[2] + kept(hit[3], "SECRET")

    head, userinfo, rest = _split(address)
    if userinfo:
        user, colon, password = userinfo.partition(":")
        # In a login, %41 stands for A; what a variable holds is taken as it is.
        secret = kept(unquote(password if colon else user), "PASSWORD")
        userinfo = f"{user}:{secret}@" if colon else f"{secret}@"
    if head.lower() in ("rtmp://", "rtmps://"):
        return head + userinfo + re.sub(r"(?<=/)[^/]+\Z", lambda hit: kept(hit[0], "KEY"), rest), values
    return head + userinfo + _SECRET_PAIR.sub(pair, rest), values


def with_variables(address: str, values: Sequence[str]) -> str:
    """An address with the variables' values in place of its ``VARIABLE`` characters, one after the other.

    In the login of a URL, a ``%`` of a value is percent-encoded: a password in a variable is sent as it is, whereas
    ``%41`` in the address itself means ``A``. A value that is a URL by itself, and all others, stay as they are.
    """
    left = iter(values)

    def one(_: re.Match[str]) -> str:
        value = next(left, "")
        return value if "://" in value else value.replace("%", _PERCENT)

    text = re.sub(VARIABLE, one, address)
    head, userinfo, rest = _split(text)
    if not userinfo:
        return text.replace(_PERCENT, "%")
    return head + userinfo.replace(_PERCENT, "%25") + "@" + rest.replace(_PERCENT, "%")


def redact(text: str) -> str:
    """``text`` with logins and secret parameters of the URLs in it, and every registered secret, as ``***``.

    For log lines and error messages. A password with blanks in it is found only if it was registered, which
    making a ``CameraUrl`` does.
    """
    # Registered secrets go first: they may hold blanks or quotes, which end a URL in free text.
    text = _hide_registered(text)
    starts = [hit.start() for hit in _URL_IN_TEXT.finditer(text)]
    if not starts:
        return _mask_bare(text)
    parts = [_mask_bare(text[: starts[0]])]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        url, blank, tail = re.fullmatch(r"(\S*)(\s?)(.*)", text[start:end], re.DOTALL).groups()  # type: ignore[union-attr]
        parts += [_mask_url(url), blank, _mask_bare(tail)]
    return "".join(parts)


def register_secret(secret: str) -> None:
    """Have ``redact`` hide ``secret`` wherever it stands alone, unless it is shorter than 4 characters."""
    with _secrets_lock:
        for form in (secret, unquote(secret)):
            if len(form) >= SHORTEST_SECRET:
                alike = {*_secrets.get(form[:SHORTEST_SECRET], ()), form}
                _secrets[form[:SHORTEST_SECRET]] = tuple(sorted(alike, key=len, reverse=True))


def _hide_registered(text: str) -> str:
    parts: list[str] = []
    done = 0
    for hit in _WORD_START.finditer(text):
        start = hit.start()
        end = _end_of_secret(text, start)
        if end > done:
            if start >= done:  # else it overlaps the one before, and one mask stands for both
                parts += [text[done:start], MASK]
            done = end
    return "".join([*parts, text[done:]])


def _end_of_secret(text: str, start: int) -> int:
    """Where the longest secret that begins at ``start`` and stands alone ends; -1 if there is none."""
    for secret in _secrets.get(text[start : start + SHORTEST_SECRET], ()):
        end = start + len(secret)
        if text.startswith(secret, start) and not _WORD.match(text, end):
            return end
    return -1


def _split(text: str) -> tuple[str, str, str]:
    """``scheme://``, the login or "", and what follows its ``@``, as FFmpeg is to read the address.

    By RFC 3986 the login ends at the last ``@`` before the first ``/?#``. If what follows can be no host, or if it is
    a bare word and a proper address follows a later ``@``, the login goes on to the last ``@`` of all.
    """
    found = _SCHEME.match(text)
    if not found or not found[2]:
        return "", "", text
    head, rest = text[: found.end()], text[found.end() :]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    last = rest.rfind("@")
    proper = authority.rfind("@")
    if last == -1:
        return head, "", rest
    host = authority[proper + 1 :]
    plausible = _HOST_PORT.fullmatch(host) is not None and (host != "" or proper == -1)
    if last > proper:
        beyond = re.split(r"[/?#]", rest[last + 1 :], maxsplit=1)[0]
        word = proper != -1 and not _ADDRESS.fullmatch(host)
        if not plausible or (word and _ADDRESS.fullmatch(beyond)):
            proper = last
    return (head, rest[:proper], rest[proper + 1 :]) if proper != -1 else (head, "", rest)


def _secrets_of(text: str) -> list[str]:
    """The password of a URL, and the values of its secret-looking parameters but for names of users."""
    _, userinfo, _ = _split(text)
    if "://" not in text:  # a URL whose scheme was forgotten: viewer:secret@10.0.0.5/stream1
        userinfo = text.rpartition("@")[0]
    _, colon, password = userinfo.partition(":")
    secrets = [password if colon else userinfo if "://" in text else ""]
    for hit in _SECRET_PAIR.finditer(text):
        if not re.search("user|usr|login", hit[1], re.IGNORECASE):
            secrets.append(hit[3])
    return secrets


def _mask_url(text: str) -> str:
    found = _SCHEME.match(text)
    head, rest = (text[: found.end()], text[found.end() :]) if found and found[2] else ("", text)
    before, at, after = rest.rpartition("@")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if at and ((head and "@" in authority) or ":" in before):
        rest = f"{MASK}@{after}"
    if head:  # viewer:secret, the host forgotten
        rest = _NO_PORT.sub(rf"\1{MASK}", rest)
    if head and found and found[1].lower() in ("rtmp", "rtmps", "rtmpt"):  # its path ends in the stream key
        rest = re.sub(r"^([^/]*/[^/]*/)[^\s'\"]+", rf"\1{MASK}", rest)
    return head + _SECRET_PAIR.sub(_mask_pair, rest)


def _mask_bare(text: str) -> str:
    """Text with no ``scheme://`` in it."""
    return _SECRET_PAIR.sub(_mask_pair, _BARE_LOGIN.sub(f"{MASK}@", text))


def _mask_pair(hit: re.Match[str]) -> str:
    return f"{hit[1]}={MASK}"
