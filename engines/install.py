"""How to install what is missing: the package is on no index, only in its checkout."""

INSTALL = "pip install -c requirements.lock -e .  (in the checkout)"
INSTALL_DETECT = INSTALL.replace("-e .", "-e '.[detect]'")
INSTALL_INT8 = INSTALL.replace("-e .", "-e '.[int8]'")
