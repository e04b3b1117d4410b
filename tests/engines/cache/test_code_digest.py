"""Which changes of a source make another graph, and which do not."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nightday.engines.backends.openvino import graphs
from nightday.engines.backends.tensorrt import export
from nightday.engines.cache.code_digest import code_digest, graph_digest
from nightday.engines.model import blocks, color_invariant, generator, lift
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import COMPACT, LIGHT

SOURCES = [
    Path(module.__file__ or "") for module in (blocks, color_invariant, generator, lift, graphs, export)
]


def digest(source: str) -> str:
    return code_digest(source.encode())


def formatted_otherwise(source: str) -> str:
    return ast.unparse(ast.parse(source))  # without comments, too


def with_comments(source: str) -> str:
    return re.sub(r"\n\n\n", "\n\n\n# Something else.\n", source) + "\n# The end.\n"


def with_other_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            node.body[0] = ast.Expr(ast.Constant(f"Reworded {random.random()}."))
    return ast.unparse(ast.fix_missing_locations(tree))


def moved(source: str) -> str:
    source = re.sub(
        r"^from \.+[\w.]* import", "from nightday.engines.elsewhere import", source, flags=re.MULTILINE
    )
    lines = source.split("\n")
    own = [i for i, line in enumerate(lines) if line.startswith("from nightday") and "(" not in line]
    for i, line in zip(own, sorted((lines[i] for i in own), reverse=True), strict=True):
        lines[i] = line
    return "\n".join(lines)


@pytest.mark.parametrize("change", [formatted_otherwise, with_comments, with_other_docstrings, moved])
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_words_and_places_do_not_count(path: Path, change: Callable[[str], str]) -> None:
    source = path.read_text()
    changed = change(source)
    assert changed != source or change is moved
    assert digest(changed) == digest(source)


class Changed(ast.NodeTransformer):
    """Changes the code at one place: a number, a name, an operator, or whether a statement is there."""

    def __init__(self, at: int) -> None:
        self.at, self.places = at, 0

    def _here(self) -> bool:
        self.places += 1
        return self.places - 1 == self.at

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, (int, float)) or not self._here():
            return node
        return ast.Constant(not node.value if node.value in (0, 1) else -node.value)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(node.id + "_", node.ctx) if self._here() else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not self._here():
            return node
        return ast.BinOp(node.left, ast.Sub() if isinstance(node.op, ast.Add) else ast.Add(), node.right)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        return ast.Pass() if self._here() else node


@pytest.mark.slow
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_change_of_code_counts(path: Path) -> None:
    source = path.read_text()
    counter = Changed(-1)
    counter.visit(ast.parse(source))
    seed = random.SystemRandom().randrange(2**31)
    print(f"{seed=}, {counter.places} places")
    for at in random.Random(seed).sample(range(counter.places), 60):
        changed = ast.unparse(ast.fix_missing_locations(Changed(at).visit(ast.parse(source))))
        assert digest(changed) != digest(source), f"place {at}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("import torch.fft as F", "import torch.nn.functional as F"),
        ("from torch import nn", "from torch import fx as nn"),
        ("from .a import b", "from .a import b as c"),
        ("def f():\n    return 1\n", "def f():\n    'return 2'\n"),
        ("x = 'a'", "x = 'b'"),
        ("x = 1", "x = 1.0"),
        ("x = True", "x = 1"),
    ],
)
def test_small_differences_that_count(one: str, other: str) -> None:
    assert digest(one) != digest(other)


def test_a_graph_is_all_the_code_that_makes_it(tmp_path: Path) -> None:
    model = NightToDay(LIGHT)
    backend = tmp_path / "backend.py"
    backend.write_text("a = 1")
    before = graph_digest(model, str(backend))
    assert before == graph_digest(NightToDay(LIGHT), str(backend))
    assert before == graph_digest(NightToDay(COMPACT), str(backend))  # whose classes lie in the same files
    assert before != graph_digest(model)
    moved = backend.rename(tmp_path / "a_file_that_sorts_before.py")
    assert before == graph_digest(model, str(moved))
    moved.write_text("a = 1  # as ever\n")
    assert before == graph_digest(model, str(moved))
    moved.write_text("a = 2")
    assert before != graph_digest(model, str(moved))
