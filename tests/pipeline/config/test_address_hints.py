"""Addresses that are neither files nor URLs: what was meant is written out, its secrets masked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.config.documents import SECRET, Faults, Load, one

NO_URL = "is neither a file nor a whole address; write "
NO_SLASHES = "needs :// after its scheme; write "
NO_BRACKETS = "needs brackets around its IPv6 address; write "
WINDOWS = "is a path of Windows; write it as it is named on this machine"


@pytest.mark.parametrize(
    ("address", "shown", "said"),
    [
        ("10.0.0.5/stream1", "10.0.0.5/stream1", f"{NO_URL}rtsp://10.0.0.5/stream1"),
        ("10.0.0.5", "10.0.0.5", f"{NO_URL}rtsp://10.0.0.5"),
        (f"viewer:{SECRET}@10.0.0.5/s", "***@10.0.0.5/s", f"{NO_URL}rtsp://***@10.0.0.5/s"),
        (f"viewer:{SECRET}@10.0.0.5:554/s", "***@10.0.0.5:554/s", f"{NO_URL}rtsp://***@10.0.0.5:554/s"),
        (f"viewer:p@ss/{SECRET}@10.0.0.5/s", "***@10.0.0.5/s", f"{NO_URL}rtsp://***@10.0.0.5/s"),
        (f"10.0.0.5/s?pwd={SECRET}", "10.0.0.5/s?pwd=***", f"{NO_URL}rtsp://10.0.0.5/s?pwd=***"),
        ("gate.local/live", "gate.local/live", f"{NO_URL}rtsp://gate.local/live"),
        ("gate.local", "gate.local", f"{NO_URL}rtsp://gate.local"),
        ("gate.local:554/live", "gate.local:554/live", f"{NO_URL}rtsp://gate.local:554/live"),
        ("gate:554/live", "gate:554/live", f"{NO_URL}rtsp://gate:554/live"),
        ("localhost/live", "localhost/live", f"{NO_URL}rtsp://localhost/live"),
        ("localhost:8554/live", "localhost:8554/live", f"{NO_URL}rtsp://localhost:8554/live"),
        ("10.0.0.5:554/s", "10.0.0.5:554/s", f"{NO_URL}rtsp://10.0.0.5:554/s"),
        ("10.0.0.5:8080/v.mjpg", "10.0.0.5:8080/v.mjpg", f"{NO_URL}http://10.0.0.5:8080/v.mjpg"),
        ("10.0.0.5:1935/live", "10.0.0.5:1935/live", f"{NO_URL}rtmp://10.0.0.5:1935/live"),
        ("www.example.org/live", "www.example.org/live", f"{NO_URL}http://www.example.org/live"),
        ("//10.0.0.5/s", "//10.0.0.5/s", f"{NO_URL}rtsp://10.0.0.5/s"),
        ("'[fe80::1]/s'", "[fe80::1]/s", f"{NO_URL}rtsp://[fe80::1]/s"),
        ("'[fe80::1]:554/s'", "[fe80::1]:554/s", f"{NO_URL}rtsp://[fe80::1]:554/s"),
        ("fe80::1/s", "fe80::1/s", f"{NO_URL}rtsp://[fe80::1]/s"),
        ("'::1/s'", "::1/s", f"{NO_URL}rtsp://[::1]/s"),
        ("rtsp://fe80::1/s", "rtsp://fe80:***/s", f"{NO_BRACKETS}rtsp://[fe80::1]/s"),
        (
            f"rtsp://u:{SECRET}@fe80::1/s",
            "rtsp://***@fe80:***/s",
            f"{NO_BRACKETS}rtsp://***@[fe80::1]/s",
        ),
        ("rtsp:/10.0.0.5/s", "rtsp:/10.0.0.5/s", f"{NO_SLASHES}rtsp://10.0.0.5/s"),
        ("rtsp:10.0.0.5/s", "rtsp:10.0.0.5/s", f"{NO_SLASHES}rtsp://10.0.0.5/s"),
        ("rtsp//10.0.0.5/s", "rtsp//10.0.0.5/s", f"{NO_SLASHES}rtsp://10.0.0.5/s"),
        (r"rtsp:\\10.0.0.5/s", r"rtsp:\\10.0.0.5/s", f"{NO_SLASHES}rtsp://10.0.0.5/s"),
        ("HTTPS:/h/live", "HTTPS:/h/live", f"{NO_SLASHES}https://h/live"),
        (f"rtsp:/u:{SECRET}@10.0.0.5/s", "***@10.0.0.5/s", f"{NO_SLASHES}rtsp://***@10.0.0.5/s"),
        (r"C:\clips\a.mp4", r"C:\clips\a.mp4", f"{WINDOWS}, e.g. /mnt/c/clips/a.mp4"),
        ("d:/clips/a.mp4", "d:/clips/a.mp4", f"{WINDOWS}, e.g. /mnt/d/clips/a.mp4"),
        (r"\\nas\clips\a.mp4", r"\\nas\clips\a.mp4", WINDOWS),
    ],
)
def test_what_was_meant_is_written_out(faults: Faults, address: str, shown: str, said: str) -> None:
    assert faults(one(url=address)) == [f'cameras.yaml:4: cameras[0].url: "{shown}" {said}']


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("missing.mp4", '"missing.mp4": no such file'),
        ("clips/a.mp4", '"clips/a.mp4": no such file'),
        ("clips.old/a.mp4", '"clips.old/a.mp4": no such file'),
        ("./10.0.0.5/s", '"./10.0.0.5/s": no such file'),
        ("/srv.old/live", '"/srv.old/live": no such file'),
        ("notes", '"notes": no such file'),
        ("rtsp:///s", '"rtsp:///s" has no host; use rtsp://, '),
        ("concat:a|b", '"concat:a|b": concat: is no kind of camera here; use rtsp://, '),
        (
            "device:one",
            'must be device: and a number (e.g. device:0) or a path (e.g. /dev/v4l/by-id/…), not "device:one"',
        ),
    ],
)
def test_what_looks_like_no_address_is_not_taken_for_one(faults: Faults, address: str, said: str) -> None:
    (fault,) = faults(one(url=address))
    assert fault.startswith(f"cameras.yaml:4: cameras[0].url: {said}")
    assert "write" not in fault


def test_what_a_variable_holds_stays_its_name(faults: Faults) -> None:
    assert faults(one(url="10.0.0.5/live/${TOKEN}"), TOKEN=SECRET) == [
        'cameras.yaml:4: cameras[0].url: "10.0.0.5/live/${TOKEN}" is neither a file nor a whole address; '
        "write rtsp://10.0.0.5/live/${TOKEN}"
    ]
    (fault,) = faults(one(url="${ADDRESS}"), ADDRESS=f"10.0.0.5/{SECRET}")
    assert fault == 'cameras.yaml:4: cameras[0].url: "${ADDRESS}": no such file'


def test_a_file_of_such_a_name_is_a_file(load: Load, folder: Path) -> None:
    (folder / "10.0.0.5").mkdir(exist_ok=True)
    (folder / "10.0.0.5" / "stream1").write_bytes(b"")
    assert load(one(url="10.0.0.5/stream1")).config.cameras[0].url.path == Path("10.0.0.5/stream1")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            "127.0.0.1:8554/day",
            '"127.0.0.1:8554/day" is neither a file nor a whole address; write rtsp://127',
        ),
        (f"u:{SECRET}@h/day", '"***@h/day" is neither a file nor a whole address; write rtsp://***@h/day'),
        ("rtsp:/h/day", '"rtsp:/h/day" needs :// after its scheme; write rtsp://h/day'),
        (
            r"C:\out\a.mp4",
            r'"C:\out\a.mp4" is a path of Windows; write it as it is named on this machine, e.g.',
        ),
        ("day.gif", '"day.gif": a file output must end in .mp4; use a path ending in .mp4'),
        ("out/day.avi", '"out/day.avi": a file output must end in .mp4; use a path ending in .mp4'),
    ],
)
def test_outputs_too(faults: Faults, output: str, said: str) -> None:
    (fault,) = faults(one(outputs=f"['{output}']"))
    assert fault.startswith(f"cameras.yaml:6: cameras[0].outputs[0]: {said}")
