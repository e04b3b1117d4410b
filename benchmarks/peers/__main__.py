"""``python -m benchmarks.peers``: play every address and print what came of it."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import benchmarks.peers
from benchmarks.peers.clip import make_clip
from benchmarks.peers.players import LATE, Ffmpeg, GStreamer, relay, served
from benchmarks.program import program, wait_for_cameras
from benchmarks.stream import _cpu
from tests.support.ports import lasting_port

# Seconds for which the clip is longer than it is played: all has to start within.
START = 90


def main(argv: Sequence[str] | None = None) -> int:
    """Play all addresses; exit 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=benchmarks.peers.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=int, default=120, help="for how long each address is played")
    parser.add_argument("--seed", type=int, default=None, help="of the colours")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args(argv)
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    with tempfile.TemporaryDirectory() as folder:
        results: dict[str, Any] = {
            "machine": f"{_cpu()}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores",
            "date": time.strftime("%Y-%m-%d"),
            "versions": versions(),
            "seed": seed,
            "seconds": args.seconds,
            "players": play(Path(folder), seconds=args.seconds, rng=np.random.default_rng(seed)),
        }
    results["load_average"] = round(os.getloadavg()[0], 1)
    text = json.dumps(results, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    wrong = {name: found["wrong"] for name, found in results["players"].items() if found["wrong"]}
    for name, why in wrong.items():
        print(f"{name}: {', '.join(why)}", file=sys.stderr)
    return int(bool(wrong))


def versions() -> dict[str, str]:
    """Of the players."""
    ffmpeg = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    script = "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; print(Gst.version_string())"
    gst = subprocess.run(
        ["/usr/bin/python3", "-c", script], capture_output=True, text=True, check=True
    ).stdout
    return {"ffmpeg": ffmpeg.split()[2], "GStreamer": gst.split()[-1]}


def play(folder: Path, *, seconds: int, rng: np.random.Generator) -> dict[str, Any]:
    """What each player made of each address, by their names."""
    clip = make_clip(folder / "clip.mp4", seconds=seconds + START, rng=rng)
    rtsp, rtmp, *udp = (lasting_port(), lasting_port(), *(lasting_port(socket.SOCK_DGRAM) for _ in range(2)))
    listen: dict[str, tuple[str, tuple[str, ...]]] = {
        "rtsp": (f"rtsp://127.0.0.1:{rtsp}/day", ("-rtsp_flags", "listen")),
        "rtmp": (f"rtmp://127.0.0.1:{rtmp}/live/key", ("-listen", "1")),
        "udp": (f"udp://127.0.0.1:{udp[0]}", ("-f", "mpegts")),
    }
    (folder / "hls").mkdir()
    with relay("day", "day-silent") as relayed, served(folder / "hls") as web:
        players: dict[str, tuple[Any, bool]] = {
            f"{name}, ffmpeg listens": (
                Ffmpeg(url, folder / f"{name}.nut", seconds=seconds, options=options),
                True,
            )
            for name, (url, options) in listen.items()
        }
        outputs = [
            *(url for url, _ in listen.values()),
            f"udp://127.0.0.1:{udp[1]}",
            f"{relayed}/day",
            f"hls:{folder}/hls/gate.m3u8",
        ]
        common = {"url": str(clip.path), "translate": "never"}
        cameras: list[dict[str, Any]] = [
            {**common, "name": "gate", "audio": True, "outputs": outputs},
            {
                **common,
                "name": "silent",
                "outputs": [f"{relayed}/day-silent", f"hls:{folder}/hls/silent.m3u8"],
            },
        ]
        with program(cameras, folder) as (address, _):
            wait_for_cameras(address, 2)
            wait_for_playlists(folder / "hls", 2)
            addresses = {
                "/live/NAME.ts": (f"{address}/live/gate.ts", f"{address}/live/silent.ts"),
                "/live/NAME.mp4": (f"{address}/live/gate.mp4", f"{address}/live/silent.mp4"),
                "rtsp": (f"{relayed}/day-view", f"{relayed}/day-silent-view"),
                "hls": (f"{web}/gate.m3u8", f"{web}/silent.m3u8"),
            }
            for name, urls in addresses.items():
                options = ("-rtsp_transport", "tcp") if name == "rtsp" else ()
                for url, sound in zip(urls, (True, False), strict=True):
                    path = folder / f"played{len(players)}.nut"
                    what = f"{name}{'' if sound else ' without sound'}"
                    ffmpeg = Ffmpeg(url, path, seconds=seconds, options=options)
                    players[f"{what}, ffmpeg"] = ffmpeg, sound
                    players[f"{what}, GStreamer"] = GStreamer(url, seconds=seconds, sound=sound), sound
            heard = GStreamer(f"udp://127.0.0.1:{udp[1]}", seconds=seconds, sound=True)
            players["udp, GStreamer"] = heard, True
            end = time.monotonic() + seconds + LATE
            return {
                name: player.found(clip, sound=sound, within=max(1.0, end - time.monotonic()))
                for name, (player, sound) in players.items()
            }


def wait_for_playlists(folder: Path, count: int) -> None:
    """Wait until so many playlists name three segments each, as servers of others give them out."""
    end = time.monotonic() + LATE
    while time.monotonic() < end:
        playlists = [path.read_text().count("#EXTINF") for path in folder.glob("*.m3u8")]
        if len(playlists) >= count and min(playlists) >= 3:
            return
        time.sleep(0.2)
    raise AssertionError(f"no {count} playlists of three segments after {LATE:g} s")


if __name__ == "__main__":
    raise SystemExit(main())
