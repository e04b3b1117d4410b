"""``python -m benchmarks.study.report``: the tables and picture sheets of ``docs/study*.md`` from the results."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.study.methods import METHODS
from benchmarks.study.run import SHOWN, picture_paths
from benchmarks.study.scenes import entries, load
from benchmarks.study.table import RESULTS, Run, read_runs
from nightday.train.footage.scene import Image
from nightday.train.objectives.elesim import elesim
from nightday.train.objectives.vgg import Vgg16Features

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / name for name in ("study.md", "study_random.md")]

# The scores of four tables, each with its column's title.
BESIDE = {
    "frechet": "Fréchet",
    "frechet_foreground": "on what moves",
    "frechet_white": "whitened",
}
# In the features of a network that no method was trained with; of the runs that were scored by it.
OUTSIDE = {"frechet_outside": "Fréchet, outside features"}
PAIRED = {
    "psnr": "PSNR, dB",
    "psnr_foreground": "foreground",
    "psnr_background": "background",
    "ssim": "SSIM",
    "ssim_foreground": "SSIM foreground",
    "feature_distance": "feature distance",
}
TIME = {
    "warped_error": "warped error",
    "warped_error_night": "of the night",
    "background_std": "background std",
    "background_std_night": "of the night",
}
BACKGROUND = {"to_x_ref": "PSNR to x_ref, dB", "to_x_ref_night": "of the night"}

# The width of a sheet's names column, pixels.
NAMES = 180
# WebP quality of the sheets: nearer to the pictures than JPEG at 70, and smaller.
QUALITY = 75

# The runs of each (method, scene), one for each seed.
Results = dict[tuple[str, str], list[Run]]


def read(table: Path) -> Results:
    """The results of every run of a table."""
    found: Results = defaultdict(list)
    for (scene, method, _), run in read_runs(table).items():
        found[method, scene].append(run)
    return found


def final(name: str) -> Callable[[Run], float]:
    """What to take from a run: a score of its last step."""

    def take(run: Run) -> float:
        value = run["final"].get(name, float("nan"))
        return float(value["value"] if isinstance(value, dict) else value)

    return take


def best(run: Run) -> float:
    """The lowest Fréchet distance on a run's way, as is the custom; of what is not trained the only one."""
    return float(run.get("best", {}).get("frechet", final("frechet")(run)))


def scene_table(results: Results, take: Callable[[Run], float], *, digits: int, scenes: list[str]) -> str:
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


def _with(results: Results, name: str) -> Results:
    """Only the runs that have a score."""
    return {
        key: own for key, runs in results.items() if (own := [run for run in runs if name in run["final"]])
    }


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


def sheet(scene: str, results: Results, runs: Path, footage: Path | None) -> Image | None:
    """Pictures of one scene at three moments: one row, with the name, for each method of a table.

    Args:
        scene: its key.
        results: the table, which says which methods belong on the sheet.
        runs: the folder of the table's runs, with their pictures.
        footage: adds a first row with the truth, or real days where there is no truth.

    Returns:
        The sheet, or None if a picture is missing, so that a complete sheet is never replaced by a part of it.
    """
    rows: list[tuple[str, list[Image]]] = []
    for method in METHODS.values():
        if any(run["seed"] in (None, 0) for run in results.get((method.key, scene), [])):
            paths = picture_paths(runs, scene, method.key)
            if not all(path.is_file() for path in paths):
                return None
            pictures = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
            rows.append((method.title, pictures))
    if not rows:
        return None
    if footage is not None:
        held = load(scene, footage).test
        at = [round(share * (len(held.nights) - 1)) for share in SHOWN]
        days = held.truth or held.real
        rows.insert(0, ("truth" if held.truth else "real days", [days[i % len(days)] for i in at]))
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
    label = np.full((height, NAMES, 3), 255, np.uint8)
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
    stills = [scene for scene in scenes if scene not in clips]

    def by_scene(name: str, digits: int) -> str:
        return scene_table(results, final(name), digits=digits, scenes=scenes)

    return {
        "frechet": by_scene("frechet", 2),
        "frechet-foreground": by_scene("frechet_foreground", 2),
        "white": by_scene("frechet_white", 1),
        "white-foreground": by_scene("frechet_white_foreground", 1),
        "best": scene_table(results, best, digits=2, scenes=scenes),
        "kernel": by_scene("kernel", 3),
        "beside": beside_table(results, BESIDE),
        "foreground": scene_table(results, final("psnr_foreground"), digits=2, scenes=clips),
        "paired": score_table(results, PAIRED, scenes=clips),
        "outside": beside_table(_with(results, "frechet_outside"), OUTSIDE),
        "time": score_table(results, TIME, scenes=clips),
        "background": score_table(results, BACKGROUND, scenes=stills),
    }


def fill(page: str, results: Path) -> tuple[str, list[str]]:
    """Put each table between its markers, ``<!-- table FILE NAME -->`` and ``<!-- end -->``.

    Args:
        page: the text.
        results: the folder that FILE.jsonl lies in.

    Returns:
        The page, and the names of the files that it shows.
    """
    made: dict[str, dict[str, str]] = {}

    def table(found: re.Match[str]) -> str:
        file, name = found[2], found[3]
        if file not in made:
            made[file] = tables(read(results / f"{file}.jsonl"))
        return f"{found[1]}\n{made[file][name]}\n\n{found[4]}"

    marked = re.compile(r"(<!-- table (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return marked.sub(table, page), list(made)


def _write_sheet(path: Path, picture: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(path), bgr, [cv2.IMWRITE_WEBP_QUALITY, QUALITY]):
        raise OSError(f"{path}: cannot be written")
    print(path)


def main() -> int:
    """Write the tables into the pages between their markers, and the sheets beside them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study.report", description=__doc__)
    add = parser.add_argument
    add("--footage", type=Path, help="adds the truth, or real days, to the sheets")
    add("--results", type=Path, default=RESULTS, help="folder of the tables' files")
    add("--runs", type=Path, default=Path("runs/study"), help="folder of the runs' pictures")
    add("--vgg", type=Path, help="with --footage adds the sheet of how VGG-16 tells background")
    args = parser.parse_args()
    shown: list[str] = []
    for page in PAGES:
        text, files = fill(page.read_text(), args.results)
        page.write_text(text)
        shown += [file for file in files if file not in shown]
    clips = _clips()
    published = ROOT / "docs" / "study"
    for file in shown:
        results = read(args.results / f"{file}.jsonl")
        for scene in entries()["scenes"]:
            made = sheet(scene, results, args.runs / file, args.footage)
            if made is not None:
                _write_sheet((published if scene in clips else args.runs) / file / f"{scene}.webp", made)
    if args.vgg is not None and args.footage is not None:
        networks = {"random weights": Vgg16Features(), "ImageNet's": Vgg16Features(args.vgg)}
        _write_sheet(published / "elesim.webp", similarity_sheet(clips, args.footage, networks))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
