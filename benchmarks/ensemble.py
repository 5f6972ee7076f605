"""Time of an ensemble of 8 against one network, trained at once as a stack, by each door.

    python benchmarks/ensemble.py [--threads N] [--only digits wide cifar10]

Three networks in float32, each trained for so many epochs: 64→64→10 on the digits in batches of 64, for which
calls cost more than arithmetic; 64→128→10 in batches of 200; and 3072→300→10 in batches of 200 on rows of
random bytes as large as CIFAR-10's, where a stack can save nothing. One network and eight live in a process
each, and fit in turn; ratios are taken within a round. The aim: at most 3 times one network for the first,
and never more than 8.
"""

import argparse
import os
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Before NumPy is imported anywhere, also by the processes this one starts: see limit_threads.
sys.path[:0] = [str(Path(__file__).parent)]
sys.path.append(str(Path(__file__).parents[1]))  # where xpnet is not installed
import interleave
from interleave import Block, Contender, Timing

NETWORKS = 8


@dataclass(frozen=True)
class Task:
    """What is trained."""

    hidden: int
    batch: int
    epochs: int
    rows: int
    features: int = 64
    device: str = "cpu"

    def data(self) -> tuple[Any, Any]:
        """Return rows in float32, of a size that needs no scaling, and labels."""
        import numpy as np

        from xpnet import datasets

        if self.features == 64:
            data = datasets.load("digits")
            X, y = data.X_train, data.y_train
        else:
            rng = np.random.default_rng(0)
            X = rng.integers(0, 256, (self.rows, self.features))
            y = rng.integers(10, size=self.rows)
        return X[: self.rows].astype(np.float32) / np.float32(X.max()), y[: self.rows]

    def __str__(self) -> str:
        return f"{self.features}→{self.hidden}→10, batches of {self.batch}"


TASKS = {
    "digits": Task(hidden=64, batch=64, epochs=20, rows=1297),
    "wide": Task(hidden=128, batch=200, epochs=20, rows=1297),
    "cifar10": Task(hidden=300, batch=200, epochs=1, rows=4_000, features=3072),
}


def by_run(task: Task, networks: int) -> Block:
    """`xpnet.fit`, with plain settings; a step is a fit."""
    import xpnet

    X, y = task.data()
    settings: dict[str, Any] = {
        "hidden": task.hidden,
        "batch_size": task.batch,
        "epochs": task.epochs,
        "solver": "adam",
    }
    settings |= {"learning_rate": 1e-3, "device": task.device, "ensemble": networks, "recipe": "none"}

    def block(steps: int) -> None:
        for _ in range(steps):
            xpnet.fit(X, y, X_val=X[:200], y_val=y[:200], **settings)

    return block


def by_estimator(task: Task, networks: int) -> Block:
    """`xpnet.MLPClassifier`."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    from xpnet import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = task.data()
    how: dict[str, Any] = {
        "hidden_layer_sizes": task.hidden,
        "batch_size": task.batch,
        "max_iter": task.epochs,
    }
    how |= {"n_iter_no_change": 10**6, "random_state": 0, "device": task.device, "ensemble": networks}

    def block(steps: int) -> None:
        for _ in range(steps):
            MLPClassifier(**how).fit(X, y)

    return block


def one_run(task: Task) -> Block:
    """One network by `xpnet.fit`."""
    return by_run(task, 1)


def several_runs(task: Task) -> Block:
    """An ensemble by `xpnet.fit`."""
    return by_run(task, NETWORKS)


def one_estimator(task: Task) -> Block:
    """One network by `MLPClassifier`."""
    return by_estimator(task, 1)


def several_estimators(task: Task) -> Block:
    """An ensemble by `MLPClassifier`."""
    return by_estimator(task, NETWORKS)


DOORS = {"xpnet.fit": (one_run, several_runs), "MLPClassifier": (one_estimator, several_estimators)}


def row(task: Task, door: str, timings: dict[str, Timing]) -> str:
    """Return a line of the table."""
    if failed := [name for name, timing in timings.items() if timing.error]:
        raise SystemExit(f"{' and '.join(failed)} failed on {task}: see above")
    one, several = (timings[name].seconds for name in ("one", "several"))
    low, ratio, high = statistics.quantiles([b / a for a, b in zip(one, several, strict=True)], n=4)
    return (
        f"| {task} | {door} | {statistics.median(one) * 1e3:.1f} | {statistics.median(several) * 1e3:.1f} "
        f"| {ratio:.2f} | {low:.2f} – {high:.2f} |"
    )


def main() -> None:
    """Run both of each door on each network and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each contender (default: 1)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds (default: 15)")
    parser.add_argument("--only", nargs="+", default=list(TASKS), choices=list(TASKS), help="networks")
    flags = parser.parse_args()
    interleave.limit_threads(flags.threads)
    print(
        f"{interleave.environment_line()}; OpenBLAS core {os.environ.get('OPENBLAS_CORETYPE', 'its own')}\n"
    )
    print(f"| network | by | one ms | {NETWORKS} ms | ratio (median) | quartiles |")
    print("|---|---|---|---|---|---|")
    for name in flags.only:
        task = replace(TASKS[name], device=flags.device)
        for door, (one, several) in DOORS.items():
            contenders = {"one": Contender(one), "several": Contender(several)}
            timings = interleave.time_side_by_side(contenders, task, flags.rounds, 0.3)
            print(row(task, door, timings), flush=True)


if __name__ == "__main__":
    main()
