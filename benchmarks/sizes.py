"""``python -m benchmarks.sizes``: what a smaller generator costs in quality and gains in speed, alone and taught.

Every size learns the demo scene by the ``blend`` recipe from nothing, for as many steps. The smaller ones do so
twice: alone, and following the paper-sized one on the scene's nights as well (``teacher``), which is distillation.
Scores are PSNR to the truth of the held-back fifth, whole and on what moves, burned-in labels left out, by PyTorch
in fp32 and by OpenVINO in the precision that ``auto`` tries first, calibrated on the checkpoint's own golden frames.
Times are of one frame of 352×288, in turns.

A run goes on where it was stopped; ``--only`` trains some, ``--table`` trains nothing and scores what is there.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.demo_scene import split
from benchmarks.engines import call_of, in_turns
from benchmarks.gpu.runners import products
from benchmarks.study.run import hardware
from nightday.engines import load_engine
from nightday.engines.backends.openvino.engine import precisions
from nightday.engines.choices import Precision
from nightday.engines.model.checkpoint import load_checkpoint
from nightday.engines.model.settings import COMPACT, LIGHT, PAPER, GeneratorSettings
from nightday.train.footage.scene import Scene
from nightday.train.run.settings import default_settings
from nightday.train.run.trainer import Trainer
from nightday.train.scores.baselines import TFL_LABELS, baseline_scores, score

RESULT = Path(__file__).parent / "results" / "sizes.json"
SIZES: dict[str, GeneratorSettings] = {
    "paper": replace(PAPER, norm="batch"),  # statistics that fold, as the smaller ones
    "middle": replace(COMPACT, width=32),
    "compact": COMPACT,
    "light": LIGHT,
}
TEACHER = "paper"
RATES = {"paper": 3e-4, "middle": 5e-4}  # of Adam; the others take the recipe's
TAUGHT = " taught"


def main() -> int:
    """Train what is missing, score everything, print and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__.split("\n")[0])
    add = parser.add_argument
    names = [TEACHER, *(f"{size}{how}" for size in SIZES if size != TEACHER for how in ("", TAUGHT))]
    add("--steps", type=int, default=1500)
    add("--runs", type=Path, default=Path("runs/sizes"))
    add("--only", nargs="+", choices=names, default=names)
    add("--mixed", action=argparse.BooleanOptionalAction, default=False, help="bfloat16 convolutions")
    add("--threads", type=int, default=torch.get_num_threads())
    add("--table", action="store_true", help="train nothing")
    add("--rounds", type=int, default=9, help="of the timing")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    if not args.table:
        for name in args.only:
            _train(name, args)
        return 0
    rows = _rows([name for name in names if (args.runs / name / "model.pt").is_file()], args)
    result = {
        "date": str(date.today()),
        "hardware": hardware("cpu"),
        "cores": len(os.sched_getaffinity(0)),
        "steps": args.steps,
        "rows": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    columns = list(rows[-1])
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row.get(column, "–")) for column in columns) + " |")
    return 0


def _train(name: str, args: argparse.Namespace) -> None:
    size, taught = name.removesuffix(TAUGHT), name.endswith(TAUGHT)
    demo = split()
    settings = replace(
        default_settings("blend"),
        generator=SIZES[size],
        steps=args.steps,
        batch=1,
        pairs=2,
        learning_rate=RATES.get(size),
        teacher=str(args.runs / TEACHER / "model.pt") if taught else None,
        mixed=args.mixed,
        seed=7,
    )
    trainer = Trainer(Scene("a1_barnet", demo.day, demo.night, demo.background), settings, args.runs / name)
    trainer.resume()
    began, first = time.process_time(), trainer.step

    def told(step: int, terms: dict[str, float]) -> None:
        if step % 50 == 0:
            each = (time.process_time() - began) / (step - first)
            logging.info("%s %d: %.2f s a step, %s", name, step, each, terms)

    trainer.run(told)


def _rows(names: list[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    demo = split()
    rows: list[dict[str, Any]] = [
        {"model": one.method, "PSNR, dB": round(one.whole, 2), "foreground": round(one.foreground, 2)}
        for one in baseline_scores(demo.test_night, demo.test_day, demo.background, labels=TFL_LABELS)
    ]
    lowest = precisions()[0]
    engines = {}
    for name in names:
        path = args.runs / name / "model.pt"
        model = load_checkpoint(path)
        row: dict[str, Any] = {
            "model": name,
            "parameters, M": round(sum(p.numel() for p in model.parameters()) / 1e6, 2),
            "G products": round(products(model, demo.background.shape[:2]) / 1e9, 2),
        }
        both: tuple[tuple[str, Precision], ...] = (("", "fp32"), (f" {lowest}", lowest))
        for told, precision in both:
            engine = load_engine(path, "eager" if not told else "openvino", precision)
            engines[f"{name}{told}"] = engine
            made = [engine(night[None])[0] for night in demo.test_night]
            found = score(name, made, demo.test_day, demo.background, labels=TFL_LABELS)
            row |= {f"PSNR, dB{told}": round(found.whole, 2), f"foreground{told}": round(found.foreground, 2)}
        rows.append(row)
        logging.info("%s", row)
    frame = demo.test_night[0][None]
    times = in_turns(
        {name: call_of(engine, frame) for name, engine in engines.items() if TAUGHT not in name}, args.rounds
    )
    for row in rows:
        size = row["model"].removesuffix(TAUGHT)
        if size in times:
            eager, low = times[size], times[f"{size} {lowest}"]
            row |= {
                "eager, ms": round(1e3 * statistics.median(eager), 1),
                f"{lowest}, ms": round(1e3 * statistics.median(low), 1),
            }
            row |= {
                "times eager": round(statistics.median(a / b for a, b in zip(eager, low, strict=True)), 1)
            }
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
