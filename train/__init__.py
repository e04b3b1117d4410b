"""The training method: losses, data, night simulation, trainer and evaluation.

The names below bring in PyTorch, so they are imported when they are first asked for: the commands must answer
``--help`` without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .objectives.dico_losses import DicoLosses, dico_losses
    from .objectives.elesim import elesim
    from .objectives.loss_settings import LossSettings

__all__ = ["DicoLosses", "LossSettings", "dico_losses", "elesim"]

_MODULES = {
    "DicoLosses": ".objectives.dico_losses",
    "LossSettings": ".objectives.loss_settings",
    "dico_losses": ".objectives.dico_losses",
    "elesim": ".objectives.elesim",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
