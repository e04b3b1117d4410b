"""``python -m benchmarks.colours``: what Chromium shows of a clip and of its recording, for every way to tag colours.

A clip is a grid of random patches in H.264, tagged or not. It is recorded by nightday-stream without a model.
Chromium plays clip and recording, draws both into a canvas, and the middle of each patch is compared.
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
import threading
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from benchmarks.page.browser import Browser
from nightday.engines.video.look import LookReader
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.media.colour import to_rgb
from nightday.pipeline.outputs.registry import open_output
from tests.support import colour_patches as cp

RESULT = Path(__file__).parent / "results" / "colours.json"
COLUMNS, FRAMES, RATE = 128, 3, 5
# Matrix, primaries and transfer function, by the numbers of ITU-T H.273; 2 is not told.
TAGS = {
    "not tagged": (2, 2, 2),
    "BT.709": (1, 1, 1),
    "BT.601 (SMPTE 170M)": (6, 6, 6),
    "BT.470BG": (5, 5, 6),
    "BT.470BG, gamma 2.8": (5, 5, 5),
    "FCC, BT.470M": (4, 4, 4),
    "SMPTE 240M": (7, 7, 7),
    "BT.709, transfer sRGB": (1, 1, 13),
    "BT.709, gamma 2.2": (1, 1, 4),
    "BT.709, gamma 2.8": (1, 1, 5),
    "BT.709, linear": (1, 1, 8),
    "BT.2020": (9, 9, 14),
    "BT.2020, transfer BT.709": (9, 9, 1),
    "BT.2020, PQ": (9, 9, 16),
    "BT.2020, HLG": (9, 9, 18),
    "BT.2020, constant luminance": (10, 9, 14),
    "matrix BT.709 alone": (1, 2, 2),
    "matrix BT.601 alone": (6, 2, 2),
    "matrix BT.2020 alone": (9, 2, 2),
    "primaries BT.601 alone": (2, 6, 2),
    "primaries BT.2020 alone": (2, 9, 2),
    "transfer BT.709 alone": (2, 2, 1),
    "matrix BT.709, primaries BT.601": (1, 6, 1),
    "matrix BT.601, primaries BT.709": (6, 1, 1),
    "primaries P3": (1, 12, 13),
    "primaries EBU 3213": (1, 22, 1),
    "matrix YCgCo": (8, 1, 1),
    "reserved numbers": (3, 3, 3),
}
SHOW = """(async () => {
  const video = document.createElement('video');
  video.muted = true;
  const data = Uint8Array.from(atob('%s'), (letter) => letter.charCodeAt(0));
  video.src = URL.createObjectURL(new Blob([data], {type: 'video/mp4'}));
  document.body.replaceChildren(video);
  await new Promise((done, failed) => {
    video.onerror = () => failed(new Error(video.error.message));
    video.requestVideoFrameCallback(done);
    video.play();
  });
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(video, 0, 0);
  const shown = [];
  for (let row = 0; row < %d; row++) for (let column = 0; column < %d; column++)
  {
    const [x, y] = [(column + 0.5) * canvas.width / %d, (row + 0.5) * canvas.height / %d];
    shown.push(...context.getImageData(x, y, 1, 1).data.slice(0, 3));
  }
  return shown;
})()"""


def main() -> int:
    """Measure, print a table, and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.colours", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=TAGS, default=list(TAGS))
    parser.add_argument("--rows", nargs="+", type=int, default=[288, 576, 720, 1080, 2160])
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        version = browser._call("Browser.getVersion")["product"]
        for name in args.only:
            for height in args.rows:
                for pix_fmt, full in (("yuv420p", False), ("yuv420p", True), ("yuv420p10le", False)):
                    row: dict[str, Any] = {
                        "tags": name,
                        "rows": height,
                        "format": pix_fmt,
                        "full_range": full,
                    }
                    try:
                        row |= one(browser, Path(folder), rng, TAGS[name], height, pix_fmt, full=full)
                    except AssertionError as error:
                        row |= {"not_shown": str(error)[-160:]}
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    found = {"date": str(date.today()), "browser": version, "rows": rows}
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def one(
    browser: Browser,
    folder: Path,
    rng: np.random.Generator,
    tags: tuple[int, int, int],
    height: int,
    pix_fmt: str,
    *,
    full: bool,
) -> dict[str, Any]:
    """The largest difference of a channel, of 255, between what is shown of the clip and of its recording."""
    clip = made(folder / "clip.mp4", rng, tags, height, pix_fmt, full=full)
    shown, copied = look(browser, clip), look(browser, recorded(clip, folder))
    apart = np.abs(shown - copied)
    return {"largest": int(apart.max()), "mean": round(float(apart.mean()), 2)}


def made(
    path: Path, rng: np.random.Generator, tags: tuple[int, int, int], height: int, pix_fmt: str, *, full: bool
) -> Path:
    """A clip of one grid of patches with these tags."""
    bits = 10 if pix_fmt.endswith("10le") else 8
    rgb = rng.integers(0, 256, (cp.ROWS, cp.COLUMNS, 3)).astype(float)
    matrix = cp.matrix_shown(tags[0] if tags[0] in cp.KR_KB else 2, full=full, rows=height)
    levels = cp.coded(rgb, matrix, full=full, bits=bits)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"qp": "1", "preset": "ultrafast"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = COLUMNS, height, pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = tags
        if full or tags != (2, 2, 2):
            context.color_range = 2 if full else 1
        for number in range(FRAMES):
            video = cp.patches(levels, height, COLUMNS, pix_fmt)
            video.pts, video.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(video))
        container.mux(stream.encode(None))
    return path


def recorded(clip: Path, folder: Path) -> Path:
    """The clip, recorded as a camera's pictures are."""
    path = folder / "copy.mp4"
    path.unlink(missing_ok=True)
    output = open_output(str(path), camera="clip", stats=CameraStats())
    with av.open(str(clip)) as container:
        (stream,) = container.streams.video
        looks, reformatter = LookReader(stream), VideoReformatter()
        for video in container.decode(stream):
            looks.give(video)
            assert video.pts is not None
            assert video.time_base is not None
            frame = Frame("clip", video, video.pts, video.time_base, 0.0, 0.0)
            rgb = to_rgb(video, reformatter)
            output.put_wait(Picture(frame, rgb, False, seen=rgb), cancelled=threading.Event())
    assert output.close(30.0)
    return path


def look(browser: Browser, path: Path) -> cp.Array:
    """What Chromium shows in the middle of each patch, (patches * 3,)."""
    data = base64.b64encode(path.read_bytes()).decode()
    shown = browser.run(SHOW % (data, cp.ROWS, cp.COLUMNS, cp.COLUMNS, cp.ROWS))
    return np.array(shown, np.float64)


if __name__ == "__main__":
    raise SystemExit(main())
