"""``python -m benchmarks.local_generator.learn local``: learns as ``benchmarks.general`` does, by the same losses.

``wide`` is what it is compared with: the general model's own generator. Both begin with the general model's weights
in the parts that they have alike, and with random ones elsewhere, and see the same crops in the same order.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from benchmarks.general import GENERAL, learned, settings_of
from benchmarks.local_generator.model import WITH_BACKGROUNDS, LocalModel, started_from
from nightday.engines.model.checkpoint import read_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.train.run.trainer import Trainer


def main() -> int:
    """Train, going on where it was stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local_generator.learn", description=__doc__)
    add = parser.add_argument
    add("model", choices=("local", "wide"))
    add("--footage", type=Path, required=True)
    add("--runs", type=Path, default=Path("runs/local_generator"))
    add("--steps", type=int, default=3000)
    add("--until", type=int, help="stop after this step; the same command without it goes on from there")
    add("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    _, first, others = learned(args.footage)
    settings, folder = settings_of(args.steps, len(others)), args.runs / args.model
    torch.manual_seed(settings.seed)
    model = LocalModel() if args.model == "local" else NightToDay(WITH_BACKGROUNDS)
    started_from(read_checkpoint(GENERAL)["state"], model)
    trainer = Trainer(first, settings, folder, others=others, model=model)
    trainer.resume()
    until = args.until or args.steps
    trainer.run(
        lambda step, terms: logging.info("%d %s", step, terms) if step % 50 == 0 else None,
        lambda: trainer.step >= until,
    )
    print(folder / "model.pt")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
