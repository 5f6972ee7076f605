"""Training on rows from memory and from the disk, on one process and on two, and the memory that takes.

    python benchmarks/scale.py rows [--rows N] [--features N] [--hidden N …] [--cold] [--threads N]
    python benchmarks/scale.py memory [--sizes 100000 1000000 10000000] [--features N]
    python benchmarks/scale.py processes [--hidden N …] [--batch N]

``rows``: rows a second of the same network from memory, from ``.npy`` and from Parquet files, beside PyTorch
on the same rows, by its ``DataLoader`` over the same memory map, and scikit-learn's ``partial_fit``. Each
lives in a process of its own, and they take turns. With ``--cold`` the files are dropped from the system's
cache before each turn, and one runs after the other, as nobody can drop what another has mapped. ``memory``:
the peak of a process that trains for an epoch, for more and more rows on the disk. ``processes``: a step of
one process and of two, half a batch each, that sum their gradients by MPI, beside the sum alone: what the
second one gains.
"""

import argparse
import itertools
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# Before NumPy is imported anywhere, also by the processes this one starts: see limit_threads.
sys.path[:0] = [str(Path(__file__).parent)]
sys.path.append(str(Path(__file__).parents[1]))  # where xpnet is not installed
import interleave
from interleave import Block, Contender

CLASSES = 10
LEARNING_RATE = 0.01
PART = 50_000
"""Rows that are made at a time."""

GROUP = 2**14
"""Rows of a row group."""


@dataclass(frozen=True)
class Sizes:
    """What is trained, and where its rows are."""

    folder: Path
    rows: int
    features: int
    hidden: tuple[int, ...]
    batch: int
    cold: bool = False
    in_memory: int | None = None

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, hidden units and outputs."""
        return self.features, *self.hidden, CLASSES

    def loaded(self) -> Any:
        """Return the rows that those have who train from memory: the first, or all."""
        import numpy as np

        return np.array(np.load(self.folder / "X.npy", mmap_mode="r")[: self.in_memory])


def make_rows(sizes: Sizes, parquet: bool = False, val: int = 0) -> None:
    """Write random rows, whose class a linear map of them says."""
    import numpy as np

    sizes.folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((sizes.features, CLASSES), dtype=np.float32)
    for name, count in {"": sizes.rows, "_val": val}.items():
        if not count:
            continue
        X = np.lib.format.open_memmap(
            sizes.folder / f"X{name}.npy", "w+", np.float32, (count, sizes.features)
        )
        y = np.empty(count, np.int64)
        for begin in range(0, count, PART):
            part = rng.random((min(PART, count - begin), sizes.features), np.float32) - np.float32(0.5)
            X[begin : begin + PART], y[begin : begin + PART] = part, (part @ weights).argmax(axis=1)
        X.flush()
        np.save(sizes.folder / f"y{name}.npy", y)
    if parquet:
        _write_parquet(sizes)


def _write_parquet(sizes: Sizes) -> None:
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    X = np.load(sizes.folder / "X.npy", mmap_mode="r")
    folder = sizes.folder / "parts"
    folder.mkdir(exist_ok=True)
    names = [f"x{k}" for k in range(sizes.features)]
    for part, begin in enumerate(range(0, sizes.rows, 10 * GROUP)):
        rows = X[begin : begin + 10 * GROUP]
        table = pa.table(dict(zip(names, np.ascontiguousarray(rows.T), strict=True)))
        parquet.write_table(table, folder / f"{part:04}.parquet", row_group_size=GROUP)


def drop(path: Path, mapped: Any = None) -> None:
    """Drop a file, or all of a folder, from the system's cache, which keeps what a process has mapped."""
    if mapped is not None:
        mapped._mmap.madvise(mmap.MADV_DONTNEED)
    for file in path.iterdir() if path.is_dir() else [path]:
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


# xpnet


