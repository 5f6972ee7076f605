"""Time of a whole fit: xpnet.MLPClassifier against scikit-learn's, at equal epochs and batches in float32.

    python benchmarks/fit_time.py [--threads N] [--data-dir DIR] [--only digits synthetic cifar10]

Three data sets: the digits (1,797 × 64), 100,000 random rows of 100 features in two classes, and the
training images of CIFAR-10 (as many as ``--rows`` says). Both estimators have their defaults (Adam, batches
of 200, one hidden layer of 100) but for the number of epochs, and no loss ends a fit early. Each lives in a
process of its own, and they fit in turn; ratios are taken within a round.
"""

import argparse
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before NumPy is imported anywhere, also by the processes this one starts: see limit_threads.
sys.path[:0] = [str(Path(__file__).parent)]
sys.path.append(str(Path(__file__).parents[1]))  # where xpnet is not installed
import interleave
from interleave import Block, Contender, Timing

EPOCHS = {"digits": 20, "synthetic": 2, "cifar10": 1}
"""A fit takes about a second, so that what is done once counts as little as in earnest."""


@dataclass(frozen=True)
class Task:
    """What is fitted."""

    name: str
    data_dir: str | None
    rows: int
    device: str

    def data(self) -> tuple[Any, Any]:
        """Return rows in float32, scaled, and labels."""
        import numpy as np

        from xpnet import datasets

        if self.name == "synthetic":
            rng = np.random.default_rng(0)
            X = rng.standard_normal((100_000, 100), dtype=np.float32)
            return X, (X @ rng.standard_normal(100) > 0).astype(np.int64)
        data = datasets.load(self.name, self.data_dir)
        X, y = data.X_train[: self.rows], data.y_train[: self.rows]
        if self.name == "digits":  # all of them, as scikit-learn has them
            X, y = (
                np.concatenate([getattr(data, f"{a}_{b}") for b in ("train", "val", "test")]) for a in "Xy"
            )
        return X.astype(np.float32) / np.float32(X.max()), y


def fits(task: Task, estimator: type, **own: Any) -> Block:
    """Return what fits new estimators; a step is a fit."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = task.data()
    how = {"max_iter": EPOCHS[task.name], "n_iter_no_change": 10**6, "random_state": 0, **own}

    def block(steps: int) -> None:
        for _ in range(steps):
            estimator(**how).fit(X, y)

    return block


def ours(task: Task) -> Block:
    """`xpnet.MLPClassifier`."""
    from xpnet import MLPClassifier

    return fits(task, MLPClassifier, device=task.device)


def theirs(task: Task) -> Block:
    """`sklearn.neural_network.MLPClassifier`."""
    from sklearn.neural_network import MLPClassifier

    return fits(task, MLPClassifier)


CONTENDERS = {
    "xpnet": Contender(ours, needs=("sklearn",)),
    "scikit-learn": Contender(theirs, needs=("sklearn",)),
}


def row(task: Task, timings: dict[str, Timing]) -> str:
    """Return a line of the table."""
    if failed := [name for name, timing in timings.items() if timing.error]:
        raise SystemExit(f"{' and '.join(failed)} failed on {task.name}: see above")
    own, other = (timings[name].seconds for name in CONTENDERS)
    low, ratio, high = statistics.quantiles([b / a for a, b in zip(own, other, strict=True)], n=4)
    return (
        f"| {task.name} | {EPOCHS[task.name]} | {statistics.median(own):.3f} "
        f"| {statistics.median(other):.3f} | {ratio:.2f} | {low:.2f} – {high:.2f} |"
    )


def main() -> None:
    """Run both on each data set and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu", help="of xpnet: cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each contender (default: 1)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds (default: 15)")
    parser.add_argument("--data-dir", default=None, help="as for xpnet train")
    parser.add_argument("--rows", type=int, default=50_000, help="rows of cifar10 (default: all of training)")
    parser.add_argument("--only", nargs="+", default=list(EPOCHS), choices=list(EPOCHS), help="data sets")
    flags = parser.parse_args()
    interleave.limit_threads(flags.threads)
    print(
        f"{interleave.environment_line()}; OpenBLAS core {os.environ.get('OPENBLAS_CORETYPE', 'its own')}\n"
    )
    print("| data | epochs | xpnet s | scikit-learn s | times as fast (median) | quartiles |")
    print("|---|---|---|---|---|---|")
    for name in flags.only:
        task = Task(name, flags.data_dir, flags.rows, flags.device)
        print(row(task, interleave.time_side_by_side(CONTENDERS, task, flags.rounds, 0.0)), flush=True)


if __name__ == "__main__":
    main()
