"""Recorded files over HTTP: listed, sent in parts, and nothing beside them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.pipeline.monitoring.test_http_server import TOKEN, Start, ask, start
from tests.support.watched import FakeRun

__all__ = ["start"]  # a fixture
API = "/api/cameras/gate/recordings"


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    """A run whose camera records into two folders; the newer files are larger."""
    (tmp_path / "out/2026-11-30").mkdir(parents=True)
    (tmp_path / "more").mkdir()
    files = ["out/2026-11-30/235900.mp4", "out/2026-11-30/235930-1.mp4", "more/gate.mp4"]
    for age, name in enumerate(reversed(files)):
        path = tmp_path / name
        path.write_bytes(os.urandom(200_000 - 1000 * age))
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    for name in ("secret.mp4", "out/secret.mp4", "out/2026-11-30/235900.txt", "out/2026-11-30/notes.mp4"):
        (tmp_path / name).write_bytes(b"secret")
    (tmp_path / "out/2026-11-30/235959.mp4").symlink_to(tmp_path / "secret.mp4")
    (tmp_path / "out/2026-12-01").symlink_to(tmp_path / "out/2026-11-30")
    return FakeRun(files={"gate": [tmp_path / "out/%Y-%m-%d/%H%M%S.mp4", tmp_path / "more/gate.mp4"]})


def test_the_newest_come_first(start: Start, run: FakeRun) -> None:
    found = ask(start(run), API).json()["recordings"]
    assert [(one["name"], one["bytes"]) for one in found] == [
        ("gate.mp4", 200_000),
        ("2026-11-30/235930-1.mp4", 199_000),
        ("2026-11-30/235900.mp4", 198_000),
    ]
    assert found[0]["changed"] == 1_700_000_000
    assert [Path(one["output"]).name for one in found] == ["gate.mp4", "%H%M%S.mp4", "%H%M%S.mp4"]
    assert [one["url"] for one in found] == [
        f"{API}/1/gate.mp4",
        f"{API}/0/2026-11-30/235930-1.mp4",
        f"{API}/0/2026-11-30/235900.mp4",
    ]


def test_each_is_sent_whole_and_in_parts(start: Start, run: FakeRun, tmp_path: Path) -> None:
    server = start(run)
    for entry in ask(server, API).json()["recordings"]:
        (path,) = tmp_path.rglob(Path(entry["name"]).name)
        data = path.read_bytes()
        answer = ask(server, entry["url"])
        assert (answer.status, answer.headers["content-type"]) == (200, "video/mp4")
        assert answer.body == data
        for asked, part in (("0-9", data[:10]), ("150000-", data[150_000:]), ("-7", data[-7:])):
            answer = ask(server, entry["url"], Range=f"bytes={asked}")
            assert (answer.status, answer.body) == (206, part)
            assert answer.headers["content-range"].endswith(f"/{len(data)}")
        assert ask(server, entry["url"], Range=f"bytes={len(data)}-").status == 416
        head = ask(server, entry["url"], method="HEAD")
        assert (head.status, head.headers["content-length"], head.body) == (200, str(len(data)), b"")


@pytest.mark.parametrize(
    "name",
    [
        "2026-11-30/notes.mp4",
        "2026-11-30/235900.txt",
        "2026-11-30/235959.mp4",
        "2026-12-01/235900.mp4",
        "2026-13-30/235900.mp4",
        "../secret.mp4",
        "%2e%2e/secret.mp4",
        "2026-11-30/../secret.mp4",
        "2026-11-30/..%2f..%2fsecret.mp4",
        "secret.mp4",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "2026-11-30/235900.mp4%00",
        "2026-11-30/235900.mp4/",
        "2026-11-30",
        "",
    ],
)
def test_nothing_else_is(start: Start, run: FakeRun, name: str) -> None:
    server = start(run)
    for output in ("0", "1", "2", "99999999999999999999", "9" * 5000, "-1", "00", "x"):
        answer = ask(server, f"{API}/{output}/{name}")
        assert answer.status == 404
        assert b"secret" not in answer.body
        assert b"root:" not in answer.body


def test_codes_that_stand_for_any_text_do_not_stand_for_other_folders(start: Start, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    server = start(FakeRun(files={"gate": [tmp_path / "a/%c/%c.mp4"]}))
    for name in ("../secret.mp4", quote("../secret.mp4", safe=""), "./secret.mp4"):
        assert ask(server, f"{API}/0/{name}").status == 404


def test_of_a_file_that_grows_no_more_is_sent_than_was_said(
    start: Start, run: FakeRun, tmp_path: Path
) -> None:
    path = tmp_path / "more/gate.mp4"
    server = start(run)
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab") as file:
            while not stop.wait(0.0005) and file.tell() < 100_000_000:
                file.write(bytes(10_000))
                file.flush()

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(10):
            answer = ask(server, f"{API}/1/gate.mp4")
            assert len(answer.body) == int(answer.headers["content-length"])
    finally:
        stop.set()
        thread.join()


def test_an_empty_one_is_sent_too(start: Start, run: FakeRun, tmp_path: Path) -> None:
    (tmp_path / "more/gate.mp4").write_bytes(b"")
    answer = ask(start(run), f"{API}/1/gate.mp4")
    assert (answer.status, answer.body) == (200, b"")


def test_it_needs_the_token_and_a_camera(start: Start, run: FakeRun) -> None:
    server = start(run, token=TOKEN)
    for path in (API, f"{API}/1/gate.mp4"):
        assert ask(server, path).status == 401
        assert ask(server, f"{path}?token={TOKEN}").status == 200
        assert ask(server, f"{path.replace('gate/', 'barn/')}?token={TOKEN}").status == 404