def xpnet_from(sizes: Sizes, where: str) -> Block:
    """The epochs of `xpnet.training.loop.fit` without their evaluations, on rows in memory or on the disk."""
    import numpy as np

    from xpnet import MLP, get_device
    from xpnet.data.feed import Feed
    from xpnet.data.host_rows import HostRows
    from xpnet.nn.mlp import init
    from xpnet.training.draws import draw_epoch
    from xpnet.training.regime import Hyper, Regime
    from xpnet.training.step import initial_state, joined, make_advance, make_step

    device, mlp = get_device("cpu"), MLP(sizes.widths)
    X, files = rows_of(sizes, where)
    rows = X if where == "memory" else HostRows(X, device, "float32")
    feed = Feed(rows, np.load(sizes.folder / "y.npy")[: len(X)])
    regime, hyper = Regime(1, sizes.batch, "shuffle"), Hyper(learning_rate=LEARNING_RATE)
    params = init(mlp, np.random.default_rng(1), 0.05)
    params = {name: value.astype(np.float32) for name, value in params.items()}
    rng, numbers, whole = np.random.default_rng(2), itertools.count(), len(X) // sizes.batch
    by_step = {"rate": regime.learning_rates(hyper, (), range(whole), 0)}
    with device.active():
        advance = make_advance(device, feed, make_step(device, mlp, feed, regime, hyper, params))
        state = initial_state(device, params, regime, hyper)

    def epoch() -> Iterator[Callable[[Any], Any]]:
        tables = draw_epoch(
            device, feed, regime, hyper, state["params"], lambda *_: rng, next(numbers), 0, by_step
        )
        steps = joined(device.xp, [(advance, table) for table in tables])
        return (partial(steps, begin=k, end=k + 1) for k in range(whole))

    coming: Iterator[Callable[[Any], Any]] = iter(())

    def block(steps: int) -> None:
        nonlocal state, coming
        if sizes.cold:
            drop(files)
        with device.active():
            for _ in range(steps):
                step = next(coming, None)
                if step is None:
                    coming = epoch()
                    step = next(coming)
                state, _ = step(state)

    return block


def rows_of(sizes: Sizes, where: str) -> tuple[Any, Path]:
    """Return the rows, in memory or on the disk, and the files that have them."""
    from xpnet.columns.columns import Column, Columns
    from xpnet.datasets.npy_rows import NpyRows
    from xpnet.datasets.parquet_rows import ParquetRows, Parts

    file = sizes.folder / "X.npy"
    if where == "memory":
        return sizes.loaded(), file
    if where == ".npy":
        return NpyRows(file), file
    parts = Parts(sizes.folder / "parts")
    columns = Columns(tuple(Column(name, "number") for name in parts.names), tuple(parts.names))
    return ParquetRows(parts, columns), sizes.folder / "parts"


# PyTorch and scikit-learn


def torch_from(sizes: Sizes, where: str, workers: int = 0) -> Block:
    """PyTorch's network and optimizer: rows in memory, or by a `DataLoader` over the memory map.

    Its loader is given a batch's indices at a time, not a row's: that takes a tenth of the time.
    """
    import numpy as np
    import torch
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler

    torch.manual_seed(0)
    if "XPNET_BENCHMARK_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["XPNET_BENCHMARK_THREADS"]))
    widths = list(itertools.pairwise(sizes.widths))
    layers: list[Any] = [part for a, b in widths for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    net = torch.nn.Sequential(*layers[:-1])
    optimizer, loss_of = torch.optim.SGD(net.parameters(), LEARNING_RATE), torch.nn.CrossEntropyLoss()
    file = sizes.folder / "X.npy"
    X = sizes.loaded() if where == "memory" else np.load(file, mmap_mode="r")
    y = np.load(sizes.folder / "y.npy")

    class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: list[int]) -> tuple[Any, Any]:
            return torch.from_numpy(X[index]), torch.from_numpy(y[index])

    def in_memory() -> Iterator[tuple[Any, Any]]:
        all_X, all_y = torch.from_numpy(X), torch.from_numpy(y)
        order = torch.randperm(len(X))
        for begin in range(0, len(X) - sizes.batch + 1, sizes.batch):
            index = order[begin : begin + sizes.batch]
            yield all_X[index], all_y[index]

    def loaded() -> Iterator[tuple[Any, Any]]:
        rows = Rows()
        sampler = BatchSampler(RandomSampler(rows), sizes.batch, drop_last=True)
        context = "fork" if workers else None  # this process was spawned, which `Rows` could not be sent by
        yield from DataLoader(
            rows, batch_size=None, sampler=sampler, num_workers=workers, multiprocessing_context=context
        )

    batches: Iterator[tuple[Any, Any]] = iter(())

    def block(steps: int) -> None:
        nonlocal batches
        if sizes.cold:
            drop(file, None if where == "memory" else X)
        for _ in range(steps):
            batch = next(batches, None)
            if batch is None:
                batches = in_memory() if where == "memory" else loaded()
                batch = next(batches)
            optimizer.zero_grad(set_to_none=True)
            loss_of(net(batch[0]), batch[1]).backward()
            optimizer.step()

    return block


