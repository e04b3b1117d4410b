"""Home Assistant's own `stream` integration on live streams: what ffmpeg makes of the HLS that it gives out.

It opens an address with PyAV, in the version that it pins, packs the packets anew and gives out HLS, for its Generic
Camera as for all others. The clip flashes and beeps (see ``benchmarks.peers``).
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.clip import make_clip
from benchmarks.peers.players import LATE, Ffmpeg, relay
from benchmarks.program import program, wait_for_cameras

HERE = Path(__file__).parent
# Seconds for which the clip is longer than it is played: all has to start within.
START = 180
_OF_THE_MACHINE = ("turbojpeg", "zlib")
# What is its own: 2025.4.4 puts the sound of any MPEG-TS at 90000 / 48000 of its times (see findings/).
KNOWN = {"/live/NAME.ts": ("flash and beep", "complaints")}
CONFIGURATION = (
    "logger:\n  default: warning\nhttp:\n  server_host: 127.0.0.1\n  server_port: {port}\nstream:\n"
)


def watched(
    folder: Path, python: str, *, seconds: int, port: int, rng: np.random.Generator
) -> dict[str, Any]:
    """What Home Assistant, run by ``python`` with its web server at ``port``, made of each address, by its name."""
    clip = make_clip(folder / "clip.mp4", seconds=seconds + START, rng=rng)
    common = {"url": str(clip.path), "translate": "never"}
    with relay("day", "day-silent") as relayed:
        cameras: list[dict[str, Any]] = [
            {**common, "name": "gate", "audio": True, "outputs": [f"{relayed}/day"]},
            {**common, "name": "silent", "outputs": [f"{relayed}/day-silent"]},
        ]
        with program(cameras, folder) as (address, _):
            wait_for_cameras(address, 2)
            urls = {
                "/live/NAME.ts": f"{address}/live/gate.ts",
                "/live/NAME.ts without sound": f"{address}/live/silent.ts",
                "/live/NAME.mp4": f"{address}/live/gate.mp4",
                "/live/NAME.mp4 without sound": f"{address}/live/silent.mp4",
                "rtsp": f"{relayed}/day-view",
                "rtsp without sound": f"{relayed}/day-silent-view",
            }
            config = folder / "config"
            config.mkdir()
            (config / "configuration.yaml").write_text(CONFIGURATION.format(port=port))
            command = [
                python,
                str(HERE / "inside_streams.py"),
                str(folder),
                str(seconds + 10),
                *urls.values(),
            ]
            with (folder / "home.log").open("w") as log:
                home = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            try:
                _wait_for(folder / "hls.json", home, folder)
                playlists = json.loads((folder / "hls.json").read_text())
                players = [
                    Ffmpeg(url, folder / f"played{number}.nut", seconds=seconds)
                    for number, url in enumerate(playlists)
                ]
                within = seconds + LATE
                made = [
                    player.found(clip, sound="without" not in name, within=within)
                    for name, player in zip(urls, players, strict=True)
                ]
                _wait_for(folder / "found.json", home, folder)
                home.wait(LATE)
            finally:
                home.kill()
                home.wait()
    found = dict(zip(urls, made, strict=True))
    for one, told in zip(found.values(), json.loads((folder / "found.json").read_text()), strict=True):
        one["home_assistant"] = told
        started = told["diagnostics"].get("start_worker")
        if not (told["began"] and told["available"] and started == "1"):
            one["wrong"].append("home_assistant")
    for name, known in KNOWN.items():
        found[name]["known"] = [one for one in found[name]["wrong"] if one in known]
        found[name]["wrong"] = [one for one in found[name]["wrong"] if one not in known]
    log_text = (folder / "home.log").read_text()
    complaints = [
        line
        for line in log_text.splitlines()
        if (" ERROR " in line or " WARNING " in line) and not any(word in line for word in _OF_THE_MACHINE)
    ]
    found["its log"] = {"complaints": complaints, "wrong": ["complaints"] if complaints else []}
    return found


def _wait_for(path: Path, home: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until Home Assistant has written a file. Raises RuntimeError with the end of its log if it does not."""
    end = time.monotonic() + START
    while not path.exists():
        if home.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"no {path.name}: {(folder / 'home.log').read_text()[-3000:]}")
        time.sleep(0.2)
