"""Settings of the paper's loss terms. Imports no torch, so that a command line can be made from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

Reading = Literal["A", "B", "C"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """Weights and choices of the paper's terms. The paper's own total (eq. 14) has every weight 1."""

    adversarial: float = 1.0
    """weight of L_adv (dico 1, paired+dico 1)"""

    background: Annotated[float, arg(name="l-back")] = 1.0
    """weight of L_back (dico 1, paired+dico 10)"""

    foreground: float = 1.0
    """weight of L_fore (dico 1, paired+dico 0.5)"""

    reading: Reading = "C"
    """how eq. 12 is read: A literally, B as PatchNCE on the foreground, C as B with negatives from the background"""

    temperature: float = 0.07
    """τ of eq. 12"""

    anchors: int = 256
    """the most anchors per layer; a quarter of the layer's positions if that is fewer"""

    centre: bool = False
    """subtract the anchors' mean feature before the contrast (dico no, paired+dico yes): without this all features
    after a ReLU point the same way"""

    softness: float = 0.0
    """κ of the soft background mask; 0 for the hard mask"""


def check_weight(name: str, value: float) -> None:
    """Raise ValueError for a weight that is negative, infinite or not a number."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}={value}: a weight must be finite and not below 0")
