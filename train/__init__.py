"""The training method: losses, data, night simulation, trainer and evaluation."""

from train.elesim import elesim
from train.losses import DicoLosses, LossSettings, dico_losses

__all__ = ["DicoLosses", "LossSettings", "dico_losses", "elesim"]
