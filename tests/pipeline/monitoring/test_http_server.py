"""The endpoints over real sockets, asked by friends, by strangers and by the malevolent."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import random
import re
import secrets
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from nightday.pipeline.analysis.trust import draw_trust
from nightday.pipeline.config.schema import HttpConfig
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.events import OutputChanged
from nightday.pipeline.core.faults import FaultReason
from nightday.pipeline.core.status import Background, NewestPicture, Room, TrustMap
from nightday.pipeline.monitoring.api import state_json
from nightday.pipeline.monitoring.http_server import WebServer, web_app
from nightday.pipeline.monitoring.listening import WebError
from nightday.pipeline.monitoring.web.guard import LARGEST_HEAD
from nightday.pipeline.monitoring.web.table import Page
from tests.support.media_helpers import FakeClock
from tests.support.watched import FakeRun

SECRET = "Zk9q7Wx2"
TOKEN = "correct-horse-battery"
WAIT = 60.0  # seconds until a test gives up on what should take milliseconds
PATHS = ("/", "/table", "/healthz", "/readyz", "/metrics", "/api/cameras")
Start = Callable[..., WebServer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers on free ports; ends them after the test."""
    servers: list[WebServer] = []

    def start(run: FakeRun | None = None, *, limits: dict[str, Any] | None = None, **keys: Any) -> WebServer:
        settings, options = HttpConfig(**{"port": 0, **keys}), dict(limits or {})
        app = web_app(settings, run or FakeRun(), options.pop("controls", None))
        server = WebServer(settings, app, **options)
        server.start()
        servers.append(server)
        return server

    level = logging.getLogger("uvicorn.error").level
    yield start
    ended = [server.close(WAIT) for server in servers]
    assert all(ended)
    logging.getLogger("uvicorn.error").setLevel(level)


@pytest.fixture(scope="module")
def plain() -> Iterator[WebServer]:
    """A server on loopback without a token, for tests that change nothing."""
    yield from _serving(HttpConfig(port=0))


@pytest.fixture(scope="module")
def guarded() -> Iterator[WebServer]:
    """The same with a token."""
    yield from _serving(HttpConfig(port=0, token=SecretStr(TOKEN)))


def _serving(settings: HttpConfig) -> Iterator[WebServer]:
    server = WebServer(settings, web_app(settings, FakeRun()))
    server.start()
    yield server
    assert server.close(WAIT)


def place_of(server: WebServer) -> tuple[str, int]:
    host, _, port = server.address.removeprefix("http://").rpartition(":")
    return "127.0.0.1" if host == "0.0.0.0" else host, int(port)


def connect(server: WebServer) -> socket.socket:
    return socket.create_connection(place_of(server), timeout=WAIT)


