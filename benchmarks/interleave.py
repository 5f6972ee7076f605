"""Time contenders side by side: every round runs each of them for a moment, in turn.

Each contender lives in a process of its own, so that no library's thread pool, allocator or memory peak
gets in another's way; only the one whose turn it is does any work. On a shared, noisy machine the ratio of
two contenders *within a round* is steadier than any time, so ratios are taken per round and their median is
reported.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata, util
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Block = Callable[[int], None]
"""Runs the given number of steps and waits until they are done."""

SPINNING = 0.3
"""Seconds for which a pool's threads may keep a core busy, waiting for more work: OpenBLAS's do for a tenth,
which would be part of the next contender's turn.
"""

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "triton", "jax", "cupy-cuda12x", "cupy-cuda13x")


@dataclass(frozen=True)
class Contender:
    """A factory of a `Block`, called in the contender's own process with ``options``.

    ``on`` is the kind of device that it has, ``"cpu"`` or ``"cuda"``; None for both. One that is ``slow``
    to start on a CPU runs there only where it is asked for by name. Only one that ``has_children`` may start
    processes.
    """

    make: Callable[..., Block]
    needs: tuple[str, ...] = ()
    on: str | None = None
    slow: bool = False
    has_children: bool = False


@dataclass(frozen=True)
class Timing:
    """Seconds per step in each round, and the peak memory of the process in MiB; or what it failed by."""

    seconds: list[float]
    peak_mib: float
    error: str = ""

    def median(self) -> float:
        """Return the median of the seconds per step."""
        return statistics.median(self.seconds)


def prepare(device: str, threads: int | None = None, precision: str = "fp32") -> None:
    """Set up this process and those it starts; call before any library is imported.

    Contenders on a CPU get one thread unless told otherwise. On a GPU they get what there is: a library
    that queues work from a thread of its own would suffer.
    """
    if device == "cpu" and precision != "fp32":
        raise SystemExit(f"no precision {precision} on a CPU: use fp32, or device cuda")
    if device == "cpu" or threads:
        limit_threads(threads or 1)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX takes three quarters of a GPU


def limit_threads(threads: int, cores: int | None = None) -> None:
    """Ask every library for this many threads, on so many cores; call before any of them is imported.

    A contender that starts a process on each core leaves each of them one thread: more wait for each other.
    """
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    os.environ["XPNET_BENCHMARK_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):  # JAX has no setting for the number of threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: cores or threads])


def installed(
    contenders: Mapping[str, Contender], only: Sequence[str] | None, always: str, device: str
) -> dict[str, Contender]:
    """Return the contenders that can run here; say which of those asked for can't, and why."""
    if unknown := set(only or ()) - set(contenders):
        raise SystemExit(f"no contender {', '.join(unknown)}: there are {', '.join(contenders)}")
    kind = device.partition(":")[0]
    chosen = {}
    for name, contender in contenders.items():
        if only and name not in only and name != always:
            continue
        if missing := [need for need in contender.needs if util.find_spec(need) is None]:
            print(f"left out: {name}, {missing[0]} is not installed", file=sys.stderr)
        elif contender.on not in (None, kind):
            where = {"cpu": "the CPU", "cuda": "a CUDA GPU"}[str(contender.on)]
            print(f"left out: {name}, it runs on {where} only", file=sys.stderr)
        elif contender.slow and kind == "cpu" and not only:
            print(f"left out: {name}, it takes long to start here: --only {name!r}", file=sys.stderr)
        else:
            chosen[name] = contender
    return chosen


