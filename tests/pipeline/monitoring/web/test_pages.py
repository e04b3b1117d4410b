"""The pages, what they are made of, and logging in to them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.monitoring import web
from tests.pipeline.monitoring.test_http_server import TOKEN, Answer, Cells, Start, ask, place_of, start
from tests.support.watched import FakeRun

__all__ = ["start"]  # a fixture
STATIC = Path(web.__file__).with_name("static")
FORM = "application/x-www-form-urlencoded"


def two() -> FakeRun:
    return FakeRun(stats={"gate": CameraStats(), "yard": CameraStats()})


@pytest.mark.parametrize("path", ["/", "/camera/gate"])
def test_a_page_is_made_of_our_files_and_nothing_else(start: Start, path: str) -> None:
    server = start(two())
    answer = ask(server, path)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    tags = Cells(answer.text).tags
    assert not [tag for tag, attributes in tags if tag == "style" or "style" in attributes]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    scripts = [attributes for tag, attributes in tags if tag == "script"]
    assert {one["type"] for one in scripts} == {"module"}
    assert re.search(r"<script[^>]*></script>", answer.text)
    files = {
        address.split("?")[0]
        for _, attributes in tags
        for name in ("src", "href")
        if (address := attributes.get(name)) and address.startswith("/static/")
    }
    assert len(files) >= 3
    for file in files:
        assert ask(server, file).status == 200
    addresses = [
        attributes[name] or ""
        for _, attributes in tags
        for name in ("src", "href", "action")
        if name in attributes
    ]
    assert [one for one in addresses if "//" in one or ":" in one] == []


def test_modules_import_only_what_is_there() -> None:
    imported = {
        name
        for module in STATIC.glob("*.js")
        for name in re.findall(r'from "\./([\w.]+)"', module.read_text(encoding="utf-8"))
    }
    assert imported
    assert imported <= {path.name for path in STATIC.iterdir()}
    for module in STATIC.glob("*.js"):
        text = module.read_text(encoding="utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), module.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), (
            module.name
        )


@pytest.mark.skipif(shutil.which("node") is None, reason="only where node is")
@pytest.mark.parametrize("name", sorted(path.name for path in STATIC.glob("*.js")))
def test_modules_can_be_read(name: str, tmp_path: Path) -> None:
    copy = tmp_path / name.replace(".js", ".mjs")
    shutil.copy(STATIC / name, copy)
    done = subprocess.run(["node", "--check", str(copy)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_ids_that_scripts_ask_for_are_in_the_page(start: Start) -> None:
    server = start(two())
    for path, modules in (
        ("/", ("grid.js", "trial.js")),
        ("/camera/gate", ("camera.js", "stage.js")),
    ):
        ids = {attributes.get("id") for _, attributes in Cells(ask(server, path).text).tags}
        for module in modules:
            text = (STATIC / module).read_text(encoding="utf-8")
            asked = re.findall(r'(?:\bby|getElementById)\("([\w-]+)"\)', text)
            assert asked, module
            assert not set(asked) - ids, module


def test_everything_to_operate_has_a_name(start: Start) -> None:
    text = ask(start(two()), "/camera/gate").text
    tags = Cells(text).tags
    labels = {attributes.get("for") for tag, attributes in tags if tag == "label"}
    for tag, attributes in tags:
        if tag in ("input", "progress") and attributes.get("type") != "radio":
            named = attributes.get("aria-label") or attributes.get("id") in labels
            assert named or attributes.get("type") == "checkbox", attributes
        if tag == "img":
            assert "alt" in attributes
    (slider,) = [attributes for _, attributes in tags if attributes.get("type") == "range"]
    assert "Night" in (slider["aria-label"] or "")
    assert [attributes["role"] for _, attributes in tags if attributes.get("id") == "state"] == ["status"]


def test_a_camera_that_is_not_there_has_no_page(start: Start) -> None:
    server = start(two())
    assert ask(server, "/camera/barn").status == 404
    assert ask(server, "/camera/gate/").status == 404
    assert ask(server, "/camera/%3Cb%3E").status == 404


def test_files_are_kept_by_browsers_until_they_change(start: Start) -> None:
    server = start(token=TOKEN)  # they need no token, or the page to log in would be bare
    for path in STATIC.iterdir():
        answer = ask(server, f"/static/{path.name}")
        assert (answer.status, answer.body) == (200, path.read_bytes())
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = ask(server, f"/static/{path.name}", If_None_Match=answer.headers["etag"])
        assert (again.status, again.body) == (304, b"")
    for name in ("nothing.js", "../pages.py", "%2e%2e%2fpages.py", "templates", ""):
        assert ask(server, f"/static/{name}").status == 404


def test_cameras_can_be_asked_for_by_name(start: Start) -> None:
    server = start(two())
    assert [one["name"] for one in ask(server, "/api/cameras?name=yard").json()["cameras"]] == ["yard"]
    assert ask(server, "/api/cameras?name=barn").json()["cameras"] == []


class TestLogin:
    def log_in(self, start: Start, token: str, *, to: str = "/", **headers: str) -> tuple[Answer, str]:
        server = start(two(), token=TOKEN)
        origin = f"http://127.0.0.1:{place_of(server)[1]}"
        body = urlencode({"token": token, "to": to}).encode()
        headers = {"Content_Type": FORM, "Origin": origin, "Content_Length": str(len(body))} | headers
        return ask(server, "/login", method="POST", body=body, **headers), server.address

    @pytest.mark.parametrize("path", ["/", "/table", "/camera/gate"])
    def test_a_browser_is_asked_for_the_token(self, start: Start, path: str) -> None:
        answer = ask(start(two(), token=TOKEN), path, Accept="text/html,*/*")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        tags = Cells(answer.text).tags
        (form,) = [attributes for tag, attributes in tags if tag == "form"]
        assert form == {"method": "post", "action": "/login"}
        to = [attributes["value"] for _, attributes in tags if attributes.get("name") == "to"]
        assert to == [path]
        # Else browsers would say that the form comes from nowhere.
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "yard" not in answer.text

    def test_with_the_token_it_gets_a_cookie_that_opens_everything(self, start: Start) -> None:
        answer, _ = self.log_in(start, TOKEN, to="/camera/gate")
        assert (answer.status, answer.headers["location"]) == (303, "/camera/gate")
        cookie, *attributes = answer.headers["set-cookie"].split("; ")
        assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict"]
        assert TOKEN not in cookie
        server = start(two(), token=TOKEN)
        for path in ("/", "/table", "/camera/gate", "/api/cameras", "/metrics"):
            assert ask(server, path, Cookie=cookie).status == 200
            assert ask(server, path, Cookie=f"a=b; {cookie}").status == 200
            assert ask(server, path, Cookie=f"{cookie}0").status == 401
        assert ask(start(two(), token=f"{TOKEN}-2"), "/", Cookie=cookie).status == 401
        # A page at another port of this host is of the same site, and is sent the cookie.
        for site in ("same-site", "cross-site"):
            assert ask(server, "/api/cameras", Cookie=cookie, Sec_Fetch_Site=site).status == 403
        assert ask(server, "/", Cookie=cookie, Sec_Fetch_Site="none", Sec_Fetch_Mode="navigate").status == 200

    def test_behind_tls_the_cookie_is_kept_to_that(self, start: Start) -> None:
        server = start(two(), token=TOKEN)
        body = urlencode({"token": TOKEN}).encode()
        answer = ask(
            server,
            "/login",
            method="POST",
            body=body,
            Host="localhost",
            Origin="https://localhost",
            Content_Length=str(len(body)),
        )
        assert answer.headers["set-cookie"].endswith("; Secure")

    def test_without_it_it_is_asked_again(self, start: Start) -> None:
        for wrong in ("", TOKEN[:-1], f"{TOKEN}x", "\N{SNOWMAN}"):
            answer, _ = self.log_in(start, wrong)
            assert answer.status == 401
            assert "That is not the token." in answer.text
            assert "set-cookie" not in answer.headers

    @pytest.mark.parametrize(
        "to", ["//evil.example", "https://evil.example/", "/\\evil", "/x", "javascript:1", ""]
    )
    def test_it_leads_nowhere_else(self, start: Start, to: str) -> None:
        answer, _ = self.log_in(start, TOKEN, to=to)
        assert (answer.status, answer.headers["location"]) == (303, "/")

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
    def test_other_pages_cannot_log_somebody_in(self, start: Start, origin: str) -> None:
        answer, _ = self.log_in(start, TOKEN, Origin=origin)
        assert answer.status == 403
        assert "set-cookie" not in answer.headers

    def test_a_large_form_is_refused(self, start: Start) -> None:
        answer, _ = self.log_in(start, "x" * 5000)
        assert answer.status == 413

    def test_a_token_in_the_address_of_a_page_becomes_a_cookie(self, start: Start) -> None:
        server = start(two(), token=TOKEN)
        answer = ask(server, f"/?token={TOKEN}")
        cookie = answer.headers["set-cookie"].split("; ")[0]
        assert ask(server, "/api/cameras", Cookie=cookie).status == 200
        assert "set-cookie" not in ask(server, f"/api/cameras?token={TOKEN}").headers

    def test_logging_out_forgets_it(self, start: Start) -> None:
        server = start(two(), token=TOKEN)
        cookie = ask(server, f"/?token={TOKEN}").headers["set-cookie"].split("; ")[0]
        origin = f"http://127.0.0.1:{place_of(server)[1]}"
        answer = ask(server, "/logout", method="POST", Cookie=cookie, Origin=origin, Content_Length="0")
        assert answer.status == 303
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert answer.headers["set-cookie"].startswith(cookie.partition("=")[0])

    def test_where_no_token_is_set_there_is_nothing_to_log_in_to(self, start: Start) -> None:
        server = start(two())
        assert ask(server, "/login").status == 404
        assert "Log out" not in ask(server, "/").text
