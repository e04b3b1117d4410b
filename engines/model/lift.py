"""Full resolution: the night is translated small, and its edges are brought back in the same graph.

The lift is He & Sun's fast guided filter (arXiv:1505.00996) with a residual. At the small size, where the day is
known, a local line day ≈ a·night + b is fitted in luma; a and b are enlarged and applied to the large night. b is
chosen so that the line meets the day exactly: whatever a is, colours and brightness are the small day's, and a alone
decides how much of the night's finer detail is added. a is nearly 0 where the night has nothing to add: at saturated
lamps, in black, in glare that the day does not show, in noise.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .evidence import GREY
from .generator import NightToDay, from_bytes, to_bytes

# Pictures whose shorter side has at most so many pixels are translated as they are.
NOT_LIFTED = 400

# Shorter side of the translation, pixels, where the model does not say what it was trained at.
SIDE = 288

# The picture is shrunk by a whole number, which needs no resampling, where that comes within this factor of the side.
SIZE_TOLERANCE = 1.15

# The following were chosen on nights simulated over 960×540 street pictures and their truth, see benchmarks/lift.py.
# Luma is in [0, 1].

# Squared contrast below which the fit is not trusted: that of 2.5 grey levels.
MIN_VARIANCE = 1e-4

# A cell is taken for a lamp, not for a detail of both night and day, where the variance within it is more than this
# multiple of that among the cells around it. A step has 1.5, a lamp of two pixels 30.
LAMP_RATIO = 8.0

# Most noise that is let through, standard deviation.
MAX_NOISE = 3 / 255

# Noise is estimated as the least variance within a square that reaches so many cells to each side. In smaller squares
# busy places pass for noise.
NOISE_REACH = 7

# Undoes, to first order, the blur of shrinking by means and enlarging bilinearly.
SHARPEN = 0.375


class Lifted(nn.Module):
    """A model that translates at ``size`` and gives pictures of the size that it is given.

    It takes and gives what ``NightToDay`` does: uint8 (N, H, W, 3) → the same. All but the generator computes in
    float32.

    Args:
        model: does the translation.
        size: (h, w) that it translates at. A picture is shrunk by means over square cells; the last row and column of
            cells may be cut off by the picture's border. The means are resampled where there are not h × w of them.
    """

    def __init__(self, model: NightToDay, size: tuple[int, int]) -> None:
        super().__init__()
        self.model = model
        self.size = size
        device = next(model.parameters()).device
        self.register_buffer("grey", torch.tensor(GREY, device=device).view(1, 3, 1, 1), persistent=False)

    grey: Tensor

    def forward(
        self, frames: Tensor, day_background: Tensor | None = None, night_background: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """As ``NightToDay.forward``. Backgrounds may have the frames' size or ``size``; trust has ``size``."""
        if day_background is None or night_background is None:
            return to_bytes(self.translate(from_bytes(frames)))
        backgrounds = (self.small(from_bytes(picture)) for picture in (day_background, night_background))
        day, trust = self.translate_with_trust(from_bytes(frames), *backgrounds)
        assert trust is not None
        return to_bytes(day), to_bytes(trust)

    def translate(
        self, rgb: Tensor, day_background: Tensor | None = None, night_background: Tensor | None = None
    ) -> Tensor:
        """Float (N, 3, H, W) RGB in [0, 1] → the same shape; may leave the range a little, which ``to_bytes`` clips.

        The backgrounds are those of ``NightToDay.see`` at ``size``.
        """
        return self.translate_with_trust(rgb, day_background, night_background)[0]

    def translate_with_trust(
        self, rgb: Tensor, day_background: Tensor | None = None, night_background: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """As ``translate``, and trust at ``size`` where the model has ``backgrounds``."""
        small, cells = self.shrink(rgb)
        day, trust = self.model.translate_with_trust(small, day_background, night_background)
        return self.lift(rgb, cells, day), trust

    def small(self, background: Tensor) -> Tensor:
        """A background, float (N, 3, H, W) in [0, 1], at ``size``; itself where it has that size."""
        return background if background.shape[-2:] == self.size else self.shrink(background)[0]

    def shrink(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """What is translated, and what the lift needs to know of the night.

        Args:
            rgb: float (N, 3, H, W) in [0, 1].

        Returns:
            float32 (N, 3, h, w), and (N, 2, h, w): its luma and the luma's variance within each cell.
        """
        with torch.autocast(rgb.device.type, enabled=False):
            rgb = rgb.float()
            cell = self._cell(rgb)
            grow = (0, -int(rgb.shape[-1]) % cell, 0, -int(rgb.shape[-2]) % cell)
            if any(grow):
                rgb = F.pad(rgb, grow, mode="replicate")
            small = _means(rgb, cell)
            spread = (_means(self._luma(rgb).square(), cell) - self._luma(small).square()).clamp_min(0)
            if small.shape[-2:] != self.size:
                small, spread = (
                    F.interpolate(x, size=self.size, mode="bilinear", antialias=False)
                    for x in (small, spread)
                )
            return small, torch.cat((self._luma(small), spread), dim=1)

    def lift(self, rgb: Tensor, cells: Tensor, day: Tensor) -> Tensor:
        """The day of ``size`` with the large night's detail.

        Args:
            rgb: the night, float (N, 3, H, W) in [0, 1].
            cells: luma and variance of the night's cells, see ``shrink``.
            day: float (N, 3, h, w) in [0, 1].

        Returns:
            float32 (N, 3, H, W).
        """
        with torch.autocast(rgb.device.type, enabled=False):
            height, width = int(rgb.shape[-2]), int(rgb.shape[-1])
            cell = self._cell(rgb)
            line = self.line(cells, day.float())
            large = (height + -height % cell, width + -width % cell)  # up to the end of the last cells
            line = F.interpolate(line, size=large, mode="bilinear", antialias=False)
            if large != (height, width):  # OpenVINO copies even where nothing is cut off
                line = line[..., :height, :width]
            return line[:, :1] * self._luma(rgb.float()) + line[:, 1:]

    def line(self, cells: Tensor, day: Tensor) -> Tensor:
        """a and b of day ≈ a·luma + b around each pixel: float32 (N, 2, h, w), (N, 3, h, w) → (N, 4, h, w)."""
        night, spread = cells[:, :1], cells[:, 1:]
        grey = self._luma(day)
        means = _box(torch.cat((day, night, night.square(), grey.square(), night * grey, spread), dim=1))
        blurred, m, m2, g2, mg = means[:, :3], means[:, 3:4], means[:, 4:5], means[:, 5:6], means[:, 6:7]
        g = self._luma(blurred)
        covariance = mg - m * g
        v_night, v_day = (m2 - m.square()).clamp_min(0), (g2 - g.square()).clamp_min(0)
        # Least squares, with a made smaller by lamps that are smaller than a cell ...
        lamp = (_maximum(spread, 1) - LAMP_RATIO * _maximum(v_night, 1)).clamp_min(0)
        a = covariance / (v_night + lamp + MIN_VARIANCE)
        # ... by what is not correlated with the day, as glare and the night's own shadows are not ...
        a = a * covariance.abs() / (v_night * v_day + 1e-12).sqrt()
        # ... and by noise, so that no more than MAX_NOISE is let through.
        noise = -_maximum(-means[:, 7:], NOISE_REACH)
        a = _box(a / (1 + a.square() * noise / MAX_NOISE**2).sqrt())
        return torch.cat((a, day + SHARPEN * (day - blurred) - a * night), dim=1)

    def _cell(self, rgb: Tensor) -> int:
        """The side of the cells, pixels."""
        return max(1, min(round(int(rgb.shape[-2]) / self.size[0]), round(int(rgb.shape[-1]) / self.size[1])))

    def _luma(self, rgb: Tensor) -> Tensor:
        return (rgb * self.grey).sum(1, keepdim=True)


def _means(x: Tensor, cell: int) -> Tensor:
    """Means over cells, (N, C, H, W) → (N, C, H / cell, W / cell). Pooling takes OpenVINO three times as long."""
    x = torch.unflatten(x, 2, (int(x.shape[2]) // cell, cell)).mean(3)
    return torch.unflatten(x, 3, (int(x.shape[3]) // cell, cell)).mean(4)


def _box(x: Tensor) -> Tensor:
    """Means over 3×3 pixels, over fewer at the border."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _maximum(x: Tensor, reach: int) -> Tensor:
    """Maxima over squares that reach so many pixels to each side."""
    side = 2 * reach + 1
    x = F.max_pool2d(x, (side, 1), stride=1, padding=(reach, 0))
    return F.max_pool2d(x, (1, side), stride=1, padding=(0, reach))


def module_for(model: NightToDay, height: int, width: int) -> NightToDay | Lifted:
    """What translates frames of a size: ``model`` itself, or, for large ones, ``Lifted``.

    Frames are lifted if their shorter side is over 400 pixels and at least one and a half times the model's ``side``.
    They are translated at 1/k of their size for a whole k if that comes near to ``side``, else with ``side`` as their
    shorter side.
    """
    side = model.side or SIDE
    shorter = min(height, width)
    if shorter <= NOT_LIFTED or shorter < 1.5 * side:
        return model
    cell = round(shorter / side)
    size = (-(-height // cell), -(-width // cell))
    if not side / SIZE_TOLERANCE <= min(size) <= side * SIZE_TOLERANCE:
        size = (round(height * side / shorter), round(width * side / shorter))
    return Lifted(model, size)


def translation_size(model: NightToDay, height: int, width: int) -> tuple[int, int]:
    """The size at which frames of a size are translated: smaller where they are lifted."""
    module = module_for(model, height, width)
    return module.size if isinstance(module, Lifted) else (height, width)
