"""The TensorRT backend on a machine without a GPU: TensorRT's runtime and CUDA's streams are stand-ins.

That whole graphs convert is shown by ``tests/trt``; what they give on a GPU by the test at the end, on a GPU.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nightday.engines import EngineError, load_engine
from nightday.engines.backends.base import Engine, EngineSpec
from nightday.engines.backends.tensorrt import engine as tensorrt
from nightday.engines.backends.tensorrt import int8
from nightday.engines.backends.tensorrt.engine import TensorRtEngine, installed
from nightday.engines.backends.tensorrt.plan import Plan, PlanError
from nightday.engines.cache.engine_cache import EngineCache
from nightday.engines.choices import Precision
from nightday.engines.model import lift
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings

MODEL = Path(__file__).parents[4] / "weights" / "a1_barnet.pt"
TINY = GeneratorSettings(blocks=1, width=4)


class FakeContext:
    """Reads and writes the memory that it was told, as TensorRT does: the negative of what lies at its input.

    A second output is a copy of the last input.
    """

    def __init__(self, engine: FakeEngine, config: Any) -> None:
        self.engine, self.config = engine, config
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.scratch = (0, 0)

    def set_device_memory(self, address: int, size: int) -> None:
        self.scratch = (address, size)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        assert name.startswith("in")
        self.shapes[name] = shape

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes["in"]

    def floats(self, name: str, like: str) -> Any:
        count = int(np.prod(self.shapes[like]))
        return np.ctypeslib.as_array((ctypes.c_float * count).from_address(self.addresses[name]))

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        assert self.scratch[1] >= self.engine.device_memory_size_v2
        with self.engine.runs:
            self.engine.batches.append(self.shape[0])
        np.subtract(255, self.floats("in", "in"), out=self.floats("out", "in"))
        if "out trust" in self.addresses:
            self.floats("out trust", "in night")[:] = self.floats("in night", "in night").round()
        return not self.engine.broken


class FakeEngine:
    device_memory_size_v2 = 1000

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.num_io_tensors = len(names)
        self.contexts: list[FakeContext] = []
        self.batches: list[int] = []
        self.broken = False
        self.runs = threading.Lock()

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> str:
        return name.split()[0]

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(set_execution_context_allocation_strategy=lambda strategy: None)

    def create_execution_context(self, config: Any) -> FakeContext:
        self.contexts.append(FakeContext(self, config))
        return self.contexts[-1]


WITH_BACKGROUNDS = ("in", "in day", "in night", "out", "out trust")


def fake_trt(*, rtx: bool = False, names: tuple[str, ...] = ("out", "in")) -> Any:
    """A ``tensorrt`` module whose runtime takes whatever does not begin with "torn"."""
    engines: list[FakeEngine] = []

    def deserialise(data: bytes) -> FakeEngine | None:
        if data.startswith(b"torn"):
            return None
        engines.append(FakeEngine(names))
        return engines[-1]

    module = SimpleNamespace(
        __version__="0.0",
        engines=engines,
        Logger=type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None}),
        TensorIOMode=SimpleNamespace(INPUT="in"),
        Runtime=lambda logger: SimpleNamespace(deserialize_cuda_engine=deserialise),
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="user managed"),
    )
    if rtx:
        module.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
    return module


class Captures:
    """CUDA's streams and graphs on the CPU: a graph's replay calls again what was called while it was captured."""

    fail = False

    def __init__(self) -> None:
        self.replayed = 0
        self.graphs: list[Any] = []

    def new(self) -> Any:
        graph = SimpleNamespace(replay=self._replay)
        self.graphs.append(graph)
        return graph

    def _replay(self) -> None:
        self.replayed += 1

    @contextmanager
    def graph(self, graph: Any, *, stream: Any, capture_error_mode: str) -> Any:
        assert capture_error_mode == "thread_local"
        if self.fail:
            raise RuntimeError("operation not permitted when stream is capturing\nand a page more")
        yield


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Captures:
    captures = Captures()
    stream = SimpleNamespace(cuda_stream=7, synchronize=lambda: None, wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", captures.new)
    monkeypatch.setattr(torch.cuda, "graph", captures.graph)
    return captures


def plan_of(trt: Any, *, max_batch: int = 4, size: tuple[int, int] = (16, 20)) -> Plan:
    return Plan(trt, b"plan", takes=[size], gives=[size], max_batch=max_batch, device=torch.device("cpu"))


def random_frames(count: int, size: tuple[int, int] = (16, 20)) -> torch.Tensor:
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8)


@pytest.mark.parametrize("rtx", [False, True])
def test_each_batch_size_has_its_own_context_and_all_share_their_scratch(
    captures: Captures, rtx: bool
) -> None:
    captures.fail = True  # without graphs, each call runs
    trt = fake_trt(rtx=rtx)
    plan = plan_of(trt)
    for count in (1, 3, 4, 3, 1):
        frames = random_frames(count)
        (day,) = plan(frames)
        assert day.dtype == torch.uint8
        assert torch.equal(day, 255 - frames)
        kept = day.clone()
        plan(random_frames(count))  # a later call must not write into an earlier result
        assert torch.equal(day, kept)
    (engine,) = trt.engines
    assert sorted(context.shape[0] for context in engine.contexts) == [1, 3, 4]
    assert len({context.scratch for context in engine.contexts}) == 1
    if rtx:  # else a captured graph would hold kernels that are exchanged later
        strategies = {c.config.dynamic_shapes_kernel_specialization_strategy for c in engine.contexts}
        assert strategies == {"eager"}


def test_a_batch_size_is_captured_once_after_a_run_and_then_replayed(captures: Captures) -> None:
    trt = fake_trt()
    plan = plan_of(trt)
    plan.warm_up()
    assert sorted(trt.engines[0].batches) == [1, 1, 4, 4]  # run, then captured
    assert captures.replayed == 2
    for _ in range(3):
        plan(random_frames(4))
    assert sorted(trt.engines[0].batches) == [1, 1, 4, 4]
    assert captures.replayed == 5
    assert len(captures.graphs) == 2


def test_what_cannot_be_captured_runs_without_a_graph_and_says_so(
    captures: Captures, caplog: pytest.LogCaptureFixture
) -> None:
    captures.fail = True
    plan = plan_of(fake_trt())
    frames = random_frames(2)
    assert torch.equal(plan(frames)[0], 255 - frames)
    assert "batches of 2 run without a CUDA graph: operation not permitted" in caplog.text
    assert "page more" not in caplog.text


def test_a_failing_run_and_a_refused_plan_are_errors(captures: Captures) -> None:
    captures.fail = True
    trt = fake_trt()
    plan = plan_of(trt)
    trt.engines[0].broken = True
    with pytest.raises(RuntimeError, match="TensorRT failed to run"):
        plan(random_frames(1))
    with pytest.raises(PlanError, match=r"TensorRT 0\.0 refuses a plan of 9 bytes"):
        Plan(trt, b"torn plan", takes=[(16, 20)], gives=[(16, 20)], max_batch=2, device=torch.device("cpu"))


def test_calls_from_many_threads_get_their_own_results(captures: Captures) -> None:
    captures.fail = True
    plan = plan_of(fake_trt())
    wrong: list[int] = []

    def call(number: int) -> None:
        for _ in range(20):
            frames = random_frames(1 + number % 4)
            if not torch.equal(plan(frames)[0], 255 - frames):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.fixture
def built(captures: Captures, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The engine on the stand-ins; gives the list of what was built."""
    captures.fail = True
    trt, done = fake_trt(), []

    def build(
        model: NightToDay, *, size: tuple[int, int], max_batch: int, precision: str, ranges: Sequence[float]
    ) -> bytes:
        done.append((size, max_batch, precision, *ranges))
        return b"plan"

    monkeypatch.setattr(tensorrt, "build", build)
    monkeypatch.setattr(tensorrt, "installed", lambda: ("torch-tensorrt", "2.13.0"))
    monkeypatch.setattr(tensorrt, "importlib", SimpleNamespace(import_module=lambda name: trt))
    monkeypatch.setattr(tensorrt, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(tensorrt, "gpu", lambda: ("a GPU 9.0", "580.1"))
    return done


def engine_of(model: NightToDay | None = None, **arguments: Any) -> TensorRtEngine:
    arguments = {"name": "tiny.pt", "precision": "auto", "max_batch": 3, **arguments}
    return TensorRtEngine(model or NightToDay(TINY), **arguments)


def test_any_size_and_batch(built: list[tuple[Any, ...]]) -> None:
    engine = engine_of()
    assert (engine.info.backend, engine.info.precision, engine.info.model) == ("tensorrt", "fp16", "tiny.pt")
    rng = np.random.default_rng()
    for shape in ((1, 16, 20, 3), (3, 16, 20, 3), (7, 16, 20, 3), (2, 17, 33, 3)):  # 7 is more than max_batch
        frames = rng.integers(0, 256, shape, dtype=np.uint8)
        day = engine(frames)
        assert day.dtype == np.uint8
        np.testing.assert_array_equal(day, 255 - frames)
    view = rng.integers(0, 256, (1, 16, 40, 3), dtype=np.uint8)[:, ::-1, ::2]
    np.testing.assert_array_equal(engine(view), 255 - view)
    assert built == [((16, 20), 3, "fp16"), ((17, 33), 3, "fp16")]
    with pytest.raises(ValueError, match="expected uint8"):
        engine(np.zeros((1, 16, 20, 4), np.uint8))


def test_backgrounds_and_trust_are_further_edges_of_the_size_of_the_translation(
    built: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = fake_trt(names=WITH_BACKGROUNDS)
    monkeypatch.setattr(tensorrt, "importlib", SimpleNamespace(import_module=lambda name: trt))
    engine = engine_of(NightToDay(replace(TINY, backgrounds=True)))
    assert engine.needs_backgrounds
    rng = np.random.default_rng()
    for shape in ((5, 16, 20, 3), (2, 433, 500, 3)):  # the second is lifted
        frames, day, night = (rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(3))
        night[:] = night[:, :1, :1]  # so that it is the same of any size
        made = engine.translate(frames, day, night)
        np.testing.assert_array_equal(made.day, 255 - frames)
        assert made.trust is not None
        inner = lift.translation_size(NightToDay(TINY), *shape[1:3])
        assert made.trust.shape == (shape[0], *inner, 3)
        assert (inner < shape[1:3]) == (shape[1] > 400)
        np.testing.assert_array_equal(made.trust, np.broadcast_to(night[:, :1, :1], made.trust.shape))
    with pytest.raises(ValueError, match="night_background: missing"):
        engine(frames, day)


def test_prepare_builds_once_and_the_size_unused_for_longest_goes(built: list[tuple[Any, ...]]) -> None:
    engine = engine_of()
    assert not engine.prepared(16, 20)
    engine.prepare(16, 20)
    engine.prepare(16, 20)
    assert engine.prepared(16, 20)
    assert len(built) == 1
    for height in range(17, 17 + tensorrt.KEPT_SIZES - 1):
        engine.prepare(height, 20)
    engine(np.zeros((1, 16, 20, 3), np.uint8))  # the oldest is used again
    engine.prepare(99, 20)
    assert engine.prepared(16, 20)
    assert not engine.prepared(17, 20)


def test_an_engine_is_built_once_for_its_weights_size_batch_and_precision(
    built: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EngineCache(tmp_path / "engines")
    model = NightToDay(TINY)
    engine_of(model, cache=cache).prepare(16, 20)
    engine_of(model, cache=cache).prepare(16, 20)
    assert len(built) == 1
    others: list[Callable[[], TensorRtEngine]] = [
        lambda: engine_of(model, cache=cache, max_batch=2),
        lambda: engine_of(model, cache=cache, precision="fp32"),
        lambda: engine_of(NightToDay(TINY), cache=cache),
    ]
    for number, other in enumerate(others):
        other().prepare(16, 20)
        assert len(built) == 2 + number
    engine_of(model, cache=cache).prepare(18, 20)
    monkeypatch.setattr(tensorrt, "gpu", lambda: ("a GPU 9.0", "590.2"))
    engine_of(model, cache=cache).prepare(16, 20)
    assert len(built) == 6


def test_int8_takes_its_ranges_once_and_is_built_again_for_other_frames(
    built: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EngineCache(tmp_path / "engines")
    model = NightToDay(TINY)
    taken: list[Any] = []

    def ranges(model: NightToDay, frames: Sequence[Any], backgrounds: Sequence[Any]) -> list[float]:
        taken.append(frames)
        return [len(taken) + 0.5]

    monkeypatch.setattr(int8, "ranges", ranges)
    frames, others = (list(random_frames(2, (24, 32)).numpy()) for _ in "ab")

    def engine(precision: Precision, calibration: Sequence[Any]) -> Engine:
        order = EngineSpec(
            model=model,
            name="tiny.pt",
            precision=precision,
            cache=cache,
            calibration=calibration,
            max_batch=3,
        )
        return tensorrt.make(order)

    first = engine("int8", frames)
    assert first.info.precision == "int8"
    first.prepare(16, 20)
    first.prepare(18, 20)
    assert built == [((16, 20), 3, "int8", 1.5), ((18, 20), 3, "int8", 1.5)]
    engine("int8", frames).prepare(16, 20)  # from the cache: nothing is measured either
    assert (len(built), len(taken)) == (2, 1)
    engine("int8", others).prepare(16, 20)
    assert built[2:] == [((16, 20), 3, "int8", 2.5)]
    assert taken == [frames, others]
    engine("fp16", frames).prepare(16, 20)
    engine("fp16", others).prepare(16, 20)
    assert built[3:] == [((16, 20), 3, "fp16")]


def test_int8_wants_night_frames_and_a_tensorrt_that_takes_it(
    built: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = list(random_frames(1).numpy())
    with pytest.raises(
        EngineError, match=r"^precision int8: needs night frames to take ranges from; give cal"
    ):
        engine_of(precision="int8")
    assert tensorrt.precisions() == ("int8", "fp16", "fp32")

    monkeypatch.setattr(tensorrt, "installed", lambda: ("torch-tensorrt-rtx", "2.13.0"))
    rtx = fake_trt(rtx=True)
    monkeypatch.setattr(f"{tensorrt.__name__}.importlib.import_module", lambda name: rtx)
    for version, takes_it in (("1.5.0.114", False), ("1.6.1.120", False), ("1.7.1.116", True), ("2.0", True)):
        rtx.__version__ = version
        assert tensorrt.precisions() == ("int8", "fp16", "fp32")[not takes_it :]
        if takes_it:
            assert engine_of(precision="int8", calibration=frames).info.precision == "int8"
            continue
        with pytest.raises(EngineError) as caught:
            engine_of(precision="int8", calibration=frames)
        assert str(caught.value) == (
            f"precision int8: TensorRT-RTX {version} takes no int8 convolutions, 1.7 does; pip install --no-deps "
            "'tensorrt-rtx-cu13==1.7.*' 'tensorrt-rtx-cu13-bindings==1.7.*' 'tensorrt-rtx-cu13-libs==1.7.*', "
            "or use fp16"
        )

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(f"{tensorrt.__name__}.importlib.import_module", missing)
    assert tensorrt.precisions() == (
        "int8",
        "fp16",
        "fp32",
    )  # making one says what is missing


def test_a_plan_that_tensorrt_refuses_names_its_folder(
    built: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt, "build", lambda *a, **k: b"torn")
    with pytest.raises(
        EngineError, match=r"backend tensorrt: TensorRT 0\.0 refuses a plan.*; delete /"
    ) as caught:
        engine_of(cache=EngineCache(tmp_path / "engines")).prepare(16, 20)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(EngineError, match="; use eager"):
        engine_of().prepare(16, 20)


def test_what_is_missing_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        EngineError, match=r"^backend tensorrt: there is no NVIDIA GPU here; use openvino or eager$"
    ):
        load_engine(MODEL, "tensorrt")
    with pytest.raises(EngineError, match=r"^precision bf16: tensorrt runs int8, fp16, fp32$"):
        TensorRtEngine(NightToDay(TINY), name="x", precision="bf16")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    found: dict[str, str] = {}

    def version(package: str) -> str:
        if package not in found:
            raise PackageNotFoundError(package)
        return found[package]

    monkeypatch.setattr(f"{tensorrt.__name__}.metadata.version", version)
    with pytest.raises(EngineError, match=r"not installed; pip install 'torch-tensorrt==2\.13\.\*'$"):
        installed()
    found["torch-tensorrt"] = "2.12.1"
    with pytest.raises(
        EngineError, match=r"torch-tensorrt 2\.12\.1 was made for another torch than 2\.13\.0\+cu130"
    ):
        installed()
    found["torch-tensorrt"] = "2.13.1"
    assert installed() == ("torch-tensorrt", "2.13.1")
    found["torch-tensorrt-rtx"] = "2.13.0"
    assert installed() == ("torch-tensorrt-rtx", "2.13.0")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_on_a_gpu_it_agrees_with_eager(tmp_path: Path) -> None:
    rng = np.random.default_rng()
    frames = rng.integers(0, 80, (5, 18, 22, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    want = load_engine(MODEL, "eager", "fp32")(frames).astype(float)
    cache = EngineCache(tmp_path / "engines")
    from nightday.engines.model.checkpoint import load_checkpoint

    bars = [("fp32", 50), ("fp16", 40), ("fp16", 40)]  # the last from the cache
    if "int8" in tensorrt.precisions():
        bars += [("int8", 32)] * 2
    for precision, bar in bars:
        model, calibration = load_checkpoint(MODEL), list(frames[:2])
        engine = TensorRtEngine(
            model, name="m", precision=precision, max_batch=4, cache=cache, calibration=calibration
        )
        for count in (5, 1, 3, 1):
            error = np.square(engine(frames[:count]) - want[:count]).mean()
            assert 10 * np.log10(255**2 / max(error, 1e-9)) > bar
