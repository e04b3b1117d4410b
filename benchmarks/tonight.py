"""``python -m benchmarks.tonight``: the picture of docs/tonight.md, every stage of a camera's first night."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from nightday.engines.bundled import bundled_clips, bundled_weights
from nightday.engines.model.checkpoint import load_checkpoint
from nightday.pipeline.analysis.trust import draw_trust
from nightday.train.footage.scene import Image, read_frames, temporal_median

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "tonight.jpg"
# Frames apart of the samples of the backgrounds, and the moment that is shown.
EVERY, AT = 10, 205


def main() -> int:
    """Write the picture."""
    days, nights = (
        read_frames(bundled_clips() / name)
        for name in ("day_tfl_09731_a1_barnet.mp4", "night_a1_barnet_simulated.mp4")
    )
    by_day, by_night = temporal_median(days[::EVERY]), temporal_median(nights[::EVERY])
    model = load_checkpoint(bundled_weights("general.pt"))
    with torch.inference_mode():
        day, trust = (
            part[0].numpy()
            for part in model(*(torch.from_numpy(p[None]) for p in (nights[AT], by_day, by_night)))
        )
    told: Image = day.copy()
    draw_trust(told, trust)
    rows = [np.hstack([days[AT], by_day, by_night]), np.hstack([nights[AT], day, told])]
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    sheet = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(PICTURE), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(PICTURE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
