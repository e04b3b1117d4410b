"""What ``nightday-train`` does once its arguments are understood: check, train, score, report."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType

import rich.progress
import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nightday.engines.detection.model_file import read_model
from nightday.engines.model.checkpoint import read_checkpoint
from nightday.engines.model.settings import COMPACT, LIGHT, PAPER

from . import processes
from .arguments import PROGRAM, Arguments
from .footage.checks import check_scene
from .footage.collected import TAKEN, load_collected
from .footage.even_sample import Progress
from .footage.finding import Finding
from .footage.scene import Scene, SceneError, brief, load_day, load_scene
from .objectives.vgg import Vgg16Features
from .progress import showing
from .report.page import write_report
from .run.settings import TrainSettings, from_options
from .run.step_log import LOG_EVERY, StepLog, read_log
from .run.trainer import Trainer, TrainingError
from .run.validation import Validator

log = logging.getLogger("nightday.train")

SIZES = {"light": LIGHT, "compact": COMPACT, "paper": PAPER}


def settings_of(arguments: Arguments) -> TrainSettings:
    """The settings of the run, worked out for this machine.

    Raises:
        ValueError: a value that makes no sense, or there is no such device; one line.
    """
    options = arguments.training
    generator = replace(SIZES[arguments.size], input=arguments.input)
    # Batch statistics of single unpaired crops are not those of whole nights: without pairs, as published.
    norm = arguments.norm or ("instance" if options.recipe == "dico" else generator.norm)
    device = arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: this PyTorch sees no CUDA device; use --device cpu")
    mixed = arguments.mixed
    if mixed is None:
        mixed = device == "cuda" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return from_options(
        options,
        generator=replace(generator, norm=norm),
        losses=arguments.loss,
        device=device,
        mixed=mixed,
    )


def run(arguments: Arguments, settings: TrainSettings) -> int:
    """Train as one of the processes; the exit status.

    Raises:
        TrainingError: training failed.
        NightdayError, OSError: something given cannot be used; one line.
    """
    with processes.joined(settings.device):
        _check_networks(settings)
        scene, folder = _scene(arguments)
        findings = check(scene, settings, force=arguments.force)
        folder.mkdir(parents=True, exist_ok=True)
        with _logged(folder / "train.log") if processes.rank() == 0 else nullcontext():
            others = _others(arguments)
            trainer = Trainer(scene, settings, folder, others=others)
            return _Session(arguments, trainer, findings).run()


def _scene(arguments: Arguments) -> tuple[Scene, Path]:
    """What to train on, and the folder of the run."""
    hold_back, background = arguments.hold_back, arguments.training.background
    with _reading(f"reading {arguments.scene or arguments.camera}") as passed:
        if arguments.cameras is not None and arguments.camera is not None:
            folder = arguments.out or Path("runs") / arguments.camera
            scene = load_collected(
                arguments.cameras,
                arguments.camera,
                folder,
                hold_back=hold_back,
                background=background,
                progress=passed,
            )
            return scene, folder
        assert arguments.scene is not None
        scene = load_scene(arguments.scene, hold_back=hold_back, background=background, progress=passed)
        return scene, arguments.out or Path("runs") / scene.name


def _others(arguments: Arguments) -> list[Scene]:
    """Other cameras' days. What could not be read of them is told."""
    others = []
    for path in arguments.others:
        with _reading(f"reading {path}") as passed:
            other = load_day(path, background=arguments.training.background, progress=passed)
        unread = [*other.passed_over, *([brief(other.left_out)] if other.left_out else [])]
        for text in unread if processes.rank() == 0 else ():
            print(f"{PROGRAM}: warning: {path}: {text}", file=sys.stderr)
        others.append(other)
    return others


@contextmanager
def _reading(what: str) -> Iterator[Progress]:
    """Shows how far reading is, where that takes long. Process 0 shows it."""
    if processes.rank() > 0:
        yield lambda _done, _of: None
        return
    with showing() as steps:
        steps.begin(what, at_once=False)
        yield steps.passed


def _check_networks(settings: TrainSettings) -> None:
    """Read what training needs beside the footage, and drop it again: it may be missing, and reading footage is slow.

    Raises:
        CheckpointError, VggWeightsError, DetectorError: it cannot be had.
    """
    if settings.start_from not in (None, "general"):
        read_checkpoint(settings.start_from)
    if settings.detector is not None:
        read_model(settings.detector)
    compares = settings.unpaired_start < settings.steps or settings.feature_weight > 0
    if settings.vgg != "orthogonal" and compares:
        Vgg16Features(settings.vgg)