def sklearn_from(sizes: Sizes) -> Block:
    """scikit-learn's `MLPClassifier.partial_fit`, a batch of the memory map at a time."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    file = sizes.folder / "X.npy"
    X = np.load(file, mmap_mode="r")
    y, rng = np.load(sizes.folder / "y.npy"), np.random.default_rng(2)
    net = MLPClassifier(
        sizes.hidden,
        solver="sgd",
        alpha=0,
        momentum=0,
        learning_rate_init=LEARNING_RATE,
        batch_size=sizes.batch,
    )
    order, begin = rng.permutation(len(X)), 0

    def block(steps: int) -> None:
        nonlocal order, begin
        if sizes.cold:
            drop(file, X)
        for _ in range(steps):
            if begin + sizes.batch > len(X):
                order, begin = rng.permutation(len(X)), 0
            index = order[begin : begin + sizes.batch]
            begin += sizes.batch
            net.partial_fit(X[index], y[index], classes=range(CLASSES))

    return block


CONTENDERS = {
    "xpnet, memory": Contender(partial(xpnet_from, where="memory")),
    "xpnet, .npy": Contender(partial(xpnet_from, where=".npy")),
    "xpnet, Parquet": Contender(partial(xpnet_from, where="Parquet"), needs=("pyarrow",)),
    "PyTorch, memory": Contender(partial(torch_from, where="memory"), needs=("torch",)),
    "PyTorch, DataLoader": Contender(partial(torch_from, where="map"), needs=("torch",)),
    "PyTorch, DataLoader of 2": Contender(
        partial(torch_from, where="map", workers=2), needs=("torch",), has_children=True
    ),
    "scikit-learn, partial_fit": Contender(sklearn_from, needs=("sklearn",)),
}


def rows(arguments: argparse.Namespace) -> None:
    """Print rows a second of all contenders."""
    interleave.prepare("cpu", arguments.threads)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        sizes = Sizes(
            Path(folder),
            arguments.rows,
            arguments.features,
            tuple(arguments.hidden),
            arguments.batch,
            arguments.cold,
            arguments.in_memory,
        )
        contenders = interleave.installed(CONTENDERS, arguments.only, "xpnet, memory", "cpu")
        make_rows(sizes, "xpnet, Parquet" in contenders)
        turns = [contenders]
        if sizes.cold:  # one after the other, as nobody can drop what others have mapped
            turns = [{name: one} for name, one in contenders.items() if not one.has_children]
        timings = {}
        for some in turns:
            timings |= interleave.time_side_by_side(some, sizes, arguments.rounds, arguments.seconds)
        size = sum(file.stat().st_size for file in sizes.folder.glob("parts/*"))
    print(f"{interleave.environment_line()}\n")
    cache = "dropped before each turn" if sizes.cold else "warm"
    cache += f"; those from memory have {sizes.in_memory:,} rows" if sizes.in_memory else ""
    print(
        f"{'→'.join(map(str, sizes.widths))}, float32, batches of {sizes.batch} of {sizes.rows:,} rows "
        f"({4e-9 * sizes.rows * sizes.features:.2f} GB; in Parquet {size / 1e9:.2f}), cache {cache}\n"
    )
    ratios = interleave.ratios(timings, "xpnet, memory")
    print("| rows from | thousand rows/s | speed by xpnet's from memory |\n|---|---|---|")
    for name, timing in timings.items():
        if timing.seconds:
            speed = sizes.batch / timing.median() / 1e3
            print(f"| {name} | {speed:.0f} | {1 / ratios[name]:.2f} |")
    if arguments.json:
        interleave.write_json(arguments.json, {**vars(sizes), "folder": ""}, timings)


TRAIN = """
import sys
from pathlib import Path
import xpnet
folder, where, widths, batch = sys.argv[1:]
run = xpnet.fit(folder, rows_in=where, recipe="none", preprocess="standardize", sampling="shuffle", epochs=1,
                hidden=[int(width) for width in widths.split(",")], batch_size=int(batch))
