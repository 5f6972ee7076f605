"""Time contenders side by side: every round runs each of them for a moment, in turn.

Each contender lives in a process of its own, so that no library's thread pool, allocator or memory peak
gets in another's way; only the one whose turn it is does any work. On a shared, noisy machine the ratio of
two contenders *within a round* is steadier than any time, so ratios are taken per round and their median is
reported.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata, util
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Block = Callable[[int], None]
"""Runs the given number of steps and waits until they are done."""

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "jax", "cupy-cuda12x", "cupy-cuda13x")


@dataclass(frozen=True)
class Contender:
    """A factory of a `Block`, called in the contender's own process with ``options``."""

    make: Callable[..., Block]
    needs: tuple[str, ...] = ()
    cpu_only: bool = False


@dataclass(frozen=True)
class Timing:
    """Seconds per step in each round, and the peak memory of the process in MiB."""

    seconds: list[float]
    peak_mib: float

    def median(self) -> float:
        """Return the median of the seconds per step."""
        return statistics.median(self.seconds)


def limit_threads(threads: int) -> None:
    """Ask every library for this many threads; call before any of them is imported."""
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.environ["XPNET_BENCHMARK_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):  # JAX has no setting for the number of threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def installed(
    contenders: Mapping[str, Contender], only: Sequence[str] | None, always: str, cpu: bool
) -> dict[str, Contender]:
    """Return the contenders that can run here; say which of those asked for can't, and why."""
    chosen = {}
    for name, contender in contenders.items():
        if only and name not in only and name != always:
            continue
        if missing := [need for need in contender.needs if util.find_spec(need) is None]:
            print(f"left out: {name}, {missing[0]} is not installed", file=sys.stderr)
        elif cpu or not contender.cpu_only:
            chosen[name] = contender
    return chosen


def time_side_by_side(
    contenders: Mapping[str, Contender], options: Any, rounds: int, seconds_per_turn: float
) -> dict[str, Timing]:
    """Run the contenders in turn, ``rounds`` times, after one turn each to warm up.

    A turn is as many steps as take about ``seconds_per_turn``, at least one.
    """
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    for name, contender in contenders.items():
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, contender.make, options), daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
        pipes[name] = ours
        try:
            ours.recv()  # made and warm
        except EOFError:
            raise SystemExit(f"{name} could not start: its own error is printed above") from None
    steps = {name: max(1, round(seconds_per_turn / _turn(pipe, 3)[0])) for name, pipe in pipes.items()}
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in pipes}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            turns[name].append(_turn(pipe, steps[name]))
    for pipe in pipes.values():
        pipe.send(0)
    for process in processes:
        process.join()
    return {
        name: Timing([seconds for seconds, _ in taken], max(peak for _, peak in taken))
        for name, taken in turns.items()
    }


def _turn(pipe: Connection, steps: int) -> tuple[float, float]:
    pipe.send(steps)
    answer: tuple[float, float] = pipe.recv()
    return answer


def _serve(pipe: Connection, make: Callable[..., Block], options: Any) -> None:
    block = make(options)
    block(2)
    pipe.send("ready")
    while steps := pipe.recv():
        block(1)  # wakes the thread pool and fills the caches after the others' turns
        began = time.perf_counter()
        block(steps)
        seconds = (time.perf_counter() - began) / steps
        pipe.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def ratios(timings: Mapping[str, Timing], reference: str) -> dict[str, float]:
    """Return each contender's median, over the rounds, of its time by the reference's."""
    base = timings[reference].seconds
    return {
        name: statistics.median(a / b for a, b in zip(timing.seconds, base, strict=True))
        for name, timing in timings.items()
    }


def markdown_table(timings: Mapping[str, Timing], reference: str) -> str:
    """Return a table of median and quartiles of the time per step, the ratio, and the peak memory."""
    by_reference = ratios(timings, reference)
    lines = [
        f"| contender | median ms | quartiles ms | ratio to {reference} | peak MiB |",
        "|---|---|---|---|---|",
    ]
    for name, timing in timings.items():
        low, median, high = statistics.quantiles(timing.seconds, n=4)
        lines.append(
            f"| {name} | {1e3 * median:.3f} | {1e3 * low:.3f} – {1e3 * high:.3f} "
            f"| {by_reference[name]:.2f} | {timing.peak_mib:.0f} |"
        )
    return "\n".join(lines)


def environment() -> dict[str, str]:
    """Return date, machine and versions, as every reported figure needs them."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "threads": os.environ.get("XPNET_BENCHMARK_THREADS", "default"),
        **versions,
    }


def environment_line() -> str:
    """Return `environment` in one line."""
    return "; ".join(f"{key} {value}" for key, value in environment().items())


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def add_common_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every benchmark takes."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each contender (default: 1)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds (default: 15)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn (default: 1)")
    parser.add_argument("--only", nargs="+", default=None, help="names of contenders to run")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")


def write_json(path: Path, settings: Mapping[str, Any], timings: Mapping[str, Timing]) -> None:
    """Write environment, settings and all rounds of all contenders."""
    figures = {name: {"seconds_per_step": t.seconds, "peak_mib": t.peak_mib} for name, t in timings.items()}
    content = {"environment": environment(), "settings": dict(settings), "contenders": figures}
    path.write_text(json.dumps(content, indent=1) + "\n")
