"""A small RTSP client that announces a stream and records it to a server (RFC 2326), over TCP.

It owns its socket, unlike FFmpeg's: through PyAV that one holds the interpreter's lock during the handshake, which
stops every camera while a server is silent, and it has no timeout once the stream runs.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from ...core.camera_url import CameraUrl
from ...core.faults import OutputError, OutputReason
from ...core.host_names import unresolved
from ..encoding.settings import VideoCodec

# Seconds between signs of life. By default servers end a session after 60 s without one, go2rtc after 15 s.
KEEP_ALIVE = 10.0
# Seconds after its answer to RECORD within which a server that hangs up does not want the stream at all.
UNWANTED_WITHIN = 3.0
# Bytes of a reply. A peer that sends more before the reply is complete is not an RTSP server.
LARGEST_REPLY = 65_536
PAYLOAD_TYPE = 96
UNWANTED = (
    "the server hung up right after it had taken the stream, as go2rtc does with a path that it does not know: list "
    "the stream in go2rtc's `streams:` (an empty source is enough)"
)
# MediaMTX answers 400 to who publishes to a path at which another one does already.
TAKEN = (
    "; if nothing else is wrong, another program publishes to this path (two cameras, or this one twice?), or the "
    "server takes no stream there: look at its log, or name another path"
)
NOT_RTSP = "what answers there is not an RTSP server; look at host and port"

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_REASONS: dict[int, OutputReason] = {401: "unauthorised", 403: "unauthorised", 404: "not_found"}


class RtspError(OutputError):
    """The server refused. ``status`` is its RTSP status, 0 if its answer was not RTSP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(_REASONS.get(status, "failed"), text)
        self.status = status


