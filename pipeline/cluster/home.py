"""A cluster as home automation sees it: what is asked of a camera is asked of its node in turn."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from fractions import Fraction
from urllib.parse import urlsplit

import cv2
import numpy as np

from ..core.control import Translate
from ..core.status import CameraStatus, NewestPicture
from .view import ClusterView

# Seconds for connecting to a node and for each read of its answer. Who asks waits so long.
WITHIN = 2.0
# Columns of a picture, and bytes of an answer, at the most.
WIDEST, LARGEST = 1280, 8_000_000
_AWAY = ("no_node", "node_silent")


class ClusterHome:
    """See ``Pictured`` and ``Switches``. A call waits a few seconds at the most.

    Args:
        view: tells where each camera is.
        token: what nodes are shown.
    """

    def __init__(self, view: ClusterView, token: str) -> None:
        self._view = view
        self._token = token

    def cameras(self) -> Sequence[CameraStatus]:
        """See ``Pictured``."""
        return self._view.cameras()

    def newest(self, name: str) -> NewestPicture | None:
        """A camera's newest picture, as its node shows it. KeyError if there is no such camera."""
        with suppress(OSError, http.client.HTTPException, ValueError, TypeError, cv2.error):
            status, headers, body = self._asked("GET", name, f"/snapshot/{name}.jpg?width={WIDEST}")
            if status == 200:
                bgr = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
                rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
                taken = parsedate_to_datetime(headers["last-modified"]).timestamp()
                return NewestPicture(rgb, rgb, Fraction(1), taken)
        return None

    def set_translate(self, camera: str, when: Translate) -> None:
        """See ``Switches``."""
        try:
            body = json.dumps({"translate": when}).encode()
            status, _, text = self._asked("POST", camera, f"/api/cameras/{camera}/translate", body)
        except (OSError, http.client.HTTPException) as error:
            raise ValueError(f"the node that has {camera} cannot be asked: {error}") from None
        if status != 200:
            raise ValueError(text.decode(errors="replace").strip() or f"its node answers {status}")

    def _asked(
        self, method: str, camera: str, path: str, body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        """What the node of a camera answers. Raises KeyError, OSError and HTTPException."""
        address = self._view.address_of(camera)
        away = any(one.name == camera and one.reason in _AWAY for one in self._view.cameras())
        if address is None or away:
            raise ConnectionError("none has it at the moment")
        place = urlsplit(address)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=WITHIN)
        try:
            headers = {"Authorization": f"Bearer {self._token}", "Origin": f"http://{place.netloc}"}
            connection.request(method, path, body, headers | {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read(LARGEST)
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, content
        finally:
            connection.close()
