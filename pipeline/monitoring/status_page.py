"""The page at ``/``: how the cameras do, what is wrong with those in trouble, and what to do about it.

Plain HTML that loads itself anew: no script, and nothing from elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from html import escape
from typing import Any

from ..core.camera_url import CameraUrl
from ..core.clock import Clock, SystemClock
from ..outputs import registry
from .status_text import CameraStatus, Watched, camera_json

REFRESH = 2  # seconds between the page's looks
RATE_OVER = 10.0  # seconds of which the rates are
_RATE_STEP = 1.0  # seconds between what is kept for them

STYLE = """
:root{color-scheme:light dark;--text:#1c2127;--dim:#5c6670;--line:#d5dae0;--bad:#b3261e;--back:#fff}
@media(prefers-color-scheme:dark){
:root{--text:#dde1e6;--dim:#98a2ad;--line:#333a43;--bad:#ff9b7a;--back:#14171c}}
body{margin:1.5rem;font:15px/1.45 system-ui,sans-serif;color:var(--text);background:var(--back)}
h1{font-size:1.3rem;margin:0}p{margin:.3rem 0}small,.dim{color:var(--dim)}small{display:block}
.bad{color:var(--bad);font-weight:600}
table{border-collapse:collapse;width:100%;margin-top:1rem}
th,td{padding:.45rem .7rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
tbody th{min-width:8.5rem;overflow-wrap:anywhere}thead th{color:var(--dim);font-weight:400}
th:first-child,td:first-child{padding-left:0}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.state{min-width:13rem}.outputs{min-width:11rem;overflow-wrap:anywhere}
@media(max-width:65rem){
body{margin:1rem}thead{display:none}table,tbody,tr{display:block}
tr{border-bottom:1px solid var(--line);padding:.7rem 0}
th,td,tbody th,.n,.state,.outputs{display:block;border:0;
padding:.1rem 0;text-align:left;min-width:0;white-space:normal}
tbody th{font-size:1.1rem}td:empty{display:none}
td{position:relative;padding-left:6.5rem!important}
td::before{content:attr(data-label);position:absolute;left:0;color:var(--dim)}
}
"""

# What to do, by the reason that a camera is not playing for.
_CAMERA_ADVICE = {
    "refused": "Nothing accepts connections there. Is the camera on, and are address and port right?",
    "unauthorised": "It refuses user name or password: put them right in the url. "
    "It is tried rarely, since many cameras lock an account after a few failures.",
    "not_found": "The camera has no such stream, or the file is not there: look at the url's path.",
    "timeout": "No answer. Is the camera on, and is the address right?",
    "stall": "It answered, but no pictures come any more. Look at its network, or restart it.",
    "end_of_stream": "The camera closed the connection. If it happens often, look at how many viewers it allows.",
    "decode": "What it sends cannot be decoded. Set its video to H.264 or H.265, and look at its network.",
    "unreachable": "There is no way to this address. Look at the network of this machine and of the camera.",
    "unsupported": "Its codec or protocol is not known here. Set its video to H.264 or H.265.",
}
_BAD = ("retrying", "failed")
_LOG = "The log says more."
_COLUMNS = (
    *(("camera", ""), ("state", "state"), ("sees", ""), ("translates", ""), ("fps", "n"), ("latency", "n")),
    *(("translated", "n"), ("passed", "n"), ("dropped", "n"), ("outputs", "outputs")),
)
_CLASSES = dict(_COLUMNS)


class Page:
    """Shows what is ``watched``; to be asked from any thread.

    Rates are those of the last ``RATE_OVER`` seconds in which somebody looked, so the first look has none.
    """

    def __init__(self, watched: Watched, *, clock: Clock | None = None) -> None:
        self._watched = watched
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._seen: deque[tuple[float, dict[str, int]]] = deque()  # at most one a step, the oldest first

    def html(self) -> str:
        """The page as it is now."""
        cameras = self._watched.cameras()
        rates = self._rates(cameras)
        troubled = [
            camera.name if camera.state in _BAD else f"{camera.name} (an output)"
            for camera in cameras
            if camera.state in _BAD or camera.outputs_in_trouble
        ]
        up = sum(camera.stats.up for camera in cameras)
        count = f"{up} of {len(cameras)} cameras up"
        said = [f"{count} at {time.strftime('%H:%M:%S', time.localtime(self._clock.time()))}"]
        if not self._watched.beating():
            said.append(f'<span class="bad">The program hangs. {_LOG}</span>')
        elif not self._watched.engines_ready():
            said.append("The engines are being loaded.")
        if troubled:
            said.append(f'<span class="bad">In trouble: {escape(", ".join(troubled))}</span>')
        heads = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in _COLUMNS)
        rows = "".join(_row(camera_json(camera), rates.get(camera.name)) for camera in cameras)
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f'<title>{count} – nightday-stream</title><meta http-equiv="refresh" content="{REFRESH}">'
            f"<style>{STYLE}</style></head><body><h1>nightday-stream</h1>"
            + "".join(f"<p>{line}</p>" for line in said)
            + f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
            '<p class="dim">Renews itself. For machines: /api/cameras, /metrics.</p></body></html>\n'
        )

    def _rates(self, cameras: Sequence[CameraStatus]) -> dict[str, float]:
        """Pictures a second of each camera that was there before."""
        now, pictures = self._clock.monotonic(), {camera.name: camera.pictures for camera in cameras}
        with self._lock:
            while self._seen and now - self._seen[0][0] > RATE_OVER:
                self._seen.popleft()
            if not self._seen or now - self._seen[-1][0] >= _RATE_STEP:
                self._seen.append((now, pictures))
            at, before = self._seen[0]
        if now - at < _RATE_STEP:
            return {}
        # A camera that was configured anew counts from nought again.
        return {
            name: (count - before[name]) / (now - at)
            for name, count in pictures.items()
            if count >= before.get(name, count + 1)
        }


def _row(entry: dict[str, Any], rate: float | None) -> str:
    latencies = [ms for ms in (entry["latency_p50_ms"], entry["latency_p95_ms"]) if ms is not None]
    cells = {
        "state": _state(entry),
        "sees": {None: "", True: "night", False: "day"}[entry["night"]],
        "translates": escape(entry["translate"] or ""),
        "fps": "" if rate is None else f"{rate:.1f}",
        "latency": " / ".join(f"{ms:.0f}" for ms in latencies)
        + " ms<small>p50 / p95</small>" * bool(latencies),
        "translated": f"{entry['translated']:,}",
        "passed": f"{entry['passed']:,}",
        "dropped": f"{sum(entry['dropped'].values()):,}{_small(*_counts(entry['dropped']))}",
        "outputs": "".join(map(_output, entry["outputs"])),
    }
    inner = "".join(
        f'<td class="{_CLASSES[name]}" data-label="{name}">{cell}</td>' for name, cell in cells.items()
    )
    return f'<tr><th scope="row">{escape(entry["name"])}</th>{inner}</tr>'


def _state(entry: dict[str, Any]) -> str:
    state, reason = entry["state"], entry["reason"]
    lines = []
    if state in _BAD:
        lines.append(_CAMERA_ADVICE.get(reason, _LOG))
    if entry["next_try_s"]:
        lines.append(f"Next try in {entry['next_try_s']:.0f} s.")
    if entry["reconnects"]:
        lines.append(f"Lost or not reached so far: {', '.join(_counts(entry['reconnects']))}.")
    return _marked(state, reason, bad=state in _BAD) + _small(" ".join(lines))


def _output(output: dict[str, str | None]) -> str:
    reason = output["reason"]
    address = output["output"] or ""
    advice = (registry.advice(CameraUrl(address).scheme, reason) or _LOG) if reason else ""
    name = escape(address)
    return f"<div>{name} {_marked(output['state'] or '', reason, bad=bool(reason))}{_small(advice)}</div>"


def _marked(state: str, reason: str | None, *, bad: bool) -> str:
    text = escape(f"{state} ({_words(reason)})" if reason else state)
    return f'<span class="{"bad" if bad else "dim" if state != "playing" else ""}">{text}</span>'


def _small(*texts: str) -> str:
    return "".join(f"<small>{escape(text)}</small>" for text in texts if text)


def _counts(counts: dict[str, int]) -> list[str]:
    """For instance ``overload 3`` and ``output failed 1``, the most frequent first."""
    most = sorted(counts.items(), key=lambda item: -item[1])
    return [f"{_words(name)} {count:,}" for name, count in most]


def _words(name: str) -> str:
    return name.replace("_", " ")
