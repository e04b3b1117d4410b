"""Runs under a Python that has homeassistant: starts its core, and writes what it was told to ``found.json``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from homeassistant import bootstrap, runner
from homeassistant.components.camera import async_get_image
from homeassistant.exceptions import HomeAssistantError

# Seconds until a wait is given up.
WITHIN = 60.0


async def until(holds: Callable[[], object]) -> bool:
    """Wait until ``holds``; whether it did."""
    for _ in range(int(WITHIN / 0.1)):
        if holds():
            return True
        await asyncio.sleep(0.1)
    return False


async def look(folder: Path, pid: int) -> None:
    """Write what Home Assistant makes of it; the run with this ``pid`` is killed at the end."""
    config = runner.RuntimeConfig(config_dir=str(folder / "config"), skip_pip=False, log_no_color=True)
    home = await bootstrap.async_setup_hass(config)
    await home.async_start()

    def state(entity: str) -> str | None:
        found = home.states.get(entity)
        return None if found is None else found.state

    shown = (
        "sensor.gate_car_in_yard",
        "sensor.gate_frame_rate",
        "binary_sensor.gate_night",
        "select.gate_translate",
    )
    await until(
        lambda: (
            all(state(one) not in (None, "unknown", "unavailable") for one in shown) and state("camera.yard")
        )
    )
    states = {one.entity_id: one.state for one in home.states.async_all() if ".gate" in one.entity_id}
    image = b""
    for _ in range(int(WITHIN)):  # it subscribes to the picture a moment after it has made the camera
        with suppress(HomeAssistantError):
            image = (await async_get_image(home, "camera.gate")).content
            break
        await asyncio.sleep(1)
    call = {"entity_id": "select.gate_translate", "option": "never"}
    await home.services.async_call("select", "select_option", call, blocking=True)
    switched = await until(lambda: state("select.gate_translate") == "never")
    await asyncio.to_thread((folder / "gone").touch)
    gone = await until(lambda: not [one for one in home.states.async_all() if ".yard" in one.entity_id])
    await asyncio.sleep(15)  # what of it is cleared later is to make no errors
    os.kill(pid, signal.SIGKILL)
    unavailable = await until(lambda: all(state(entity) == "unavailable" for entity in states))
    found = {
        "states": dict(sorted(states.items())),
        "fps": states.get("sensor.gate_frame_rate"),
        "picture_is_a_jpeg": image.startswith(b"\xff\xd8\xff"),
        "switched": switched,
        "yard_is_gone": gone,
        "unavailable_after_kill": unavailable,
    }
    await asyncio.to_thread((folder / "found.json").write_text, json.dumps(found))
    await home.async_stop(force=True)


if __name__ == "__main__":
    asyncio.run(look(Path(sys.argv[1]), int(sys.argv[2])))
