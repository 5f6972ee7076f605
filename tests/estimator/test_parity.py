"""The estimators beside scikit-learn's: from the same seed, in float64, the same networks."""

import inspect
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from estimators import assert_same_network, classes, digits, fitted, numbers
from sklearn import neural_network
from sklearn.base import clone

from xpnet import MLPClassifier, MLPRegressor

SGD = {"solver": "sgd", "learning_rate_init": 0.1}


def assert_parity(ours, theirs, X, y, *, atol=1e-11, losses=True, sample_weight=None, **how):
    """Fit both with the same parameters and compare all that both have."""
    how = {"random_state": 3, "max_iter": 4} | how
    weights = () if sample_weight is None else (sample_weight,)
    ours, theirs = (fitted(kind(**how), X, y, *weights) for kind in (ours, theirs))
    assert_same_network(ours, theirs, atol=atol)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    if losses:
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    for name in ("best_loss_", "validation_scores_", "best_validation_score_"):
        actual, expected = getattr(ours, name), getattr(theirs, name, None)  # which lbfgs has none of
        if expected is None or not losses:
            assert (actual is None) == (expected is None), name
        else:
            np.testing.assert_allclose(actual, expected, rtol=1e-9, err_msg=name)
    return ours, theirs


def of_classes(*args, **how):
    return assert_parity(MLPClassifier, neural_network.MLPClassifier, *args, **how)


def of_numbers(*args, **how):
    return assert_parity(MLPRegressor, neural_network.MLPRegressor, *args, **how)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"alpha": 1.0, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3},
        {"batch_size": 64},
        {"shuffle": False, "hidden_layer_sizes": (20, 10), "activation": "tanh"},
        {"activation": "logistic", "hidden_layer_sizes": 30},
        {"activation": "identity", "hidden_layer_sizes": ()},
        SGD,
        SGD | {"nesterovs_momentum": False, "alpha": 1.0},
        SGD | {"momentum": 0.0, "alpha": 1.0},
        SGD | {"learning_rate": "invscaling", "power_t": 0.3},
    ],
    ids=str,
)
def test_the_same_network_of_the_digits(how):
    """1,797 rows: the last batch of an epoch is smaller, and its penalty so much the larger."""
    of_classes(*digits(), **how)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_same_network_of_any_classes(kind, solver):
    X, y = classes(kind)
    ours, theirs = of_classes(X, y, solver=solver, batch_size=20, max_iter=10)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-10)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_the_same_adaptive_learning_rates(momentum):
    X, y = classes("multiclass")
    how = {"learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 1e-2, "max_iter": 300, **SGD}
    ours, _ = of_classes(X, y, momentum=momentum, atol=1e-8, **how)
    assert ours.n_iter_ < 300
    assert ours.history_["learning_rate"][-1] < 1e-6


HAS_POISSON = "loss" in inspect.signature(neural_network.MLPRegressor).parameters
SOLVERS_OF_BOTH = ["adam", "sgd", "lbfgs"]


def counts(outputs=1):
    X, y = numbers(outputs)
    return X, np.random.default_rng(1).poisson(np.exp(0.5 * y)).astype(float)


@pytest.mark.skipif(not HAS_POISSON, reason="this scikit-learn has no loss to choose")
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", SOLVERS_OF_BOTH)
def test_the_same_counts(outputs, weighted, solver):
    X, y = counts(outputs)
    weight = np.random.default_rng(0).uniform(0, 2, len(y)) if weighted else None
    how = {"solver": solver, "loss": "poisson", "max_iter": 15, "hidden_layer_sizes": 5}
    lbfgs = {"atol": 1e-6, "losses": False} if solver == "lbfgs" else {}
    ours, theirs = of_numbers(X, y, sample_weight=weight, **how, **lbfgs)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-5)
    assert (ours.predict(X) > 0).all()


@pytest.mark.skipif(not HAS_POISSON, reason="this scikit-learn has no loss to choose")
def test_the_same_early_stopping_of_counts():
    of_numbers(*counts(), loss="poisson", early_stopping=True, max_iter=30)


