"""``python -m benchmarks.page``: drive the page in Chromium and print what was seen."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import benchmarks.page
from benchmarks.page.browser import Browser
from benchmarks.page.cameras import BITS, SQUARE, stamping_camera
from benchmarks.page.controls import KEEP_VIDEOS, hear, use_all
from benchmarks.program import cpu_seconds, program, wait_for_cameras
from benchmarks.stream import _cpu
from tests.support.heard import flashing

CLIPS = Path(__file__).parents[1] / "clips"
SIZES = ((1280, 800), (360, 740))
# Notes at each picture on the canvas how old it is, by the time that is drawn into it.
_LATENCY = f"""(() => {{
  window.ages = [];
  const canvas = document.getElementById("picture");
  const strip = document.createElement("canvas");
  strip.width = {BITS}; strip.height = 1;
  const context = strip.getContext("2d", {{ willReadFrequently: true }});
  let last = -1;
  function look() {{
    context.drawImage(canvas, 0, {SQUARE // 4}, {BITS * SQUARE}, {SQUARE // 2}, 0, 0, {BITS}, 1);
    const data = context.getImageData(0, 0, {BITS}, 1).data;
    let stamp = 0;
    for (let bit = 0; bit < {BITS}; bit++) stamp = stamp * 2 + (data[4 * bit + 1] > 128 ? 1 : 0);
    if (stamp !== last && canvas.width > 300) {{
      window.ages.push((Date.now() % {2**BITS} - stamp + {2**BITS}) % {2**BITS});
      last = stamp;
    }}
    requestAnimationFrame(look);
  }}
  look();
}})()"""


# The ways in which pictures come to the page, and what a browser must lack besides to take each.
FORMS = {
    "WebRTC": """
        window.peers = [];
        const Peer = window.RTCPeerConnection;
        window.RTCPeerConnection = class extends Peer {
            constructor() { super(); window.peers.push(this); }
        };""",
    "WebSocket": "delete window.RTCPeerConnection;",
    "MJPEG": "delete window.MediaSource; delete window.ManagedMediaSource;",
}


def looked_at(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Use every control, have axe-core look, and take screenshots."""
    cameras: list[dict[str, Any]] = [
        {"name": "a1_barnet", "url": str(CLIPS / "dusk_a1_barnet.mp4")},
        {"name": "piccadilly", "url": str(CLIPS / "night_tfl_07450_piccadilly.mp4"), "translate": "always"},
        {"name": "yard", "url": "rtsp://127.0.0.1:9/away"},
    ]
    defaults = {
        "outputs": [str(folder / "out/{name}/%H%M%S.mp4")],
        "background": {"save": str(folder / "out/{name}/background.png"), "frames": 9, "every_s": 0.4},
        "segment_seconds": 5,
        "loop": True,
    }
    with (
        stamping_camera(5.0) as camera,
        program(cameras, folder, **defaults) as (address, _),
        Browser() as browser,
    ):
        wait_for_cameras(address, 2, translated=20)
        used = use_all(browser, address, f"{camera.replace('//', '//viewer:password@')}/video")
        violations: dict[str, list[str]] = {}
        for width, height in SIZES:
            for dark in (False, True):
                browser.look(width=width, height=height, dark=dark, mobile=width < 500)
                for name, path in (
                    ("grid", "/"),
                    ("camera", "/camera/a1_barnet"),
                    ("report", "/report"),
                    ("table", "/table"),
                ):
                    browser.open(address + path)
                    browser.pump(3.0)
                    wide = browser.run("document.documentElement.scrollWidth")
                    assert wide <= width, f"{path} is {wide} wide at {width}"
                    kind = f"{name}-{width}-{'dark' if dark else 'light'}"
                    if arguments.screenshots:
                        browser.screenshot(arguments.screenshots / f"{kind}.png", whole=name == "camera")
                    if arguments.axe and name != "table":
                        violations[kind] = axe(browser, arguments.axe)
        asked = {address.split("//")[1] for address in browser.requests if address.startswith("http")}
        foreign = sorted(one for one in asked if not one.startswith(address.removeprefix("http://")))
        return {"used": used, "violations": violations, "console": browser.errors, "foreign": foreign}


def heard(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Press Sound: AAC comes over a WebSocket into Media Source, Opus over WebRTC."""
    clips = {
        codec: flashing(folder / f"{codec}.mkv", codec, seconds=60, more=("-s", "640x360"))
        for codec in ("aac", "libopus")
    }
    cameras = [
        {"name": codec, "url": str(path), "translate": "never", "audio": True, "loop": True}
        for codec, path in clips.items()
    ]
    with program(cameras, folder) as (address, _), Browser() as browser:
        wait_for_cameras(address, 2)
        browser.look(width=1280, height=800, dark=False)
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=KEEP_VIDEOS)
        found = {codec: hear(browser, address, codec, peer=codec == "libopus") for codec in clips}
        if arguments.screenshots:
            browser.screenshot(arguments.screenshots / "heard.png")
        return {**found, "console": browser.errors}


def axe(browser: Browser, script: Path) -> list[str]:
    """What axe-core finds on the present page: its impact, the rule, and where."""
    browser.run(f"(() => {{ {script.read_text(encoding='utf-8')}; window.axe = axe; return 1 }})()")
    found: list[str] = browser.run(
        "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map("
        "v => `${v.impact}: ${v.id}: ${v.nodes.map(n => n.target.join(' ')).slice(0, 3).join(' | ')}`))"
    )
    return found


def latencies(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Milliseconds from a picture's making until it is on the canvas, over WebRTC, over WebSocket and as JPEGs."""
    figures: dict[str, Any] = {}
    with stamping_camera(25.0) as camera:
        cameras = [{"name": "gate", "url": f"{camera}/video", "translate": "never"}]
        with program(cameras, folder) as (address, pid), Browser() as browser:
            wait_for_cameras(address, 1)
            for form, hide in FORMS.items():
                browser.call("Page.addScriptToEvaluateOnNewDocument", source=hide)
                for view in ("day", "pair"):
                    browser.open(f"{address}/camera/gate")
                    if view == "day":
                        browser.click("#view label:nth-of-type(2)")
                    browser.pump(5.0)
                    if view == "pair":
                        browser.run("document.getElementById('split').value = 0, 1")
                    browser.run(_LATENCY)
                    before, at = cpu_seconds(pid), time.monotonic()
                    browser.pump(arguments.seconds)
                    cost = (cpu_seconds(pid) - before) / (time.monotonic() - at)
                    states = browser.run("(window.peers ?? []).map((peer) => peer.connectionState)")
                    assert ("connected" in states) == (form == "WebRTC"), (form, states)
                    ages = browser.run("window.ages")
                    p50, p95, worst = (round(float(q)) for q in np.percentile(ages, (50, 95, 100)))
                    figures[f"{form}, {view}"] = {
                        "pictures": len(ages),
                        "p50": p50,
                        "p95": p95,
                        "worst": worst,
                        "percent_of_a_core": round(100 * cost),
                        "load_average": round(os.getloadavg()[0], 1),
                    }
    return figures


def forty(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The grid with 40 cameras of a picture every 2 s: when its first picture is there, and what it costs unseen."""
    with stamping_camera(1.0) as camera:
        cameras = [{"name": f"c{n:02}", "url": f"{camera}/picture", "every_s": 2} for n in range(40)]
        with program(cameras, folder) as (address, pid), Browser() as browser:
            wait_for_cameras(address, 40)
            browser.look(width=1280, height=800, dark=True)

            def cost() -> float:
                before, at = cpu_seconds(pid), time.monotonic()
                browser.pump(15.0)
                return round(100 * (cpu_seconds(pid) - before) / (time.monotonic() - at), 1)

            browser.open("about:blank#")
            nobody = cost()
            browser.open(f"{address}/")
            browser.pump(4.0)
            firsts: list[float] = browser.run(
                "performance.getEntriesByType('resource').filter(e => e.name.includes('/snapshot/'))"
                ".map(e => e.responseEnd)"
            )
            height = browser.run("document.documentElement.scrollHeight")
            if arguments.screenshots:
                browser.screenshot(arguments.screenshots / "forty.png")
            watched = cost()
            browser.run(
                "Object.defineProperty(document, 'hidden', {get: () => true, configurable: true});"
                "document.dispatchEvent(new Event('visibilitychange')); 1"
            )
            browser.pump(1.0)
            asked = len(browser.requests)
            hidden = cost()
            return {
                "first_picture_ms": round(min(firsts)),
                "screens_of_800": round(height / 800, 2),
                "percent_of_a_core": {"no page": nobody, "in sight": watched, "hidden": hidden},
                "requests_while_hidden": len(browser.requests) - asked,
            }


CASES = {"looked_at": looked_at, "heard": heard, "latencies": latencies, "forty": forty}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases and print their figures. Returns 1 where a serious fault was seen, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page",
        description=benchmarks.page.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("case", nargs="*", choices=[*CASES, []], default=[])
    parser.add_argument("--axe", type=Path, help="axe-core's axe.min.js")
    parser.add_argument("--screenshots", type=Path, help="a folder for them")
    parser.add_argument("--seconds", type=float, default=30.0, help="over which latency is measured")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args(argv)
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "machine": f"{_cpu()}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
    }
    for name in arguments.case or CASES:
        with tempfile.TemporaryDirectory() as folder:
            busy = round(os.getloadavg()[0], 1)
            results[name] = {"load_average_before": busy} | CASES[name](arguments, Path(folder))
        print(json.dumps({name: results[name]}, indent=1), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    seen = results.get("looked_at", {})
    serious = [
        one
        for found in seen.get("violations", {}).values()
        for one in found
        if one.startswith(("serious", "crit"))
    ]
    console = [line for name in ("looked_at", "heard") for line in results.get(name, {}).get("console", [])]
    return 1 if serious or console or seen.get("foreign") else 0


if __name__ == "__main__":
    raise SystemExit(main())
