"""Which functions and classes a test may use, found by following names from its code without running it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any


def reached(starts: list[Callable[..., Any]]) -> set[object]:
    """Everything that the code of ``starts`` names: what tests define is followed, the rest only collected.

    Args:
        starts: a test and its fixtures.

    Returns:
        Functions, classes and modules. A name that is only known at run time is not among them.
    """
    found: set[object] = set()
    waiting: list[object] = list(starts)
    while waiting:
        thing = waiting.pop()
        if thing in found:
            continue
        found.add(thing)
        waiting += _followed(thing)
    return found


# Tests share most of what they use.
@cache
def _followed(thing: object) -> list[object]:
    if not _is_of_tests(thing):
        return []
    named = [named for function in _functions(thing) for named in _named(function)]
    return [*named, *(thing.__bases__ if isinstance(thing, type) else ())]


def _is_of_tests(thing: object) -> bool:
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    return module is not None and "/tests/" in (getattr(module, "__file__", None) or "")


def _functions(thing: object) -> Iterator[FunctionType]:
    members = vars(thing).values() if isinstance(thing, type) else [thing]
    for member in members:
        inner = member.fget if isinstance(member, property) else getattr(member, "__wrapped__", member)
        function = getattr(inner, "__func__", inner)
        if isinstance(function, FunctionType):
            yield function


def _named(function: FunctionType) -> Iterator[object]:
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        if isinstance(value, FunctionType | type | ModuleType):
            yield value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
