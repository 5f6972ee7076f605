"""What xpnet's recipe for tables is worth, beside gradient boosting and the best published MLPs for tables.

    python benchmarks/tables.py FOLDER [--seeds 0 1 2] [--only xpnet lightgbm …] [--tables adult …]
                                [--cells cells.json] [--out benchmarks/results/DATE-tables.md] [--ablation]

FOLDER holds ``NAME.csv.gz`` files whose column ``target`` is to be predicted: two or more classes, or a
number. Of each, and for each seed, up to 4,800 rows are drawn to train on, 1,200 to validate and 10,000 to
test. Every contender gets the same rows, uses the validation rows to stop or to choose its epoch, and has the
settings that its authors ship, or what its function here says. The error is one less the accuracy, or the
root mean squared error over the target's deviation. Contenders take turns, each fit in a process of its own
with ``--threads`` BLAS and OpenMP threads; what is measured is the CPU time of fitting and the time on the
clock, without imports. Those whose packages are not installed are left out. ``--cells`` keeps what was
measured, so that a run can be taken up.
"""

import argparse
import datetime
import importlib
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

TRAIN, VAL, TEST = 4800, 1200, 10_000
TARGET = "target"


class Split(NamedTuple):
    """Rows of a table as data frames, with their targets as NumPy arrays."""

    X: Any
    y: Any
    X_val: Any
    y_val: Any
    X_test: Any
    y_test: Any
    is_classes: bool


