"""A search over parameters: xpnet.MLPSearchCV against scikit-learn's GridSearchCV, with equal work.

    python benchmarks/search.py [--candidates 12 24] [--folds 5] [--data-dir DIR] [--only digits-32 …]

Four tasks, in float32: the digits (1,797 × 64, a layer of 64, Adam, 15 epochs) in batches of 32 and of 200; a
table of 5,000 random rows of 20 numbers, scaled on each fold by a pipeline; 5,000 images of CIFAR-10 as they
are, 3,072 pixels each. Three ways to search them, all without the final fit and with a process on each
core: networks as stacks; ``GridSearchCV`` on scikit-learn's own network, and on xpnet's. Each lives in a
process of its own, and they search in turn; ratios are taken within a round. The processes that they start
are there before the clock runs.
"""

import argparse
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

BATCH_OF = {"digits-32": 32, "digits-200": 200, "table": 200, "cifar10": 200}
EPOCHS_OF = {"digits-32": 15, "digits-200": 15, "table": 10, "cifar10": 5}


@dataclass(frozen=True)
class Task:
    """What is searched."""

    name: str
    candidates: int
    folds: int
    cores: int
    data_dir: str | None

    def data(self) -> tuple[Any, Any]:
        """Return rows in float32 and labels."""
        import numpy as np
        from sklearn.datasets import load_digits, make_classification

        from xpnet import datasets

        if self.name.startswith("digits"):
            X, y = load_digits(return_X_y=True)
            return (X / 16).astype(np.float32), y
        if self.name == "table":
            X, y = make_classification(5_000, 20, n_informative=10, n_classes=3, random_state=0)
            return (X * 10 + 3).astype(np.float32), y
        data = datasets.load(self.name, self.data_dir)
        return data.X_train[:5_000].astype(np.float32) / np.float32(255), data.y_train[:5_000]

    def model(self, network: type) -> tuple[Any, dict[str, list[float]]]:
        """Return the estimator and the grid."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model: Any = network(
            hidden_layer_sizes=(64,),
            batch_size=BATCH_OF[self.name],
            max_iter=EPOCHS_OF[self.name],
            n_iter_no_change=10**6,
            random_state=0,
        )
        grid = {
            "alpha": [10.0**-k for k in range(1, self.candidates // 4 + 1)],
            "learning_rate_init": [0.0005, 0.001, 0.002, 0.005],
        }
        if self.name != "table":
            return model, grid
        name = f"{network.__name__.lower()}__"
        return make_pipeline(StandardScaler(), model), {name + key: values for key, values in grid.items()}


def searches(task: Task, network: type, kind: type, **own: Any) -> Block:
    """Return what searches; a step is a search. It tells the scores by the attribute ``scores``."""
    import multiprocessing.util
    import warnings

    from joblib.externals import loky
    from sklearn.exceptions import ConvergenceWarning

    # A contender's process may start none, to end with this script: joblib's end with theirs, and would be
    # waited for until they have been idle for five minutes.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    multiprocessing.util.Finalize(
        None, lambda: loky.get_reusable_executor().shutdown(kill_workers=True), exitpriority=100
    )
    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = task.data()
    model, grid = task.model(network)

    def block(steps: int) -> None:
        for _ in range(steps):
            search = kind(model, grid, cv=task.folds, refit=False, **own).fit(X, y)
            print(
                f"{kind.__name__} of {network.__module__.partition('.')[0]}: {scores(search)}",
                file=sys.stderr,
            )

    return block


def scores(search: Any) -> str:
    """Return the sum of all scores in full, and the best mean."""
    names = sorted(name for name in search.cv_results_ if name.startswith("split"))
    total = sum(float(search.cv_results_[name].sum()) for name in names)
    return f"scores add up to {total!r}, best {search.cv_results_['mean_test_score'].max():.4f}"


def stacks(task: Task) -> Block:
    """`xpnet.MLPSearchCV`."""
    from xpnet import MLPClassifier, MLPSearchCV

    return searches(task, MLPClassifier, MLPSearchCV, n_jobs=task.cores)


def one_by_one(task: Task) -> Block:
    """`GridSearchCV` of `xpnet.MLPClassifier`."""
    from sklearn.model_selection import GridSearchCV

    from xpnet import MLPClassifier

    return searches(task, MLPClassifier, GridSearchCV, n_jobs=task.cores)


def theirs(task: Task) -> Block:
    """`GridSearchCV` of scikit-learn's own."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier

    return searches(task, MLPClassifier, GridSearchCV, n_jobs=task.cores)


CONTENDERS = {
    "xpnet, stacks": Contender(stacks, needs=("sklearn",)),
    "xpnet, one by one": Contender(one_by_one, needs=("sklearn",)),
    "scikit-learn": Contender(theirs, needs=("sklearn",)),
}


def row(task: Task, timings: dict[str, Timing]) -> str:
    """Return a line of the table."""
    if failed := [name for name, timing in timings.items() if timing.error]:
        raise SystemExit(f"{' and '.join(failed)} failed on {task.name}: see above")
    own, *others = (timings[name].seconds for name in CONTENDERS)
    cells = [f"{statistics.median(own):.2f}"]
    for other in others:
        ratios = [b / a for a, b in zip(own, other, strict=True)]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        cells += [f"{statistics.median(other):.2f}", f"{ratio:.2f} ({low:.2f} – {high:.2f})"]
    return f"| {task.name} | {task.candidates} × {task.folds} | {' | '.join(cells)} |"


def main() -> None:
    """Run all on each task and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cores", type=int, default=2, help="cores of each contender (default: 2)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds (default: 7)")
    parser.add_argument("--candidates", type=int, nargs="+", default=[12, 24], help="multiples of 4")
    parser.add_argument("--folds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--data-dir", default=None, help="as for xpnet train")
    parser.add_argument("--only", nargs="+", default=list(BATCH_OF), choices=list(BATCH_OF), help="tasks")
    flags = parser.parse_args()
    interleave.limit_threads(1, flags.cores)  # of each process
    print(f"{interleave.environment_line()}\n")
    print("| data | networks | stacks, s | one by one, s | sooner by | scikit-learn, s | sooner by |")
    print("|---|---|---|---|---|---|---|")
    for name in flags.only:
        for candidates in flags.candidates:
            task = Task(name, candidates, flags.folds, flags.cores, flags.data_dir)
            timings = interleave.time_side_by_side(CONTENDERS, task, flags.rounds, 0.0)
            print(row(task, timings), flush=True)


if __name__ == "__main__":
    main()
