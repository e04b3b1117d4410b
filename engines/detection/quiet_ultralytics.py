"""Imports ultralytics without changing the rest of the process."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
import threading
import warnings

import cv2
import numpy as np
import torch

_lock = threading.Lock()
_TELL = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def import_ultralytics() -> None:
    """Import ultralytics and undo what its import changes outside it. Raises ImportError where it is missing.

    The import of version 8.4.190 looks names up in the DNS, writes a settings file into the user's home, permits
    itself to install packages later, sets OMP_NUM_THREADS for child processes, switches OpenCV's threads off,
    replaces ``torch.save``, changes how arrays are printed, and logs to standard output beside the program's own
    logging. If the program has imported it before, all this is left as it is.
    """
    with _lock:
        if sys.modules.get("ultralytics") is not None:
            return
        environment = dict(os.environ)
        threads, save, printing = cv2.getNumThreads(), torch.save, np.get_printoptions()
        try:
            # It writes its settings wherever it is told to; nobody needs them.
            with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
                os.environ.update(_TELL, YOLO_CONFIG_DIR=folder)
                importlib.import_module("ultralytics")
        finally:
            for name in os.environ.keys() - environment.keys():
                del os.environ[name]
            os.environ.update(environment)
            cv2.setNumThreads(threads)
            torch.save = save
            np.set_printoptions(**printing)
        logger = logging.getLogger("ultralytics")
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.setLevel(logging.WARNING)
        logger.propagate = True
