"""Warnings for users name the user's line, at every door and from whatever depth."""

import ast
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("pandas", reason="pandas is not installed")

import pandas as pd
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xpnet
from xpnet import MLPClassifier, MLPRegressor, MLPSearchCV, TableClassifier, TwoLayerNet
from xpnet.datasets import from_arrays
from xpnet.estimator import together
from xpnet.warn import carrying, warn

PACKAGE = Path(xpnet.__file__).parent

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
y = (X[:, 0] > 0).astype(int)
TABLE = pd.DataFrame(X, columns=list("abcd")).assign(id=np.arange(120))
SHORT = {"hidden": 4, "epochs": 2, "recipe": "none"}
NET = {"hidden_layer_sizes": 4, "max_iter": 2, "random_state": 0}


def quietly(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def by_search(**how):
    return MLPSearchCV(MLPClassifier(**NET), {"alpha": [1e-3, 1e-2]}, cv=2, **how).fit(X, y)


DOORS = {
    "a table with ids": lambda _: xpnet.fit(TABLE, y, hidden=4, epochs=2),
    "divergence": lambda _: xpnet.fit(X, y, learning_rate=1e30, **SHORT),
    "a search of a table": lambda _: xpnet.search(TABLE, y, {"reg": [0.0, 1e-3]}, hidden=4, epochs=2),
    "a search that diverges": lambda _: xpnet.search(X, y, {"learning_rate": [1e30, 1e31]}, **SHORT),
    "predict": lambda run: run.predict(1e6 * X),
    "predict_proba": lambda run: run.predict_proba(1e6 * X),
    "evaluate": lambda run: run.evaluate(1e6 * X, y),
    "the model": lambda run: run.model.scores(1e6 * X),
    "arrays": lambda _: from_arrays(X, X[:, 0].round()),
    "the original class": lambda _: TwoLayerNet(4, 5, 2, rng=0).train(X, y, X, y, learning_rate=1e30),
    "an estimator": lambda _: MLPClassifier(**NET).fit(X, y),
    "an estimator in a pipeline": lambda _: make_pipeline(StandardScaler(), MLPClassifier(**NET)).fit(X, y),
    "cross-validation": lambda _: cross_val_score(MLPClassifier(**NET), X, y, cv=2),
    "another's search": lambda _: GridSearchCV(MLPClassifier(**NET), {"alpha": [1e-3]}, cv=2).fit(X, y),
    "lbfgs": lambda _: MLPRegressor(solver="lbfgs", **NET).fit(X, X[:, 0]),
    "a batch too large": lambda _: MLPClassifier(batch_size=999, **NET).fit(X, y),
    "rows far off": lambda _: quietly(lambda: MLPClassifier(**NET).fit(X, y)).predict(1e6 * X),
    "their probabilities": lambda _: quietly(lambda: MLPClassifier(**NET).fit(X, y)).predict_proba(1e6 * X),
    "a table's estimator": lambda _: TableClassifier(epochs=2, random_state=0).fit(TABLE, y),
    "a search of estimators": lambda _: by_search(),
    "one of one job": lambda _: by_search(n_jobs=1),
}


@pytest.fixture(scope="module")
def run():
    return quietly(lambda: xpnet.fit(X, y, **SHORT))


@pytest.mark.parametrize("door", DOORS)
def test_a_warning_names_the_line_that_called(door, run, monkeypatch):
    monkeypatch.setattr(together, "_is_long", lambda _: True)  # on threads of their own
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        DOORS[door](run)
    assert told
    for warning in told:
        line = Path(warning.filename).read_text("utf-8").splitlines()[warning.lineno - 1]
        assert warning.filename == __file__, str(warning.message)
        assert line in (
            *(text for text in Path(__file__).read_text("utf-8").splitlines() if "lambda" in text),
            '    return MLPSearchCV(MLPClassifier(**NET), {"alpha": [1e-3, 1e-2]}, cv=2, **how).fit(X, y)',
        )


def test_a_script_sees_its_own_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import xpnet\n"
        "table = {'id': list(range(90)), 'a': [k % 7 for k in range(90)]}\n"
        "xpnet.fit(table, [k % 2 for k in range(90)], hidden=4, epochs=1)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()
    assert first.startswith(f"{script}:3: UserWarning: left out as row numbers")
    assert second == "  xpnet.fit(table, [k % 2 for k in range(90)], hidden=4, epochs=1)"


def test_a_thread_of_a_pool_names_the_line_that_it_works_for():
    with ThreadPoolExecutor(1) as pool, pytest.warns(UserWarning, match="^a message$") as told:
        pool.submit(carrying(warn), "a message").result()
    assert told[0].filename == __file__


def test_a_warning_is_told_once_a_line_and_can_be_ignored():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            warn("again and again")
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=__name__.replace(".", r"\."))
        warn("ignored by the module of the line")


def test_nothing_else_warns():
    """In the package, `warnings.warn` is called in one place."""
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("warn", "warn_explicit")
        if isinstance(node.value, ast.Name) and node.value.id == "warnings"
    ]
    assert [name.partition(":")[0] for name in found] == ["warn.py"]
