"""What the tests of the estimators share: data, and fits that say nothing of their few epochs."""

import warnings

import numpy as np
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning


def classes(kind, rows=90, features=6, seed=0):
    """Rows and labels: ``"binary"``, ``"multiclass"`` or ``"multilabel"``."""
    rng = np.random.default_rng(seed)
    if kind == "multilabel":
        X = rng.standard_normal((rows, features))
        return X, (X @ rng.standard_normal((features, 3)) > 0).astype(int)
    several = {"binary": 2, "multiclass": 3}[kind]
    return make_classification(
        rows, features, n_informative=4, n_classes=several, random_state=seed, class_sep=1.5
    )


def numbers(outputs=1, rows=90, features=6, seed=0):
    """Rows and targets of a regression, of size 1 or so."""
    X, y = make_regression(rows, features, n_targets=outputs, random_state=seed)
    return X, y / y.std()


def digits():
    """The digits, between 0 and 1."""
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def fitted(estimator, *data, **how):
    """Fit without the warning that training could go on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*data, **how)


def parameters(estimator):
    return [*estimator.coefs_, *estimator.intercepts_]


def assert_same_network(one, other, rtol=0.0, atol=0.0):
    """The same weights, to the bit by default."""
    for actual, expected in zip(parameters(one), parameters(other), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)
