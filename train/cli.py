"""``nightday-train``: one scene in, one checkpoint out."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nightday.engines.errors import CheckpointError, DetectorError
from nightday.engines.model.generator import COMPACT, LIGHT, PAPER

from . import processes
from .footage.checks import Finding, check_scene
from .footage.collected import TAKEN, load_collected
from .footage.scene import Scene, SceneError, load_day, load_scene
from .objectives.vgg import VggWeightsError
from .run.step_log import read_log
from .report.page import write_report
from .run.state import ResumeError
from .run.trainer import Trainer, TrainingError
from .run.settings import TrainSettings, default_settings
from .run.validation import HOLD_BACK, Validator

log = logging.getLogger("nightday.train")

SIZES = {"light": LIGHT, "compact": COMPACT, "paper": PAPER}
LOG_EVERY = 50  # steps averaged into one line of log.jsonl


class _DefaultsFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, TrainSettings]:
    """The command line as settings."""
    d = TrainSettings()
    parser = argparse.ArgumentParser(
        prog="nightday-train",
        description="Train a night-to-day model on one fixed camera.",
        epilog="Started again with the same arguments it goes on where it was stopped.",
        formatter_class=_DefaultsFormatter,
    )
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scene", type=Path, help="folder with day/, night/ and optionally background.png")
    source.add_argument(
        "--cameras",
        type=Path,
        metavar="FILE",
        help="configuration of nightday-stream, which collected pictures",
    )
    add("--camera", metavar="NAME", help="the camera in --cameras to train on")
    add("--out", type=Path, help="folder of the run (default: runs/NAME-OF-THE-SCENE or of the camera)")
    add("--recipe", choices=("paired", "blend", "dico", "paired+dico"), default=d.recipe, help="see README")
    add("--size", choices=tuple(SIZES), default="light", help="light needs no GPU; paper is the largest")
    add("--input", choices=("concat", "replace"), default=d.generator.input, help="RGB with ξ, or ξ alone")
    add(
        "--norm",
        choices=("instance", "batch"),
        help="default: batch for a light or compact model with pairs, else instance",
    )
    add(
        "--start-from",
        help="checkpoint whose weights to start with; weights/general.pt for --recipe blend --size light",
    )
    add(
        "--others",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="clips or folders of other cameras by day, to learn more moving things from",
    )
    add("--others-share", type=float, default=d.others_share, help="of the pairs, where there are --others")
    add("--detector", help="an ultralytics model that is to see more in the output (needs [detect])")
    add("--detector-weight", type=float, help="of its feature maps (2 with --detector)")
    add("--shade", type=float, help="powers of two by which a night's light may differ (blend 1.5, others 0)")
    add("--steps", type=_positive, default=d.steps, help="optimiser steps")
    add("--batch", type=_positive, default=d.batch, help="crops a step, of each kind")
    add("--crop", type=_positive, nargs=2, metavar=("H", "W"), default=list(d.crop), help="pixels")
    add("--flip", action=argparse.BooleanOptionalAction, default=d.flip, help="mirror half the crops")
    add("--learning-rate", type=float, help="default: 2e-4 for dico, else 1e-3")
    add("--unpaired-from", type=float, default=d.unpaired_from, help="share of the steps, for paired+dico")
    add("--paired", type=float, default=d.paired_weight, help="weight of the paired L1")
    add("--foreground-weight", type=float, help="of a moving pixel in the paired L1 (blend 10, paired 2)")
    add("--features", type=float, help="weight of the paired L1 of VGG features")
    add("--still", type=float, help="weight of x_ref on real nights where nothing moves (blend 5, others 0)")
    add(
        "--layers",
        type=float,
        help="weight of what is drawn and of its mask, each by itself (a ResNet's blend 3)",
    )
    add("--adversarial", type=float, help="weight of L_adv (dico 1, paired+dico 1)")
    add("--background", type=float, help="weight of L_back (dico 1, paired+dico 10)")
    add("--foreground", type=float, help="weight of L_fore (dico 1, paired+dico 0.5)")
    add("--reference", type=float, help="weight of the L1 to x_ref under the mask (dico 0, paired+dico 5)")
    add("--reading", choices=("A", "B", "C"), default=d.losses.reading, help="of eq. 12")
    add(
        "--centre",
        action=argparse.BooleanOptionalAction,
        help="centre the anchors' features before the contrast (dico no, paired+dico yes)",
    )
    add("--vgg", default=d.vgg, help="orthogonal (no file), imagenet (downloads), or a path to vgg16-*.pth")
    add("--seed", type=int, default=d.seed, help="of everything random")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add(
        "--mixed",
        action=argparse.BooleanOptionalAction,
        help="bfloat16 convolutions (default: yes on a GPU and on a CPU with AVX-512, elsewhere they are slower)",
    )
    add("--sample-every", type=_positive, default=d.sample_every, help="steps")
    add("--save-every", type=_positive, default=d.save_every, help="steps")
    add(
        "--hold-back",
        type=_share,
        default=HOLD_BACK,
        help="share of the day footage, from its end, that is not trained on but scored on",
    )
    add("--validate-every", type=_positive, default=250, help="steps between scores on the held-back day")
    add(
        "--patience",
        type=int,
        default=0,
        help="stop after so many validations without a gain; 0 trains to the end, since the learning rate falls "
        "in the second half and the last steps usually gain",
    )
    add("--force", action="store_true", help="train on footage that the checks refuse")
    args = parser.parse_args(argv)
    if (args.cameras is None) != (args.camera is None):
        parser.error("--cameras FILE and --camera NAME go together")
    generator = replace(SIZES[args.size], input=args.input)
    # Batch statistics of single unpaired crops are not those of whole nights: without pairs, as published.
    norm = args.norm or ("instance" if args.recipe == "dico" else generator.norm)
    generator = replace(generator, norm=norm)
    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: this PyTorch sees no CUDA device; use --device cpu")
    mixed = args.mixed
    if mixed is None:
        mixed = device == "cuda" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    base = default_settings(args.recipe)
    losses = {name: getattr(args, name) for name in ("adversarial", "background", "foreground", "centre")}
    settings = replace(
        base,
        generator=generator,
        losses=replace(
            base.losses, reading=args.reading, **{k: v for k, v in losses.items() if v is not None}
        ),
        start_from=args.start_from,
        others_share=args.others_share,
        detector=args.detector,
        detector_weight=(2.0 if args.detector else 0.0)
        if args.detector_weight is None
        else args.detector_weight,
        shade=base.shade if args.shade is None else args.shade,
        flip=args.flip,
        steps=args.steps,
        batch=args.batch,
        crop=(args.crop[0], args.crop[1]),
        learning_rate=args.learning_rate,
        unpaired_from=args.unpaired_from,
        paired_weight=args.paired,
        foreground_weight=base.foreground_weight
        if args.foreground_weight is None
        else args.foreground_weight,
        feature_weight=base.feature_weight if args.features is None else args.features,
        still_weight=base.still_weight if args.still is None else args.still,
        layers_weight=args.layers,
        reference_weight=base.reference_weight if args.reference is None else args.reference,
        vgg=args.vgg,
        seed=args.seed,
        device=device,
        mixed=mixed,
        sample_every=args.sample_every,
        save_every=args.save_every,
    )
    return args, settings


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not 0 <= value <= 0.5:
        raise argparse.ArgumentTypeError(f"{text}: must be a share from 0 to 0.5")
    return value


def main(argv: list[str] | None = None) -> int:
    """Train; exit 0 when done, 1 when it fails, 2 when arguments or scene are wrong, 130 when stopped and saved."""
    try:
        args, settings = parse(argv)
    except ValueError as error:
        print(f"nightday-train: {error}", file=sys.stderr)
        return 2
    try:
        with processes.joined(settings.device):
            return _run(args, settings)
    except TrainingError as error:
        print(f"nightday-train: {error}", file=sys.stderr)
        return 1
    except (
        SceneError, ResumeError, CheckpointError, DetectorError, VggWeightsError, processes.RanksError, OSError,
    ) as error:  # fmt: skip
        if os.environ.get("RANK", "0") == "0":  # all of torchrun's processes find the same
            print(f"nightday-train: {error}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace, settings: TrainSettings) -> int:
    if args.cameras is not None:
        folder = args.out or Path("runs") / args.camera
        scene = load_collected(args.cameras, args.camera, folder, hold_back=args.hold_back)
    else:
        scene = load_scene(args.scene, hold_back=args.hold_back)
        folder = args.out or Path("runs") / scene.name
    findings = _check(scene, settings, force=args.force)
    folder.mkdir(parents=True, exist_ok=True)
    with _logged(folder / "train.log") if processes.rank() == 0 else nullcontext():
        trainer = Trainer(scene, settings, folder, others=[load_day(path) for path in args.others])
        resumed = trainer.resume()
        console = Console(quiet=processes.rank() > 0)
        if resumed and args.cameras is not None:
            console.print(
                f"with the pictures it began with, in {folder / TAKEN}; use another --out for newer ones"
            )
        validator = None
        if processes.rank() == 0:
            validator = Validator(scene, folder, step=trainer.step, patience=args.patience)
        return _train(
            trainer, validator, console, every=args.validate_every, resumed=resumed, findings=findings
        )


def _check(scene: Scene, settings: TrainSettings, *, force: bool) -> list[str]:
    """Say what is wrong with footage and settings; SceneError if the footage must not be trained on."""
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
            print(f"nightday-train: warning: {finding.text}", file=sys.stderr)
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


def _train(
    trainer: Trainer,
    validator: Validator | None,
    console: Console,
    *,
    every: int,
    resumed: bool,
    findings: list[str],
) -> int:
    scene, settings, folder = trainer.scene, trainer.settings, trainer.folder
    height, width = scene.background.shape[:2]
    parameters = sum(p.numel() for p in trainer.model.parameters())
    console.print(
        f"{scene.name}: {len(scene.day)} day and {len(scene.night)} night pictures, {width}×{height}, "
        f"{len(scene.held_back)} of the day held back; {parameters / 1e6:.2f} M parameters on {settings.device}"
        f"{f' × {processes.count()}' if processes.count() > 1 else ''}, recipe {settings.recipe}"
    )
    if resumed:
        console.print(f"going on from step {trainer.step}")
    log.info("start at step %d of %d, %s", trainer.step, settings.steps, settings)
    try:
        stopped, seconds = _loop(trainer, validator, console, every=every)
        report = None
        if validator is not None:
            report = write_report(trainer, validator, seconds=seconds, findings=findings)
    except OSError as error:
        raise TrainingError(
            f"{folder}: {error}; free or correct it, then start the same command again"
        ) from None
    log.info("%s at step %d", "stopped" if stopped else "done", trainer.step)
    best = validator.best if validator else None
    console.print(
        f"{folder / 'model.pt'}: checkpoint of step {trainer.step}"
        + (f"; {folder / 'best.pt'}: the best, of step {best.step}" if best else "")
    )
    console.print(f"{report}: whether it is fit to use, and why")
    if stopped:
        console.print("stopped; the same command goes on from here")
        return 130
    if trainer.step < settings.steps:
        console.print(f"no gain since step {best.step if best else 0}: stopped early")
    return 0


def _loop(
    trainer: Trainer, validator: Validator | None, console: Console, *, every: int
) -> tuple[bool, float]:
    """Run to the end, to a signal or until patience is lost.

    Returns whether a signal stopped it, and the seconds of training, those before it was resumed included.
    """
    stop: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.append(number)

    previous = {s: signal.signal(s, on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
    recent: deque[dict[str, float]] = deque(maxlen=LOG_EVERY)
    log_path = trainer.folder / "log.jsonl"
    before = next((line.get("seconds", 0.0) for line in reversed(read_log(log_path, trainer.step))), 0.0)
    started, first = time.monotonic(), trainer.step

    def seconds() -> float:
        return float(before) + time.monotonic() - started

    columns = (
        TextColumn("step"),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[terms]}"),
    )
    with (
        log_path.open("a") if processes.rank() == 0 else open(os.devnull, "w") as lines,
        Progress(*columns, console=console, refresh_per_second=2) as bar,
    ):
        task = bar.add_task("train", total=trainer.settings.steps, completed=trainer.step, terms="")

        def progress(step: int, terms: dict[str, float]) -> None:
            recent.append(terms)
            if step % LOG_EVERY == 0:
                # Terms join in the middle of a run: average what is there of each.
                names = {name for t in recent for name in t}
                mean = {n: float(np.mean([t[n] for t in recent if n in t])) for n in sorted(names)}
                rate = (step - first) / (time.monotonic() - started)
                line = {"step": step, "steps_per_s": round(rate, 3), "seconds": round(seconds(), 1), **mean}
                lines.write(json.dumps(line) + "\n")
                lines.flush()
                bar.update(task, terms="  ".join(f"{n} {v:.3f}" for n, v in mean.items()))
                if not console.is_terminal and (step - first <= LOG_EVERY or step % (10 * LOG_EVERY) == 0):
                    console.print(f"step {step}: " + ", ".join(f"{n} {v:.4f}" for n, v in mean.items()))
            bar.update(task, completed=step)
            if validator is not None and (step % every == 0 or step == trainer.settings.steps):
                now = validator(trainer.model, step, trainer.card())
                if not console.is_terminal:
                    console.print(
                        f"held back, step {step}: {now.whole:.2f} dB, foreground {now.foreground:.2f} dB"
                    )

        def ended() -> bool:
            lost = validator is not None and validator.exhausted
            return processes.any_rank(bool(stop) or lost, trainer.device)

        try:
            trainer.run(progress, ended)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
    return bool(stop), seconds()


if __name__ == "__main__":
    raise SystemExit(main())
