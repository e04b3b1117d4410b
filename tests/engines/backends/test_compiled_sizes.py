"""What is compiled for picture sizes is kept, one compilation at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from nightday.engines.backends.compiled_sizes import CompiledSizes, Size


class Compiler:
    def __init__(self) -> None:
        self.compiled: list[Size] = []

    def __call__(self, size: Size) -> str:
        self.compiled.append(size)
        return "x".join(map(str, size))


def test_the_size_unused_for_longest_is_dropped() -> None:
    compiler = Compiler()
    sizes = CompiledSizes(compiler, keep=2)
    assert (16, 20) not in sizes
    assert [sizes.get(size) for size in ((16, 20), (17, 20), (16, 20), (18, 20))] == [
        "16x20",
        "17x20",
        "16x20",
        "18x20",
    ]
    assert compiler.compiled == [(16, 20), (17, 20), (18, 20)]
    assert [size in sizes for size in ((16, 20), (17, 20), (18, 20))] == [True, False, True]


def test_one_size_is_compiled_once_for_all_threads_and_others_are_had_meanwhile() -> None:
    begun, go_on = threading.Event(), threading.Event()
    compiled: list[Size] = []

    def compile_size(size: Size) -> Size:
        compiled.append(size)
        if size == (2, 2):
            begun.set()
            assert go_on.wait(20)
        return size

    sizes = CompiledSizes(compile_size, keep=8)
    sizes.get((1, 1))
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(sizes.get, (2, 2)) for _ in range(4)]
        assert begun.wait(20)
        assert sizes.get((1, 1)) == (1, 1)
        assert (2, 2) not in sizes
        go_on.set()
        assert [one.result(20) for one in waiting] == [(2, 2)] * 4
    assert compiled == [(1, 1), (2, 2)]


def test_what_compiling_raises_is_raised_and_tried_again() -> None:
    broken = [True]

    def compile_size(size: Size) -> Size:
        if broken.pop():
            raise ArithmeticError("no kernel")
        return size

    broken.insert(0, False)
    sizes = CompiledSizes(compile_size, keep=8)
    with pytest.raises(ArithmeticError):
        sizes.get((1, 1))
    assert (1, 1) not in sizes
    assert sizes.get((1, 1)) == (1, 1)
