"""The reports of the last nights over HTTP: as JSON, their pictures, and a page of the last one of each camera."""

from __future__ import annotations

import re
import threading
from datetime import date, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ...core.status import Watched
from ..night_reports import PICTURES, reports_of, sentences
from .pictures import UNKNOWN, refusal
from .templates import environment

_BUSY = "the disk is being looked at already; try again"


def report_routes(watched: Watched, *, login: bool) -> list[BaseRoute]:
    """What answers for the reports of ``watched``; ``login`` says whether one can log out."""
    looking = threading.Lock()  # a disk that does not answer takes one thread and no more
    page = environment.get_template("report.html.jinja")

    def show_json(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            folder = watched.report_folder(name)
        except KeyError:
            return refusal(404, UNKNOWN)
        if not looking.acquire(blocking=False):
            return refusal(503, _BUSY)
        try:
            reports = reports_of(folder)
        finally:
            looking.release()
        for report in reports:
            report["pictures"] = {which: _url(name, report, which) for which in report["pictures"]}
        return JSONResponse({"nights": reports})

    def show_picture(request: Request) -> Response:
        night, which = request.path_params["night"], request.path_params["which"]
        try:
            folder = watched.report_folder(request.path_params["name"])
        except KeyError:
            return refusal(404, UNKNOWN)
        path = folder / f"{night}-{which}.jpg"
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", night) or which not in PICTURES or not path.is_file():
            return refusal(404, "no such picture; /api/cameras/NAME/report lists them")
        return FileResponse(path, media_type="image/jpeg")

    def show_page(request: Request) -> Response:
        if not looking.acquire(blocking=False):
            return refusal(503, _BUSY)
        try:
            shown = [shown_of(name, reports_of(watched.report_folder(name))) for name in _names(watched)]
        finally:
            looking.release()
        return HTMLResponse(page.render(here="report", login=login, cameras=shown))

    return [
        Route("/report", show_page),
        Route("/api/cameras/{name}/report", show_json),
        Route("/api/cameras/{name}/report/{night}-{which}.jpg", show_picture),
    ]


def _names(watched: Watched) -> list[str]:
    return [camera.name for camera in watched.cameras()]


def shown_of(name: str, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """A camera's last night for the page; without ``told`` where there is none."""
    shown: dict[str, Any] = {"name": name, "told": [], "pictures": []}
    for report in reports:
        try:
            evening = date.fromisoformat(report["night"])
            morning = evening + timedelta(days=1)
            began, until = (datetime.fromtimestamp(float(report[key])) for key in ("began", "until"))
            told = sentences(report)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        so_far = "" if report.get("ended") else ", so far"
        return shown | {
            "title": f"{evening.day} {evening:%B} to {morning.day} {morning:%B %Y}{so_far}",
            "between": f"{began:%H:%M} to {until:%H:%M}",
            "told": told,
            "pictures": [{"which": which, "url": _url(name, report, which)} for which in report["pictures"]],
        }
    return shown


def _url(name: str, report: dict[str, Any], which: str) -> str:
    return f"/api/cameras/{name}/report/{report['night']}-{which}.jpg"
