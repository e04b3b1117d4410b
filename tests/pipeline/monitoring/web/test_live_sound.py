"""Sound with live pictures: over WebRTC to aiortc as the player, over a WebSocket, and over HTTP."""

from __future__ import annotations

import asyncio
import io
import json
import urllib.request
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from nightday.pipeline.core.events import Notice
from nightday.pipeline.monitoring.http_server import WebServer
from tests.pipeline.monitoring.web.test_live import Camera, Serve, serve
from tests.pipeline.monitoring.web.test_live_socket import join
from tests.pipeline.monitoring.web.test_whep import WAIT, WHEP, request
from tests.pipeline.outputs.test_sound_streams import packets_of
from tests.support.heard import flashing

__all__ = ["serve"]  # a fixture

CODINGS: dict[str, tuple[str, ...]] = {
    "opus": ("libopus",),
    "pcm_alaw": ("pcm_alaw", "-ar", "8000", "-ac", "1"),
    "aac": ("aac",),
}


def camera_with(codec: str, folder: Path) -> Camera:
    coding = CODINGS[codec]
    return Camera(sound=packets_of(flashing(folder / "source.mkv", coding[0], seconds=30, more=coding[1:])))


async def watched(server: WebServer, *kinds: str, count: int) -> dict[str, list[Any]]:
    """So many frames of each track that was answered, of those kinds that were offered."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: list[Any] = []
    peer.on("track", tracks.append)
    for kind in kinds:
        peer.addTransceiver(kind, direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    try:
        answer = await asyncio.to_thread(request, server, "POST", WHEP, peer.localDescription.sdp)
        assert answer.status == 201, answer.text
        await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        sent = {one.kind for one in peer.getTransceivers() if one.currentDirection == "recvonly"}
        found = {}
        for track in tracks:
            if track.kind in sent:
                found[track.kind] = [await asyncio.wait_for(track.recv(), WAIT) for _ in range(count)]
        return found
    finally:
        await peer.close()


@pytest.mark.parametrize("codec", ["opus", "pcm_alaw"])
def test_webrtc_sends_sound_beside_the_pictures(serve: Serve, tmp_path: Path, codec: str) -> None:
    camera = camera_with(codec, tmp_path)
    found = asyncio.run(watched(serve(camera), "video", "audio", count=100))
    assert set(found) == {"video", "audio"}
    loud = [bool(np.abs(one.to_ndarray().astype(float)).max() > 0.2 * 2**15) for one in found["audio"]]
    # A beep of 40 ms each second, in pieces of 20 ms, and nothing between.
    assert 2 <= sum(loud) <= 12
    assert [event for event in camera.events if isinstance(event, Notice)] == []


@pytest.mark.parametrize(
    ("codec", "offered", "told"), [("aac", ("video", "audio"), 1), ("opus", ("video",), 0)]
)
def test_pictures_come_where_sound_does_not(
    serve: Serve, tmp_path: Path, codec: str, offered: tuple[str, ...], told: int
) -> None:
    camera = camera_with(codec, tmp_path)
    server = serve(camera)
    for _ in range(2):
        found = asyncio.run(watched(server, *offered, count=20))
        assert set(found) == {"video"}
    notes = [event for event in camera.events if isinstance(event, Notice)]
    assert [note.name for note in notes] == ["sound_dropped"] * told
    for note in notes:
        assert note.camera == "gate"
        assert "WebRTC does not hold sound of the codec aac; let the camera send Opus" in note.detail


@pytest.mark.parametrize(("query", "told"), [("", ",mp4a.40.2"), ("?sound=no", "")])
def test_a_websocket_tells_of_the_sound_and_sends_it(
    serve: Serve, tmp_path: Path, query: str, told: str
) -> None:
    server = serve(camera_with("aac", tmp_path))
    with join(server, f"/live/gate{query}") as connection:
        first = connection.recv(WAIT)
        pieces = [connection.recv(WAIT) for _ in range(60)]
    assert json.loads(first)["type"].endswith(f'{told}"')
    with av.open(io.BytesIO(b"".join(piece for piece in pieces if isinstance(piece, bytes)))) as container:
        counts = {
            stream.type: sum(1 for packet in container.demux(stream) if packet.size)
            for stream in container.streams
            if container.seek(0) is None
        }
    assert counts["video"] >= 50
    assert counts.get("audio", 0) >= (80 if told else 0)
    assert ("audio" in counts) == bool(told)


@pytest.mark.parametrize("ending", ["ts", "mp4"])
def test_http_sends_it(serve: Serve, tmp_path: Path, ending: str) -> None:
    server = serve(camera_with("aac", tmp_path))
    with (
        urllib.request.urlopen(f"{server.address}/live/gate.{ending}", timeout=WAIT) as answer,
        av.open(answer, format={"ts": "mpegts"}.get(ending, ending)) as container,
    ):
        counts = {"video": 0, "audio": 0}
        for packet in container.demux():
            counts[packet.stream.type] += 1
            if counts["video"] >= 40:
                break
    assert counts["audio"] >= 40
