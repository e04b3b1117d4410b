"""``nightday-stream``: the command.

What it imports at the top is light, so that ``--help`` and a wrong option are answered at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from nightday.engines import cores
from nightday.engines.command_line import number_of
from nightday.engines.distribution import INSTALL, program_version

from .cluster.planning.arguments import add_plan, plan_fault
from .config.demo import DEMO_FILE, DEMO_SECONDS, demo_overrides
from .core.camera_url import redact
from .supervision.commands import CommandQueue, hangups, signals

if TYPE_CHECKING:
    from pathlib import Path

    from .config.errors import ConfigError
    from .config.load import LoadedConfig
    from .monitoring.log_stream import Screen
    from .serving.setup import Setup
    from .supervision.outcome import Outcome

log = logging.getLogger(__name__)

DONE, FAILED, WRONG = 0, 1, 2

# What `import cv2` misses on a bare Debian or Ubuntu, and the package it comes with.
LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb.so.1": "libxcb1",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(redact(message))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; ``arguments`` without the program's name, by default the process's.

    Returns 0 when done, 2 when the configuration is wrong, 1 when it ran and failed. Raises SystemExit(2), as
    argparse does, when the arguments are.
    """
    options = _parsed(arguments)
    cores.limit_libraries()
    commands = CommandQueue()
    try:
        with hangups(commands):  # before what takes long: importing, and loading the models
            return _run(options, commands)
    except ImportError as error:
        print(_missing(error), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it once more at its end
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="nightday-stream",
        description="Shows night cameras as day: files and restreams of each camera of a configuration.",
        epilog="Exit status: 0 done, 1 it ran and failed, 2 the configuration or the arguments are wrong. "
        "SIGHUP reads the configuration again: only cameras that changed are touched.",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--cameras", metavar="FILE", help="the configuration, e.g. cameras.yaml")
    source.add_argument(
        "--demo",
        action="store_true",
        help=f"run two cameras on bundled clips for {DEMO_SECONDS:g} seconds and write to ./out; needs no file",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="validate, print the resolved configuration with its secrets masked, open no camera",
    )
    parser.add_argument(
        "--duration",
        type=number_of("seconds"),
        metavar="SECONDS",
        help="stop so long after the last camera was opened",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY.PATH=VALUE",
        help="override a value, e.g. engine.backend=eager or cameras.gate.translate=never; may be repeated",
    )
    parser.add_argument(
        "--ray",
        metavar="CLUSTER",
        help="spread the cameras over a Ray cluster: auto for the one this machine belongs to, local for one of its "
        "own, or the address of its head; needs nightday-stream[cluster]",
    )
    add_plan(parser)
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument("--verbose", action="store_true", help="log more, FFmpeg's own messages included")
    parser.add_argument("--version", action="version", version=f"%(prog)s {program_version()}")
    return parser


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options. Raises SystemExit(2) where they do not go together."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (fault := plan_fault(options)) is not None:
        parser.error(fault)
    if not options.plan and options.cameras is None and not options.demo:
        parser.error("one of the arguments --cameras --demo is required")
    return options


def _run(options: argparse.Namespace, commands: CommandQueue) -> int:
    from .cluster.errors import ClusterError
    from .config.errors import ConfigError
    from .monitoring.listening import WebError
    from .monitoring.log_stream import default_screen, say, set_up_logging

    screen = default_screen(options.log_format)
    set_up_logging(screen, verbose=options.verbose)
    if any(redact(override) != override for override in options.overrides):
        log.warning(
            "--set holds a password, which every user of this machine can see in the list of processes; "
            "write ${NAME} in its place and set NAME in the environment",
            extra={"event": "password_in_arguments"},
        )
    file, overrides, duration = options.cameras, options.overrides, options.duration
    if options.demo:
        file, overrides, duration = DEMO_FILE, [*demo_overrides(), *overrides], duration or DEMO_SECONDS

    try:
        if options.plan:
            from .cluster.planning.command import run_plan

            run_plan(
                None if options.cameras is None else _read(file, overrides),
                budget_ms=options.budget or 250.0,
                more_machines=options.nodes or 0,
                assume=options.assume,
                as_json=options.json,
            )
            return DONE
        if options.check:
            loaded = _read(file, overrides)
            _check_machine(loaded, cluster=options.ray)
            screen.flush()
            _print_config(loaded)
            return DONE
        if options.ray is not None:
            from .cluster.command import stream

            outcome = stream(
                options.ray, file, overrides, commands, screen, duration=duration, verbose=options.verbose
            )
        else:
            outcome = _stream(file, overrides, commands, screen, duration=duration, may_add=not options.demo)
    except ConfigError as error:
        screen.flush()
        _print_faults(error)
        return WRONG
    except (WebError, ClusterError) as error:
        if not screen.close() or not say(f"error: {error}\n", sys.stderr):
            os._exit(FAILED)
        return FAILED
    told = _tell_outcome(outcome, screen)
    # A thread hangs in a library, or nobody reads what is said: the interpreter's own end might wait for it.
    if not outcome.clean or not told:
        os._exit(FAILED if outcome.problems else DONE)
    return FAILED if outcome.problems else DONE


def _read(file: str | Path, overrides: Sequence[str]) -> LoadedConfig:
    from .config.load import load_config

    return load_config(file, overrides=overrides, check_model=checkpoint_fault)


def _stream(
    file: str | Path,
    overrides: Sequence[str],
    commands: CommandQueue,
    screen: Screen,
    *,
    duration: float | None,
    may_add: bool,
) -> Outcome:
    """Run a configuration on this machine, to which the page ``may_add`` cameras. Raises ConfigError and WebError."""
    from .config.add_camera import CameraAdder
    from .learning.own_models import with_own_models
    from .monitoring.status_text import StatusLine
    from .serving.model_loader import ModelLoader
    from .supervision.encoder_check import check_encoders
    from .supervision.runtime import Runtime

    models = ModelLoader()

    def with_models(loaded: LoadedConfig) -> LoadedConfig:
        return replace(check_encoders(loaded), config=with_own_models(loaded.config))

    def load(sizes: Mapping[str, tuple[int, int]]) -> Setup:
        return models.setup(with_models(_read(file, overrides)), sizes=sizes)

    loaded = with_models(_read(file, overrides))
    setup = models.begin(loaded)
    status = StatusLine(screen)
    with signals(commands):
        runtime = Runtime(
            setup,
            reload=lambda: load(runtime.sizes()),
            renew=lambda config: models.setup(
                with_models(replace(loaded, config=config)), sizes=runtime.sizes()
            ),
            commands=commands,
            adder=CameraAdder(str(file), check=lambda name: _read(name, overrides)) if may_add else None,
        )
        del setup  # it would hold the engines of the start for ever, though they may be swapped out
        return runtime.run(
            duration=duration,
            report=lambda cameras, seconds: status.report(cameras, seconds=seconds),
            report_every=status.every,
        )


def checkpoint_fault(path: Path) -> str | None:
    """What is wrong with the content of a checkpoint, in one line; None if nothing is. It takes PyTorch to look."""
    from nightday.engines.errors import CheckpointError
    from nightday.engines.model.checkpoint import read_checkpoint

    try:
        read_checkpoint(path)
    except CheckpointError as error:
        return str(error)
    return None


def _check_machine(loaded: LoadedConfig, *, cluster: str | None) -> None:
    """Raise ConfigError with what of a valid configuration cannot be had on this machine, as things are now."""
    from .config.errors import ConfigError
    from .monitoring.listening import is_served, port_fault
    from .serving.model_loader import ModelLoader
    from .supervision.encoder_check import encoder_faults
    from .supervision.model_check import model_faults

    faults: list[str] = []
    if cluster is not None:
        from .cluster.ray_nodes import address_fault

        wrong = address_fault(cluster)
        faults += [] if wrong is None else [f"--ray: {wrong}"]
    else:  # nodes may have other GPUs
        faults += encoder_faults(loaded)
    try:
        ModelLoader().check(loaded)
    except ConfigError as error:
        faults += error.faults
    faults += model_faults(loaded)
    http = loaded.config.http
    fault = port_fault(http) if http is not None else None
    if http is not None and fault is not None:
        if is_served(http):
            log.warning(
                "http: another nightday-stream listens at port %d, which is right if that one is to be reloaded; "
                "to start one beside it, set http.port to another",
                http.port,
                extra={"event": "port_shared"},
            )
        else:
            faults.append(loaded.fault(("http", "port"), fault.removeprefix("http: ")))
    if faults:
        raise ConfigError(faults)


def _print_faults(error: ConfigError) -> None:
    for fault in error.faults:
        print(fault, file=sys.stderr)
    if error.example:
        print("A configuration looks like this:", file=sys.stderr)
        for line in error.example:
            print(f"    {line}", file=sys.stderr)


def _print_config(loaded: LoadedConfig) -> None:
    import yaml

    text = yaml.safe_dump(loaded.config.dump(), sort_keys=False, allow_unicode=True, width=1000)
    print("\n".join(redact(line) for line in text.splitlines()))


def _tell_outcome(outcome: Outcome, screen: Screen) -> bool:
    """The last words; whether they and all before them were read in time."""
    from .monitoring.api import state_json
    from .monitoring.log_stream import say
    from .monitoring.status_text import summary_text

    told = screen.close()
    if screen.log_format == "json":
        for problem in outcome.problems:
            screen.event("problem", {"message": problem}, level="error")
        values = {
            "cause": outcome.cause,
            "files": [str(path) for path in outcome.files],
            "cameras": {camera.name: state_json(camera) for camera in outcome.cameras},
        }
        screen.event("summary", values)
        return screen.flush()
    told &= say(summary_text(outcome.cameras, outcome.files) + "\n", sys.stdout)
    problems = "".join(f"error: {problem}\n" for problem in outcome.problems)
    return told and say(problems, sys.stderr)


def _missing(error: ImportError) -> str:
    """One line on an import that failed, with the way out."""
    text = " ".join(str(error).split())
    for library, package in LIBRARIES.items():
        if library in text:
            return f"OpenCV needs the system library {library}; install it with: apt-get install {package}"
    return f"cannot start: {text}; install it again with: {INSTALL}"


if __name__ == "__main__":
    sys.exit(main())
