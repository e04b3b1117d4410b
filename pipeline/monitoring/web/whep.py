"""Cameras' live streams over WebRTC, by WHEP (draft-ietf-wish-whep): an offer is answered, and a DELETE ends it.

All candidates come with the answer; nothing is added later. Needs aiortc, which is imported with the first offer.
"""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import secrets
from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from nightday.engines.distribution import INSTALL_WEBRTC

from ...core.live import View
from ...core.status import Watched
from ...outputs.module import WEBRTC_SOUNDS
from .live import ViewerPieces, view_for, wants_sound
from .pictures import UNKNOWN, refusal

if TYPE_CHECKING:
    from .peer import PeerViewer

# Viewers over WebRTC at once, of all cameras: each packet is made for one of them, in the server's thread.
MOST_PEERS = 16

_SDP = "application/sdp"


def whep_routes(watched: Watched, present: set[object]) -> list[BaseRoute]:
    """What answers offers; ``present`` are those who watch, by whatever way."""
    sessions = _Sessions(watched, present)
    return [
        Route("/live/{name}/whep", sessions.begin, methods=["POST"]),
        Route("/live/{name}/whep/{session}", sessions.end, methods=["DELETE"]),
    ]


def webrtc_is_there() -> bool:
    """Whether aiortc is installed."""
    return importlib.util.find_spec("aiortc") is not None


class _Sessions:
    """Those who watch over WebRTC, by the secret in their address."""

    def __init__(self, watched: Watched, present: set[object]) -> None:
        self._watched = watched
        self._present = present
        self._viewers: dict[tuple[str, str], PeerViewer] = {}
        # Nobody else holds them.
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, request: Request) -> Response:
        """Answer an offer."""
        name = request.path_params["name"]
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _SDP:
            return refusal(415, f"send an offer as {_SDP}")
        if not any(camera.name == name for camera in self._watched.cameras()):
            return refusal(404, UNKNOWN)
        if not webrtc_is_there():
            return refusal(501, f"WebRTC needs aiortc; install it with: {INSTALL_WEBRTC}")
        offer = (await request.body()).decode("utf-8", "replace")
        peer = await run_in_threadpool(importlib.import_module, ".peer", __package__)
        view = view_for(request, self._present)
        if isinstance(view, Response):
            return view
        if len(self._viewers) >= MOST_PEERS:
            return refusal(503, f"{MOST_PEERS} watch over WebRTC already")
        key = name, secrets.token_urlsafe(16)
        heard = wants_sound(request)
        sound = self._sound_of(name) if heard else None
        watch = partial(self._pieces, name, view, heard, sound)
        viewer: PeerViewer = peer.PeerViewer(watch, sound=sound)
        self._viewers[key] = viewer
        self._present.add(viewer)
        try:
            answer = await viewer.answer(reachable(offer, request.client.host if request.client else ""))
        except peer.OfferError as error:
            viewer.end()
            return refusal(400, str(error))
        finally:
            self._keep(key, viewer)
        # A player that shows its token in the address shows it when it ends the session, too.
        query = f"?{request.url.query}" if "token" in request.query_params else ""
        return Response(answer, 201, {"location": f"whep/{key[1]}{query}"}, _SDP)

    async def end(self, request: Request) -> Response:
        """End a session."""
        viewer = self._viewers.get((request.path_params["name"], request.path_params["session"]))
        if viewer is None:
            return refusal(404, "no such session; it may have ended")
        viewer.end()
        return Response()

    def _keep(self, key: tuple[str, str], viewer: PeerViewer) -> None:
        """Have ``viewer`` watch until one of both ends has enough."""

        async def watch() -> None:
            try:
                await viewer.last()
            finally:
                self._present.discard(viewer)
                del self._viewers[key]

        task = asyncio.ensure_future(watch())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _pieces(self, name: str, view: View, heard: bool, sound: str | None) -> ViewerPieces:
        # Without it where the camera's has become another one since.
        same = sound == self._sound_of(name)
        return ViewerPieces(self._watched, name, "timed", view, sound=heard and same)

    def _sound_of(self, name: str) -> str | None:
        """The codec of a camera's sound, where WebRTC takes it."""
        codec = next((camera.sound for camera in self._watched.cameras() if camera.name == name), None)
        return codec if codec in WEBRTC_SOUNDS.codecs else None


def reachable(offer: str, host: str) -> str:
    """An offer with those candidates alone that are of ``host``, from where it came.

    So nothing is sent to others, whatever an offer says, and no name is looked up by multicast, as those of browsers
    are. Whoever offers is seen from where its own packets come; to send some to it opens the way through a firewall.
    The end of candidates is left out, so that ICE waits for its packets.
    """
    lines = []
    for line in offer.splitlines():
        if line.startswith("a=candidate:"):
            fields = line.split(" ")
            if len(fields) < 6:
                continue
            if fields[4].endswith(".local") and not _is_loopback(host):
                fields[4] = host
            if fields[4] != host:
                continue
            line = " ".join(fields)
        if line != "a=end-of-candidates":
            lines.append(line)
    return "".join(f"{line}\r\n" for line in lines)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