class Answer:
    """What a server answered."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        self.text = self.body.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    server: WebServer, path: str = "/table", *, method: str = "GET", body: bytes | None = None, **headers: Any
) -> Answer:
    """Ask with a client of the standard library; the path goes out as it is."""
    connection = http.client.HTTPConnection(*place_of(server), timeout=WAIT)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host="Host" in named)
        for name, value in named.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def send(server: WebServer, data: bytes) -> bytes:
    """All that the server says to ``data`` until it closes the connection."""
    with connect(server) as connection:
        answer = b""
        try:
            connection.sendall(data)
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:  # closed while there was something left to read
            pass
        return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


class TestHealth:
    def test_it_is_alive_while_it_beats(self, start: Start) -> None:
        run = FakeRun(ready=False, stats={})
        server = start(run)
        assert (ask(server, "/healthz").status, ask(server, "/healthz").json()) == (200, {"alive": True})
        run.alive = False
        answer = ask(server, "/healthz")
        assert (answer.status, answer.json()["alive"]) == (503, False)
        assert "sign of life" in answer.json()["reason"]

    def test_it_is_ready_with_its_engines_and_a_camera(self, start: Start) -> None:
        run = FakeRun(ready=False, stats={"gate": CameraStats(), "yard": CameraStats()})
        server = start(run)
        run.stats["yard"].set_up(True)
        answer = ask(server, "/readyz")
        assert answer.status == 503
        expected = {"ready": False, "cameras": 2, "up": 1, "reason": "the engines are being prepared"}
        assert answer.json() == expected
        run.ready = True
        answer = ask(server, "/readyz")
        assert (answer.status, answer.json()) == (200, {"ready": True, "cameras": 2, "up": 1})
        run.stats["yard"].set_up(False)
        answer = ask(server, "/readyz")
        assert answer.status == 503
        assert answer.json()["reason"] == "no camera delivers pictures"

    def test_an_engine_that_could_not_be_built_is_told_without_its_camera(self, start: Start) -> None:
        run = FakeRun(ready=False, states={"gate": {"engine": "failed", "engine_fault": f"no {SECRET}"}})
        run.stats["gate"].set_up(True)
        server = start(run)
        answer = ask(server, "/readyz")
        expected = {"ready": False, "cameras": 1, "up": 1, "reason": "an engine could not be built"}
        assert (answer.status, answer.json()) == (503, expected)
        (gate,) = ask(server, "/api/cameras").json()["cameras"]
        assert (gate["engine"], gate["engine_fault"]) == ("failed", f"no {SECRET}")
        page = ask(server).text
        assert f"Its engine could not be built: no {SECRET}." in page
        assert "In trouble: gate (its engine)<" in page
        assert "being prepared" not in page

    def test_room_for_more_cameras_is_told_once_it_was_measured(self, start: Start) -> None:
        run = FakeRun()
        server = start(run)
        told = ask(server, "/api/cameras").json()
        assert (told["more_cameras"], told["more_cameras_text"]) == (None, None)
        assert "\nnightday_more_cameras " not in ask(server, "/metrics").text
        run.spare = Room(more=3, camera=0.5, free=1.7, overloaded=False, hours=2.0)
        told = ask(server, "/api/cameras?name=gate").json()
        assert told["more_cameras"] == 3
        assert told["more_cameras_text"].startswith("This machine can take 3 more cameras like these: ")
        assert "\nnightday_more_cameras 3.0\n" in ask(server, "/metrics").text
        assert 'id="room"' in ask(server, "/").text


class TestTrust:
    PATH = "/api/cameras/gate/trust.png"

    @staticmethod
    def thirds(height: int, width: int, aspect: Fraction = Fraction(1)) -> TrustMap:
        """Left third drawn, middle remembered, right unclear, of half the picture's size."""
        shares = np.zeros((height // 2, width // 2, 3), np.uint8)
        for part, columns in enumerate(np.array_split(np.arange(width // 2), 3)):
            shares[:, columns, part] = 255
        return TrustMap(shares, (height, width), aspect, 1_700_000_000.25)

    @pytest.mark.parametrize("aspect", [Fraction(1), Fraction(2)])
    def test_it_is_a_picture_in_the_colours_of_the_overlay(self, start: Start, aspect: Fraction) -> None:
        answer = ask(start(FakeRun(maps={"gate": self.thirds(240, 360, aspect)})), self.PATH)
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
        assert answer.headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        decoded = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.shape == (240, 360 * aspect, 3)
        bgr = decoded[:200, :: int(aspect)].astype(int)  # above the legend
        assert (bgr[:, 10:100] == 150).all()
        remembered = bgr[:, 140:220].reshape(-1, 3)
        blue = np.array([230, 110, 40])  # as documented for the overlay, 40 % of it
        assert np.abs(remembered - (150 + 0.4 * (blue - 150))).max() <= 2
        unclear = bgr[:, 260:340]
        striped = (np.abs(unclear - (150 + 0.8 * (np.array([0, 150, 255]) - 150))).max(axis=2) <= 2).mean()
        assert 0.3 < striped < 0.6
        assert 0.3 < (unclear == 150).all(axis=2).mean() < 0.6

    @pytest.mark.parametrize("aspect", [Fraction(1), Fraction(2)])
    def test_as_a_layer_it_changes_a_picture_as_the_overlay_does(
        self, start: Start, aspect: Fraction
    ) -> None:
        trust = self.thirds(240, 360, aspect)
        answer = ask(start(FakeRun(maps={"gate": trust})), f"{self.PATH}?as=layer")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
        layer = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_UNCHANGED)
        assert layer is not None
        assert layer.shape == (240, 360 * aspect, 4)
        rng = np.random.default_rng(1)
        rgb = rng.integers(0, 256, (240, 360 * int(aspect), 3), np.uint8)
        cover = layer[..., 3:] / 255
        laid = rgb * (1 - cover) + layer[..., 2::-1] * cover
        draw_trust(rgb, trust.shares)
        assert np.abs(laid - rgb)[:200].max() <= 2  # above the legend

    def test_where_there_is_none_a_sentence_says_why(self, start: Start) -> None:
        server = start(FakeRun(maps={"gate": "nothing of gate has been translated yet"}))
        answer = ask(server, self.PATH)
        assert (answer.status, answer.text) == (404, "nothing of gate has been translated yet\n")
        answer = ask(server, "/api/cameras/yard/trust.png")
        assert (answer.status, answer.text) == (404, "no camera of this name; /api/cameras lists them\n")
        assert ask(server, "/api/cameras/gate/trust.png/").status == 404

    def test_it_needs_the_token(self, start: Start) -> None:
        server = start(FakeRun(maps={"gate": self.thirds(48, 64)}), token=TOKEN)
        assert ask(server, self.PATH).status == 401
        assert ask(server, f"{self.PATH}?token={TOKEN}").body.startswith(b"\x89PNG")


class TestBackground:
    PATH = "/api/cameras/gate/background.png"

    def test_it_is_by_day_or_by_night_with_square_pixels(self, start: Start) -> None:
        rng = np.random.default_rng(1)
        day, night = (rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(2))
        known = {
            ("gate", False): Background(day, Fraction(1)),
            ("gate", True): Background(night, Fraction(2)),
            ("yard", False): None,
        }
        server = start(FakeRun(backgrounds=known))
        for query, rgb in (("", day), ("?of=day", day)):
            decoded = cv2.imdecode(
                np.frombuffer(ask(server, self.PATH + query).body, np.uint8), cv2.IMREAD_COLOR_RGB
            )
            assert decoded is not None
            assert np.array_equal(decoded, rgb)
        wide = cv2.imdecode(
            np.frombuffer(ask(server, f"{self.PATH}?of=night").body, np.uint8), cv2.IMREAD_COLOR_RGB
        )
        assert wide is not None
        assert wide.shape == (48, 128, 3)
        for path, status, text in (
            ("/api/cameras/yard/background.png", 404, "the empty scene of yard by day is not known"),
            ("/api/cameras/barn/background.png", 404, "no camera of this name; /api/cameras lists them"),
            (f"{self.PATH}?of=dusk", 400, "of is one of day, night"),
        ):
            answer = ask(server, path)
            assert (answer.status, answer.text) == (status, f"{text}\n")


class TestSnapshot:
    PATH = "/snapshot/gate.jpg"
    # Saturated and middling, since these tell the matrices apart, and the range.
    FLAT = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 60, 30), (30, 120, 200), (0, 0, 0), (255, 255, 255))

    @classmethod
    def newest(cls, *, aspect: Fraction = Fraction(1), tensors: bool = False) -> NewestPicture:
        """Stripes 32 wide and 48 high: by night in the order of ``FLAT``, by day the other way round."""
        seen = np.repeat(np.repeat(np.array([cls.FLAT], np.uint8), 32, axis=1), 48, axis=0)
        shown = seen[:, ::-1].copy()
        pictures = [torch.from_numpy(one) if tensors else one for one in (seen, shown)]
        return NewestPicture(pictures[0], pictures[1], aspect, 1_700_000_000.25)

    @staticmethod
    def decoded(jpeg: bytes) -> np.ndarray:
        """RGB (H, W, 3) as FFmpeg shows the file."""
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "image2pipe",
            "-i",
            "-",
            "-f",
            "image2pipe",
            "-c:v",
            "ppm",
            "-",
        ]
        ppm = subprocess.run(command, input=jpeg, capture_output=True, timeout=WAIT, check=True).stdout
        _, size, _, pixels = ppm.split(b"\n", 3)
        width, height = map(int, size.split())
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)

    @pytest.mark.parametrize("aspect", [Fraction(1), Fraction(2), Fraction(1, 2)])
    @pytest.mark.parametrize("view", [None, "day", "night", "pair"])
    def test_it_shows_the_colours_of_the_picture_with_square_pixels(
        self, start: Start, view: str | None, aspect: Fraction
    ) -> None:
        server = start(FakeRun(pictures={"gate": self.newest(aspect=aspect, tensors=view == "pair")}))
        answer = ask(server, self.PATH + ("" if view is None else f"?view={view}"))
        assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        assert answer.headers["cache-control"] == "no-store"
        stripes = {"night": self.FLAT, "pair": self.FLAT + self.FLAT[::-1]}.get(
            view or "day", self.FLAT[::-1]
        )
        rgb = self.decoded(answer.body)
        wide, high = int(32 * max(aspect, Fraction(1))), int(48 * max(1 / aspect, Fraction(1)))
        assert rgb.shape == (high, wide * len(stripes), 3)
        for place, colour in enumerate(stripes):
            # Colour is coded at half the width, and enlarging rings, so the stripes' edges are left out.
            inside = rgb[:, place * wide + wide // 4 : (place + 1) * wide - wide // 4].astype(int)
            assert np.abs(inside - colour).max() <= 4, (place, colour)

    def test_where_there_is_none_a_sentence_says_why(self, start: Start) -> None:
        long = np.zeros((1, 40_000, 3), np.uint8)
        large = NewestPicture(long, long, Fraction(1), 0.0)
        server = start(FakeRun(pictures={"gate": self.newest(), "yard": None, "long": large}))
        for path, status, text in (
            ("/snapshot/yard.jpg", 503, "no picture of yard has come yet"),
            ("/snapshot/barn.jpg", 404, "no camera of this name; /api/cameras lists them"),
            (f"{self.PATH}?view=dusk", 400, "view is one of day, night, pair"),
            (
                "/snapshot/long.jpg?view=pair",
                503,
                "a picture of 80000x1 cannot be made a JPEG; its sides may have 65500 at most",
            ),
        ):
            answer = ask(server, path)
            assert (answer.status, answer.text) == (status, f"{text}\n")
        assert ask(server, "/snapshot/long.jpg").status == 200
        for width in ("0", "31", "x", "-1", "99999", "1e3", ""):
            answer = ask(server, f"{self.PATH}?width={width}")
            assert (answer.status, answer.text) == (400, "width is a number of columns, 32 to 9999\n")

    @pytest.mark.parametrize(("view", "width"), [("day", 56), ("pair", 112), ("day", 9999)])
    def test_it_can_be_made_smaller_but_not_larger(self, start: Start, view: str, width: int) -> None:
        newest = self.newest()
        answer = ask(start(FakeRun(pictures={"gate": newest})), f"{self.PATH}?view={view}&width={width}")
        rgb = self.decoded(answer.body)
        whole = 32 * len(self.FLAT) * (2 if view == "pair" else 1)
        wide = min(width, whole)
        assert rgb.shape == (round(48 * wide / whole), wide, 3)

    def test_it_needs_the_token(self, start: Start) -> None:
        server = start(FakeRun(pictures={"gate": self.newest()}), token=TOKEN)
        assert ask(server, self.PATH).status == 401
        assert ask(server, f"{self.PATH}?token={TOKEN}").body.startswith(b"\xff\xd8\xff")


class Cells(HTMLParser):
    """The cells of a page's table, by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


class TestCameras:
    def run(self) -> FakeRun:
        outputs = (
            OutputChanged(camera="gate", output="out/<b>&%Y.mp4", state="writing"),
            OutputChanged(
                camera="gate",
                output="rtsp://h/day",
                state="retrying",
                reason="refused",
                detail="Connection refused",
            ),
        )
        run = FakeRun(stats={"gate": CameraStats(), "yard": CameraStats()})
        run.states = {
            "gate": {
                "night": True,
                "translate": "night",
                "outputs": outputs,
                "outputs_in_trouble": ("rtsp://h/day (refused)",),
            },
            "yard": {"state": "retrying", "reason": "timeout", "translate": "never"},
        }
        run.stats["gate"].set_up(True)
        for seconds in (0.03, 0.05):
            run.stats["gate"].count_decoded()
            run.stats["gate"].count_output(translated=True)
            run.stats["gate"].count_latency(seconds)
        run.stats["gate"].count_dropped("overload")
        return run

    def test_as_json(self, start: Start) -> None:
        run = self.run()
        answer = ask(start(run), "/api/cameras")
        assert answer.headers["content-type"] == "application/json"
        gate, yard = answer.json()["cameras"]
        assert gate.items() >= state_json(run.cameras()[0]).items()
        assert (gate["name"], gate["translate"], gate["translated"]) == ("gate", "night", 2)
        assert [output["state"] for output in gate["outputs"]] == ["writing", "retrying"]
        assert gate["outputs"][1]["reason"] == "refused"
        assert (yard["state"], yard["reason"], yard["up"]) == ("retrying", "timeout", False)

    def test_as_a_page_that_refreshes_itself(self, start: Start) -> None:
        answer = ask(start(self.run()))
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        page = Cells(answer.text)
        head, gate, yard = page.rows
        cells = dict(zip(head, gate, strict=True))
        advice = "Nothing accepts connections there. Is the server on, and are address and port right?"
        assert cells == {
            "camera": "gate",
            "state": "playing",
            "sees": "night",
            "translates": "night",
            "fps": "",
            "latency": "40 / 49 msp50 / p95",
            "translated": "2",
            "passed": "0",
            "dropped": "1overload 1",
            "outputs": f"out/<b>&%Y.mp4 writingrtsp://h/day retrying (refused){advice}",
        }
        advice = "No answer. Is the camera on, and is the address right?"
        assert yard[:4] == ["yard", f"retrying (timeout){advice}", "", "never"]
        (refresh,) = [
            attributes for tag, attributes in page.tags if attributes.get("http-equiv") == "refresh"
        ]
        assert refresh["content"] == "2"  # without an address: a token in this one stays
        assert "b" not in [tag for tag, _ in page.tags]

    def test_the_page_tells_first_what_is_wrong(self, start: Start) -> None:
        run = self.run()
        server = start(run)
        text = ask(server).text
        assert "<title>1 of 2 cameras up " in text
        assert "In trouble: gate (an output), yard<" in text
        run.states = {"yard": {"state": "finished"}}
        assert "In trouble" not in ask(server).text

    def test_the_page_says_when_the_next_try_is_and_how_many_failed(self, start: Start) -> None:
        run = self.run()
        run.states["yard"]["next_try"] = 11.6
        for reason in ("timeout", "timeout", "not_found"):
            run.stats["yard"].count_reconnect(reason)
        state = Cells(ask(start(run)).text).rows[2][1]
        assert state.endswith("Next try in 12 s. Lost or not reached so far: timeout 2, not found 1.")

    def test_the_page_says_that_it_cannot_work_yet_or_any_more(self, start: Start) -> None:
        run = self.run()
        server = start(run)
        assert "engines" not in ask(server).text
        run.ready = False
        assert "Engines are being prepared." in ask(server).text
        run.alive = False
        assert "The program hangs." in ask(server).text

    def test_the_page_knows_a_way_out_for_every_reason(self, start: Start) -> None:
        run = self.run()
        server = start(run)
        for reason in get_args(FaultReason):
            run.states["yard"]["reason"] = reason
            said = Cells(ask(server).text).rows[2][1].removeprefix(f"retrying ({reason.replace('_', ' ')})")
            assert said, reason
            assert (said == "The log says more.") == (reason == "failed")
        run.states["gate"]["outputs"] = tuple(
            OutputChanged(camera="gate", output="x", state="retrying", reason=reason)
            for reason in ("disk_full", "failed")
        )
        outputs = Cells(ask(server).text).rows[1][-1]
        assert "(disk full)The disk is full. Make room, or set retention;" in outputs
        assert "(failed)The log says more." in outputs

    def test_the_page_fits_narrow_screens_and_both_schemes(self, start: Start) -> None:
        text = ask(start(self.run())).text
        assert '<meta name="viewport" content="width=device-width,initial-scale=1">' in text
        style = ask(start(self.run()), "/static/table.css").text
        assert "@media(max-width:" in style
        assert "prefers-color-scheme:dark" in style
        rows = re.findall(r"<tr><th scope=\"row\".*?</tr>", text)
        assert len(rows) == 2
        for row in rows:
            assert row.count("<td ") == row.count("data-label=") == 9  # what a narrow screen shows for heads

    def test_the_table_fetches_nothing_but_its_style(self, start: Start) -> None:
        tags = Cells(ask(start(self.run())).text).tags
        assert not {tag for tag, _ in tags} & {"script", "img", "iframe", "object", "form", "style"}
        assert [attributes for tag, attributes in tags if tag == "link"] == [
            {"rel": "icon", "href": "/static/icon.svg"},
            {"rel": "stylesheet", "href": "/static/table.css"},
        ]
        assert not [name for _, attributes in tags for name in attributes if name in ("src", "style")]

    def test_as_metrics(self, start: Start) -> None:
        answer = ask(start(self.run()), "/metrics", Accept="text/plain;version=0.0.4")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        families = {family.name: family for family in text_string_to_metric_families(answer.text)}
        up = {sample.labels["camera"]: sample.value for sample in families["nightday_camera_up"].samples}
        assert up == {"gate": 1, "yard": 0}
        answer = ask(start(self.run()), "/metrics", Accept="application/openmetrics-text;version=1.0.0")
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")

    @pytest.mark.parametrize("path", PATHS)
    def test_head_has_no_body(self, start: Start, path: str) -> None:
        run = self.run()
        server = start(run)
        asked = b"HEAD %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode()
        head, _, body = send(server, asked).partition(b"\r\n\r\n")
        assert status_of(head) == 200
        assert body == b""


class TestRates:
    def fps(self, page: Page) -> list[str]:
        return [row[4] for row in Cells(page.html()).rows[1:]]

    def deliver(self, run: FakeRun, name: str, pictures: int) -> None:
        for number in range(pictures):
            run.stats[name].count_output(translated=number % 2 == 0)

    def test_they_are_of_the_last_ten_seconds(self) -> None:
        run, clock = FakeRun(), FakeClock()
        page = Page(run, clock=clock)
        self.deliver(run, "gate", 1000)
        assert self.fps(page) == [""]
        for second in range(1, 31):
            clock.now += 1.0
            self.deliver(run, "gate", 25 if second <= 20 else 5)
            assert self.fps(page) == ["25.0" if second <= 20 else f"{25 - 2 * (second - 20):.1f}"]

    def test_lookers_in_a_rush_do_not_spoil_them_nor_fill_memory(self) -> None:
        run, clock = FakeRun(), FakeClock()
        page = Page(run, clock=clock)
        for _ in range(1000):
            clock.now += 0.0625
            self.deliver(run, "gate", 1)
            self.fps(page)
        assert self.fps(page) == ["16.0"]
        assert len(page._seen) <= 11

    def test_a_camera_that_is_new_or_counts_from_nought_has_none_yet(self) -> None:
        run, clock = FakeRun(), FakeClock()
        page = Page(run, clock=clock)
        self.deliver(run, "gate", 100)
        self.fps(page)
        clock.now += 2.0
        run.stats = {"gate": CameraStats(), "yard": CameraStats()}
        self.deliver(run, "gate", 20)
        assert self.fps(page) == ["", ""]

    def test_after_a_long_time_without_a_look_they_begin_anew(self) -> None:
        run, clock = FakeRun(), FakeClock()
        page = Page(run, clock=clock)
        self.fps(page)
        clock.now += 3600.0
        self.deliver(run, "gate", 90_000)
        assert self.fps(page) == [""]


class TestStarting:
    def test_a_port_of_its_own_choice(self, start: Start) -> None:
        server = start()
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]+", server.address)
        assert ask(server, "/healthz").status == 200

    def test_a_port_that_is_taken(self, start: Start) -> None:
        taken = place_of(start())[1]
        with pytest.raises(WebError) as error:
            start(port=taken)
        assert str(error.value) == (
            f"http: cannot listen at 127.0.0.1:{taken}: the port is taken; set http.port to another "
            "(0 takes a free one)"
        )

    @pytest.mark.parametrize(
        ("host", "fault"),
        [
            (
                "198.51.100.7",
                "http: cannot listen at 198.51.100.7:0: not an address of this machine; set http.host",
            ),
            ("2001:db8::7", "http: cannot listen at [2001:db8::7]:0: "),
            (
                "no-such-host.invalid",
                "http: cannot listen at no-such-host.invalid:0: no such host; set http.host",
            ),
            ("x" * 70 + ".org", "http: cannot listen at xxx"),
        ],
    )
    def test_a_host_that_is_not_here(self, start: Start, host: str, fault: str) -> None:
        with pytest.raises(WebError) as error:
            start(host=host, token=TOKEN)
        assert str(error.value).startswith(fault)
        assert "\n" not in str(error.value)

    def test_it_ends_at_once_though_somebody_hangs_on(self, start: Start) -> None:
        server = start()
        with connect(server) as connection:
            connection.sendall(b"GET / HT")
            assert ask(server, "/healthz").status == 200
            began = time.monotonic()
            assert server.close(WAIT)
            assert time.monotonic() - began < 5.0  # of a connection's ten
            with pytest.raises(OSError, match=r"refused|reset"):
                connect(server)

    def test_it_need_not_have_been_started(self) -> None:
        settings = HttpConfig(port=0)
        assert WebServer(settings, web_app(settings, FakeRun())).close(1.0)


class TestToken:
    @pytest.mark.parametrize(
        "path", ["/", "/metrics", "/api/cameras", "/nowhere", "/healthz/", "//healthz", "/HEALTHZ"]
    )
    def test_without_it_there_is_nothing_to_see(self, guarded: WebServer, path: str) -> None:
        bad: list[dict[str, Any]] = [
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": f"Bearer {TOKEN[:-1]}"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": TOKEN},
            {"Cookie": f"token={TOKEN}"},
        ]
        for headers in bad:
            answer = ask(guarded, path, **headers)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "gate" not in answer.text
        for query in (
            "",
            "?token=",
            f"?token={TOKEN[1:]}",
            f"?tokens={TOKEN}",
            "?token=%ff%00%C3",
            f"?{TOKEN}",
        ):
            assert ask(guarded, path + query).status == 401
        raw = b"GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\xfe\r\n\r\n" % path.encode()
        assert status_of(send(guarded, raw)) == 401

    @pytest.mark.parametrize("path", PATHS)
    def test_with_it_there_is(self, start: Start, path: str) -> None:
        run = FakeRun()
        run.stats["gate"].set_up(True)
        server = start(run, token=TOKEN)
        assert ask(server, path, Authorization=f"Bearer {TOKEN}").status == 200
        assert ask(server, path, authorization=f"bearer {TOKEN}").status == 200
        assert ask(server, f"{path}?a=b&token={TOKEN}").status == 200
        assert TOKEN not in ask(server, f"{path}?token={TOKEN}").text

    def test_of_odd_signs(self, start: Start) -> None:
        token = "a+b/c=d&e%f?g#h"
        server = start(token=token)
        assert ask(server, "/metrics", Authorization=f"Bearer {token}").status == 200
        assert ask(server, "/metrics?token=a%2Bb%2Fc%3Dd%26e%25f%3Fg%23h").status == 200

    @pytest.mark.parametrize("path", ["/healthz", "/readyz"])
    def test_health_needs_none_and_names_nobody(self, guarded: WebServer, path: str) -> None:
        answer = ask(guarded, path)
        assert answer.status in (200, 503)
        assert "gate" not in answer.text

    @pytest.mark.parametrize(
        "host", ["x/healthz?", "x/healthz#", "healthz", "/healthz", "localhost/healthz?"]
    )
    def test_a_name_cannot_pass_for_a_path(self, start: Start, host: str) -> None:
        server = start(host="0.0.0.0", token=TOKEN)
        assert ask(server, "/metrics", Host=host).status == 401

    def test_on_other_addresses_any_name_will_do(self, start: Start) -> None:
        server = start(host="0.0.0.0", token=TOKEN)
        assert (
            ask(server, "/metrics", Host="cameras.example.org", Authorization=f"Bearer {TOKEN}").status == 200
        )


class TestStrangers:
    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.2",
            "[::2]",
            "0.0.0.0",
            "",
            "localhost:8080:1",
            "localhost@evil.example",
            "evil.example#localhost",
            "localhost.",
            "[::1",
            "::1",
            "localhost/",
            "localhost,evil.example",
        ],
    )
    @pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
    def test_a_foreign_name_is_refused(self, plain: WebServer, path: str, host: str) -> None:
        answer = ask(plain, path, Host=host)
        assert answer.status in (400, 403)
        assert "gate" not in answer.text

    @pytest.mark.parametrize("host", ["localhost", "LocalHost:1", "127.0.0.1:8080", "[::1]", "[::1]:9"])
    def test_this_machines_names_are_not(self, plain: WebServer, host: str) -> None:
        assert ask(plain, Host=host).status == 200

    def test_nor_is_the_configured_one(self, start: Start) -> None:
        server = start(host="127.0.0.3")
        assert ask(server, Host="127.0.0.3:8080").status == 200
        assert ask(server, Host="127.0.0.4:8080").status == 403

    def test_no_name_or_two_are_refused(self, start: Start) -> None:
        server = start()
        assert status_of(send(server, b"GET / HTTP/1.1\r\n\r\n")) == 400
        assert status_of(send(server, b"GET / HTTP/1.0\r\n\r\n")) == 403
        both = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
        assert status_of(send(server, both)) == 400

    @pytest.mark.parametrize(
        "origin",
        [
            "http://evil.example",
            "null",
            "http://localhost:1",
            "http://127.0.0.1",
            "file://",
            "",
            "ftp://localhost",
        ],
    )
    @pytest.mark.parametrize("path", PATHS)
    def test_another_page_is_refused(self, plain: WebServer, path: str, origin: str) -> None:
        answer = ask(plain, path, Origin=origin)
        assert answer.status == 403
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]

    def test_our_own_page_is_not(self, start: Start) -> None:
        server = start()
        for name in ("127.0.0.1", "localhost"):
            host = f"{name}:{place_of(server)[1]}"
            answer = ask(server, "/api/cameras", Host=host, Origin=f"http://{host}")
            assert answer.status == 200
            assert not [header for header in answer.headers if header.lower().startswith("access-control")]

    @pytest.mark.parametrize(
        "method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "X"]
    )
    @pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
    def test_only_get_and_head(self, plain: WebServer, path: str, method: str) -> None:
        answer = ask(plain, path, method=method, Access_Control_Request_Method="GET")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]

    @pytest.mark.parametrize(
        "path",
        [
            "/../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/..%2f..%2fetc%2fpasswd",
            "//etc/passwd",
            "/static/..",
            "/api/cameras/../x",
            "/api/cameras/",
            "/healthz/",
            "/./healthz",
            "/metrics%00",
            "/%00",
            "/\\..",
            "http://localhost/metrics",
            "file:///etc/passwd",
            "*",
            "/api/cameras;x",
            "/%ff%fe",
            "/cameras.yaml",
        ],
    )
    def test_there_are_no_other_paths(self, plain: WebServer, path: str) -> None:
        answer = ask(plain, path)
        assert answer.status == 404
        assert "root:" not in answer.text
        assert "location" not in answer.headers

    def test_every_answer_tells_browsers_to_keep_it_to_themselves(self, start: Start) -> None:
        server = start(token=TOKEN)
        for answer in (
            ask(server, f"/?token={TOKEN}"),
            ask(server),
            ask(server, "/x"),
            ask(server, method="PUT"),
        ):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "server" not in answer.headers


class TestSecrets:
    @pytest.mark.parametrize("path", PATHS)
    def test_no_answer_holds_one(self, start: Start, path: str) -> None:
        url = CameraUrl(f"rtsp://viewer:{SECRET}@10.0.0.5/stream1?pwd={SECRET}")
        raw = url.reveal()
        outputs = (
            OutputChanged(
                camera="gate",
                output=raw,
                state="retrying",
                reason="refused",
                detail=f"{raw}: refused; {SECRET} was wrong",
            ),
        )
        run = FakeRun()
        run.states = {
            "gate": {
                "state": "retrying",
                "reason": f"refused by {raw}",
                "outputs_in_trouble": (raw,),
                "outputs": outputs,
            }
        }
        run.stats["gate"].count_reconnect(raw)
        server = start(run, token=TOKEN)
        answer = ask(server, path, Authorization=f"Bearer {TOKEN}")
        said = answer.text + str(answer.headers)
        assert answer.status in (200, 503)
        assert SECRET not in said
        assert TOKEN not in said
        if path in ("/table", "/metrics", "/api/cameras"):
            assert "***@10.0.0.5" in said  # the address itself is there

    def test_nor_does_the_log_and_it_names_no_access(
        self, start: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        logging.getLogger("uvicorn").setLevel(logging.NOTSET)
        server = start(token=TOKEN)
        assert ask(server, f"/metrics?token={TOKEN}").status == 200
        assert ask(server, "/metrics?token=wrong-one").status == 401
        assert ask(server, "/healthz", Upgrade="websocket", Connection="Upgrade").status == 200
        send(server, b"NONSENSE\r\n\r\n")
        assert server.close(WAIT)
        records = [record for record in caplog.records if record.name != "asyncio"]
        assert [(record.name, record.getMessage()) for record in records] == [
            ("nightday.events", f"listening at {server.address}")
        ]
        assert records[0].__dict__["event"] == "http_listening"

    def test_an_endpoint_that_fails_is_logged_and_says_nothing(
        self, start: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Failing(FakeRun):
            def beating(self) -> bool:
                raise RuntimeError(f"failed at {SECRET}")

        server = start(Failing())
        answer = ask(server, "/healthz")
        assert (answer.status, answer.text) == (500, "Internal Server Error")
        assert answer.headers["cache-control"] == "no-store"
        assert ask(server, "/readyz").status == 503
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("uvicorn.error", "ERROR")


class TestTooMuch:
    @pytest.mark.parametrize("size", [LARGEST_HEAD + 1, 20_000, 100_000, 2_000_000])
    @pytest.mark.parametrize(
        "form",
        [
            b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /?%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n%s: x\r\n\r\n",
            b"%s",
        ],
    )
    def test_a_large_head_is_refused(self, plain: WebServer, form: bytes, size: int) -> None:
        answer = send(plain, form % (b"a" * size))
        assert answer == b"" or status_of(answer) in (
            400,
            431,
        )  # "" where the rest of it was still on its way
        assert ask(plain, "/healthz").status == 200

    def test_many_small_headers_are_too(self, start: Start) -> None:
        server = start()
        lines = b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(3000))
        answer = send(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n")
        assert answer == b"" or status_of(answer) in (400, 431)

    def test_one_just_small_enough_is_not(self, start: Start) -> None:
        assert ask(start(), X_Cookie="a" * (LARGEST_HEAD - 200)).status == 200

    @pytest.mark.parametrize("header", [b"Content-Length: 1000000000000", b"Transfer-Encoding: chunked"])
    def test_a_body_is_refused_unread(self, start: Start, header: bytes) -> None:
        server = start()
        for expect in (b"", b"Expect: 100-continue\r\n"):
            answer = send(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n%s\r\n" % (header, expect))
            assert status_of(answer) == 413

    def test_a_body_that_comes_all_the_same_is_cut_off(self, start: Start) -> None:
        server = start()
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
        sent = 0
        with connect(server) as connection:
            connection.sendall(head)
            with contextlib.suppress(ConnectionError):
                while sent < 1_000_000_000:
                    sent += connection.send(b"x" * 65536)
        assert sent < 50_000_000  # what the kernel's buffers took
        assert ask(server, "/healthz").status == 200

    def test_one_request_a_connection(self, start: Start) -> None:
        twice = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n" * 50
        answer = send(start(), twice)
        assert answer.count(b"HTTP/1.1 200") == 1
        assert b"connection: close" in answer

    def test_what_turns_out_malformed_is_not_logged(
        self, start: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = start()
        for rest in (b"ZZ\r\n", b"5\r\nhello\r\n0\r\n\r\n\0junk\r\n\r\n"):
            data = b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + rest
            assert status_of(send(server, data)) in (400, 413)
        assert server.close(WAIT)
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_rubbish_at_random_is_survived(self, start: Start) -> None:
        seed = secrets.randbits(32)
        print(f"seed {seed}")
        rng = random.Random(seed)
        server = start(token=TOKEN)
        good = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\nAccept: */*\r\n\r\n"
        for _ in range(150):
            data = bytearray(good)
            for _ in range(rng.randint(1, 5)):
                place = rng.randrange(len(data))
                match rng.randrange(4):
                    case 0:
                        data[place] = rng.randrange(256)
                    case 1:
                        data[place:place] = rng.choice(
                            [b"\r\n", b"\0", b" ", b":", b"\xff", rng.randbytes(9)]
                        )
                    case 2:
                        del data[place : place + rng.randrange(20)]
                        data = data or bytearray(b"\n")
                    case _:
                        data += data[place:]
            with connect(server) as connection:
                connection.sendall(bytes(data))
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(65536)
            assert b"nightday_" not in answer
        assert ask(server, "/healthz").status == 200


class TestSlowClients:
    def test_whoever_says_nothing_is_cut_off(self, start: Start) -> None:
        server = start(limits={"time_limit": 0.3})
        for beginning in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "):
            with connect(server) as connection:
                connection.sendall(beginning)
                assert closed(connection)

    def test_whoever_dribbles_is_cut_off(self, start: Start) -> None:
        server = start(limits={"time_limit": 0.5})
        with connect(server) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            deadline = time.monotonic() + WAIT
            try:
                while not select.select([connection], [], [], 0.02)[0]:
                    assert time.monotonic() < deadline
                    connection.send(b"a")
            except ConnectionError:
                return
            assert closed(connection)

    def test_whoever_does_not_take_the_answer_is_cut_off(self, start: Start) -> None:
        run = FakeRun()
        # 12 MB, more than any kernel's buffers take.
        run.stats["gate"].count_detections([f"{n:04}" * 1000 for n in range(3000)])
        server = start(run, limits={"time_limit": 1.5})
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(WAIT)
            connection.connect(place_of(server))
            connection.sendall(b"GET /api/cameras HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert select.select([connection], [], [], WAIT)[0]  # the answer has begun
            hung_up = select.poll()
            hung_up.register(connection, 0)  # asks for errors and hang-ups alone
            assert hung_up.poll(WAIT * 1000)
            assert ask(server, "/healthz").status == 200

    def test_those_who_hang_on_keep_nobody_out_and_are_bounded(self, start: Start) -> None:
        server = start(limits={"most_connections": 16, "time_limit": 3600.0})
        before = open_files()
        hanging = []
        try:
            for number in range(400):
                connection = connect(server)
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-%d: " % number)
                hanging.append(connection)
                if number % 40 == 0:
                    assert ask(server, "/metrics").status == 200
            assert ask(server, "/healthz").status == 200
            left = [connection for connection in hanging if not closed(connection, within=0.0)]
            assert left == hanging[-len(left) :]  # the oldest went
            assert 1 <= len(left) <= 16
            assert open_files() - before - len(hanging) <= 20
        finally:
            for connection in hanging:
                connection.close()

    @pytest.mark.slow
    def test_memory_does_not_grow_with_them(self, start: Start) -> None:
        server = start(limits={"most_connections": 16, "time_limit": 3600.0})
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (LARGEST_HEAD - 100)

        def press(rounds: int) -> None:
            for _ in range(rounds):
                with connect(server) as connection:
                    connection.sendall(head)
            assert ask(server, "/healthz").status == 200

        press(200)
        before = resident()
        press(1500)  # 24 MB, were they kept
        assert resident() - before < 8e6


def closed(connection: socket.socket, *, within: float = WAIT) -> bool:
    """Whether the server closes a connection ``within`` seconds; what it said before does not matter."""
    connection.settimeout(within)
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    except (TimeoutError, BlockingIOError):
        return False
    return True


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
