"""Camera addresses keep their secrets, whatever is done to them."""

import copy
import pickle
import random
import re
import secrets
import string
from pathlib import Path

import pytest

from nightday.pipeline.core import camera_url
from nightday.pipeline.core.camera_url import CameraUrl, redact, register_secret

LOGINS = [
    "rtsp://viewer:{secret}@10.0.0.5/stream1",
    "rtsp://first.last:{secret}@cam.local:554/x",
    "rtsp://user%40dom:{secret}@host/stream",
    "rtsp://:{secret}@host/stream",
    "rtsp://{secret}@host/stream",
    "rtsp://u:{secret}@[fe80::1%25eth0]:554/stream",
    "rtsps://u:p@{secret}@host/s",
    "rtsp://u:a/{secret}@host/s",
    "rtsp://u:a?{secret}#b@host/s",
    "rtsp://u:p@ss/{secret}@10.0.0.5/stream",
    "rtsp://u/x:{secret}@host/s",
    "http://host/video?user=admin&pwd={secret}&channel=1",
    "http://host/video?PassWord={secret}",
    "rtsp://10.0.0.1:554/user=admin_password={secret}_channel=1_stream=0.sdp?real_stream",
    "srt://host:9000?mode=caller&passphrase={secret}",
    "srt://host:9000?streamid=publish:gate:user:{secret}",
    "rtmp://live.example/app/{secret}",
    "https://host/live.m3u8?access_token={secret}",
    "hls:out/live.m3u8?token={secret}",
    "viewer:{secret}@10.0.0.5/stream1",
]
SECRET = "Zk9q7Wx2"


@pytest.mark.parametrize("template", LOGINS)
def test_the_secret_shows_nowhere_but_in_reveal(template: str) -> None:
    url = CameraUrl(template.format(secret=SECRET))
    shown = [str(url), repr(url), f"{url}", f"{url:>80}", f"{url!r}", "%s" % url, f"{[url]} { ({'u': url}) }"]  # noqa: UP031
    assert not [text for text in shown if SECRET in text]
    assert SECRET in url.reveal()
    for line in (f"cannot open '{url.reveal()}': 401", f"{url.reveal()} then {url.reveal()}"):
        assert SECRET not in redact(line)


@pytest.mark.parametrize("template", LOGINS)
def test_free_text_needs_no_registered_secret(template: str) -> None:
    """A URL nobody made a CameraUrl of, e.g. one a camera redirects to; two in a line."""
    unknown = "Hq3vR8pL"
    line = f"moved from {template.format(secret=unknown)} to '{template.format(secret=unknown)}' (302)"
    assert unknown not in redact(line)
    assert redact(line).startswith("moved from ")


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("rtsp://u:a/b@host/s", "rtsp://u:a%2Fb@host/s"),
        ("rtsp://u:a?b#c@d@host/s", "rtsp://u:a%3Fb%23c%40d@host/s"),
        ("rtsp://u:a b@host/s", "rtsp://u:a%20b@host/s"),
        ("rtsp://u:p@ss/w@10.0.0.5/s", "rtsp://u:p%40ss%2Fw@10.0.0.5/s"),
        ("rtsp://user%40dom:s%2Ft@host/s", "rtsp://user%40dom:s%2Ft@host/s"),
        ("rtsp://u:a[b]c@host/s", "rtsp://u:a%5Bb%5Dc@host/s"),
        ("rtsp://:x@host", "rtsp://:x@host"),
        ("rtsp://u:x@[fe80::1]:554/s@1", "rtsp://u:x@[fe80::1]:554/s@1"),
        ("rtsp://cam:554/stream@1", "rtsp://cam:554/stream@1"),
        ("rtsp://u:x@cam.local/stream@main", "rtsp://u:x@cam.local/stream@main"),
        ("out/%Y%m%d.mp4", "out/%Y%m%d.mp4"),
    ],
)
def test_reveal_gives_the_host_that_was_meant(text: str, given: str) -> None:
    assert CameraUrl(text).reveal() == given


def test_value_semantics_and_no_leak_through_them() -> None:
    url, same, other = (CameraUrl(f"rtsp://u:{SECRET}{tail}@h/s") for tail in ("", "", "x"))
    assert url == same
    assert hash(url) == hash(same)
    assert url != other
    assert url != f"rtsp://u:{SECRET}@h/s"
    assert copy.copy(url) is url
    assert copy.deepcopy({"a": [url]})["a"][0] is url
    with pytest.raises(AssertionError) as failed:
        assert url == other
    with pytest.raises(TypeError) as pickled:
        pickle.dumps(url)
    with pytest.raises(AttributeError) as changed:
        url.anything = SECRET
    with pytest.raises(TypeError) as ordered:
        _ = url < other  # type: ignore[operator]
    for error in (failed, pickled, changed, ordered):
        assert SECRET not in str(error.value)
    assert not hasattr(url, "__dict__")


@pytest.mark.parametrize(
    ("text", "scheme", "is_file"),
    [
        ("RTSP://h/s", "rtsp", False),
        ("device:0", "device", False),
        ("hls:out/a.m3u8", "hls", False),
        ("clip.mp4", "file", True),
        ("./odd:name.mp4", "file", True),
        ("/srv/a@b:c.mp4", "file", True),
        ("file:///srv/a%20b.mp4", "file", True),
        ("concat:a|b", "concat", False),
    ],
)
def test_scheme(text: str, scheme: str, is_file: bool) -> None:
    url = CameraUrl(text)
    assert (url.scheme, url.is_file) == (scheme, is_file)


