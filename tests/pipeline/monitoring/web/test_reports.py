"""The reports of the last nights over HTTP: JSON, pictures, and a page without a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nightday.pipeline.core.counters import CameraStats
from tests.pipeline.monitoring.test_http_server import TOKEN, Cells, Start, ask, start
from tests.support.watched import FakeRun

__all__ = ["start"]  # a fixture
API = "/api/cameras/gate/report"
NIGHT: dict[str, Any] = {
    "began": 1_768_068_000.0,
    "until": 1_768_111_200.0,
    "ended": True,
    "minutes": 690.0,
    "translated": 1234,
    "brightened": 0,
    "dropped": 5,
    "remembered_share": 0.91,
    "unclear_share": 0.02,
    "objects": {"night": 3, "both": 11, "day": 7},
    "problems": {"source_lost": 2},
}


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    """Two cameras; one has two nights, the newer one with one picture, the other none."""
    gate = tmp_path / "gate"
    gate.mkdir()
    for night in ("2026-01-09", "2026-01-10"):
        (gate / f"{night}.json").write_text(json.dumps(NIGHT))
    (gate / "2026-01-10-first.jpg").write_bytes(b"a picture")
    (gate / "2026-01-10-secret.jpg").write_bytes(b"secret")
    (tmp_path / "secret-first.jpg").write_bytes(b"secret")
    stats = {"gate": CameraStats(), "yard": CameraStats()}
    return FakeRun(stats=stats, reports={"gate": gate, "yard": tmp_path / "yard"})


def test_the_newest_night_comes_first_with_its_pictures(start: Start, run: FakeRun) -> None:
    server = start(run)
    newest, older = ask(server, API).json()["nights"]
    url = f"{API}/2026-01-10-first.jpg"
    assert newest == {**NIGHT, "night": "2026-01-10", "pictures": {"first": url}}
    assert (older["night"], older["pictures"]) == ("2026-01-09", {})
    answer = ask(server, url)
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "image/jpeg", b"a picture")
    assert ask(server, "/api/cameras/yard/report").json() == {"nights": []}


@pytest.mark.parametrize(
    "path",
    [
        "/api/cameras/nobody/report",
        "/api/cameras/nobody/report/2026-01-10-first.jpg",
        f"{API}/2026-01-10-last.jpg",
        f"{API}/2026-01-10-secret.jpg",
        f"{API}/2026-01-11-first.jpg",
        f"{API}/..%2fsecret-first.jpg",
        f"{API}/../secret-first.jpg",
    ],
)
def test_nothing_else_is_there(start: Start, run: FakeRun, path: str) -> None:
    answer = ask(start(run), path)
    assert answer.status in (400, 404)
    assert b"secret\n" not in answer.body
    assert answer.body != b"secret"


def test_the_page_tells_each_cameras_last_night(start: Start, run: FakeRun) -> None:
    answer = ask(start(run), "/report")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "10 January to 11 January 2026" in answer.text
    assert "9 January to" not in answer.text
    assert "11.5 h of night: 1234 pictures translated, 0 brightened, 5 dropped." in answer.text
    assert (
        "21 objects came and went: 11 found on both views, 3 on the night alone, 7 on the day view alone"
        in answer.text
    )
    assert (
        "On average 91 % of a translated picture was remembered from the day, and 2 % unclear." in answer.text
    )
    assert "Problems: source lost (2)." in answer.text
    assert "No night of it has been seen yet" in answer.text
    tags = Cells(answer.text).tags
    assert not [tag for tag, attributes in tags if tag in ("script", "style") or "style" in attributes]
    pictures = [
        attributes["src"]
        for tag, attributes in tags
        if tag == "img" and "/report/" in (attributes["src"] or "")
    ]
    assert pictures == [f"{API}/2026-01-10-first.jpg"]


def test_a_report_that_is_none_is_passed_over(start: Start, run: FakeRun) -> None:
    folder = run.reports["gate"]
    (folder / "2026-01-12.json").write_text(json.dumps({"minutes": "<b>"}))
    (folder / "2026-01-13.json").write_text(json.dumps(NIGHT | {"problems": 3}))
    (folder / "2026-99-99.json").write_text(json.dumps(NIGHT))
    assert "10 January to 11 January 2026" in ask(start(run), "/report").text


def test_both_ask_for_the_token(start: Start, run: FakeRun) -> None:
    server = start(run, token=TOKEN)
    for path in (API, "/report", f"{API}/2026-01-10-first.jpg"):
        assert ask(server, path).status == 401
        assert ask(server, path, Authorization=f"Bearer {TOKEN}").status == 200
