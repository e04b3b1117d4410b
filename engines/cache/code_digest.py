"""A digest of the code that makes a graph, whatever its comments say and wherever its files lie."""

from __future__ import annotations

import ast
import functools
import sys
from hashlib import sha256
from pathlib import Path

from torch import nn


def graph_digest(model: nn.Module, *sources: str) -> str:
    """A digest of the code of the modules that ``model`` is made of, and of further files (a backend's own).

    A module's class may name further ones as its ``SOURCES``. See ``code_digest``. Names of files and folders do not
    matter.
    """
    modules = {type(part).__module__ for part in model.modules()}
    files = {sys.modules[name].__file__ or "" for name in modules if not name.startswith("torch.")}
    more = {file for part in model.modules() for file in getattr(type(part), "SOURCES", ())}
    digests = sorted(_file_digest(Path(file)) for file in files | more | {*sources})
    return sha256("".join(digests).encode()).hexdigest()


def _file_digest(file: Path) -> str:
    """``code_digest`` of a module, and of a file in another language a digest of what it says."""
    content = file.read_bytes()
    return code_digest(content) if file.suffix == ".py" else sha256(content).hexdigest()


@functools.lru_cache(maxsize=64)
def code_digest(source: bytes) -> str:
    """sha256 of what Python code does.

    Comments, docstrings, formatting, the order of imports and the modules from which this project's own names are
    imported do not change it; any other change of the code does. It is the same with every version of Python.

    Args:
        source: of a module. Raises SyntaxError if it is none.
    """
    tree = ast.parse(source)
    imports = sorted(
        {
            line
            for node in tree.body
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for line in _imported(node)
        }
    )
    tree.body = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    return sha256("\n".join([*imports, _normalised(tree)]).encode()).hexdigest()


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """What an import binds, a line for each name; of this project's own names without the module they come from."""
    module = ""
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        module = "" if node.module.split(".")[0] == "nightday" else node.module
    return [f"import {module} {name.name} {name.asname or ''}" for name in node.names]


def _normalised(value: object) -> str:
    """A syntax tree as text, without docstrings and empty fields, of which each version of Python has its own."""
    if isinstance(value, (ast.Import, ast.ImportFrom)):
        return f"[{', '.join(sorted(_imported(value)))}]"
    if isinstance(value, ast.AST):
        fields = [
            (name, child) for name, child in ast.iter_fields(value) if child is not None and child != []
        ]
        return (
            f"{type(value).__name__}({', '.join(f'{name}={_normalised(child)}' for name, child in fields)})"
        )
    if isinstance(value, list):
        return f"[{', '.join(_normalised(child) for child in value if not _is_docstring(child))}]"
    return repr(value)


def _is_docstring(node: object) -> bool:
    """Whether a statement is a string and nothing else, as docstrings are."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
