"""``python -m benchmarks.smaller_weights FILE…``: the same checkpoints in smaller files, for those that ship.

Their qualification pictures become lossless WebP, two fifths of PNG's size for noisy nights. Training writes PNG,
since WebP takes seconds for each large picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor

from nightday.engines.model.checkpoint import BACKGROUNDS_KEY, FRAMES_KEY, read_checkpoint

# OpenCV takes a quality above 100 for lossless.
LOSSLESS = [cv2.IMWRITE_WEBP_QUALITY, 101]


def main() -> int:
    """Rewrite the files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smaller_weights")
    parser.add_argument("files", type=Path, nargs="+")
    for path in parser.parse_args().files:
        before = path.stat().st_size
        content = read_checkpoint(path)
        for key in (FRAMES_KEY, BACKGROUNDS_KEY):
            if key in content:
                content[key] = _smaller(content[key])
        torch.save(content, path)
        print(f"{path}: {before:,} → {path.stat().st_size:,} bytes")
    return 0


def _smaller(pictures: Any) -> Any:
    """Files of pictures, uint8 (bytes,) each, in lists and tuples."""
    if isinstance(pictures, Tensor):
        picture = cv2.imdecode(pictures.numpy(), cv2.IMREAD_COLOR)
        assert picture is not None
        file = cv2.imencode(".webp", picture, LOSSLESS)[1]
        assert (cv2.imdecode(file, cv2.IMREAD_COLOR) == picture).all()
        return torch.from_numpy(file.copy())
    return type(pictures)(_smaller(one) for one in pictures)


if __name__ == "__main__":
    raise SystemExit(main())