# Not what getrusage says, which begins with the peak of the process that started this one.
(peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
summary = run.summary
print(int(peak.split()[1]) / 1024, summary["steps"] / run.history.rows[-1].seconds, summary["seconds"],
      summary["val_accuracy"])
"""


def memory(arguments: argparse.Namespace) -> None:
    """Print the peak memory of an epoch for more and more rows, and how fast it was."""
    print(f"{interleave.environment_line()}\n")
    print("| rows | GB | rows in | peak MiB | thousand rows/s | seconds in all | val_accuracy |")
    print("|---|---|---|---|---|---|---|")
    for count, where in itertools.product(arguments.sizes, arguments.rows_in):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            sizes = Sizes(Path(folder), count, arguments.features, tuple(arguments.hidden), arguments.batch)
            make_rows(sizes, val=min(20_000, count // 10))
            widths = ",".join(map(str, sizes.hidden))
            command = [sys.executable, "-W", "ignore", "-c", TRAIN, folder, where, widths, str(sizes.batch)]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peak, steps, seconds, accuracy = map(float, said.split())
        size = 4e-9 * count * sizes.features
        speed = steps * sizes.batch / 1e3
        figures = f"{peak:.0f} | {speed:.0f} | {seconds:.1f} | {accuracy:.3f}"
        print(f"| {count:,} | {size:.2f} | {where} | {figures} |", flush=True)


def make_step_of(sizes: Sizes, team: Any) -> Block:
    """Steps of a batch by all processes of a team, or by this one alone."""
    import numpy as np

    from xpnet import MLP, get_device
    from xpnet.data.feed import Feed
    from xpnet.nn.mlp import init
    from xpnet.training.draws import draw_epoch
    from xpnet.training.regime import Hyper, Regime
    from xpnet.training.step import initial_state, joined, make_advance, make_step, take_steps

    device, mlp, rng = get_device("cpu"), MLP(sizes.widths), np.random.default_rng(0)
    device = device if team is None else device.among(team)
    X = rng.random((sizes.rows, sizes.features), np.float32) - np.float32(0.5)
    feed = Feed(X, rng.integers(0, CLASSES, sizes.rows))
    regime, hyper = Regime(1, sizes.batch), Hyper(learning_rate=LEARNING_RATE)
    params = init(mlp, np.random.default_rng(1), 0.05)
    params = {name: value.astype(np.float32) for name, value in params.items()}
    advance = make_advance(device, feed, make_step(device, mlp, feed, regime, hyper, params))
    state = initial_state(device, params, regime, hyper)

    def block(steps: int) -> None:
        nonlocal state
        with device.active():
            by_step = {"rate": regime.learning_rates(hyper, (), range(steps), 0)}
            draw = np.random.default_rng(2)
            tables = draw_epoch(device, feed, regime, hyper, params, lambda *_: draw, 0, 0, by_step)
            state, _ = take_steps(
                device, joined(device.xp, [(advance, table) for table in tables]), state, steps
            )

    return block


def of_a_process(arguments: argparse.Namespace) -> None:
    """Time, as one of several processes: in each round all work, then the first alone, on half and on all."""
    import numpy as np
    from mpi4py import MPI

    from xpnet.device import find_team

    comm, team = MPI.COMM_WORLD, find_team()
    if team is None:
        raise SystemExit("started by itself: scale.py processes starts it by mpiexec")
    sizes = Sizes(Path(), 8 * arguments.batch, arguments.features, tuple(arguments.hidden), arguments.batch)
    half = Sizes(Path(), sizes.rows, sizes.features, sizes.hidden, sizes.batch // team.size)
    entries = [np.zeros(a * b + b, np.float32) for a, b in itertools.pairwise(sizes.widths)]

    def sums(steps: int) -> None:
        for _ in range(steps):
            team.whole(*entries)

    together, alone, of_half = make_step_of(sizes, team), make_step_of(sizes, None), make_step_of(half, None)
    kinds: dict[str, tuple[Block, bool]] = {
        "one process": (alone, False),
        f"its 1/{team.size} of the batch": (of_half, False),
        f"the same, in {team.size} processes at once": (of_half, True),
        "the sum of the gradients": (sums, True),
        f"{team.size} processes": (together, True),
    }
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(arguments.rounds + 1):
        for name, (block, by_all) in kinds.items():
            comm.Barrier()
            began = time.perf_counter()
            if by_all or team.is_first:
                block(arguments.steps)
            comm.Barrier()
            if turn:  # the first warms up
                found[name].append((time.perf_counter() - began) / arguments.steps)
    if team.is_first:
        print(json.dumps(found))


def processes(arguments: argparse.Namespace) -> None:
    """Print what a step takes in one process and in several, and what the sum of the gradients does."""
    interleave.limit_threads(1, cores=arguments.processes)
    numbers = [arguments.features, arguments.batch, arguments.steps, arguments.rounds]
    flags = ["--features", "--batch", "--steps", "--rounds"]
    command = ["mpiexec", "-n", str(arguments.processes), sys.executable, __file__, "of-a-process"]
    command += ["--hidden", *map(str, arguments.hidden)]
    command += itertools.chain.from_iterable(zip(flags, map(str, numbers), strict=True))
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    medians = {name: statistics.median(times) for name, times in found.items()}
    widths = (arguments.features, *arguments.hidden, CLASSES)
    entries = sum(a * b + b for a, b in itertools.pairwise(widths))
    print(f"{interleave.environment_line()}\n")
    print(
        f"{'→'.join(map(str, widths))}, float32, batches of {arguments.batch}, a BLAS thread each; gradients "
        f"of {4e-6 * entries:.1f} MB\n\n| a step of | median ms | quartiles ms |\n|---|---|---|"
    )
    for name, times in found.items():
        low, _, high = statistics.quantiles(times, n=4)
        print(f"| {name} | {1e3 * medians[name]:.2f} | {1e3 * low:.2f} – {1e3 * high:.2f} |")
    one, _, at_once, summed, several = medians.values()
    _, of_half, _, of_sums, of_several = found.values()
    ratio = statistics.median(s / (h + a) for s, h, a in zip(of_several, of_half, of_sums, strict=True))
    print(
        f"\n{arguments.processes} processes are {one / several:.2f} times as fast as one. Their step takes "
        f"{ratio:.2f} times as long as one on its part of the batch and the sum of the gradients, and "
        f"{several / (at_once + summed):.2f} times if all cores are at work for that, too."
    )


def main() -> None:
    """Measure what is asked for, and print it as a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    which = parser.add_subparsers(required=True, dest="what")
    for name, run, network in (("rows", rows, (100, 256, 256)), ("memory", memory, (100, 256, 64))):
        one = which.add_parser(name)
        one.set_defaults(run=run)
        one.add_argument("--features", type=int, default=network[0])
        one.add_argument("--hidden", type=int, nargs="+", default=[network[2]])
        one.add_argument("--batch", type=int, default=network[1])
        one.add_argument("--folder", type=Path, default=None, help="where to put the rows, for a while")
    interleave.add_common_flags(which.choices["rows"])
    which.choices["rows"].add_argument("--rows", type=int, default=1_000_000)
    which.choices["rows"].add_argument(
        "--in-memory", type=int, help="rows that those from memory have, where all do not fit (default: all)"
    )
    which.choices["rows"].add_argument("--cold", action="store_true", help="drop the files from the cache")
    which.choices["memory"].add_argument("--sizes", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    which.choices["memory"].add_argument("--rows-in", nargs="+", default=["disk"], choices=["disk", "memory"])
    for name, run in (("processes", processes), ("of-a-process", of_a_process)):
        one = which.add_parser(name)
        one.set_defaults(run=run)
        one.add_argument("--features", type=int, default=3072)
        one.add_argument("--hidden", type=int, nargs="+", default=[1000, 1000])
        one.add_argument("--batch", type=int, default=2000)
        one.add_argument("--processes", type=int, default=2)
        one.add_argument("--steps", type=int, default=5, help="of a turn (default: 5)")
        one.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