def as_lbfgs(kind, theirs, X, y, *weight, **how):
    how = {"solver": "lbfgs", "random_state": 3, "hidden_layer_sizes": 5, "activation": "tanh"} | how
    ours, theirs = (fitted(each(**how), X, y, *weight) for each in (kind, theirs))
    assert_same_network(ours, theirs, atol=1e-6)
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-6)
    np.testing.assert_allclose(ours.loss_curve_[-1], ours.loss_, rtol=1e-12)
    return ours


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_same_classes_by_lbfgs(kind, early_stopping):
    """All rows are trained on also where some would be set aside."""
    how = {"max_iter": 20, "alpha": 0.1, "early_stopping": early_stopping}
    as_lbfgs(MLPClassifier, neural_network.MLPClassifier, *classes(kind), **how)


def test_the_same_numbers_by_lbfgs():
    as_lbfgs(MLPRegressor, neural_network.MLPRegressor, *numbers(), max_iter=20, hidden_layer_sizes=())
    as_lbfgs(MLPRegressor, neural_network.MLPRegressor, *numbers(), alpha=1.0, max_iter=500, tol=1e-3)


def test_the_same_weighted_rows_by_lbfgs():
    if "sample_weight" not in inspect.signature(neural_network.MLPClassifier.fit).parameters:
        pytest.skip("this scikit-learn has no weights of rows in its networks")
    weight = np.random.default_rng(0).uniform(0, 2, 90)
    as_lbfgs(MLPClassifier, neural_network.MLPClassifier, *classes("multiclass"), weight, max_iter=15)


@pytest.mark.parametrize("solver", SOLVERS_OF_BOTH)
def test_a_model_of_the_parameters_of_theirs(solver):
    for ours, theirs, data in (
        (MLPClassifier, neural_network.MLPClassifier, classes("binary")),
        (MLPRegressor, neural_network.MLPRegressor, numbers()),
    ):
        other = theirs(hidden_layer_sizes=4, solver=solver, max_iter=3, random_state=0)
        assert_same_network(fitted(ours(**other.get_params()), *data), fitted(other, *data), atol=1e-6)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_same_regression(outputs, solver):
    """Of several outputs scikit-learn reports the mean, but descends by the gradient of the sum."""
    X, y = numbers(outputs)
    ours, theirs = of_numbers(X, y, solver=solver, max_iter=20, losses=outputs == 1)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-10)
    assert ours.predict(X).shape == y.shape


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_same_early_stopping(solver):
    """The same split of two classes, which both stratify, the same scores, the same best weights."""
    X, y = classes("binary", rows=300)
    ours, _ = of_classes(X, y, solver=solver, early_stopping=True, max_iter=200, n_iter_no_change=3)
    assert ours.n_iter_ < 200
    of_numbers(*numbers(), solver=solver, early_stopping=True, max_iter=30)


def test_the_same_weighted_rows():
    if "sample_weight" not in inspect.signature(neural_network.MLPClassifier.fit).parameters:
        pytest.skip("this scikit-learn has no weights of rows in its networks")
    X, y = digits()
    weight = np.random.default_rng(0).uniform(0, 2, len(y))
    of_classes(X, y, sample_weight=weight, alpha=1.0)
    X, y = classes("binary", rows=300)
    weight = np.random.default_rng(1).uniform(0, 2, len(y))
    of_classes(X, y, sample_weight=weight, early_stopping=True, max_iter=20)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_same_epochs_call_by_call(solver):
    """In the order of the rows: scikit-learn seeds the shuffle of each call anew."""
    X, y = classes("multiclass")
    how = {"solver": solver, "random_state": 3, "shuffle": False, "batch_size": 32}
    ours, theirs = MLPClassifier(**how), neural_network.MLPClassifier(**how)
    for end in (90, 41, 90, 7):
        for model in (ours, theirs):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*clipped")
                model.partial_fit(X[:end], y[:end], classes=[0, 1, 2])
    assert_same_network(ours, theirs, atol=1e-12)
    assert ours.t_ == theirs.t_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)


def test_the_same_parameters_with_the_same_defaults():
    for ours, theirs in (
        (MLPClassifier(), neural_network.MLPClassifier()),
        (MLPRegressor(), neural_network.MLPRegressor()),
    ):
        of_theirs = theirs.get_params()
        assert {name: ours.get_params()[name] for name in of_theirs} == of_theirs
        assert clone(ours).get_params() == ours.get_params()
