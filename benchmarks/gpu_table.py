"""All that a GPU can tell about speed, in one table: 1, 15 and 100 networks in fp32 and TF32, and the aims.

    python benchmarks/gpu_table.py [--out FOLDER] [--budget SECONDS]

A column is what step.py (one network) or sweep.py (a stack) measures of the contenders that both have, above
them the two floors of floor.py and, no floor, the bytes of a step that keeps nothing in a cache. The most
telling come first, and none is begun that would not end within ``--budget``. What has been measured is
written after each column, as ``table.json`` and ``table.md``.

``--device cpu --small`` runs what a CPU can of it, on a network of no interest: a rehearsal.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent)]
sys.path.append(str(Path(__file__).parents[1]))  # where xpnet is not installed
import floor
import interleave
import step
import sweep
from floor import NAMES, Rates
from interleave import Block, Contender, Timing
from step import Sizes
from sweep import Grid

OURS, RIVAL = "xpnet on CuPy, captured", "PyTorch by hand, CUDA graph"
TRAINING = "whole training"
SMALL = {"batch": 32, "features": 64, "hidden": 32, "rows": 1000}
PATIENCE = 90.0


@dataclass(frozen=True)
class Column:
    """Timings of all contenders for so many networks in one precision, and the seconds of floor.py."""

    precision: str
    nets: int
    timings: dict[str, Timing]
    counted: dict[str, float]

    def title(self) -> str:
        """Return what is written above it."""
        return f"{NAMES[self.precision]}, {self.nets}"


def contenders(nets: int, kind: str) -> dict[str, Contender]:
    """Return step.py's for one network; for a stack those of sweep.py that match, or know only a GPU."""
    found = step.CONTENDERS
    if nets > 1:
        found = {name: c for name, c in sweep.CONTENDERS.items() if name in found or c.on == "cuda"}
    return {name: contender for name, contender in found.items() if contender.on in (None, kind)}


def training(grid: Grid, backend: str, compiled: bool) -> Block:
    """Return what trains the whole grid from the beginning, evaluations included; a step is a training."""
    from xpnet.datasets import Dataset
    from xpnet.device import get_device
    from xpnet.runs.networks import train
    from xpnet.runs.preparation import prepare

    device = get_device(grid.device, backend, grid.precision, compiled)
    X, y, _ = step.data(grid)
    names = tuple(map(str, range(grid.classes)))
    networks = [replace(config, iterations=sweep.STEPS) for config in sweep.configs(grid)]
    prepared = prepare(networks[0], Dataset("", X, y, X[:1000], y[:1000], None, None, names), device)
    mlp = networks[0].mlp(grid.features, grid.classes)

    def block(trainings: int) -> None:
        for _ in range(trainings):
            train(networks, mlp, prepared, device, keep_best=False)
        device.synchronize()

    return block


def device_name(device: str) -> str:
    """Return the name of the device, or end with one line that says why there is none."""
    from xpnet.device import get_device
    from xpnet.errors import DeviceError

    try:
        get_device(device)
    except DeviceError as error:
        sys.exit(f"gpu_table.py: {error}")
    if device == "cpu":
        return interleave.environment()["machine"]
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(int(device.partition(":")[2] or 0))["name"]
    return str(name.decode())


def aims(columns: list[Column], trained: Timing | None) -> list[tuple[str, str, str]]:
    """Return each aim for a GPU, what was measured, and whether it is met: yes, no or unknown."""

    def microseconds(nets: int, name: str) -> float | None:
        for column in columns:
            if (column.precision, column.nets) == ("tf32", nets):
                timing = column.timings.get(name)
                return 1e6 * timing.median() if timing and timing.seconds else None
        return None

    if not any(column.precision == "tf32" for column in columns):
        return []

    def judged(aim: str, value: float | None, limit: float | None, unit: str) -> tuple[str, str, str]:
        if value is None or limit is None:
            return aim, "not measured", "unknown"
        return aim, f"{value:.3g} {unit} against {limit:.3g}", "yes" if value <= limit else "no"

    one, fifteen = microseconds(1, OURS), microseconds(15, OURS)
    seconds = trained.median() if trained and trained.seconds else None
    return [
        judged("1 network, TF32: 45 µs a step", one, 45.0, "µs"),
        judged("1 network, TF32: no slower than PyTorch's CUDA graph", one, microseconds(1, RIVAL), "µs"),
        judged("15 networks, TF32: 215 µs a step", fifteen, 215.0, "µs"),
        judged("15 networks × 1,600 steps: half a second of training", seconds, 0.5, "s"),
    ]


