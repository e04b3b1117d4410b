"""What CI runs again: by names that pytest takes."""

from __future__ import annotations

from tests.support.failed_again import names


def test_groups_are_taken_off_and_nothing_else() -> None:
    given = [
        "tests/a.py::test_lies@lies",
        "tests/a.py::test_one",
        "tests/a.py::test_url[rtsp://user:p@host/a]",
        "tests/a.py::test_url[rtsp://user:p@host/a]@ray",
    ]
    assert names(given) == [
        "tests/a.py::test_lies",
        "tests/a.py::test_one",
        "tests/a.py::test_url[rtsp://user:p@host/a]",
        "tests/a.py::test_url[rtsp://user:p@host/a]",
    ]
