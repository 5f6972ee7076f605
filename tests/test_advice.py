"""Advice in messages works when followed: each piece of code that one contains has a test that runs it."""

import ast
import contextlib
import io
import math
import re
import signal
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("pandas", reason="pandas is not installed")
pytest.importorskip("polars", reason="Polars is not installed")

import pandas as pd
import polars as pl
from scipy import sparse

import xpnet
from xpnet import InputError, MLPClassifier, MLPRegressor, TableClassifier, TwoLayerNet
from xpnet.__main__ import main

PACKAGE = Path(xpnet.__file__).parent
NO_MESSAGES = PACKAGE / "exporters" / "pytorch.py"  # the code of a module
CODE = re.compile(
    r"(?:np|pandas)\.\w+\((?:[^()]|\(\))*\)(?:\.\w+\((?:[^()])*\))*(?:\[\d\])?"  # np.save(FILE, X)
    r"|\b[Xy]\.\w+\([^()]*\)|\.astype\(\w+\)"  # y.argmax(axis=1)
    r"|\bits \w+\(\)"  # its toarray()
    r"|\b[a-z_]+=(?:float\('inf'\)|'\w+'|True|False|\d[\d.]*)"  # task='multilabel'
)

rng = np.random.default_rng(0)
X = rng.normal(size=(100, 3))
y = np.arange(100) % 3
NET = {"hidden_layer_sizes": 4, "max_iter": 2, "random_state": 0}


def quick(*args: object, **settings: object) -> xpnet.Run:
    """Train for a moment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xpnet.fit(*args, hidden=4, epochs=1, recipe="none", **settings)  # type: ignore[arg-type]


def on_disk(folder: Path, rows: np.ndarray) -> object:
    """Train on rows that stay on the disk."""
    (folder / "rows").mkdir(exist_ok=True)
    np.save(folder / "rows" / "X.npy", rows)
    np.save(folder / "rows" / "y.npy", y)
    return quick(folder / "rows", rows_in="disk")


def of_spaces(folder: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """A table whose columns are aligned by spaces."""
    path = folder / "aligned.csv"
    path.write_text("a   b   y\n" + "".join(f"{k}.5   {-k}   {k % 2}\n" for k in range(60)))

    def followed() -> object:
        text = io.StringIO()
        pd.read_csv(path, sep=r"\s+").to_csv(text, index=False)
        path.write_text(text.getvalue())
        return quick(path, target="y")

    return lambda: quick(path, target="y"), followed


def saved(folder: Path, name: str, **arrays: object) -> Callable[[], object]:
    """An .npz file to train on."""
    np.savez(folder / name, **arrays)  # type: ignore[arg-type]
    return lambda: quick(folder / name)


def years(folder: Path, **how: object) -> Callable[[], object]:
    """A table of which two columns are called by years."""
    path = folder / "years.csv"
    path.write_text("2020,2021,kind\n" + "".join(f"{k % 7},{k % 5},{'ab'[k % 2]}\n" for k in range(60)))
    return lambda: quick(path, **how)


def written(folder: Path, name: str, content: bytes) -> Callable[[], object]:
    """A file that is nothing."""
    (folder / name).write_bytes(content)
    return lambda: predict(folder, folder / name)


def predict(folder: Path, path: Path) -> None:
    """Predict a file by the command."""
    quick(X, y, out=str(folder / "run"))
    given = ["predict", str(folder / "run"), "--input", str(path), "--output", str(folder / "o.csv")]
    status, said = command(given)
    if status:
        raise InputError(said)


def command(given: list[str]) -> tuple[int, str]:
    """Run a command; return its exit status and what it said of errors."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = main(given)
    return status, errors.getvalue()


def arrays_saved(folder: Path, name: str) -> Callable[[], object]:
    """Rows saved as the message says."""
    save = np.save if name.endswith(".npy") else lambda path, rows: np.savez(path, X=rows)
    save(folder / name, X)
    return lambda: predict(folder, folder / name)


def partial_fit(**wrong: object) -> object:
    """Fit a first batch."""
    return MLPRegressor(**{**NET, **wrong}).partial_fit(X, X[:, 0])