def test_path_of_files_only() -> None:
    assert CameraUrl("clips/a.mp4").path == Path("clips/a.mp4")
    assert CameraUrl("file:///srv/a%20b.mp4").path == Path("/srv/a b.mp4")
    with pytest.raises(ValueError, match=r"rtsp://\*\*\*@h/s is not a local file"):
        _ = CameraUrl("rtsp://u:pass@h/s").path


def test_plain_text_stays_as_it_is() -> None:
    for line in (
        "12:30 gate up, 25.0 fps",
        "see out/gate/2026.mp4",
        "mail a@b.c",
        "",
        "rtsp://10.0.0.5/stream1: refused",
    ):
        assert redact(line) == line


@pytest.mark.parametrize(
    "address", ["rtsp://u:{}@h/s", "http://h/s?pwd={}", "u:{}@10.0.0.5/s", "rtsp://h/password={}"]
)
def test_a_password_on_its_own_goes_too_once_its_url_is_known(address: str) -> None:
    """FFmpeg quotes parts of URLs."""
    line = f"[tcp @ 0x5] Failed to resolve hostname {SECRET}: unknown"
    assert redact(line) == line
    CameraUrl(address.format(SECRET))
    assert redact(line) == "[tcp @ 0x5] Failed to resolve hostname ***: unknown"


def test_a_password_goes_in_the_form_ffmpeg_is_given_too() -> None:
    CameraUrl("rtsp://u:Wk3 n/q@8@10.0.0.5/s")
    assert redact("cannot resolve Wk3%20n%2Fq%408: no") == "cannot resolve ***: no"


@pytest.mark.parametrize(
    ("url", "usable"),
    [
        ("rtsp://h/s", True),
        ("rtsp://h:1/s", True),
        ("rtsp://u:p:w@h:65535", True),
        ("rtsp://[fe80::1]/s", True),
        ("rtsp://[fe80::1]:554/s", True),
        ("srt://:9000?mode=listener", True),
        ("clip:1.mp4", True),
        ("./odd://h:x/a.mp4", True),
        ("device:0", True),
        ("rtsp://h:notaport/x", False),
        ("rtsp://h:0/x", False),
        ("rtsp://h:65536", False),
        ("rtsp://h:-1/x", False),
        ("rtsp://h:/x", False),
        ("rtsp://u:p@h:55a/x", False),
        ("rtsp://[fe80::1]:x/s", False),
        ("rtsp://fe80::1/s", False),
        ("rtsp://h:\u0665\u0665/x", False),
    ],
)
def test_ports(url: str, usable: bool) -> None:
    assert CameraUrl(url).port_is_usable is usable


def test_what_stands_in_place_of_a_port_is_masked() -> None:
    """A login whose host was forgotten."""
    assert redact(f"opening rtsp://viewer:{SECRET}/s and 'rtsp://viewer:{SECRET}'") == (
        "opening rtsp://viewer:***/s and 'rtsp://viewer:***'"
    )
    assert redact("rtsp://viewer:20260101/s") == "rtsp://viewer:***/s"
    for line in ("rtsp://h:554: refused", "see 'rtsp://h:554', rtsp://[::1]:554/s.", "rtsp://h: away"):
        assert redact(line) == line
    assert str(CameraUrl("rtsp://h:${PORT}/s")) == "rtsp://h:${PORT}/s"


def test_a_quotation_mark_behind_a_masked_parameter_stays() -> None:
    assert redact('"rtsp://h/s?pwd=***": refused') == '"rtsp://h/s?pwd=***": refused'
    assert redact("see 'http://h/?token=***', then") == "see 'http://h/?token=***', then"
    for tail in ('"x', '":x', "'"):
        assert redact(f"rtsp://h/s?pwd={SECRET}{tail} on") == "rtsp://h/s?pwd=*** on"
        assert SECRET not in redact(f"rtsp://h/s?pwd=***{tail}{SECRET}")


def test_registered_secrets_go_alone_and_short_ones_stay() -> None:
    register_secret("p w'" + string.ascii_lowercase)
    register_secret("abc")
    assert redact(f"said p w'{string.ascii_lowercase}, abc") == "said ***, abc"


def test_every_secret_that_stands_alone_goes_however_many_overlap() -> None:
    """Against a look at each secret at each place; one mask for those that overlap."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    known = {"".join(rng.choices("ab-/", k=rng.randint(4, 7))) for _ in range(60)}
    for secret in known:
        register_secret(secret)
    for _ in range(2000):
        text = "".join(rng.choices("ab-/", k=rng.randint(0, 40)))
        spans = sorted(
            hit.span(1)
            for secret in known
            for hit in re.finditer(rf"(?=(?<!\w)({re.escape(secret)})(?!\w))", text)
        )
        expected, done = "", 0
        for start, end in spans:
            expected += text[done:start] + "***" if start >= done else ""
            done = max(done, end)
        assert camera_url._hide_registered(text) == expected + text[done:], text


def test_long_words_are_redacted_without_delay() -> None:
    """With a search from each of their letters this would take a minute."""
    for word in ("x" * 20_000, "a.b-" * 5_000):
        assert redact(f"{word} {word}token=abc {word}") == f"{word} {word}token=*** {word}"
