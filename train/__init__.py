"""The training method: losses, data, night simulation, trainer and evaluation."""

from .objectives.dico_losses import DicoLosses, dico_losses
from .objectives.loss_settings import LossSettings
from .objectives.elesim import elesim

__all__ = ["DicoLosses", "LossSettings", "dico_losses", "elesim"]
