"""YAML read so that every value knows its line, for messages a user can act on.

Nothing is constructed but text, numbers, truth values, lists and mappings, whatever tags a document bears, and
``${NAME}`` is filled in from the environment on the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..core.camera_url import VARIABLE, with_variables
from ..core.state_folder import secrets_folder
from .wrong_shapes import layout_fault

KeyPath = tuple[str | int, ...]
"""Where a value is: ``("cameras", 0, "url")``."""

# Bytes of a file. A camera takes about 300.
LARGEST = 256 * 1024
# Levels of lists and mappings. PyYAML takes seconds for a few thousand.
DEEPEST = 64
# Values of a document, those of an alias counted each time it is used: a few lines of YAML can stand for billions.
MOST_NODES = 50_000
_VARIABLE = re.compile(r"\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")}
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written.

    Attributes:
        line: line in the file from 1, or None for one from ``--set``.
        path: its path there; that of a default differs from its path in the result.
        written: a scalar's text before ``${…}`` was filled in; None for lists and mappings.
        variables: names and values that were filled in.
    """

    line: int | None
    path: KeyPath
    written: str | None = None
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong.

    Attributes:
        line: line in the file from 1, or None if a ``--set`` is wrong.
        path: the path of the value that is wrong; empty for the whole file.
        message: what is wrong and the way out, on one line.
        wants_example: whether the file has a shape so different that the user is shown how one looks.
    """

    line: int | None
    path: KeyPath
    message: str
    wants_example: bool = False


@dataclass(slots=True)
class Document:
    """A document's values as plain Python, with the place of each by its path, and what is wrong with it."""

    root: Any = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def shown(path: KeyPath) -> str:
    """``cameras[0].url`` for ``("cameras", 0, "url")``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read_yaml(data: bytes | str, environment: Mapping[str, str]) -> Document:
    """Read one YAML document; whatever ``data`` is, the outcome is a document with its faults listed."""
    return _Reader(environment, from_option=False).read(data)


def read_value(text: str, environment: Mapping[str, str]) -> Document:
    """Read the value of a ``--set``: a scalar as it stands, or YAML where it begins with one of ``[ { " '``."""
    reader = _Reader(environment, from_option=True)
    if text[:1] in "[{\"'" and text:
        return reader.read(text)
    loader = yaml.SafeLoader("")
    resolve: Callable[..., str] = loader.resolve
    return reader.convert(loader, yaml.ScalarNode(resolve(yaml.ScalarNode, text, (True, False)), text))


def put_document(document: Document, path: KeyPath, value: Document) -> None:
    """Put the root of ``value`` at ``path`` in ``document``, whose parents must be there."""
    holder = document.root
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value.root
    for old in [key for key in document.places if key[: len(path)] == path]:
        del document.places[old]
    for key, place in value.places.items():
        document.places[path + key] = Place(None, path + key, place.written, place.variables)
    document.faults += [Fault(None, path + fault.path, fault.message) for fault in value.faults]


class _Loader(yaml.SafeLoader):
    """Refuses deep nesting while it scans: at every token PyYAML looks through all levels that are open."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        self._look_at_depth()
        super().fetch_flow_collection_start(token)

    def add_indent(self, column: int) -> bool:
        self._look_at_depth()
        return super().add_indent(column)

    def _look_at_depth(self) -> None:
        if self.flow_level + len(self.indents) >= DEEPEST:
            raise yaml.scanner.ScannerError(None, None, "nested too deeply", self.get_mark())


class _Reader:
    """Turns one document's nodes into values."""

    def __init__(self, environment: Mapping[str, str], *, from_option: bool) -> None:
        self._environment = environment
        self._from_option = from_option
        self._nodes = 0
        self._document = Document()

    def read(self, data: bytes | str) -> Document:
        if len(data) > LARGEST:
            return self._only_fault(None, f"larger than {LARGEST // 1024} KiB; this is no list of cameras")
        try:
            loader = _Loader(data)
            node = loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            layout = layout_fault(error)
            if layout is not None:
                return self._only_fault(mark, f"not YAML: {layout}", wants_example=True)
            problem = " ".join((error.problem or error.context or "cannot be parsed").split())
            return self._only_fault(mark, f"not YAML: {problem}")
        except yaml.YAMLError as error:
            return self._only_fault(None, f"not YAML: {' '.join(str(error).split())[:120]}")
        except RecursionError:
            return self._only_fault(None, "not YAML that can be read: nested too deeply")
        except (ValueError, LookupError, ArithmeticError) as error:  # PyYAML lets these out on odd escapes
            return self._only_fault(None, f"not YAML: {' '.join(str(error).split())[:120]}")
        if node is None:
            message = "empty; it needs at least `cameras:` with one camera"
            return self._only_fault(None, message, wants_example=True)
        return self.convert(loader, node)

    def convert(self, loader: yaml.SafeLoader, node: yaml.Node) -> Document:
        self._loader = loader
        try:
            self._document.root = self._value(node, (), self._line(node), ())
        except _TooManyError:
            return self._only_fault(
                node.start_mark, f"more than {MOST_NODES} values, aliases counted as used"
            )
        except RecursionError:
            return self._only_fault(node.start_mark, "nested too deeply")
        return self._document

    def _only_fault(self, mark: yaml.Mark | None, message: str, *, wants_example: bool = False) -> Document:
        line = 1 if mark is None else mark.line + 1
        if self._from_option:
            return Document(faults=[Fault(None, (), message)])
        return Document(faults=[Fault(line, (), message, wants_example)])

    def _line(self, node: yaml.Node) -> int | None:
        return None if self._from_option or node.start_mark is None else node.start_mark.line + 1

    def _fault(self, line: int | None, path: KeyPath, message: str) -> None:
        self._document.faults.append(Fault(line, path, message))

    def _value(self, node: yaml.Node, path: KeyPath, line: int | None, above: tuple[int, ...]) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise _TooManyError
        if id(node) in above:
            self._fault(line, path, "an alias of itself")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path, line)
        self._document.places[path] = Place(line, path)
        above = (*above, id(node))
        if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
            return [
                self._value(item, (*path, index), self._line(item), above)
                for index, item in enumerate(node.value)
            ]
        if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
            return self._mapping(node, path, above)
        self._fault(line, path, f"tag {node.tag} is not understood")
        return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, above: tuple[int, ...]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        first_lines: dict[str, int | None] = {}
        for key_node, value_node in node.value:
            line = self._line(key_node)
            if key_node.tag == _MERGE:
                for source in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    value = self._value(source, path, line, above)
                    if isinstance(value, dict):
                        merged = {**value, **merged}
                    else:
                        self._fault(line, path, "<< takes a mapping or a list of mappings")
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(line, path, "a key must be a word, not a list or a mapping")
                continue
            key = str(key_node.value)
            if key in first_lines:
                self._fault(line, (*path, key), f"given twice, first on line {first_lines[key]}")
                continue
            first_lines[key] = line
            own[key] = self._value(value_node, (*path, key), line, above)
        return merged | own

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath, line: int | None) -> Any:
        if node.tag not in _SCALARS:
            self._fault(line, path, f"tag {node.tag} is not understood")
            return None
        text = str(node.value)
        variables: dict[str, str] = {}
        value: Any = text
        if "${" in text and node.tag.endswith(":str"):
            value = self._fill_in(text, path, line, variables)
        elif not node.tag.endswith((":str", ":timestamp")):
            try:
                value = self._loader.construct_object(node)
            except (ValueError, OverflowError, yaml.YAMLError):
                value = text
        self._document.places[path] = Place(line, path, text, tuple(variables.items()))
        return value

    def _fill_in(self, text: str, path: KeyPath, line: int | None, variables: dict[str, str]) -> str:
        values: list[str] = []

        def one(hit: re.Match[str]) -> str:
            name = hit[1]
            if not hit[0].endswith("}") or not _NAME.fullmatch(name):
                self._fault(line, path, f"{hit[0]} is no variable; write ${{NAME}}")
                return ""
            try:
                value = look_up(name, self._environment)
            except LookupError as error:
                self._fault(line, path, str(error.args[0]))
                return ""
            variables[name] = value
            values.append(value)
            return VARIABLE

        return with_variables(_VARIABLE.sub(one, text), values)


class _TooManyError(Exception):
    """The document stands for more values than any list of cameras."""


def look_up(name: str, environment: Mapping[str, str]) -> str:
    """Value of ``name`` in the environment, or else the text, less its last newline, of a file.

    The file is the one ``NAME_FILE`` points at, or systemd's credential of that name (``LoadCredential=NAME:…``), or
    what was kept of a camera that was added on the page.

    Raises LookupError with a one-line message that names what is missing.
    """
    if name in environment:
        return environment[name]
    file, what = environment.get(f"{name}_FILE"), f"{name}_FILE"
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    if file is None and credentials and Path(credentials, name).exists():
        file, what = str(Path(credentials, name)), "its systemd credential"
    if file is None and (secrets_folder() / name).is_file():
        file, what = str(secrets_folder() / name), "its file"
    if file is None:
        raise LookupError(f"${{{name}}} is not set; set {name}, or {name}_FILE to a file that holds it")
    try:
        with Path(file).open(encoding="utf-8") as stream:
            value = stream.read(LARGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise LookupError(f"${{{name}}}: {what} is {file}, which cannot be read: {reason}") from None
    return value.removesuffix("\n").removesuffix("\r")
