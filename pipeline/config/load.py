"""Reads ``cameras.yaml``: every fault at once, each one line with its place and the way out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ..core.camera_url import redact
from .cross_checks import cross_faults
from .document_edits import (
    apply_override,
    expand_short_forms,
    fill_in_names,
    merge_defaults,
    register_variables,
)
from .errors import EXAMPLE, ConfigError
from .fields import CheckModel
from .messages import at_most, fault_at, fault_line, fault_order, known_keys, model_faults
from .schema import Config
from .wrong_shapes import format_fault, other_program, root_fault
from .yaml_document import LARGEST, Document, Fault, KeyPath, Place, read_yaml


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and where its values were written."""

    config: Config
    file: str
    places: Mapping[KeyPath, Place]

    def fault(self, path: KeyPath, message: str) -> str:
        """A fault found later, e.g. by an engine, as a line with the place of ``path``'s value."""
        return fault_line(self.file, fault_at(path, message, self.places))


def load_config(
    file: str | Path,
    *,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    check_model: CheckModel | None = None,
) -> LoadedConfig:
    """Read and validate a configuration. Neither PyTorch nor FFmpeg nor OpenCV is imported for it.

    Args:
        file: the YAML file; ``/dev/stdin`` will do.
        overrides: ``path.to.it=value`` each, e.g. ``cameras.gate.translate=never`` or ``engine.max_batch=4``;
            cameras go by name or by place, and no value at all means the default.
        environment: what fills in ``${NAME}``; the process's own by default.
        check_model: looks into each camera's checkpoint and says what is wrong with it; without it only
            whether the file is there is checked.

    Raises:
        ConfigError: with every fault there is.
    """
    name = str(file)
    document = read_document(file, overrides=overrides, environment=environment)
    known = {fault.path for fault in document.faults}
    faults = [*document.faults, *(fault for fault in cross_faults(document) if fault.path not in known)]
    config: Config | None = None
    try:
        config = Config.model_validate(document.root, context={"check_model": check_model})
    except ValidationError as error:
        faults += model_faults(error, document, known={fault.path for fault in faults})
    if faults or config is None:
        raise _error(name, faults)
    return LoadedConfig(config, name, document.places)


def read_document(
    file: str | Path, *, overrides: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Document:
    """Read a configuration without validating it, for whoever wants a value although others may be wrong.

    The document's root is a mapping, in which each camera has its defaults, ``${NAME}`` and ``{name}`` filled in.
    What was found wrong on the way is among the document's faults. The arguments are those of ``load_config``.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or is something else than a configuration.
    """
    environment = os.environ if environment is None else environment
    name = str(file)
    content = _content(name)
    document = read_yaml(content, environment)
    _refuse_other_files(name, content, document)
    for override in overrides:
        apply_override(document, override, environment)
    expand_short_forms(document)
    merged = merge_defaults(document, name)
    register_variables(merged)
    fill_in_names(merged)
    return merged


def _content(name: str) -> bytes:
    try:
        with open(name, "rb") as stream:
            return stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([f"{redact(name)}: cannot be read: {reason}"]) from None


def _refuse_other_files(name: str, content: bytes, document: Document) -> None:
    """Raise ConfigError with one fault where the file is no configuration of this program at all."""
    root = document.root
    if isinstance(root, dict):
        program = other_program(root, known_keys(()))
        if program is not None:
            raise _error(name, [fault_at(*program, document.places)], example=True)
        return
    form = format_fault(content)
    if form is not None:
        raise _error(name, [Fault(1, (), form)], example=True)
    if document.faults:
        raise _error(name, document.faults)
    raise _error(name, [Fault(1, (), root_fault(root))], example=True)


def _error(name: str, faults: Sequence[Fault], *, example: bool = False) -> ConfigError:
    lines = dict.fromkeys(fault_line(name, fault) for fault in sorted(faults, key=fault_order))
    example = example or any(fault.wants_example for fault in faults)
    return ConfigError(at_most(list(lines)), example=EXAMPLE if example else ())