def check(scene: Scene, settings: TrainSettings, *, force: bool) -> list[str]:
    """Print what is wrong with footage and settings, and give it as texts.

    Raises:
        SceneError: the footage must not be trained on.
    """
    unpaired = settings.recipe in ("dico", "paired+dico")
    findings = check_scene(scene, learns_nights=unpaired or settings.still_weight > 0)
    if unpaired and settings.vgg == "orthogonal":
        findings.append(
            Finding(
                False,
                "the features behind the paper's terms are random; ImageNet's tell cars from road "
                "(--vgg imagenet, or the path of such a file)",
            )
        )
    for finding in findings:
        if finding.refuse and not force:
            raise SceneError(f"{scene.name}: {finding.text} (--force trains anyway)")
        if processes.rank() == 0:
            print(f"{PROGRAM}: warning: {finding.text}", file=sys.stderr)
    return [finding.text for finding in findings]


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM go into a list."""
    received: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    previous = {s: signal.signal(s, on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _named(step: int) -> str:
    return f"the best, of step {step}" if step else "what it started from, since no step was better"


class _Session:
    """One run of the command, in process 0 with its console, its log and its scores."""

    def __init__(self, arguments: Arguments, trainer: Trainer, findings: list[str]) -> None:
        self.arguments, self.trainer, self.findings = arguments, trainer, findings
        self.resumed = trainer.resume()
        self.console = Console(quiet=processes.rank() > 0)
        self.validator: Validator | None = None
        if processes.rank() == 0:
            self.validator = Validator(
                trainer.scene, trainer.folder, step=trainer.step, patience=arguments.patience
            )

    def run(self) -> int:
        """Train and write the report; the exit status."""
        trainer, folder = self.trainer, self.trainer.folder
        steps = trainer.settings.steps
        self._introduce()
        log.info("start at step %d of %d, %s", trainer.step, steps, trainer.settings)
        if trainer.step == 0 and trainer.settings.start_from is not None:
            self._validate(0)  # so that the best is what it started from, unless training gains something
        try:
            stopped, seconds = self._train()
            report = None
            if self.validator is not None:
                with showing() as progress:
                    progress.begin("writing the report", at_once=False)
                    report = write_report(trainer, self.validator, seconds=seconds, findings=self.findings)
        except OSError as error:
            raise TrainingError(
                f"{folder}: {error}; free or correct it, then start the same command again"
            ) from None
        log.info("%s at step %d", "stopped" if stopped else "done", trainer.step)
        best = self.validator.best if self.validator else None
        self.console.print(
            f"{folder / 'model.pt'}: checkpoint of step {trainer.step}"
            + (f"; {folder / 'best.pt'}: {_named(best.step)}" if best else "")
        )
        self.console.print(f"{report}: whether it is fit to use, and why")
        if stopped:
            self.console.print("stopped; the same command goes on from here")
            return 130
        if trainer.step < steps:
            self.console.print(f"no gain since step {best.step if best else 0}: stopped early")
        return 0

    def _introduce(self) -> None:
        trainer, console = self.trainer, self.console
        scene, settings = trainer.scene, trainer.settings
        if self.resumed and self.arguments.cameras is not None:
            console.print(
                f"with the pictures it began with, in {trainer.folder / TAKEN}; use another --out for newer ones"
            )
        height, width = scene.background.shape[:2]
        parameters = sum(p.numel() for p in trainer.model.parameters())
        together = f" × {processes.count()}" if processes.count() > 1 else ""
        threads = torch.get_num_threads()
        console.print(
            f"{scene.name}: {len(scene.day)} day and {len(scene.night)} night pictures, {width}×{height}, "
            f"{len(scene.held_back)} of the day held back; {parameters / 1e6:.2f} M parameters on "
            f"{settings.device}{together} with {threads} thread{'s' if threads > 1 else ''}, recipe {settings.recipe}"
        )
        if self.resumed:
            console.print(f"going on from step {trainer.step}")

    def _train(self) -> tuple[bool, float]:
        """Run to the end, to a signal or until patience is lost.

        Returns whether a signal stopped it, and the seconds of training, those before it was resumed included.
        """
        trainer, console = self.trainer, self.console
        columns = (
            TextColumn("step"),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}"),
        )
        path = trainer.folder / "log.jsonl"
        before = next((line.get("seconds", 0.0) for line in reversed(read_log(path, trainer.step))), 0.0)
        with (
            _signals() as signals,
            path.open("a") if processes.rank() == 0 else open(os.devnull, "w") as file,
            rich.progress.Progress(*columns, console=console, refresh_per_second=2) as bar,
        ):
            lines = StepLog(file, seconds=float(before), step=trainer.step)
            task = bar.add_task("train", total=trainer.settings.steps, completed=trainer.step, terms="")

            def progress(step: int, terms: dict[str, float]) -> None:
                mean = lines.add(step, terms)
                if mean is not None:
                    bar.update(task, terms="  ".join(f"{n} {v:.3f}" for n, v in mean.items()))
                    early = step - lines.first <= LOG_EVERY
                    if not console.is_terminal and (early or step % (10 * LOG_EVERY) == 0):
                        console.print(f"step {step}: " + ", ".join(f"{n} {v:.4f}" for n, v in mean.items()))
                bar.update(task, completed=step)
                self._validate(step)

            def ended() -> bool:
                lost = self.validator is not None and self.validator.exhausted
                return processes.any_process(bool(signals) or lost, trainer.device)

            trainer.run(progress, ended)
            return bool(signals), lines.seconds

    def _validate(self, step: int) -> None:
        trainer, validator = self.trainer, self.validator
        due = step % self.arguments.validate_every == 0 or step == trainer.settings.steps
        if validator is None or not due:
            return
        now = validator(trainer.model, step, trainer.card())
        if not self.console.is_terminal:
            moving = "" if math.isnan(now.foreground) else f", foreground {now.foreground:.2f} dB"
            self.console.print(f"held back, step {step}: {now.whole:.2f} dB{moving}")