def split(path: Path, seed: int) -> Split:
    """Draw the rows of a seed."""
    import numpy as np
    import pandas as pd

    table = pd.read_csv(path)
    y = table.pop(TARGET)
    is_classes = y.dtype.kind != "f" or y.nunique() == 2
    text = [name for name in table if table[name].dtype.kind not in "biuf"]
    table[text] = table[text].astype("category")
    order = np.random.default_rng(seed).permutation(len(table))
    tested = min(TEST, max(len(table) - TRAIN - VAL, len(table) // 4))
    rest = order[tested:][: TRAIN + VAL]
    cut = len(rest) * TRAIN // (TRAIN + VAL)
    values = np.unique(y, return_inverse=True)[1] if is_classes else y.to_numpy(np.float64)
    parts = (rest[:cut], rest[cut:], order[:tested])
    return Split(*(a for part in parts for a in (table.iloc[part], values[part])), is_classes)  # type: ignore[call-arg]


def filled(data: Split) -> tuple[Any, Any, Any]:
    """Return the rows without gaps, for those that take none: medians, and a category of its own."""
    import pandas as pd

    parts = [data.X.copy(), data.X_val.copy(), data.X_test.copy()]
    for name in data.X:
        if isinstance(data.X[name].dtype, pd.CategoricalDtype):
            if any(part[name].isna().any() for part in parts):
                for part in parts:
                    part[name] = part[name].cat.add_categories("gap").fillna("gap")
        elif any(part[name].isna().any() for part in parts):
            median = data.X[name].median()
            for part in parts:
                part[f"{name} is a gap"] = part[name].isna().astype(float)
                part[name] = part[name].fillna(median)
    return parts[0], parts[1], parts[2]


Fit = Callable[[Split, int, int], Callable[[Any], Any]]
"""``fit(data, seed, threads)`` returns what predicts the test rows."""


def of_xpnet(recipe: str, **settings: Any) -> Fit:
    """Return the fit of a recipe of xpnet's: frames in, nothing set but for an ablation."""

    def fit(data: Split, seed: int, _threads: int) -> Callable[[Any], Any]:
        from xpnet import TableClassifier, TableRegressor

        kind = TableClassifier if data.is_classes else TableRegressor
        model = kind(recipe=recipe, random_state=seed, settings=settings)
        model.fit(data.X, data.y, X_val=data.X_val, y_val=data.y_val)
        return lambda found: model.predict(found.X_test)

    return fit


def of_sklearn_mlp(data: Split, seed: int, _threads: int) -> Callable[[Any], Any]:
    """Fit scikit-learn's MLP as it comes, on standardised and one-hot columns."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include="category")),
        (StandardScaler(), make_column_selector(dtype_exclude="category")),
    )
    X, _, X_test = filled(data)
    # A regression is not standardised inside.
    mean, scale = (0.0, 1.0) if data.is_classes else (data.y.mean(), data.y.std())
    estimator = (MLPClassifier if data.is_classes else MLPRegressor)(random_state=seed, early_stopping=True)
    model = make_pipeline(columns, estimator).fit(X, data.y if data.is_classes else (data.y - mean) / scale)
    return lambda _: model.predict(X_test) * scale + mean if not data.is_classes else model.predict(X_test)


def of_hist_gradient_boosting(data: Split, seed: int, _threads: int) -> Callable[[Any], Any]:
    """Fit scikit-learn's gradient boosting; trees are added until the validation rows get no better."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if data.is_classes else HistGradientBoostingRegressor
    model = kind(random_state=seed, max_iter=1000, early_stopping=True, categorical_features="from_dtype")
    model.fit(data.X, data.y, X_val=data.X_val, y_val=data.y_val)
    return lambda found: model.predict(found.X_test)


def of_lightgbm(data: Split, seed: int, threads: int) -> Callable[[Any], Any]:
    """Fit LightGBM; trees are added until the validation rows get no better for 50."""
    import lightgbm

    kind = lightgbm.LGBMClassifier if data.is_classes else lightgbm.LGBMRegressor
    model = kind(n_estimators=1000, learning_rate=0.05, random_state=seed, n_jobs=threads, verbose=-1)
    stop = lightgbm.early_stopping(50, verbose=False)
    model.fit(data.X, data.y, eval_set=[(data.X_val, data.y_val)], callbacks=[stop])
    return lambda found: model.predict(found.X_test)


def of_pytabkit(name: str, **settings: Any) -> Fit:
    """Return the fit of a network of pytabkit's."""

    def fit(data: Split, seed: int, threads: int) -> Callable[[Any], Any]:
        import pytabkit
        import torch

        torch.set_num_threads(threads)
        kind = getattr(pytabkit, f"{name}_{'Classifier' if data.is_classes else 'Regressor'}")
        model = kind(device="cpu", random_state=seed, n_threads=threads, **settings)
        X, X_val, X_test = filled(data)
        model.fit(X, data.y, X_val, data.y_val)
        return lambda _: model.predict(X_test)

    return fit


CONTENDERS: dict[str, tuple[tuple[str, ...], Fit]] = {
    "xpnet table": (("xpnet.estimator",), of_xpnet("table")),
    "xpnet table-fast": (("xpnet.estimator",), of_xpnet("table-fast")),
    "xpnet table-best": (("xpnet.estimator",), of_xpnet("table-best")),
    "scikit-learn MLP": (("sklearn.neural_network", "sklearn.compose"), of_sklearn_mlp),
    "HistGradientBoosting": (("sklearn.ensemble",), of_hist_gradient_boosting),
    "LightGBM": (("lightgbm", "sklearn"), of_lightgbm),
    "RealMLP-TD": (("pytabkit", "pytorch_lightning"), of_pytabkit("RealMLP_TD")),
    "TabM": (("pytabkit", "pytorch_lightning"), of_pytabkit("TabM_D", num_emb_type="pwl")),
}
"""By name: the modules that it needs, and how it is fitted."""

ABLATION: dict[str, dict[str, Any]] = {
    "no bins": {"bins": 0},
    "8 bins": {"bins": 8},
    "48 bins": {"bins": 48},
    "no label smoothing": {"label_smoothing": 0.0},
    "no dropout": {"dropout": 0.0},
    "no weight decay": {"weight_decay": 0.0},
    "beta2 0.999": {"beta2": 0.999},
    "rate 1e-3": {"learning_rate": 1e-3},
    "constant rate": {"schedule": "constant"},
    "GELU": {"activation": "gelu"},
    "2 networks": {"ensemble": 2},
    "1 network": {"ensemble": 1},
    "same batches": {"batch_seed": 0},
    "best by score": {"monitor": "val_score"},
    "none of five": {
        "label_smoothing": 0.0,
        "dropout": 0.0,
        "weight_decay": 0.0,
        "beta2": 0.999,
        "schedule": "constant",
    },
}
"""What is changed of the recipe, one at a time; and at once what is worth little alone."""
CONTENDERS |= {
    name: (("xpnet.estimator",), of_xpnet("table", **changed)) for name, changed in ABLATION.items()
}
PEERS = [name for name in CONTENDERS if name not in ABLATION]

PACKAGES = ("xpnet", "numpy", "scikit-learn", "lightgbm", "pytabkit", "torch")


def cell(path: Path, seed: int, contender: str, threads: int) -> dict[str, Any]:
    """Measure one fit, in this process."""
    import numpy as np

    warnings.simplefilter("ignore")
    data = split(path, seed)
    modules, fit = CONTENDERS[contender]
    for module in modules:  # which takes a second or three, once
        importlib.import_module(module)
    began, used = time.perf_counter(), _cpu()
    predict = fit(data, seed, threads)
    seconds, cpu = time.perf_counter() - began, _cpu() - used
    found = np.asarray(predict(data)).reshape(-1)
    if data.is_classes:
        error = float((found.astype(data.y.dtype) != data.y_test).mean())
    else:
        error = float(np.sqrt(np.mean((found - data.y_test) ** 2)) / data.y_test.std())
    return {"error": error, "seconds": seconds, "cpu": cpu}


def _cpu() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def measure(given: argparse.Namespace, paths: list[Path], names: list[str]) -> dict[str, dict[str, Any]]:
    """Fit everything in turn; return each fit's figures by ``table/seed/contender``."""
    kept = Path(given.cells) if given.cells else None
    cells: dict[str, Any] = json.loads(kept.read_text()) if kept and kept.is_file() else {}
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(given.threads))
    for seed in given.seeds:
        for path in paths:
            for name in names:
                key = f"{path.name.partition('.')[0]}/{seed}/{name}"
                if key in cells:
                    continue
                call = [sys.executable, __file__, str(path), "--cell", name, "--seeds", str(seed)]
                done = subprocess.run(
                    [*call, "--threads", str(given.threads)],
                    env=os.environ | limits,
                    capture_output=True,
                    text=True,
                )
                if done.returncode:
                    print(f"{key}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
                    continue
                cells[key] = json.loads(done.stdout.splitlines()[-1])
                print(f"{key}: {cells[key]}", file=sys.stderr, flush=True)
                if kept:
                    kept.write_text(json.dumps(cells, indent=1))
    return cells


def summary(cells: dict[str, dict[str, Any]], tables: list[str], seeds: list[int], names: list[str]) -> str:
    """Return errors by table, mean over the seeds; ranks and ratios are taken of these means."""
    there = [n for n in names if all(f"{t}/{s}/{n}" in cells for t in tables for s in seeds)]
    errors = {
        (t, n): statistics.fmean(cells[f"{t}/{s}/{n}"]["error"] for s in seeds) for t in tables for n in there
    }
    lines = [f"| | {' | '.join(there)} |", f"| --- |{' --- |' * len(there)}"]
    ranks: dict[str, list[float]] = {name: [] for name in there}
    ratios: dict[str, list[float]] = {name: [] for name in there}
    for table in tables:
        of_table = {name: errors[table, name] for name in there}
        best = min(of_table.values())
        for name, error in of_table.items():
            below = sum(other < error for other in of_table.values())
            same = sum(other == error for other in of_table.values())
            ranks[name].append(below + (same + 1) / 2)
            ratios[name].append(error / best)
        shown = (f"**{e:.4f}**" if e == best else f"{e:.4f}" for e in of_table.values())
        lines.append(f"| {table} | {' | '.join(shown)} |")
    means = (f"{statistics.fmean(ranks[name]):.2f}" for name in there)
    lines.append(f"| mean rank of {len(there)} | {' | '.join(means)} |")
    geometric = (f"{statistics.geometric_mean(ratios[name]):.3f}" for name in there)
    lines.append(f"| geometric mean over the best | {' | '.join(geometric)} |")
    for what, label in (("cpu", "CPU seconds"), ("seconds", "seconds")):
        medians = (
            f"{statistics.median(cells[f'{t}/{s}/{n}'][what] for t in tables for s in seeds):.2f}"
            for n in there
        )
        lines.append(f"| {label} of a fit, median | {' | '.join(medians)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and write it if there is a file to write to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=CONTENDERS, default=PEERS)
    parser.add_argument("--tables", nargs="+", metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cells", metavar="FILE")
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--ablation", action="store_true", help="the recipe with one setting changed at a time"
    )
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ablation:
        given.only = ["xpnet table", *ABLATION]
    if given.cell:
        print(json.dumps(cell(given.folder, given.seeds[0], given.cell, given.threads)))
        return
    paths = sorted(given.folder.glob("*.csv.gz"))
    paths = [p for p in paths if given.tables is None or p.name.partition(".")[0] in given.tables]
    names = [n for n in given.only if importlib.util.find_spec(CONTENDERS[n][0][0].partition(".")[0])]
    cells = measure(given, paths, names)
    text = summary(cells, [p.name.partition(".")[0] for p in paths], given.seeds, names)
    there = (
        p for p in PACKAGES if importlib.util.find_spec(p.replace("scikit-learn", "sklearn")) is not None
    )
    versions = ", ".join(f"{p} {version(p)}" for p in there)
    head = (
        f"{datetime.datetime.now(datetime.UTC).date()}, {platform.processor() or platform.machine()}, "
        f"Python {platform.python_version()}, {versions}, {given.threads} thread(s), seeds "
        f"{' '.join(map(str, given.seeds))}."
    )
    print(f"{head}\n\n{text}")
    if given.out:
        given.out.write_text(f"# Tables\n\n{head}\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
