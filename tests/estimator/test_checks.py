"""scikit-learn's own checks of an estimator, all of them; and its dispatch to other array libraries."""

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import sklearn
from sklearn.utils.estimator_checks import estimator_checks_generator

from xpnet import MLPClassifier, MLPRegressor

DISPATCH = """
import warnings
import numpy as np
import sklearn
from xpnet import MLPClassifier, MLPRegressor
import {library} as xp

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X, how = rng.standard_normal((60, 5)).astype(np.float32), dict(max_iter=20, random_state=0)
y = (X[:, 0] > 0).astype(np.int64)
plain = MLPClassifier(**how).fit(X, y)

def check(device):
    x, labels = xp.asarray(X, device=device), xp.asarray(y, device=device)

    def is_like_x(a):
        assert type(a) is type(x) and a.device == x.device, type(a)
        return np.asarray(a.cpu() if hasattr(a, "cpu") else xp.asarray(a, device={cpu}))

    with sklearn.config_context(array_api_dispatch=True):
        model = MLPClassifier(**how).fit(x, labels, sample_weight=xp.ones(60, device=device))
        assert all(type(a) is np.ndarray for a in [*model.coefs_, *model.intercepts_, model.classes_])
        np.testing.assert_allclose(model.coefs_[0], plain.coefs_[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(is_like_x(model.predict(x)), model.predict(X))
        np.testing.assert_array_equal(is_like_x(model.predict_proba(x)), model.predict_proba(X))
        assert abs(float(model.score(x, labels)) - model.score(X, y)) < 1e-6
        named = MLPClassifier(**how).fit(x, np.where(y == 1, "yes", "no"))
        assert set(named.predict(x)) == {{"yes", "no"}}  # strings, which only NumPy has
        early = MLPClassifier(early_stopping=True, **how).fit(x, labels)
        assert len(early.validation_scores_) == early.n_iter_
        given = MLPClassifier(**how).fit(x, labels, X_val=x, y_val=labels)
        partial = MLPClassifier().partial_fit(x, labels, classes=xp.asarray([0, 1], device=device))
        regressor = MLPRegressor(**how).fit(x, x[:, 0])
        assert is_like_x(regressor.predict(x)).shape == (60,)
        assert type(plain.predict(x)) is type(x)  # what matters is X, not what was fitted
    assert type(model.predict(X)) is np.ndarray

for device in {devices}:
    print(device)
    check(device)
"""


# What `parametrize_with_checks` makes, as a list: its generator is a warning in new versions of pytest.
CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{check.func.__name__}")
    for kind in (MLPClassifier, MLPRegressor)
    for estimator, check in estimator_checks_generator(kind(max_iter=50, learning_rate_init=0.01))
]


def test_there_are_checks_enough():
    assert len(CHECKS) > 100


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
@pytest.mark.filterwarnings("ignore")
def test_check(estimator, check):
    """None is expected to fail. Those that need pandas or SCIPY_ARRAY_API are skipped without it."""
    check(estimator)


@pytest.mark.parametrize(
    ("library", "cpu", "other"),
    [("array_api_strict", 'xp.Device("CPU_DEVICE")', 'xp.Device("device1")'), ("torch", "'cpu'", None)],
    ids=["strict", "torch"],
)
def test_arrays_of_other_libraries(library, cpu, other):
    """In a process of its own: the variable has to be set before SciPy is imported."""
    pytest.importorskip(library)
    devices = [cpu]
    if other and re.match(r"1\.9|1\.[1-9]\d|[2-9]", sklearn.__version__):  # which can convert such arrays
        devices.append(other)
    code = DISPATCH.format(library=library, devices=f"[{', '.join(devices)}]", cpu=cpu)
    environment = os.environ | {"SCIPY_ARRAY_API": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(run.stdout.splitlines()) == len(devices)
