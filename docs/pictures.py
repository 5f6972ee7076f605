"""Make the pictures of README and site from real runs on CIFAR-10: about three minutes on two cores.

    python docs/pictures.py --data-dir cifar-10      # all of them; needs Chromium for the report
    python docs/pictures.py --only speed             # the chart of speed, from figures in benchmarks/results

They go to ``docs/_static/pictures``. Runs stay in ``--runs``, and are not repeated when they are there.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.image import imread, imsave

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "_static" / "pictures"
FIGURES = ROOT / "benchmarks" / "results" / "2026-11-24-cpu.md"

RUNS = {
    "exercise": "train --recipe original --weights-image",
    "augmented": "train --recipe best-300 --epochs 10",
    "grid": "sweep --recipe fast --learning-rate .01 .02 .04 .08 .16 .32 --reg 1e-4 3e-4 1e-3 3e-3 1e-2",
}

TILE = 62 + 4
"""Pixels from one unit's weights to the next in ``weights.png``: each of 32 pixels is drawn twice."""

CONTENDERS = {
    "xpnet on NumPy": "xpnet, as one stack",
    "xpnet on NumPy, one by one": "xpnet, one by one",
    "xpnet on JAX": "xpnet on JAX",
    "JAX lax.scan": "JAX, vmap and scan",
    "PyTorch by hand": "PyTorch, a stack by hand",
    "PyTorch eager, one by one": "PyTorch, one by one",
    "original float64": "the exercise's own loop",
}
"""Rows of the benchmark of sweeps, and what the chart calls them."""


def main():
    """Make what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", help="folder with the files of CIFAR-10")
    parser.add_argument("--runs", type=Path, help="folder for the runs; by default one that is removed")
    parser.add_argument("--only", choices=["speed"], help="make this picture alone")
    given = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    draw_speed(PICTURES / "speed.svg")
    if given.only:
        return
    with tempfile.TemporaryDirectory() as temporary:
        runs = given.runs or Path(temporary)
        train(runs, ["--data-dir", given.data_dir] if given.data_dir else [])
        collect(runs)
    draw_strip(PICTURES / "strip.png")


def train(runs, where):
    """Run the commands that leave the pictures."""
    for name, words in RUNS.items():
        if not (runs / name / "report.html").exists():
            xpnet(*words.split(), "--dataset", "cifar10", *where, "--out", str(runs / name))
    xpnet("evaluate", str(runs / "augmented"), *where)


def xpnet(*arguments):
    """Run a command as a user does."""
    subprocess.run([sys.executable, "-m", "xpnet", *arguments], check=True)


def collect(runs):
    """Copy what the commands have drawn, and photograph the report."""
    shutil.copy(runs / "grid" / "heatmap.png", PICTURES)
    shutil.copy(runs / "augmented" / "mistakes-test.png", PICTURES / "mistakes.png")
    weights = imread(runs / "exercise" / "weights.png")
    imsave(PICTURES / "weights.png", weights[: 8 * TILE + 2, : 8 * TILE + 2])
    for name, dark in (("report", False), ("report-dark", True)):
        photograph(runs / "augmented" / "report.html", PICTURES / f"{name}.png", dark)


def photograph(page, picture, dark):
    """Show a page in Chromium without a window, as wide as a laptop."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("docs/pictures.py: no Chromium: install it, or make --only speed")
    subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--hide-scrollbars",
            "--window-size=1280,1000",
            *(["--force-dark-mode"] if dark else []),
            f"--screenshot={picture}",
            page.resolve().as_uri(),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )


def draw_strip(path):
    """Four pictures side by side, which is what a visitor sees first."""
    panels = {
        "report.png": "The report of a run",
        "heatmap.png": "A grid of 30 networks, trained as one",
        "mistakes.png": "A run's most confident mistakes",
        "weights.png": "What units of the first layer look for",
    }
    images = [imread(PICTURES / name)[..., :3] for name in panels]
    images[2] = images[2][: round(images[2].shape[0] * 3 / 5), : round(images[2].shape[1] * 3 / 5)]
    widths = [image.shape[1] / image.shape[0] for image in images]
    figure = Figure(figsize=(16, 16 / sum(widths) + 0.35), dpi=110, layout="constrained")
    for axes, image, title in zip(
        figure.subplots(1, 4, width_ratios=widths), images, panels.values(), strict=True
    ):
        axes.imshow(image, interpolation="antialiased")
        axes.set_title(title, fontsize=11, color="#333")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#ccc")
    figure.savefig(path)


def seconds_of_a_grid():
    """Read the seconds of each contender from the results: nothing here is a figure of its own."""
    text = FIGURES.read_text("utf-8")
    section = re.search(r"sweep\.py --threads 2 --nets 15 .*?\n## ", text, re.DOTALL)[0]
    return {
        shown: float(re.search(rf"^- {re.escape(name)}: ([\d.]+) s", section, re.MULTILINE)[1])
        for name, shown in CONTENDERS.items()
    }


def draw_speed(path):
    """Bars as SVG text, which takes the reader's colours and stays sharp."""
    seconds = seconds_of_a_grid()
    left, width, height, most = 190, 330, 26, max(seconds.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="600" height="{height * len(seconds) + 40}"',
        ' font-family="system-ui, sans-serif" font-size="14">',
        "<style>text { fill: #1d2733 } rect { fill: #9db4cc } .ours { fill: #1f5fa0 }",
        "@media (prefers-color-scheme: dark) {",
        "text { fill: #dfe4e9 } rect { fill: #4c6076 } .ours { fill: #6aa9ea } }</style>",
        '<text x="0" y="16">Seconds for 1,600 steps of 15 networks on CIFAR-10, two cores</text>',
    ]
    for i, (name, value) in enumerate(seconds.items()):
        top = 32 + i * height
        ours = ' class="ours"' if name.startswith("xpnet") else ""
        long = width * value / most
        lines += [
            f'<text x="{left - 8}" y="{top + 15}" text-anchor="end">{name}</text>',
            f'<rect{ours} x="{left}" y="{top}" width="{long:.0f}" height="{height - 6}" rx="3"/>',
            f'<text x="{left + long + 8:.0f}" y="{top + 15}">{value:.0f} s</text>',
        ]
    path.write_text("\n".join([*lines, "</svg>", ""]), "utf-8")


if __name__ == "__main__":
    main()
