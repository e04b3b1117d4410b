"""``python -m benchmarks.mean_weights A.pt B.pt OUT.pt``: a model half way between two that one training has led to.

What a model gains in its last steps in one respect it often loses in another; the mean of the weights at two such
times is no worse than the better of both in most respects (Wortsman et al., 2022, "Model soups"). All else is A's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from nightday.engines.model.checkpoint import read_checkpoint


def main() -> int:
    """Write the mean."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mean_weights")
    for name in ("first", "second", "out"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    content, other = read_checkpoint(args.first), read_checkpoint(args.second)
    if content["settings"] != other["settings"]:
        parser.error(f"{args.first} and {args.second} are not of one model")
    for name, value in content["state"].items():
        if value.is_floating_point():
            content["state"][name] = (value + other["state"][name]) / 2
    torch.save(content, args.out)
    print(args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