def markdown(environment: dict[str, str], rates: Rates, columns: list[Column], trained: Timing | None) -> str:
    """Return the rates, the table, the aims, and why contenders are missing."""
    names = list(dict.fromkeys(name for column in columns for name in column.timings))
    lines = [
        "; ".join(f"{key} {value}" for key, value in environment.items()),
        "",
        str(rates),
        "",
        "Microseconds a step, in brackets times the larger floor. Columns: precision, number of networks.",
        "",
        f"| contender | {' | '.join(column.title() for column in columns)} |",
        "|---|" + "---|" * len(columns),
    ]
    for name in (floor.OPERATIONS, floor.BYTES, floor.UNCACHED):
        cells = [f"{1e6 * column.counted[name]:.1f}" if name in column.counted else "–" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    failures = []
    for name in names:
        cells = []
        for column in columns:
            timing = column.timings.get(name, Timing([], 0.0))
            if timing.seconds:
                least = floor.least(column.counted)
                in_brackets = f" ({timing.median() / least:.2f})" if least else ""
                cells.append(f"{1e6 * timing.median():.1f}{in_brackets}")
            else:
                cells.append("–")
            if timing.error:
                failures.append(f"- {name}, {column.title()}: {timing.error}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if found := aims(columns, trained):
        lines += ["", "| aim | measured | met |", "|---|---|---|"]
        lines += [f"| {' | '.join(aim)} |" for aim in found]
    if trained is not None and trained.error:
        failures.append(f"- {TRAINING}: {trained.error}")
    return "\n".join([*lines, *(["", "Failed:", "", *failures] if failures else [])])


def main() -> None:
    """Measure column after column, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default: cuda)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of table.json and table.md")
    parser.add_argument("--nets", type=int, nargs="+", default=[1, 15, 100], help="numbers of networks")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a turn (default: 0.1)")
    parser.add_argument("--budget", type=float, default=180.0, help="seconds for all of it (default: 180)")
    parser.add_argument("--small", action="store_true", help="a small network: to try the script")
    flags = parser.parse_args()
    began = time.perf_counter()
    interleave.prepare(flags.device)
    environment = {"device": device_name(flags.device), **interleave.environment()}
    flags.out.mkdir(parents=True, exist_ok=True)
    on_cpu = flags.device == "cpu"
    how: dict[str, Any] = {"device": flags.device, **(SMALL if flags.small else {})}

    precisions = ("fp32",) if on_cpu else ("tf32", "fp32")
    rates = floor.measure(flags.device, precisions, flags.small, flags.rounds, flags.seconds)
    columns: list[Column] = []
    trained: Timing | None = None

    def write() -> None:
        content = {
            "environment": environment,
            "rates": {"operations": rates.operations, "bytes": rates.bytes},
            "columns": [
                {
                    "precision": c.precision,
                    "nets": c.nets,
                    "counted": c.counted,
                    "contenders": interleave.figures(c.timings),
                }
                for c in columns
            ],
            "training": None if trained is None else interleave.figures({TRAINING: trained})[TRAINING],
            "aims": [
                dict(zip(("aim", "measured", "met"), aim, strict=True)) for aim in aims(columns, trained)
            ],
        }
        (flags.out / "table.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        text = markdown(environment, rates, columns, trained)
        (flags.out / "table.md").write_text(text + "\n", encoding="utf-8")

    def measure(nets: int, precision: str) -> Column:
        own = {**how, "precision": precision}
        sizes = Sizes(epoch=64, **own) if nets == 1 else Grid(nets=nets, epoch=16, **own)
        hung = {n for column in columns for n, t in column.timings.items() if t.error.startswith("no answer")}
        found = contenders(nets, flags.device.partition(":")[0])
        found = {name: contender for name, contender in found.items() if name not in hung}
        chosen = interleave.installed(found, None, "", flags.device)
        timings = interleave.time_side_by_side(
            chosen,
            sizes,
            flags.rounds,
            flags.seconds,
            at_once=sizes.epoch,
            start_together=not on_cpu,
            patience=PATIENCE,
        )
        return Column(precision, nets, timings, rates.counted(sizes))

    def train_grid() -> Timing:
        precision = "fp32" if on_cpu else "tf32"
        grid = Grid(precision=precision, **{**how, "rows": 1000 if flags.small else 49_000})
        backend, compiled = ("numpy", False) if on_cpu else ("cupy", True)
        contender = Contender(partial(training, backend=backend, compiled=compiled))
        return interleave.time_side_by_side({TRAINING: contender}, grid, 3, 0.0, patience=PATIENCE)[TRAINING]

    # What the aims ask for first.
    plan = [(nets, precision) for precision in precisions for nets in flags.nets]
    longest = 0.0
    for nets, precision in plan:
        left = flags.budget - (time.perf_counter() - began)
        if left < longest:
            print(f"left out: {NAMES[precision]}, {nets}: {left:.0f} s of the budget left", file=sys.stderr)
            continue
        before = time.perf_counter()
        columns.append(measure(nets, precision))
        longest = max(longest, time.perf_counter() - before)
        if nets == 15 and trained is None:
            trained = train_grid()
        write()
        print(f"{columns[-1].title()}: {time.perf_counter() - before:.0f} s", file=sys.stderr, flush=True)
    write()
    print(markdown(environment, rates, columns, trained))
    timings = [
        timing for column in columns for name, timing in column.timings.items() if name.startswith("xpnet")
    ]
    if any(timing.error for timing in [*timings, trained] if timing is not None):
        sys.exit(1)


if __name__ == "__main__":
    main()