def time_side_by_side(
    contenders: Mapping[str, Contender],
    options: Any,
    rounds: int,
    seconds_per_turn: float,
    *,
    at_once: int = 1,
    start_together: bool = False,
    patience: float = 600.0,
    each_round: Callable[[], Any] | None = None,
) -> dict[str, Timing]:
    """Run the contenders in turn, ``rounds`` times, after one turn each to warm up.

    A turn is as many steps as take about ``seconds_per_turn``, a multiple of ``at_once`` and at least that.
    With several threads each begins `SPINNING` later.
    With ``start_together`` the processes get ready at the same time, which is sooner where there are cores
    for them. One that fails, or does not answer for ``patience`` seconds, is left out from then on.
    ``each_round`` is called before each.
    """
    failed: dict[str, Timing] = {}
    workers: dict[str, _Worker] = {}

    def ask(name: str, what: Callable[[_Worker], Any]) -> Any:
        if name in failed:
            return None
        try:
            return what(workers[name])
        except _ContenderError as failure:
            print(f"left out: {name}, {failure}", file=sys.stderr)
            failed[name] = Timing([], 0.0, str(failure))
            return workers[name].end()

    for name, contender in contenders.items():
        workers[name] = _Worker(contender, options, at_once, patience)
        if not start_together:
            ask(name, _Worker.answer)
    for name in workers if start_together else ():
        ask(name, _Worker.answer)
    steps = {}
    for name in workers:
        if first := ask(name, lambda worker: worker.turn(at_once * -(-3 // at_once))):
            steps[name] = at_once * max(1, round(seconds_per_turn / first[0] / at_once))
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    rest = SPINNING if int(os.environ.get("XPNET_BENCHMARK_THREADS", "1")) > 1 else 0.0
    for _ in range(rounds):
        if each_round:
            each_round()
        for name in steps:
            time.sleep(rest)
            if taken := ask(name, lambda worker, count=steps[name]: worker.turn(count)):
                turns[name].append(taken)
    for name, worker in workers.items():
        if name not in failed:
            worker.end()
    return {
        name: failed.get(name)
        or Timing([seconds for seconds, _ in turns[name]], max(peak for _, peak in turns[name]))
        for name in contenders
    }


class _ContenderError(Exception):
    """Why a contender could not go on, in one line."""


class _Worker:
    """A contender in a process of its own."""

    def __init__(self, contender: Contender, options: Any, at_once: int, patience: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.patience = patience
        self.pipe, theirs = context.Pipe()
        arguments = (theirs, contender.make, options, at_once)
        self.process = context.Process(target=_serve, args=arguments, daemon=not contender.has_children)
        self.process.start()
        theirs.close()

    def turn(self, steps: int) -> Any:
        """Run that many steps; return seconds per step and peak memory."""
        with contextlib.suppress(OSError):  # it has ended: so says the answer
            self.pipe.send(steps)
        return self.answer()

    def answer(self) -> Any:
        """Wait for the process to be ready, or done."""
        try:
            if not self.pipe.poll(self.patience):
                raise _ContenderError(f"no answer for {self.patience:.0f} s")
            value, error = self.pipe.recv()
        except (EOFError, ConnectionError):
            raise _ContenderError("its process ended: its own error is printed above") from None
        if error:
            raise _ContenderError(error)
        return value

    def end(self) -> None:
        """End the process, which frees its memory."""
        with contextlib.suppress(OSError):  # it has ended
            self.pipe.send(0)
        self.process.join(5.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(pipe: Connection, make: Callable[..., Block], options: Any, at_once: int) -> None:
    try:
        block = make(options)
        block(at_once * -(-2 // at_once))
        pipe.send(("ready", ""))
        while steps := pipe.recv():
            block(at_once)  # wakes the thread pool and fills the caches after the others' turns
            began = time.perf_counter()
            block(steps)
            seconds = (time.perf_counter() - began) / steps
            pipe.send(((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), ""))
    except Exception as error:
        traceback.print_exc()
        pipe.send((None, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"))


def ratios(timings: Mapping[str, Timing], reference: str) -> dict[str, float]:
    """Return each contender's median, over the rounds, of its time by the reference's; of those that ran."""
    base = timings[reference].seconds if reference in timings else []
    return {
        name: statistics.median(a / b for a, b in zip(timing.seconds, base, strict=True))
        for name, timing in timings.items()
        if base and timing.seconds
    }


def markdown_table(timings: Mapping[str, Timing], reference: str) -> str:
    """Return a table of median and quartiles of the time per step, the ratio, and the peak memory."""
    by_reference = ratios(timings, reference)
    lines = [
        f"| contender | median ms | quartiles ms | ratio to {reference} | peak MiB |",
        "|---|---|---|---|---|",
    ]
    for name, timing in timings.items():
        if timing.error:
            lines.append(f"| {name} | failed | {timing.error.replace('|', '/')} | | |")
            continue
        one = len(timing.seconds) == 1  # has no quartiles before Python 3.13
        low, median, high = timing.seconds * 3 if one else statistics.quantiles(timing.seconds, n=4)
        ratio = f"{by_reference[name]:.2f}" if by_reference else ""
        lines.append(
            f"| {name} | {1e3 * median:.3f} | {1e3 * low:.3f} – {1e3 * high:.3f} "
            f"| {ratio} | {timing.peak_mib:.0f} |"
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
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=("fp32", "tf32"),
        help="of products on a GPU, for all contenders (default: fp32)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=None,
        help="threads of each contender (default: 1 on the CPU, the library's own choice on a GPU)",
    )
    parser.add_argument("--rounds", type=int, default=15, help="rounds (default: 15)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn (default: 1)")
    parser.add_argument("--only", nargs="+", default=None, help="names of contenders to run")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")


def write_json(path: Path, settings: Mapping[str, Any], timings: Mapping[str, Timing]) -> None:
    """Write environment, settings and all rounds of all contenders."""
    content = {"environment": environment(), "settings": dict(settings), "contenders": figures(timings)}
    path.write_text(json.dumps(content, indent=1) + "\n")


def figures(timings: Mapping[str, Timing]) -> dict[str, Any]:
    """Return all rounds of all contenders as they are written to a file."""
    return {
        name: {"error": t.error} if t.error else {"seconds_per_step": t.seconds, "peak_mib": t.peak_mib}
        for name, t in timings.items()
    }
