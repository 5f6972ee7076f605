"""The solver lbfgs beyond scikit-learn's parameters: dtypes, devices, what ends it."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import scipy.sparse
from estimators import assert_same_network, classes, fitted, numbers, parameters
from sklearn.exceptions import ConvergenceWarning

from xpnet import MLPClassifier, MLPRegressor

HOW = {"solver": "lbfgs", "hidden_layer_sizes": 5, "random_state": 0, "max_iter": 20, "activation": "tanh"}


def test_it_goes_on_where_it_was():
    X, y = classes("multiclass")
    ours = fitted(MLPClassifier(**HOW, warm_start=True), X, y)
    before = ours.loss_
    assert fitted(ours, X, y).loss_ < before
    assert len(ours.loss_curve_) == 40
    assert np.all(np.diff(ours.loss_curve_) < 0)


@pytest.mark.parametrize(
    "how",
    [{"preprocess": "standardize"}, {"norm": "layer"}, {"hidden_layer_sizes": (5, 5), "residual": True}],
)
def test_with_what_draws_nothing(how):
    X, y = classes("multiclass")
    ours = fitted(MLPClassifier(**HOW | how | {"max_iter": 60}), X, y)
    assert ours.score(X, y) > 0.9


def test_sparse_rows_and_float32():
    X, y = classes("binary")
    dense = fitted(MLPClassifier(**HOW), X, y)
    assert_same_network(fitted(MLPClassifier(**HOW), scipy.sparse.csr_matrix(X), y), dense, atol=1e-9)
    ours = fitted(MLPClassifier(**HOW), X.astype(np.float32), y)
    assert {value.dtype for value in parameters(ours)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(ours.loss_, dense.loss_, rtol=0.2)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_the_gradient_on_other_libraries(backend):
    pytest.importorskip(backend)
    X, y = (a[:30] for a in classes("multiclass"))
    how = HOW | {"max_iter": 5, "dtype": "float32"}
    here = fitted(MLPClassifier(**how), X, y)
    assert_same_network(fitted(MLPClassifier(**how, backend=backend), X, y), here, atol=1e-3)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "poisson"])
@pytest.mark.parametrize("standardize", [False, True])
def test_every_loss_of_numbers(loss, standardize):
    X, y = numbers()
    y = np.exp(y)
    how = HOW | {"loss": loss, "standardize_target": standardize, "max_iter": 100}
    assert fitted(MLPRegressor(**how), X, y).score(X, y) > 0.5


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"max_iter": 3}, "^lbfgs has not converged after 3 steps .*: raise max_iter, or scale X"),
        ({"max_fun": 4}, "^lbfgs has not converged after . steps .*: raise max_fun, or scale X"),
    ],
)
def test_what_has_not_settled_says_so(how, said):
    X, y = classes("multiclass")
    with pytest.warns(ConvergenceWarning, match=said) as seen:
        MLPClassifier(**HOW | how).fit(X, y)
    assert (len(seen), seen[0].filename) == (1, __file__)
    assert "\n" not in str(seen[0].message)


def test_what_is_out_of_scale_is_named_and_only_what_helps():
    X, y = numbers()
    ours = MLPRegressor(**HOW | {"max_iter": 200}, preprocess="standardize")
    figures = r"y has a mean of \S+ and a deviation of \S+, so set standardize_target=True$"
    with pytest.warns(ConvergenceWarning, match=figures):
        ours.fit(X, 1e30 * y)
    assert fitted(ours.set_params(standardize_target=True), X, 1e30 * y).score(X, 1e30 * y) > 0.99
    with pytest.warns(ConvergenceWarning, match=r"\): raise max_iter$"):
        ours.set_params(max_iter=2, tol=0.0).fit(X, y)


def test_what_has_settled_says_nothing(capsys):
    X, y = numbers()
    ours = MLPRegressor(**HOW | {"hidden_layer_sizes": (), "max_iter": 100}, verbose=True).fit(X, y)
    assert ours.score(X, y) > 0.99
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == ours.n_iter_
    assert printed[-1] == f"Iteration {ours.n_iter_}, loss = {ours.loss_:.8f}"


def test_a_clock_ends_it_after_a_step():
    X, y = classes("multiclass")
    ours = MLPClassifier(**HOW | {"max_time": 1e-9, "tol": 0.0}).fit(X, y)
    assert ours.n_iter_ == 1
    assert_same_network(ours, fitted(MLPClassifier(**HOW | {"max_iter": 1}), X, y))


def test_ctrl_c_ends_it_after_a_step(monkeypatch):
    from xpnet.estimator import fitting

    def interrupts(number, _loss):
        if number == 2:
            import signal

            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(fitting, "tell", interrupts)
    X, y = classes("multiclass")
    with pytest.warns(
        UserWarning, match="^lbfgs was interrupted: the weights are those reached so far; fit "
    ):
        ours = MLPClassifier(**HOW, verbose=True).fit(X, y)
    assert ours.n_iter_ == 2


def test_rows_beyond_all_measure_leave_finite_weights():
    X, y = numbers()
    with pytest.warns(ConvergenceWarning):
        ours = MLPRegressor(**HOW | {"hidden_layer_sizes": ()}).fit(1e200 * X, y)
    assert all(np.isfinite(value).all() for value in parameters(ours))
