"""What a compiled engine and a measured time depend on outside the model: processor, GPU, driver."""

from __future__ import annotations

import functools
import hashlib
import platform
import re
from pathlib import Path

import torch


@functools.cache
def cpu() -> str:
    """The processor's model, the widest vectors that PyTorch uses on it, and a hash of its flags.

    Virtual machines with the same model ("AMD EPYC") differ in their flags, and code compiled for a flag crashes
    where it is missing.
    """
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        info = ""
    name, flags = (
        found.group(1).strip() if (found := re.search(rf"^{what}\s*:(.*)$", info, re.MULTILINE)) else ""
        for what in ("model name", "(?:flags|Features)")
    )
    digest = hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:8]
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{name or platform.processor() or platform.machine()}, {capability}, {digest}"


@functools.cache
def gpu() -> tuple[str, str]:
    """Name and compute capability of the GPU that PyTorch uses, and the version of its driver."""
    major, minor = torch.cuda.get_device_capability()
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        text = ""
    found = re.search(r"\b\d{3}\.\d+(?:\.\d+)?\b", text)
    driver = found.group() if found else f"cuda {torch.version.cuda}"  # WSL and Jetson have no such file
    return f"{torch.cuda.get_device_name()}, {major}.{minor}", driver


def device_and_driver() -> tuple[str, str]:
    """``gpu()`` where PyTorch sees one, else ``cpu()`` and an empty driver."""
    return gpu() if torch.cuda.is_available() else (cpu(), "")
