"""``python -m benchmarks.study.report``: the tables and picture sheets of ``docs/study*.md`` from the results."""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.study.methods import METHODS
from benchmarks.study.run import RESULTS, SHOWN
from benchmarks.study.scenes import entries, load
from nightday.train.footage.scene import Image, write_picture
from nightday.train.objectives.elesim import elesim
from nightday.train.objectives.vgg import Vgg16Features

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / name for name in ("study.md", "study_random.md")]

Results = dict[tuple[str, str], list[dict[str, Any]]]  # by (method, scene), a run a seed


def read(folder: Path) -> Results:
    """Every run's result."""
    found: Results = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        run = json.loads(path.read_text())
        found[run["method"], run["scene"]].append(run)
    return found


def final(name: str) -> Callable[[dict[str, Any]], float]:
    """What to take from a run: a score of its last step."""

    def take(run: dict[str, Any]) -> float:
        value = run["final"].get(name, float("nan"))
        return float(value["value"] if isinstance(value, dict) else value)

    return take


def best(run: dict[str, Any]) -> float:
    """The lowest Fréchet distance on a run's way, as is the custom; of what is not trained the only one."""
    return float(run.get("best", {}).get("frechet", final("frechet")(run)))


def scene_table(
    results: Results, take: Callable[[dict[str, Any]], float], *, digits: int, scenes: list[str]
) -> str:
    """Methods by scenes: the mean over seeds, ± half their range where there are several, and averages.

    The arithmetic average is the paper's; the geometric mean of the ratios to DiCo counts every scene alike.
    Scores in the hundreds are given whole, whatever ``digits`` asks.
    """
    every = [take(run) for (_, scene), runs in results.items() if scene in scenes for run in runs]
    known = [value for value in every if np.isfinite(value)]
    if known and np.median(known) >= 100:
        digits = 0
    titles = {key: entry["title"] for key, entry in entries()["scenes"].items()}
    lines = [
        "| method | seeds | " + " | ".join(titles[s] for s in scenes) + " | average | × DiCo |",
        "|---|---:|" + "---:|" * (len(scenes) + 2),
    ]

    def mean(method: str, scene: str) -> float:
        values = [take(run) for run in results.get((method, scene), [])]
        return float(np.mean(values)) if values else float("nan")

    for method in METHODS.values():
        runs = [results.get((method.key, scene), []) for scene in scenes]
        if not any(runs):
            continue
        cells, means = [], []
        for some in runs:
            values = [take(run) for run in some]
            means.append(float(np.mean(values)) if values else float("nan"))
            spread = f" ± {(max(values) - min(values)) / 2:.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{means[-1]:.{digits}f}{spread}" if values else "–")
        whole = not np.isnan(means).any()
        ratios = [mean(method.key, s) / mean("dico", s) for s in scenes]
        cells.append(f"**{np.mean(means):.{digits}f}**" if whole else "–")
        cells.append(f"{np.exp(np.mean(np.log(ratios))):.2f}" if whole and min(ratios) > 0 else "–")
        counts = {len(some) for some in runs if some}
        seeds = "–" if method.train is None else "/".join(str(c) for c in sorted(counts))
        lines.append(f"| {method.title} | {seeds} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def score_table(results: Results, columns: dict[str, str], *, scenes: list[str], digits: int = 2) -> str:
    """Methods by scores, each the mean over ``scenes`` and seeds; only methods that have them all."""
    lines = ["| method | " + " | ".join(columns.values()) + " |", "|---|" + "---:|" * len(columns)]
    for method in METHODS.values():
        runs = [results.get((method.key, scene), []) for scene in scenes]
        if all(runs):
            means = [
                np.mean([np.mean([final(name)(run) for run in some]) for some in runs]) for name in columns
            ]
            lines.append(f"| {method.title} | " + " | ".join(f"{m:.{digits}f}" for m in means) + " |")
    return "\n".join(lines)


def beside_table(results: Results, columns: dict[str, str]) -> str:
    """Methods beside DiCo's run of the same scene and seed, so that scenes not run yet tilt nothing.

    For each score of ``columns`` the geometric mean of the ratios to DiCo, the least and the greatest of them, and in
    how many the score is higher than DiCo's.
    """
    lines = ["| method | runs | " + " | ".join(f"{title} | higher in" for title in columns.values()) + " |"]
    lines.append("|---|---:|" + "---:|---:|" * len(columns))
    every = [run for runs in results.values() for run in runs]
    of_dico = {(run["scene"], run["seed"]): run for run in every if run["method"] == "dico"}
    for method in METHODS.values():
        runs = [run for run in every if run["method"] == method.key]
        pairs = [(run, of_dico[at]) for run in runs if (at := (run["scene"], run["seed"])) in of_dico]
        if not pairs or method.key == "dico":
            continue
        cells = []
        for name in columns:
            ratios = np.array([final(name)(run) / final(name)(dico) for run, dico in pairs])
            mean = np.exp(np.log(ratios).mean())
            cells.append(f"**{mean:.2f}** ({ratios.min():.2f} to {ratios.max():.2f})")
            cells.append(f"{(ratios > 1).sum()}")
        lines.append(f"| {method.title} | {len(pairs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def sheet(scene: str, folder: Path, footage: Path | None) -> Image | None:
    """All methods' pictures of one scene at three moments, a method a row with its name; None without pictures."""
    rows: list[tuple[str, list[Image]]] = []
    if footage is not None:
        held = load(scene, footage).test
        at = [round(share * (len(held.nights) - 1)) for share in SHOWN]
        days = held.truth or held.real
        rows.append(("truth" if held.truth else "real days", [days[i % len(days)] for i in at]))
    for method in METHODS.values():
        paths = [folder / "pictures" / f"{scene}.{method.key}.{i}.png" for i in range(len(SHOWN))]
        pictures = [cv2.imread(str(path)) for path in paths if path.is_file()]
        if len(pictures) == len(SHOWN):
            rows.append((method.title, [cv2.cvtColor(p, cv2.COLOR_BGR2RGB) for p in pictures]))
    if not rows:
        return None
    return np.vstack([np.hstack([_named(name, pictures[0].shape[0]), *pictures]) for name, pictures in rows])


def similarity_sheet(scenes: Sequence[str], footage: Path, networks: Mapping[str, Vgg16Features]) -> Image:
    """A day and a night of each scene, a row each: the picture, then each network's EleSim at relu3-1, dark where 0.

    Args:
        scenes: their keys.
        footage: where their pictures lie.
        networks: by what to call them.
    """
    rows = []
    for key in scenes:
        train = load(key, footage).train
        reference = _batch(train.background)
        for name, frames in (("day", train.day), ("night", train.night)):
            frame = frames[len(frames) // 2]
            row = [_named(f"{key} {name}; EleSim with {', '.join(networks)}", frame.shape[0]), frame]
            for vgg in networks.values():
                with torch.inference_mode():
                    rho = elesim(vgg(_batch(frame))[0], vgg(reference)[0])[0, 0].clamp(0, 1).numpy()
                shown = cv2.resize(
                    (255 * rho).astype(np.uint8), frame.shape[1::-1], interpolation=cv2.INTER_NEAREST
                )
                row.append(cv2.cvtColor(cv2.applyColorMap(shown, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))
            rows.append(np.hstack(row))
    return np.vstack(rows)


def _batch(picture: Image) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def _named(text: str, height: int) -> NDArray[np.uint8]:
    label = np.full((height, 180, 3), 255, np.uint8)
    words = re.sub("ξ", "xi", text).split()
    line, y = "", 24
    for word in [*words, ""]:
        if not word or len(line) + len(word) > 20:
            cv2.putText(label, line, (6, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
            line, y = "", y + 20
        line = f"{line} {word}".strip()
    return label


def _clips() -> list[str]:
    """The scenes that are clips: these have a truth, and their pictures may be published."""
    return [key for key, entry in entries()["scenes"].items() if "clip" in entry]


def tables(results: Results) -> dict[str, str]:
    """Every table by the name that the page's markers call it."""
    scenes, clips = list(entries()["scenes"]), _clips()
    return {
        "frechet": scene_table(results, final("frechet"), digits=2, scenes=scenes),
        "frechet-foreground": scene_table(results, final("frechet_foreground"), digits=2, scenes=scenes),
        "white": scene_table(results, final("frechet_white"), digits=1, scenes=scenes),
        "white-foreground": scene_table(
            results, final("frechet_white_foreground"), digits=1, scenes=scenes
        ),
        "best": scene_table(results, best, digits=2, scenes=scenes),
        "kernel": scene_table(results, final("kernel"), digits=3, scenes=scenes),
        "beside": beside_table(
            results,
            {
                "frechet": "Fréchet", "frechet_foreground": "on what moves", "frechet_white": "whitened",
            },
        ),
        "foreground": scene_table(results, final("psnr_foreground"), digits=2, scenes=clips),
        "paired": score_table(
            results,
            {
                "psnr": "PSNR, dB", "psnr_foreground": "foreground", "psnr_background": "background",
                "ssim": "SSIM", "ssim_foreground": "SSIM foreground", "feature_distance": "feature distance",
            },
            scenes=clips,
        ),
        "time": score_table(
            results,
            {
                "warped_error": "warped error", "warped_error_night": "of the night",
                "background_std": "background std", "background_std_night": "of the night",
            },
            scenes=clips,
        ),
        "background": score_table(
            results, {"to_x_ref": "PSNR to x_ref, dB", "to_x_ref_night": "of the night"},
            scenes=[s for s in scenes if s not in clips],
        ),
    }  # fmt: skip


def fill(page: str, results: Path) -> tuple[str, list[str]]:
    """Put each table between its markers, ``<!-- table FOLDER NAME -->`` and ``<!-- end -->``.

    Args:
        page: the text.
        results: what FOLDER lies in.

    Returns:
        The page, and the folders that it shows.
    """
    made: dict[str, dict[str, str]] = {}

    def table(found: re.Match[str]) -> str:
        folder, name = found[2], found[3]
        if folder not in made:
            made[folder] = tables(read(results / folder))
        return f"{found[1]}\n{made[folder][name]}\n\n{found[4]}"

    marked = re.compile(r"(<!-- table (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return marked.sub(table, page), list(made)


def main() -> int:
    """Write tables into the pages between their markers, and the sheets beside them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study.report", description=__doc__)
    parser.add_argument("--footage", type=Path, help="adds the truth, or real days, to the sheets")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folders of the runs' JSON files")
    parser.add_argument("--runs", type=Path, default=Path("runs/study"), help="unpublished pictures")
    parser.add_argument(
        "--vgg", type=Path, help="with --footage adds the sheet of how VGG-16 tells background"
    )
    args = parser.parse_args()
    shown: list[str] = []
    for page in PAGES:
        text, folders = fill(page.read_text(), args.results)
        page.write_text(text)
        shown += [folder for folder in folders if folder not in shown]
    clips = _clips()
    for folder in shown:
        for scene in entries()["scenes"]:
            published = scene in clips
            made = sheet(scene, args.results / folder if published else args.runs / folder, args.footage)
            if made is not None:
                target = ROOT / "docs" / "study" if published else args.runs
                write_picture(target / folder / f"{scene}.jpg", made)
                print(target / folder / f"{scene}.jpg")
    if args.vgg is not None and args.footage is not None:
        networks = {"random weights": Vgg16Features(), "ImageNet's": Vgg16Features(args.vgg)}
        target = ROOT / "docs" / "study" / "elesim.jpg"
        write_picture(target, similarity_sheet(clips, args.footage, networks))
        print(target)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
