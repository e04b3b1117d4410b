"""Runs under a Python that has homeassistant: its `stream` integration takes each address, and gives out HLS.

``inside_streams.py FOLDER SECONDS URL…`` writes the HLS addresses that it gives out to ``hls.json``, and at the end
what its workers tell of each stream to ``found.json``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from homeassistant import bootstrap, runner
from homeassistant.components.camera import DynamicStreamSettings
from homeassistant.components.stream import Stream, create_stream

# Seconds until a stream must have given out a segment.
WITHIN = 60.0


async def watch(folder: Path, seconds: float, urls: list[str]) -> None:
    """Have each stream played by its own worker for so long."""
    config = runner.RuntimeConfig(config_dir=str(folder / "config"), skip_pip=False, log_no_color=True)
    home = await bootstrap.async_setup_hass(config)
    await home.async_start()
    streams = [create_stream(home, url, {}, DynamicStreamSettings()) for url in urls]
    for stream in streams:
        stream.add_provider("hls")
        await stream.start()
    begun = await asyncio.gather(*(first_segment(stream) for stream in streams))
    # A player of HLS is sent the frontend's address; here it is told at which port of this machine.
    port = home.http.server_port
    told = [f"http://127.0.0.1:{port}{stream.endpoint_url('hls')}" for stream in streams]
    await asyncio.to_thread((folder / "hls.tmp").write_text, json.dumps(told))
    await asyncio.to_thread((folder / "hls.tmp").rename, folder / "hls.json")
    await asyncio.sleep(seconds)
    found: list[dict[str, Any]] = [
        {
            "began": one,
            "diagnostics": {name: str(value) for name, value in stream.get_diagnostics().items()},
            "segments": stream.outputs()["hls"].last_sequence if "hls" in stream.outputs() else -1,
            "available": stream.available,
        }
        for stream, one in zip(streams, begun, strict=True)
    ]
    await asyncio.to_thread((folder / "found.json").write_text, json.dumps(found))
    for stream in streams:
        await stream.stop()
    await home.async_stop(force=True)


async def first_segment(stream: Stream) -> bool:
    """Wait until a stream has given out a whole segment; whether it has."""
    hls = stream.outputs()["hls"]
    try:
        return bool(await asyncio.wait_for(hls.recv(), WITHIN))
    except asyncio.TimeoutError:
        return False


if __name__ == "__main__":
    asyncio.run(watch(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