class RtspRecording:
    """A connection that records a stream to a server; making it announces the stream.

    Args:
        url: ``rtsp://`` address, its login included.
        sdp: what is announced; the media's controls are ``streamid=0``, ``streamid=1`` and so on.
        media: how many those are.
        timeout: seconds the server may take to connect, to answer a request, and to take what ``send`` sends.

    Raises RtspError for a refusal, OutputError for a name that does not resolve, TimeoutError and OSError for the
    network.
    """

    def __init__(self, *, url: CameraUrl, sdp: str, timeout: float, media: int = 1) -> None:
        address = urlsplit(url.reveal())
        host, port = address.hostname or "", address.port or 554
        shown = f"[{host}]" if ":" in host else host
        self._url = address._replace(
            netloc=f"{shown}:{port}" if address.port else shown, fragment=""
        ).geturl()
        self._login = (unquote(address.username or ""), unquote(address.password or ""))
        self._challenge: tuple[str, Mapping[str, str]] | None = None
        self._answered = 0  # requests sent with its nonce
        self._timeout = timeout
        self._sequence = 0
        self._session = ""
        self._received = b""
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout)
        except (socket.gaierror, UnicodeError):
            why = unresolved(url) or "the name of the host does not resolve"
            raise OutputError("unreachable", why) from None
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ask("ANNOUNCE", self._url, {"Content-Type": "application/sdp"}, body=sdp)
            for number in range(media):
                way = f"RTP/AVP/TCP;unicast;interleaved={2 * number}-{2 * number + 1};mode=record"
                place = f"{self._url.rstrip('/')}/streamid={number}"
                reply = self._ask("SETUP", place, {"Transport": way})
                self._session = reply.get("session", "").partition(";")[0].strip() or self._session
            self._ask("RECORD", self._url, {"Range": "npt=0.000-"})
        except BaseException:
            self._socket.close()
            raise
        self._recorded_at = self._alive_at = time.monotonic()

    def send(self, data: bytes) -> None:
        """Send interleaved packets, or nothing, and a sign of life where one is due.

        Raises TimeoutError if the server does not take it all in time, and OutputError if it takes no stream here.
        """
        try:
            self._send(data)
        except ConnectionError:
            if time.monotonic() - self._recorded_at > UNWANTED_WITHIN:
                raise
            raise OutputError("end_of_stream", UNWANTED) from None

    def _send(self, data: bytes) -> None:
        self.listen()
        if time.monotonic() - self._alive_at > KEEP_ALIVE:
            self._alive_at = time.monotonic()
            data += self._request("OPTIONS", self._url, {})
        self._socket.settimeout(self._timeout)
        self._socket.sendall(data)

    def listen(self) -> None:
        """Read and ignore what the server has sent since. Raises ConnectionError if it has hung up."""
        self._socket.settimeout(0)
        try:
            while self._socket.recv(LARGEST_REPLY):
                pass
        except BlockingIOError:
            return
        raise ConnectionResetError("the server closed the connection")

    def close(self) -> None:
        """End the session; does not wait for the server's answer."""
        try:
            self._socket.settimeout(0)
            self._socket.send(self._request("TEARDOWN", self._url, {}))
        except OSError:
            pass
        finally:
            self._socket.close()

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: str = "") -> dict[str, str]:
        """Send a request and return its reply's headers, their names in lower case; log in when asked to."""
        for last in (False, True):
            self._socket.settimeout(self._timeout)
            self._socket.sendall(self._request(method, url, headers, body))
            status, reason, reply = self._reply()
            if status == 401 and not last and any(self._login):
                before, self._challenge = self._challenge, _challenge(reply.get("www-authenticate", ""))
                if _nonce(before) != _nonce(self._challenge):
                    self._answered = 0
                if self._challenge is not None:
                    continue
            break
        if status != 200:
            why = "" if status in _REASONS else TAKEN
            raise RtspError(status, f"the server answers {method} with {status} {reason}{why}")
        return reply

    def _request(self, method: str, url: str, headers: Mapping[str, str], body: str = "") -> bytes:
        self._sequence += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._sequence}", "User-Agent: nightday-stream"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self._session:
            lines.append(f"Session: {self._session}")
        if self._challenge is not None:
            self._answered += 1
            answer = _authorization(*self._challenge, self._login, method, url, count=self._answered)
            lines.append(f"Authorization: {answer}")
        content = body.encode()
        if content:
            lines.append(f"Content-Length: {len(content)}")
        return "\r\n".join([*lines, "", ""]).encode() + content

    def _reply(self) -> tuple[int, str, dict[str, str]]:
        """The next reply's status, reason and headers. Packets before it are ignored."""
        deadline = time.monotonic() + self._timeout
        while self._take(1, deadline, keep=True) == b"$":
            self._take(int.from_bytes(self._take(4, deadline)[2:], "big"), deadline)
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            if len(self._received) > LARGEST_REPLY or not b"RTSP/".startswith(self._received[:5]):
                raise RtspError(0, NOT_RTSP)
            self._receive(deadline)
        head, *lines = self._take(end + 4, deadline).decode("utf-8", "replace").split("\r\n")
        found = re.fullmatch(r"RTSP/1\.\d (\d{3}) ?(.*)", head)
        if found is None:
            raise RtspError(0, NOT_RTSP)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            # Of several challenges, keep the first that can be answered.
            if name != "www-authenticate" or _challenge(headers.get(name, "")) is None:
                headers[name] = value.strip()
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > LARGEST_REPLY:
            raise RtspError(0, NOT_RTSP)
        self._take(int(length), deadline)
        return int(found[1]), found[2], headers

    def _take(self, count: int, deadline: float, *, keep: bool = False) -> bytes:
        while len(self._received) < count:
            self._receive(deadline)
        taken = self._received[:count]
        if not keep:
            self._received = self._received[count:]
        return taken

    def _receive(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server does not answer")
        self._socket.settimeout(left)
        more = self._socket.recv(4096)
        if not more:
            raise ConnectionResetError("the server closed the connection")
        self._received += more


def interleaved(packet: bytes, *, media: int = 0) -> bytes:
    """An RTP or RTCP packet as it goes through the connection: each medium has a channel for RTP and one for RTCP."""
    # RTCP's packet types; RTP has the marker and its payload type there.
    channel = 2 * media + (200 <= packet[1] <= 204)
    return b"$" + bytes((channel,)) + len(packet).to_bytes(2, "big") + packet


def describe(
    *, title: str, parameter_sets: list[bytes], sound: Sequence[str] = (), codec: VideoCodec = "h264"
) -> str:
    """The SDP of a stream of H.264 (RFC 6184) or H.265 (RFC 7798).

    Args:
        title: the stream's.
        parameter_sets: SPS and PPS, of H.265 the VPS as well, without start codes.
        sound: the lines of its sound, but the control.
        codec: that of the pictures.
    """
    about = _about_h264(parameter_sets) if codec == "h264" else _about_h265(parameter_sets)
    return "\r\n".join(
        [
            "v=0",
            "o=- 0 0 IN IP4 127.0.0.1",
            f"s={title}",
            "c=IN IP4 0.0.0.0",
            "t=0 0",
            f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
            f"a=rtpmap:{PAYLOAD_TYPE} {'H264' if codec == 'h264' else 'H265'}/90000",
            f"a=fmtp:{PAYLOAD_TYPE} {about}",
            "a=control:streamid=0",
            *sound,
            *(["a=control:streamid=1"] if sound else []),
            "",
        ]
    )


def _about_h264(sets: list[bytes]) -> str:
    sprop = ",".join(base64.b64encode(unit).decode() for unit in sets)
    profile = next((unit[1:4].hex() for unit in sets if unit[0] & 31 == 7), "42e01f")
    return f"packetization-mode=1; sprop-parameter-sets={sprop}; profile-level-id={profile}"


def _about_h265(sets: list[bytes]) -> str:
    names = {32: "sprop-vps", 33: "sprop-sps", 34: "sprop-pps"}
    told = {names[unit[0] >> 1 & 63]: base64.b64encode(unit).decode() for unit in sets}
    return "; ".join(f"{name}={value}" for name, value in told.items())


def _challenge(header: str) -> tuple[str, Mapping[str, str]] | None:
    """Scheme and parameters of a WWW-Authenticate header; None if it cannot be answered."""
    scheme, _, rest = header.partition(" ")
    parameters = parse_keqv_list([item for item in parse_http_list(rest) if "=" in item])
    if scheme.lower() == "basic":
        return "basic", parameters
    known = parameters.get("algorithm", "MD5").upper() in _HASHES and "nonce" in parameters
    return ("digest", parameters) if scheme.lower() == "digest" and known else None


def _nonce(challenge: tuple[str, Mapping[str, str]] | None) -> str:
    return challenge[1].get("nonce", "") if challenge else ""


def _authorization(
    scheme: str,
    parameters: Mapping[str, str],
    login: tuple[str, str],
    method: str,
    url: str,
    *,
    count: int = 1,
) -> str:
    """The answer to a challenge; ``count`` is how many requests have gone out with its nonce, this one included."""
    user, password = login
    if scheme == "basic":
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    # RFC 7616, and RFC 2069 where the server names no quality of protection.
    algorithm = parameters.get("algorithm", "MD5")
    hashed = _HASHES[algorithm.upper()]

    def digest(*parts: str) -> str:
        return hashed(":".join(parts).encode()).hexdigest()

    realm, nonce = parameters.get("realm", ""), parameters["nonce"]
    fields = {"username": user, "realm": realm, "nonce": nonce, "uri": url}
    secret, asked = digest(user, realm, password), digest(method, url)
    if "auth" in re.split(r"[ ,]+", parameters.get("qop", "")):
        sent, own = f"{count:08x}", secrets.token_hex(8)
        fields["response"] = digest(secret, nonce, sent, own, "auth", asked)
        extra = f', qop=auth, nc={sent}, cnonce="{own}"'
    else:
        fields["response"] = digest(secret, nonce, asked)
        extra = ""
    if "algorithm" in parameters:
        extra += f", algorithm={algorithm}"
    if "opaque" in parameters:
        fields["opaque"] = parameters["opaque"]
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items()) + extra
