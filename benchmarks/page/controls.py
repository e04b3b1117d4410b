"""Every control of the page, used by mouse, finger and keyboard, and what has to come of it."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.page.browser import Browser

_SPLIT = "Number(document.getElementById('split').value)"
_DRAWN = (
    "(() => { const c = document.getElementById('picture'); if (c.width === 300) return false;"
    "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
    "let sum = 0; for (let i = 0; i < d.length; i += 397) sum += d[i]; return sum > 1000 })()"
)


# Keeps the elements that play, which are not in the page.
KEEP_VIDEOS = """
    window.videos = [];
    const make = document.createElement.bind(document);
    document.createElement = (tag, ...more) => {
        const made = make(tag, ...more);
        if (tag === "video") window.videos.push(made);
        return made;
    };"""
# The loudest sample, of 0 to 1, that the newest of them plays within so many seconds; 0 where it plays no sound.
_PEAK = """(async () => {
    const stream = window.videos.at(-1).captureStream();
    if (!stream.getAudioTracks().length) return 0;
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 4096 });
    context.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(analyser);
    const samples = new Float32Array(4096);
    let peak = 0;
    for (const end = performance.now() + %d; performance.now() < end; await new Promise((go) => setTimeout(go, 20))) {
        analyser.getFloatTimeDomainData(samples);
        peak = Math.max(peak, ...samples.map(Math.abs));
    }
    await context.close();
    return peak;
})()"""
# Milliseconds for which is listened to a beep each second.
LISTEN = 3000


def hear(browser: Browser, address: str, camera: str, *, peer: bool) -> dict[str, Any]:
    """Press Sound at a camera that beeps; how loud it was before, while it was pressed, and after.

    Raises AssertionError where nothing is heard, or over another way than WebRTC (``peer``) or else Media Source.
    """
    browser.open(f"{address}/camera/{camera}")
    browser.until(_DRAWN)
    browser.until("!document.getElementById('sound').hidden")
    playing = "window.videos.at(-1).currentTime > 1 && document.getElementById('veil').hidden"
    peaks: list[float] = []
    for pressed in (False, True, False):
        if peaks:
            browser.click("#sound")
            shown = browser.run("document.getElementById('sound').getAttribute('aria-pressed')")
            assert shown == str(pressed).lower()
        browser.until(f"window.videos.at(-1).muted === {str(not pressed).lower()} && {playing}")
        peaks.append(round(browser.run(_PEAK % LISTEN), 3))
        if pressed:
            assert browser.run("window.videos.at(-1).srcObject !== null") == peer
    before, heard, after = peaks
    assert before == after == 0, peaks
    assert heard > 0.3, peaks
    return {"before": before, "pressed": heard, "after": after}


def use_all(browser: Browser, address: str, picture: str) -> list[str]:
    """Use each control once. Returns what was used; raises AssertionError where nothing came of it.

    Args:
        browser: what uses them.
        address: the program's.
        picture: the address of a camera that plays, with a login in it.
    """
    return [*_grid(browser, address, picture), *_camera(browser, address)]


def _text(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)}).textContent"


def _grid(browser: Browser, address: str, picture: str) -> list[str]:
    browser.look(width=1280, height=800, dark=False)
    browser.open(address)
    browser.until("document.querySelectorAll('.tile.live').length >= 2")
    browser.until(f"{_text('#summary')}.includes('2 of 3 up') && {_text('#summary')}.includes('yard')")
    assert "Nothing accepts" in browser.run(_text(".tile.bad .remark"))
    browser.click("#view label:nth-of-type(2)")
    browser.until("document.querySelectorAll('.tile.live').length >= 2")
    browser.click("#pause")
    browser.until("document.querySelectorAll('.tile.live').length === 0")
    browser.click("#pause")
    browser.until("document.querySelectorAll('.tile.live').length >= 2")
    browser.click(".add summary")
    browser.click("#try-url")
    browser.call("Input.insertText", text="rtsp://127.0.0.1:9/away")
    browser.key("Enter", 13, "\r")
    browser.until(f"{_text('#tried')}.includes('Nothing accepts')")
    browser.run("document.getElementById('try-url').value = ''; 1")
    browser.call("Input.insertText", text=picture)
    browser.click("#try button")
    browser.until("document.getElementById('tried-picture').naturalWidth > 0")
    browser.until("!document.getElementById('add').hidden")
    browser.click("#add-name")
    browser.call("Input.insertText", text="porch")
    browser.click("#add button")
    browser.until(f"{_text('#added')}.includes('porch was added to')")
    browser.until(f"{_text('#summary')}.includes('of 4 up')")
    browser.click(".add summary")
    browser.click("#find")
    browser.call("Input.insertText", text="picc")
    browser.until("[...document.querySelectorAll('.tile')].filter(t => !t.hidden).length === 1")
    browser.run("document.querySelector('.tile:not([hidden]) a').focus()")
    browser.key("Enter", 13, "\r")
    browser.until("location.pathname === '/camera/piccadilly' && document.readyState === 'complete'")
    browser.click(".bar nav a")
    browser.until("location.pathname === '/'")
    return [
        "grid: day and night",
        "grid: pause",
        "grid: find",
        "an address tried, away and there, and added",
        "grid: a camera by keyboard",
        "links",
    ]


def _camera(browser: Browser, address: str) -> list[str]:
    browser.open(f"{address}/camera/a1_barnet")
    browser.until(_DRAWN)
    browser.until("document.getElementById('veil').hidden")
    # The line: by keyboard, by mouse, by finger.
    browser.run("document.getElementById('split').focus()")
    for key, code, expected in (
        ("ArrowRight", 39, 52),
        ("ArrowLeft", 37, 50),
        ("PageUp", 33, 60),
        ("Home", 36, 0),
        ("End", 35, 100),
    ):
        browser.key(key, code)
        assert round(browser.run(_SPLIT)) == expected, key
    assert (
        browser.run("document.getElementById('split').getAttribute('aria-valuetext')")
        == "100 % night, 0 % day"
    )
    x, y = browser.middle("#split")
    for kind, at in (("mousePressed", x), ("mouseMoved", x - 100), ("mouseReleased", x - 100)):
        browser.call("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=1, clickCount=1)
    split = browser.run(_SPLIT)
    assert 20 < split < 48, split
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    for kind, points in (
        ("touchStart", [(x, y)]),
        ("touchMove", [(x + 60, y)]),
        ("touchMove", [(x + 120, y)]),
        ("touchEnd", []),
    ):
        touches: list[dict[str, Any]] = [{"x": one, "y": other} for one, other in points]
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=touches)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
    assert 52 < browser.run(_SPLIT) < 80
    # Views, the overlay, pause.
    for label in (2, 3, 1):
        browser.click(f"#view label:nth-of-type({label})")
        browser.until("document.getElementById('veil').hidden")
        assert browser.run("document.getElementById('split').hidden") == (label != 1)
    browser.until("!document.getElementById('trust-on').disabled")
    browser.click("#trust-on")
    browser.until(
        "!document.getElementById('trust').hidden && document.getElementById('trust').naturalWidth > 0"
    )
    browser.click("#trust-on")
    browser.until("document.getElementById('trust').hidden")
    browser.click("#pause")
    browser.until(f"{_text('#pause')} === 'Play'")
    browser.click("#pause")
    browser.until("document.getElementById('veil').hidden")
    browser.run("document.getElementById('full').click()")
    browser.until("document.fullscreenElement !== null")
    browser.run("document.exitFullscreen().then(() => 1)")
    size = browser.run(
        "fetch(document.getElementById('snapshot').href).then(a => a.blob()).then(b => [b.type, b.size])"
    )
    assert size[0] == "image/jpeg"
    assert size[1] > 3000
    # The switch.
    for label, when in ((3, "never"), (2, "always"), (1, "night")):
        browser.click(f"#translate label:nth-of-type({label})")
        browser.until(
            "fetch('/api/cameras?name=a1_barnet').then(a => a.json()).then(a => a.cameras[0].translate === "
            f"'{when}')"
        )
        browser.until(f"document.querySelector('#translate [value={when}]').checked")
    assert browser.run(_text("#translate-fault")) == ""
    # Recordings, backgrounds, text to paste.
    browser.until("document.querySelectorAll('#recordings button').length >= 2", within=60.0)
    browser.click("#recordings li:nth-of-type(2) button")
    browser.until("document.getElementById('player').currentTime > 0.3")
    browser.until(
        "[...document.querySelectorAll('#backgrounds img')].filter(i => i.naturalWidth > 0).length === 2",
        within=90.0,
    )
    for number in range(1, 7):
        browser.click(f"#snippets details:nth-of-type({number}) summary")
        assert "/live/a1_barnet" in browser.run(_text(f"#snippets details:nth-of-type({number}) code"))
        browser.click(f"#snippets details:nth-of-type({number}) button")
        browser.until(f"{_text(f'#snippets details:nth-of-type({number}) [role=status]')} !== ''")
    assert "median" in browser.run("document.querySelector('.plot').closest('section').textContent")
    browser.until(
        "document.querySelectorAll('#plot polyline')[1].getAttribute('points').split(' ').length > 3"
    )
    return [
        "the line by keyboard, mouse and finger",
        "before and after, day, night",
        "trust overlay",
        "pause",
        "full screen",
        "snapshot",
        "translate: never, always, night",
        "a recording",
        "backgrounds",
        "text for other programs, copied",
        "latency plot",
    ]