def warned(**settings: object) -> object:
    """Fit where any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return MLPRegressor(**{**NET, **settings}).fit(X, X[:, 0])


def standardized(rows: object) -> object:
    """Fit on rows that are to be standardised."""
    return MLPClassifier(preprocess="standardize", n_iter_no_change=math.inf, **NET).fit(rows, y)


def by_lbfgs(rows: object = X, **settings: object) -> object:
    """Fit by a solver that takes all rows at once, where any warning is an error."""
    how = {"solver": "lbfgs", "alpha": 1.0, "max_iter": 100, "tol": 0.01, "random_state": 0, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return MLPRegressor(4, **how).fit(rows, X[:, 0])


def far_off(deviation: float = 1e5, **settings: object) -> object:
    """Fit targets in the hundred thousands by plain descent."""
    how = {"solver": "sgd", "max_iter": 20, "n_iter_no_change": math.inf, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return MLPRegressor(8, **how, **settings).fit(X, 3e5 + deviation * X[:, 0])


def again(**settings: object) -> object:
    """Fit again with other layers."""
    net = MLPRegressor(**NET, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(X, X[:, 0])
        return net.set_params(hidden_layer_sizes=5, **settings).fit(X, X[:, 0])


def interrupted() -> MLPRegressor:
    """Fit until Ctrl-C after an epoch."""

    def ctrl_c(_: object) -> None:
        raise KeyboardInterrupt

    net = MLPRegressor(**{**NET, "max_iter": 9, "n_iter_no_change": math.inf}, callbacks=ctrl_c)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        net.fit(X, X[:, 0])
    return net


def going_on() -> None:
    """Go on with a network that was interrupted."""
    net, begun = interrupted(), interrupted().coefs_[0]
    net.set_params(warm_start=True, callbacks=None, learning_rate_init=1e-9).fit(X, X[:, 0])
    np.testing.assert_allclose(net.coefs_[0], begun, rtol=1e-3, atol=1e-6)


WRONG = {"early_stopping=True", "norm='batch'"}
"""What a message calls wrong."""

MASKED = np.ma.masked_greater(X, np.sort(X, axis=None)[-2])

ADVICE: dict[str, Callable[[Path], tuple[Callable[[], object], Callable[[], object]]]] = {
    # what a message says: what raises it, and the same with the advice followed
    "its collect()": lambda _: (
        lambda: quick(pl.DataFrame(X).lazy(), y),
        lambda: quick(pl.DataFrame(X).lazy().collect(), y),
    ),
    "pandas.read_csv(FILE, sep=r'\\s+').to_csv(FILE, index=False)": of_spaces,
    "np.array([...], str)": lambda folder: (
        saved(folder, "a.npz", X=X, y=y, class_names=np.arange(3)),
        saved(folder, "b.npz", X=X, y=y, class_names=np.array(["a", "b", "c"], str)),
    ),
    "np.savez(FILE, X=X, y=y)": lambda folder: (
        lambda: quick(nothing(folder / "a.npz")),
        saved(folder, "b.npz", X=X, y=y),
    ),
    "np.save(FILE, X)": lambda folder: (written(folder, "a.npy", b"no"), arrays_saved(folder, "b.npy")),
    "np.savez(FILE, X=X)": lambda folder: (written(folder, "a.npz", b"no"), arrays_saved(folder, "b.npz")),
    "warm_start=True": lambda _: (
        lambda: warned(max_iter=9, callbacks=lambda _: signal.raise_signal(signal.SIGINT)),
        going_on,
    ),
    "warm_start=False": lambda _: (again, lambda: again(warm_start=False)),
    "n_iter_no_change=float('inf')": lambda _: (warned, lambda: warned(n_iter_no_change=float("inf"))),
    "label_smoothing=0.0": lambda _: (
        lambda: partial_fit(label_smoothing=0.1),
        lambda: partial_fit(label_smoothing=0.0),
    ),
    "early_stopping=False": lambda _: (
        lambda: partial_fit(early_stopping=True),
        lambda: partial_fit(early_stopping=False),
    ),
    "norm='layer'": lambda _: (lambda: by_lbfgs(norm="batch"), lambda: by_lbfgs(norm="layer")),
    "preprocess='standardize'": lambda _: (
        lambda: by_lbfgs(np.array([1.0, 1e4, 1e-3]) * X + 100),
        lambda: by_lbfgs(np.array([1.0, 1e4, 1e-3]) * X + 100, preprocess="standardize"),
    ),
    "standardize_target=True": lambda _: (far_off, lambda: far_off(standardize_target=True)),
    "loss='squared_error'": lambda _: (
        lambda: far_off(1e3, standardize_target=True, loss="poisson"),
        lambda: far_off(1e3, standardize_target=True, loss="squared_error"),
    ),
    "ensemble=8": lambda _: (
        lambda: partial_fit(bagging=True),
        lambda: partial_fit(bagging=True, ensemble=8),
    ),
    "bagging=False": lambda _: (
        lambda: partial_fit(bagging=True),
        lambda: partial_fit(bagging=False),
    ),
    "warmup=0.0": lambda _: (lambda: partial_fit(warmup=0.1), lambda: partial_fit(warmup=0.0)),
    ".astype(int)": lambda _: (
        lambda: TwoLayerNet(3, 4, 3, rng=0).loss(X, y.astype(float)),
        lambda: TwoLayerNet(3, 4, 3, rng=0).loss(X, y.astype(float).astype(int)),
    ),
    "its toarray()": lambda _: (
        lambda: quick(sparse.csr_matrix(X), y),
        lambda: quick(sparse.csr_matrix(X).toarray(), y),
    ),
    "y.argmax(axis=1)": lambda _: (
        lambda: quick(X, np.eye(3, dtype=int)[y]),
        lambda: quick(X, np.eye(3, dtype=int)[y].argmax(axis=1)),
    ),
    "task='multilabel'": lambda _: (
        lambda: quick(X, np.eye(3, dtype=int)[y]),
        lambda: quick(X, np.eye(3, dtype=int)[y], task="multilabel"),
    ),
    ".astype(float)": lambda _: (
        lambda: MLPClassifier(max_iter=1).fit(MASKED, y),
        lambda: TableClassifier("table-fast", epochs=1).fit(MASKED.astype(float).filled(np.nan), y),
    ),
    "random_state=0": lambda _: (
        lambda: TableClassifier(recipe="none", epochs=1, random_state=np.random.default_rng(0)).fit(X, y),
        lambda: TableClassifier(recipe="none", epochs=1, random_state=0).fit(X, y),
    ),
    "header=True": lambda folder: (years(folder), years(folder, target="kind", header=True)),
    "X.toarray()": lambda _: (
        lambda: standardized(sparse.csr_matrix(X)),
        lambda: standardized(sparse.csr_matrix(X).toarray()),
    ),
    "np.moveaxis(X, 1, -1)": lambda _: (
        lambda: quick(np.ones((len(X), 3, 5, 6)), y),
        lambda: quick(np.moveaxis(np.ones((len(X), 3, 5, 6)), 1, -1), y),
    ),
    "np.ascontiguousarray(X)": lambda folder: (
        lambda: on_disk(folder, np.asfortranarray(X)),
        lambda: on_disk(folder, np.ascontiguousarray(np.asfortranarray(X))),
    ),
    "X.reshape(1, -1)": lambda _: (
        lambda: TableClassifier(recipe="none", epochs=1).fit(X, y).predict(X[0]),
        lambda: TableClassifier(recipe="none", epochs=1).fit(X, y).predict(X[0].reshape(1, -1)),
    ),
}


def nothing(path: Path) -> Path:
    """A file that is no archive."""
    path.write_bytes(b"no archive")
    return path


def texts(path: Path) -> list[str]:
    """The literals of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    with_docs = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, with_docs) and node.body and isinstance(node.body[0], ast.Expr)
    }
    literals = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs)
    return [node.value for node in literals if isinstance(node.value, str)]


def said() -> set[str]:
    """All code in the messages of the package."""
    paths = [path for path in PACKAGE.rglob("*.py") if path != NO_MESSAGES]
    sentences = [text for path in paths for text in texts(path) if " " in text or text.startswith(".")]
    return {code for text in sentences for code in CODE.findall(text)}


def test_code_in_messages_is_followed_below() -> None:
    assert said() - WRONG == ADVICE.keys()


@pytest.mark.parametrize("code", ADVICE)
def test_advice_works(code: str, tmp_path: Path) -> None:
    wrong, right = ADVICE[code](tmp_path)
    with pytest.raises((InputError, UserWarning)) as raised:
        wrong()
    assert code in str(raised.value)
    right()


def test_extras_that_messages_name_exist() -> None:
    named = {
        name
        for path in PACKAGE.rglob("*.py")
        for text in texts(path)
        for name in re.findall(r"xpnet\[(\w+)\]", text)
    }
    assert named
    try:
        extras = metadata("xpnet").get_all("Provides-Extra")
    except PackageNotFoundError:
        pytest.skip("xpnet runs from its checkout, without being installed")
    assert named <= set(extras or ())
