"""Which module writes which kind of output, by the scheme of the address.

A new kind of output is a module that offers what ``OutputModule`` says, and a line in ``_MODULES``. The modules are
imported when they are asked for, and neither this module nor theirs import PyAV or PyTorch until an output is opened:
the configuration checks addresses without them.
"""

from __future__ import annotations

import random
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..core.camera_url import CameraUrl
from ..core.lease import ALONE, Lease
from .module import WINDOW, OutputModule, OutputSettings

if TYPE_CHECKING:
    from ..core.backoff import Backoff
    from ..core.clock import Clock
    from ..core.counters import CameraStats
    from ..core.events import Publish
    from ..core.faults import OutputReason
    from ..core.sound import SoundFormat
    from .encoding.settings import VideoCodec
    from .encoding.shared_encoder import SharedEncoder
    from .mp4.limits import Limits
    from .output import Output

_MODULES = {
    "file": ".mp4",
    "hls": ".hls",
    "rtmp": ".rtmp",
    "rtmps": ".rtmp",
    "rtsp": ".rtsp",
    "udp": ".udp",
    "whip": ".whip",
    "whips": ".whip",
}
_NO_WAY = {
    "srt": "PyAV's ready-made package has no SRT. Publish by rtsp:// or rtmp:// to a server such as mediamtx, "
    "which gives it out as SRT",
    "http": "a stream to a web server by WHIP is whip://host/path",
    "https": "a stream to a web server by WHIP is whips://host/path",
}
# Other ways to write WHIP's address, as servers and their manuals have it.
_WHIP = re.compile(r"whip[+: ]\s*http(s?)://", re.IGNORECASE)


def output_url(output: CameraUrl | str) -> CameraUrl:
    """An ``outputs`` entry as an address. ``whip+https://…``, ``whip https://…`` and the like are ``whips://…``."""
    if isinstance(output, CameraUrl):
        return output
    found = _WHIP.match(output)
    return CameraUrl(f"whip{found[1].lower()}://{output[found.end() :]}" if found else output)


def output_fault(output: CameraUrl | str) -> str | None:
    """What is wrong with an ``outputs`` entry, in one line without its secrets; None if nothing is."""
    url = output_url(output)
    module = _module(url.scheme)
    if module is not None:
        fault = module.fault(url)
        if fault is not None and url.is_file:
            # It may be an address whose scheme was forgotten, so say how the other kinds are written, too.
            fault += f"; use {_address_forms()}"
    elif url.scheme in _NO_WAY:
        fault = f"{url.scheme} outputs are not built in yet: {_NO_WAY[url.scheme]}; use {_address_forms()}"
    else:
        fault = f"{url.scheme!r} is no output; use {_address_forms()}"
    return None if fault is None else f"output {url}: {fault}"


def output_folder(url: CameraUrl) -> Path | None:
    """The folder that an output without a fault writes to, strftime codes and all; None if it writes no files."""
    module = _module(url.scheme)
    return None if module is None else module.folder(url)


def advice(scheme: str, reason: str) -> str | None:
    """What to do about an output that is not being written for ``reason``; None where there is no advice."""
    module = _module(scheme)
    return None if module is None else module.advice.get(cast("OutputReason", reason))


def codec_fault(output: CameraUrl, codec: VideoCodec) -> str | None:
    """Why pictures of a codec do not go into an output; None if they do."""
    module = _module(output.scheme)
    if module is None or codec in module.codecs:
        return None
    return f"makes H.265, which {output.scheme} outputs do not hold or their players do not play"


def sound_fault(output: CameraUrl, form: SoundFormat) -> str | None:
    """Why sound of a format does not go along with an output, and the way out; None if it does."""
    module = _module(output.scheme)
    return None if module is None else module.sounds.fault(form)


def open_output(
    output: CameraUrl | str,
    *,
    camera: str,
    stats: CameraStats,
    segment_seconds: float = 60.0,
    window: float = WINDOW,
    generated: bool = True,
    retention: Limits | None = None,
    signing_key: Path | None = None,
    content_credentials: bool = False,
    encoder: SharedEncoder | None = None,
    publish: Publish | None = None,
    backoff: Backoff | None = None,
    rng: random.Random | None = None,
    clock: Clock | None = None,
    lease: Lease = ALONE,
) -> Output:
    """A started output for ``output``, by the module that its scheme belongs to.

    Opens nothing yet: a server that is down or a folder that cannot be written is tried again from the output's
    thread. Raises ValueError with ``output_fault``'s message for an address that it cannot be opened for.

    Args:
        output: its address.
        camera: the camera's name.
        stats: the camera's counters.
        segment_seconds: length of a file.
        window: seconds of a live stream that stay on the disk.
        generated: whether generated pictures may come, which the output then notes in its metadata.
        retention: how long files stay; None keeps them for ever.
        signing_key: the file of the key that recordings are signed with; None: they are not signed.
        content_credentials: whether signed recordings also get a manifest of C2PA.
        encoder: outputs of one camera that are given the same one encode once.
        publish: told what happens; by default it is logged.
        backoff: waiting times between tries; by default those of the kind of output.
        rng: draws their jitter.
        clock: time.
        lease: the right to write it.
    """
    from ..core.clock import SystemClock
    from ..core.event_log import to_log
    from .encoding.shared_encoder import SharedEncoder
    from .leased_writer import LeasedWriter
    from .output import Output

    url = output_url(output)
    fault, module = output_fault(url), _module(url.scheme)
    if fault is not None or module is None:
        raise ValueError(fault)
    publish = to_log if publish is None else publish
    clock = SystemClock() if clock is None else clock
    settings = OutputSettings(
        camera=camera,
        segment_seconds=segment_seconds,
        window=window,
        generated=generated,
        retention=retention,
        signing_key=signing_key,
        content_credentials=content_credentials,
        encoder=encoder or SharedEncoder(camera=camera, publish=publish),
        publish=publish,
        clock=clock,
        epoch=lease.epoch,
    )
    writer = module.make_writer(url, settings)
    opened = Output(
        writer if lease == ALONE else LeasedWriter(writer, lease),
        camera=camera,
        output=str(url),
        stats=stats,
        publish=publish,
        backoff=backoff or module.backoff,
        rng=rng,
        clock=clock,
        wants=settings.encoder.wants,
    )
    opened.start()
    return opened


@cache
def _module(scheme: str) -> OutputModule | None:
    """The module for a scheme; None if there is none."""
    name = _MODULES.get(scheme)
    return None if name is None else cast(OutputModule, import_module(name, __package__))


def _address_forms() -> str:
    """How addresses of all kinds are written, for instance ``a path ending in .mp4 or rtsp://host/path``."""
    modules = (module for scheme in _MODULES if (module := _module(scheme)) is not None)
    *others, last = dict.fromkeys(module.address_form for module in modules)
    return f"{', '.join(others)} or {last}"
