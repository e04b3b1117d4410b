"""The training method: losses, data, night simulation, trainer and evaluation."""

from .objectives.dico_losses import DicoLosses, LossSettings, dico_losses
from .objectives.elesim import elesim

__all__ = ["DicoLosses", "LossSettings", "dico_losses", "elesim"]
