"""What the estimators do beyond scikit-learn's: validation, weights, sparse rows, devices, interruptions."""

import contextlib
import pickle
import signal
import time
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import scipy.sparse
from estimators import assert_same_network, classes, fitted, numbers, parameters
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xpnet import InputError, MLPClassifier, MLPRegressor
from xpnet.data import feed as feeding
from xpnet.data import transforms
from xpnet.estimator import fitting
from xpnet.estimator.pace import Pace, Settled
from xpnet.estimator.splitting import split
from xpnet.nn.solvers import SOLVERS
from xpnet.training import interrupt
from xpnet.training import model as model_module
from xpnet.training.stopping import Epoch

HOW = {"random_state": 0, "max_iter": 12, "batch_size": 20}


def model(**how):
    return MLPClassifier(**HOW | how)


# Validation


def test_the_best_weights_are_kept_whatever_ends_the_run():
    X, y = classes("multiclass")
    ours = fitted(model(learning_rate_init=0.3, max_iter=30), X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    best = int(np.argmax(ours.validation_scores_))
    assert ours.validation_scores_[best] == ours.best_validation_score_ == ours.score(X[60:], y[60:])
    assert best < ours.n_iter_ - 1  # so that the last were others
    shorter = fitted(model(learning_rate_init=0.3, max_iter=best + 1), X[:60], y[:60])
    assert_same_network(ours, shorter)


def test_without_validation_the_last_weights_stay():
    X, y = classes("multiclass")
    ours = fitted(model(), X, y)
    assert ours.validation_scores_ is ours.best_validation_score_ is None
    assert ours.best_loss_ == min(ours.loss_curve_)


def test_the_history_of_a_fit():
    X, y = classes("multiclass")
    ours = fitted(model(), X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    assert set(ours.history_) == {"loss", "learning_rate", "seconds", "val_loss", "val_score"}
    assert {len(values) for values in ours.history_.values()} == {12}
    assert ours.history_["loss"] == ours.loss_curve_
    assert ours.history_["val_score"] == ours.validation_scores_
    assert np.all(np.diff(ours.history_["seconds"]) > 0)
    at_best = ours.history_["val_loss"][int(np.argmax(ours.validation_scores_))]
    np.testing.assert_allclose(at_best, log_loss(y[60:], ours.predict_proba(X[60:])), rtol=1e-10)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_validation_of_any_classes(kind):
    X, y = classes(kind)
    ours = fitted(model(), X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    assert ours.best_validation_score_ == ours.score(X[60:], y[60:])


def test_validation_of_a_regression():
    X, y = numbers()
    ours = fitted(MLPRegressor(**HOW), X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    assert ours.best_validation_score_ == pytest.approx(ours.score(X[60:], y[60:]), abs=1e-12)


def test_early_stopping_watches_the_rows_that_are_given():
    X, y = classes("multiclass")
    how = {"early_stopping": True, "max_iter": 200, "n_iter_no_change": 3, "tol": 0.02}
    ours = fitted(model(**how), X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    assert ours.n_iter_ < 200
    assert ours.t_ == 60 * ours.n_iter_  # none set aside
    assert ours.best_loss_ is None


def test_rows_set_aside_have_equal_shares_of_the_classes():
    _, y = classes("multiclass", rows=300)
    order, kept = split(300, 0.1, y, np.random.RandomState(0))
    assert sorted([*order, *kept]) == list(range(300))
    shares = np.bincount(y[kept]) / len(kept)
    np.testing.assert_allclose(shares, np.bincount(y) / 300, atol=0.02)


def test_classes_too_small_to_share_out_are_not_in_the_way():
    X, y = classes("multiclass")
    y = np.where(np.arange(90) == 7, 9, y)  # one row of its class
    fitted(model(early_stopping=True), X, y)


# Ends


def test_training_ends_in_time():
    X, y = classes("multiclass", rows=2000)
    began = time.perf_counter()
    ours = model(max_iter=10**6, max_time=0.3, n_iter_no_change=np.inf).fit(X, y)
    assert 0.25 < time.perf_counter() - began < 60.0
    assert 0 < ours.n_iter_ < 10**6
    assert ours.t_ <= 2000 * ours.n_iter_


def test_no_time_at_all_is_a_step():
    X, y = classes("binary")
    ours = model(max_time=1e-9).fit(X, y, X_val=X, y_val=y)
    assert (ours.n_iter_, ours.t_) == (1, 20)
    assert np.isfinite([ours.loss_, ours.best_loss_, ours.best_validation_score_]).all()


def interrupted_at_once(monkeypatch):
    """Have Ctrl-C pressed before the first step."""
    listening = interrupt.StopSignals.listening

    @contextlib.contextmanager
    def interrupted(signals):
        with listening(signals):
            signal.raise_signal(signal.SIGINT)
            yield

    monkeypatch.setattr(interrupt.StopSignals, "listening", interrupted)


def test_interrupted_before_the_first_step(monkeypatch):
    X, y = classes("binary")
    interrupted_at_once(monkeypatch)
    ours = model()
    with pytest.warns(UserWarning, match="interrupted before the first step: the weights are those it began"):
        ours.fit(X, y, X_val=X, y_val=y)
    assert ours.n_iter_ == 0
    assert np.isnan(ours.loss_)
    assert ours.best_loss_ is ours.best_validation_score_ is None
    assert ours.predict(X).shape == y.shape


def test_ctrl_c_ends_training_after_a_step():
    X, y = classes("multiclass")
    ours = model(callbacks=lambda fitted: fitted.n_iter_ == 2 and signal.raise_signal(signal.SIGINT))
    with pytest.warns(
        UserWarning, match="interrupted in epoch 2: the weights are those reached so far; fit again"
    ):
        ours.fit(X, y)
    assert_same_network(ours, fitted(model(max_iter=2), X, y))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"early_stopping": True}, "those of the best epoch so far; fit again to train to the end, or with"),
        ({"warm_start": True}, "those reached so far; fit again to go on from them$"),
    ],
)
def test_ctrl_c_says_what_is_kept(given, said):
    X, y = classes("multiclass")
    ours = model(callbacks=lambda fitted: fitted.n_iter_ == 2 and signal.raise_signal(signal.SIGINT), **given)
    with pytest.warns(UserWarning, match=f"interrupted in epoch 2: the weights are {said}") as told:
        ours.fit(X, y)
    assert told[0].filename == __file__


def test_ctrl_c_in_partial_fit_says_what_to_do(monkeypatch):
    X, y = classes("multiclass")
    ours = model(callbacks=lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.warns(UserWarning, match="was interrupted, but it was already complete"):
        ours.partial_fit(X, y, classes=np.unique(y))  # its only epoch is over
    interrupted_at_once(monkeypatch)
    with pytest.warns(UserWarning, match="partial_fit was interrupted: .*; call it again with these rows"):
        ours.set_params(callbacks=None).partial_fit(X, y)


def test_callbacks_see_the_estimator_after_each_epoch():
    X, y = classes("multiclass")
    seen = []

    def look(estimator):
        seen.append((estimator.n_iter_, estimator.loss_, estimator.coefs_[0], estimator.score(X, y)))

    ours = fitted(model(callbacks=look), X, y)
    assert [n for n, *_ in seen] == list(range(1, 13))
    assert [loss for _, loss, *_ in seen] == ours.loss_curve_
    assert not np.array_equal(seen[0][2], seen[1][2])  # what one was shown stays
    np.testing.assert_array_equal(seen[-1][2], ours.coefs_[0])
    assert_same_network(ours, fitted(model(), X, y))


def test_callbacks_may_be_anything_that_can_be_called():
    class Losses(list):
        def __call__(self, estimator):
            self.append(estimator.loss_)

    losses = Losses()  # empty, and so false
    ours = fitted(model(callbacks=losses), *classes("multiclass"))
    assert list(losses) == ours.loss_curve_
    fitted(model(callbacks=np.array([losses.__call__, print])), *classes("multiclass"))
    assert len(losses) == 2 * len(ours.loss_curve_)


@pytest.mark.parametrize("later", [{"dropout": 0.5}, {"mixup": 0.4}])
def test_noise_may_begin_in_a_later_partial_fit(later):
    X, y = classes("multiclass")
    ours = model().partial_fit(X, y, classes=[0, 1, 2])
    ours.set_params(**later).partial_fit(X, y)
    assert len(ours.loss_curve_) == 2


def test_a_callback_that_returns_true_ends_training_and_the_others_are_told():
    X, y = classes("multiclass")
    told = []
    ours = model(callbacks=[lambda estimator: estimator.n_iter_ == 3, told.append]).fit(X, y)
    assert ours.n_iter_ == 3
    assert len(told) == 3


@pytest.mark.parametrize(("answer", "epochs"), [(np.True_, 1), (np.False_, 12), (1, 12), ("stop", 12)])
def test_only_true_ends_training(answer, epochs):
    X, y = classes("multiclass")
    assert fitted(model(callbacks=(lambda _: answer,)), X, y).n_iter_ == epochs


def test_an_interrupted_fit_keeps_what_it_has():
    X, y = classes("multiclass")

    def interrupt(estimator):
        if estimator.n_iter_ == 2:
            raise KeyboardInterrupt

    with pytest.warns(
        UserWarning, match="interrupted in epoch 2: the weights are those reached so far; fit again"
    ):
        ours = model(callbacks=interrupt).fit(X, y)
    assert_same_network(ours, fitted(model(max_iter=2), X, y))


@pytest.mark.parametrize("validates", [False, True])
def test_a_fit_that_diverges_keeps_finite_weights(validates):
    X, y = classes("multiclass")
    given = {"X_val": X, "y_val": y} if validates else {}
    how = {"solver": "sgd", "learning_rate_init": 1e200, "hidden_layer_sizes": (5, 5)}
    with pytest.warns(
        ConvergenceWarning, match=r"diverged in epoch \d+.*lower learning_rate_init, which is 1e\+200$"
    ):
        ours = model(**how).fit(X, y, **given)
    assert all(np.isfinite(value).all() for value in parameters(ours))
    assert np.isfinite(ours.predict_proba(X)).all()


@pytest.mark.parametrize("outputs", [1, 2])
def test_targets_out_of_scale_are_named_and_the_advice_works(outputs):
    X, y = numbers(outputs)
    y = 3e5 + 1e5 * y
    ours = MLPRegressor(solver="sgd", learning_rate_init=0.01, max_iter=30, random_state=0)
    figures = r"has a mean of .*e\+05 and a deviation of .*e\+0., so set standardize_target=True$"
    with pytest.warns(
        ConvergenceWarning, match=("^.* before: y " if outputs == 1 else "column . of y ") + figures
    ):
        ours.fit(X, y)
    assert np.abs(ours.predict(X)).max() < 1e7
    assert ours.score(X, y) > -20
    assert fitted(ours.set_params(standardize_target=True), X, y).score(X, y) > 0.8


def test_rows_out_of_scale_are_named():
    X, y = numbers()
    X[:, 2] *= 1e6
    ours = MLPRegressor(solver="sgd", learning_rate_init=0.1, max_iter=30, random_state=0)
    with pytest.warns(
        ConvergenceWarning, match=r"feature 2 of X has a mean of .* so scale X, for example by"
    ):
        ours.fit(X, y)
    assert np.isfinite(ours.predict(X)).all()


def test_counts_that_hardly_vary_are_for_another_loss():
    X, y = numbers(rows=120)
    ours = MLPRegressor(8, loss="poisson", standardize_target=True, max_iter=5, random_state=0, tol=1e-6)
    said = r"^the network .* constant prediction: y has .* over its mean, so use loss='squared_error',"
    with pytest.warns(ConvergenceWarning, match=said):
        ours.fit(X, 1e6 + 1e3 * y)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("unit", [1e4, 1e-6])
def test_targets_out_of_scale_are_named_where_nothing_was_learnt(early_stopping, solver, unit):
    if solver == "lbfgs" and unit > 1:
        return  # which gets there
    X, y = numbers(rows=120)
    ours = MLPRegressor(early_stopping=early_stopping, random_state=0, max_iter=60, solver=solver, tol=1e-6)
    said = "^the network is hardly better than a constant" if solver == "adam" else "^lbfgs has not converged"
    said += r".*: y has a .*, so set standardize_target=True$"
    with pytest.warns(ConvergenceWarning, match=said) as seen:
        ours.fit(X, unit * (y + 5 if unit > 1 else y))
    assert (len(seen), seen[0].filename) == (1, __file__)
    assert fitted(ours.set_params(standardize_target=True), X, unit * y).score(X, unit * y) > 0.5


@pytest.mark.parametrize(("mean", "deviation"), [(20.0, 1.0), (0.0, 3e-3)])
def test_targets_far_off_0_or_small_are_named_where_nothing_was_learnt(mean, deviation):
    X, y = numbers(rows=120)
    y = mean + deviation * (y - y.mean(axis=0)) / y.std(axis=0)
    ours = MLPRegressor(random_state=0, max_iter=40)
    with pytest.warns(ConvergenceWarning, match=r": y has a .*deviation of .*, so set standardize_target"):
        ours.fit(X, y)
    assert fitted(ours.set_params(standardize_target=True, max_iter=100), X, y).score(X, y) > 0.5


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_tiny_features_are_named_where_nothing_was_learnt(kind, solver):
    X, y = classes("binary")
    ours = kind(random_state=0, max_iter=60, solver=solver)
    said = "constant prediction: the features of X have deviations of at most .*e-0., so scale X, for example"
    with pytest.warns(ConvergenceWarning, match=said) as seen:
        ours.fit(1e-7 * X, y)
    assert (len(seen), seen[0].filename) == (1, __file__)
    assert fitted(ours.set_params(preprocess="standardize"), 1e-7 * X, y).score(1e-7 * X, y) > 0.4
    with pytest.warns(
        ConvergenceWarning, match=r"so scale X, for example by sklearn.preprocessing.MaxAbsScaler$"
    ):
        ours.set_params(preprocess="none").fit(scipy.sparse.csr_matrix(1e-7 * X), y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_noise_of_size_one_is_no_matter_of_scale(solver):
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((300, 4)), rng.standard_normal(300)
    how = {"random_state": 0, "solver": solver, "alpha": 100.0, "hidden_layer_sizes": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given, kind in ((y, MLPRegressor), (y > 0, MLPClassifier)):
            kind(**how, max_iter=200, n_iter_no_change=float("inf")).fit(X, given)


def test_a_fit_that_could_go_on_says_so():
    X, y = classes("multiclass")
    with pytest.warns(ConvergenceWarning, match="not converged within max_iter=12 epochs: raise max_iter"):
        model().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(n_iter_no_change=float("inf")).fit(X, y)


def test_verbose_prints_each_epoch(capsys):
    X, y = classes("multiclass")
    ours = fitted(model(max_iter=2, verbose=True), X, y, X_val=X, y_val=y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Iteration 1, loss = {ours.loss_curve_[0]:.8f}"
    assert lines[1].startswith("Validation score: 0.")
    assert len(lines) == 4


# Going on


def test_a_warm_start_goes_on_from_the_weights():
    X, y = classes("multiclass")
    ours = model(warm_start=True, max_iter=1, solver="sgd", momentum=0.0, shuffle=False)
    for _ in range(12):
        fitted(ours, X, y)
    assert len(ours.loss_curve_) == len(ours.history_["seconds"]) == 12
    assert np.all(np.diff(ours.history_["seconds"]) > 0)
    whole = fitted(model(solver="sgd", momentum=0.0, shuffle=False), X, y)
    assert_same_network(ours, whole)


def test_validation_rows_that_come_and_go():
    X, y = classes("multiclass")
    ours = fitted(model(warm_start=True, max_iter=2), X, y)
    fitted(ours, X, y, X_val=X, y_val=y)
    assert len(ours.validation_scores_) == 2
    fitted(ours, X, y)
    assert ours.validation_scores_ is ours.best_validation_score_ is None
    assert {len(values) for values in ours.history_.values()} == {6}
    unknown = [True, True, False, False, True, True]
    assert np.isnan(ours.history_["val_loss"]).tolist() == unknown
    assert np.isnan(ours.history_["val_score"]).tolist() == unknown


def test_parts_after_a_fit_go_on_from_its_best_epoch():
    """Weights, the solver's memory and the count of its steps are of the same moment."""
    X, y = classes("multiclass")
    how = {"learning_rate_init": 0.3, "shuffle": False}
    ours = fitted(model(max_iter=30, **how), X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    best = int(np.argmax(ours.validation_scores_))
    assert best < 29
    shorter = fitted(model(max_iter=best + 1, **how), X[:60], y[:60])
    assert_same_network(ours.partial_fit(X[:60], y[:60]), shorter.partial_fit(X[:60], y[:60]))


@pytest.mark.parametrize("solver", list(SOLVERS))
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_partial_fits_are_a_fit_in_parts(solver, dropout):
    """Noise and the solver's memory go on, over a pickle too."""
    X, y = classes("multiclass")
    how = {"solver": solver, "dropout": dropout, "learning_rate_init": 1e-2, "max_iter": 4, "shuffle": False}
    parts = model(**how)
    for _ in range(4):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(X, y, classes=[0, 1, 2])))
    assert_same_network(parts, fitted(model(**how), X, y))


def test_each_part_is_shuffled_anew(monkeypatch):
    """scikit-learn takes the first shuffle of a seed in every call."""
    orders = []
    permutation = fitting.Order.permutation
    monkeypatch.setattr(
        fitting.Order,
        "permutation",
        lambda self, rows: orders.append(permutation(self, rows)) or orders[-1],
    )
    X, y = classes("multiclass")
    model().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(90))
    assert not np.array_equal(*orders)


@pytest.mark.parametrize("schedule", ["constant", "invscaling"])
def test_a_rate_that_is_set_between_parts_holds_where_it_is_not_the_schedules(schedule):
    X, y = classes("multiclass")
    parts = model(solver="sgd", learning_rate=schedule, momentum=0.0)
    parts.partial_fit(X, y, classes=[0, 1, 2])
    parts.set_params(learning_rate_init=0.1).partial_fit(X, y)
    first = {"constant": 0.1, "invscaling": 0.001 / 91**0.5}[schedule]
    assert parts.history_["learning_rate"] == [0.001, pytest.approx(first)]


def test_a_regressor_fits_in_parts():
    X, y = numbers()
    how = HOW | {"max_iter": 2, "shuffle": False}
    parts = MLPRegressor(**how).partial_fit(X, y).partial_fit(X, y)
    assert_same_network(parts, fitted(MLPRegressor(**how), X, y))


def test_a_fit_begins_anew_without_warm_start():
    X, y = classes("multiclass")
    ours = fitted(model(), X, y)
    names = np.array(["a", "b", "c"])[y]
    assert_same_network(fitted(ours, X, names), fitted(model(), X, names))
    assert ours.classes_.tolist() == ["a", "b", "c"]
    assert len(ours.loss_curve_) == 12


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_schedules_of_the_whole_run(schedule):
    X, y = classes("multiclass")
    rates = fitted(model(learning_rate=schedule), X, y).history_["learning_rate"]
    assert rates[-1] < 1e-5 < max(rates) <= 1e-3


@pytest.mark.parametrize("how", [{}, {"dropout": 0.5}, {"early_stopping": True}, {"solver": "lion"}], ids=str)
def test_the_same_seed_is_the_same_network(how):
    X, y = classes("multiclass")
    one, two = (fitted(model(**how), X, y) for _ in range(2))
    assert_same_network(one, two)
    other = fitted(model(random_state=1, **how), X, y)
    assert not np.array_equal(one.coefs_[0], other.coefs_[0])


def test_dropout_changes_the_steps_and_not_the_predictions():
    X, y = classes("multiclass")
    with_noise, without = fitted(model(dropout=0.5), X, y), fitted(model(), X, y)
    assert not np.array_equal(with_noise.coefs_[0], without.coefs_[0])
    np.testing.assert_array_equal(with_noise.predict_proba(X), with_noise.predict_proba(X))


# Labels and weights


@pytest.mark.parametrize(
    "names", [["no", "yes"], [-1, 1], [False, True], [3.0, 7.0], ["x", "yy", "z"], [10, -5, 300]]
)
def test_labels_may_be_anything(names):
    X, y = classes("binary" if len(names) == 2 else "multiclass")
    named = np.array(names)[y]
    ours = fitted(model(max_iter=60), X, named)
    np.testing.assert_array_equal(ours.classes_, np.unique(named))
    assert ours.predict(X).dtype == named.dtype
    assert ours.score(X, named) > 0.7
    given = fitted(model(), X, list(named), X_val=X, y_val=list(named))
    assert given.best_validation_score_ == given.score(X, named)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.filterwarnings("ignore::xpnet.errors.RangeWarning")
def test_probabilities_and_their_logarithms(kind):
    X, y = classes(kind)
    ours = fitted(model(), X, y)
    P, logarithms = ours.predict_proba(50 * X), ours.predict_log_proba(50 * X)
    np.testing.assert_allclose(np.exp(logarithms), P, rtol=1e-12)
    assert np.isfinite(ours.predict_log_proba(1e4 * X)).all()  # where the probability itself is 0
    if kind != "multilabel":
        np.testing.assert_allclose(P.sum(axis=1), 1.0, rtol=1e-12)
        np.testing.assert_array_equal(ours.classes_[P.argmax(axis=1)], ours.predict(50 * X))


def test_weights_of_classes_multiply_those_of_rows():
    X, y = classes("multiclass")
    weight = np.random.default_rng(0).uniform(size=90)
    by_class = fitted(model(class_weight={0: 2.0, 2: 0.5}), X, y, weight)
    by_both = weight * np.array([2.0, 1.0, 0.5])[y]
    assert_same_network(by_class, fitted(model(class_weight={}), X, y, by_both), atol=1e-12)
    # In one batch of all the rows it makes no difference whose sum the loss is divided by.
    how = {"batch_size": 90, "alpha": 0.0, "max_iter": 20}
    by_class = fitted(model(class_weight={0: 2.0, 2: 0.5}, **how), X, y, weight)
    assert_same_network(by_class, fitted(model(**how), X, y, by_both), atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_balanced_classes_weigh_the_same(weighted):
    X, y = classes("multiclass")
    y = np.where(np.arange(90) < 60, 0, y)
    weight = np.random.default_rng(0).uniform(size=90) if weighted else np.ones(90)
    of_class = np.bincount(y, weight)
    balanced = fitted(model(class_weight="balanced"), X, y, weight if weighted else None)
    by_both = weight * (weight.sum() / (3 * of_class))[y]
    assert_same_network(balanced, fitted(model(class_weight={}), X, y, by_both), atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "batch_size"),
    # Without weights of classes it is scikit-learn's rule, by which a batch needs its share of both.
    [("classes", 1), ("classes", 2), ("classes", 16), ("classes", 80), ("numbers", 16), ("numbers", 80)],
)
def test_weights_count_in_batches_of_any_size(kind, batch_size):
    """Of rows that are all alike the prediction is the mean by weight, wherever the rows are drawn to."""
    X, y = np.ones((80, 1)), np.tile([0, 0, 0, 1], 20)
    how = {"hidden_layer_sizes": (), "alpha": 0.0, "solver": "sgd", "momentum": 0.0, "random_state": 0}
    how |= {"batch_size": batch_size, "learning_rate_init": 0.02 * batch_size**0.5, "max_iter": 200}
    if kind == "classes":
        ours = fitted(MLPClassifier(**how, class_weight={1: 9.0}), X, y)
        found = ours.predict_proba(X[:1])[0, 1]
    else:  # as scikit-learn, whose weights are those of a batch: as many rows of each in all of them
        order = np.argsort(y, kind="stable").reshape(4, 20).T.ravel()
        ours = MLPRegressor(**how, shuffle=False)
        found = fitted(ours, X, y[order], np.where(y[order] == 1, 9.0, 1.0)).predict(X[:1])[0]
    assert found == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize("parts", [1, 2, 12])
def test_a_class_weighs_the_same_in_parts_of_any_size(parts):
    X, y = np.ones((12, 1)), np.tile([0, 0, 1], 4)
    rate = 0.3 / parts**0.5
    how = {"hidden_layer_sizes": (), "alpha": 0.0, "solver": "sgd", "momentum": 0.0, "shuffle": False}
    ours = MLPClassifier(**how, learning_rate_init=rate, class_weight={0: 0.5, 1: 4.0}, random_state=0)
    for _ in range(60):
        for rows in np.array_split(np.arange(12), parts):
            ours.partial_fit(X[rows], y[rows], classes=[0, 1])
    assert ours.predict_proba(X[:1])[0, 1] == pytest.approx(0.8, abs=0.07)


def test_a_part_of_a_class_that_weighs_nothing_moves_nothing():
    X, y = classes("binary")
    ours = model(class_weight={0: 0.0}, alpha=0.0, solver="sgd", momentum=0.0, batch_size="auto")
    ours.partial_fit(X[y == 1], y[y == 1], classes=[0, 1])
    before = [coef.copy() for coef in ours.coefs_]
    ours.partial_fit(X[y == 0][:1], y[y == 0][:1])
    for kept, coef in zip(before, ours.coefs_, strict=True):
        np.testing.assert_array_equal(coef, kept)


def test_rows_without_weight_might_as_well_not_be_there():
    X, y = classes("multiclass")
    spoilt = np.where(np.arange(90) < 45, (y + 1) % 3, y)
    weight = (np.arange(90) >= 45).astype(float)
    how = {"max_iter": 200, "batch_size": 90, "learning_rate_init": 1e-2, "random_state": 0}
    ours, expected = MLPClassifier(**how), MLPClassifier(**how | {"batch_size": 45})
    assert_same_network(fitted(ours, X, spoilt, weight), fitted(expected, X[45:], y[45:]), atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"preprocess": "standardize"}, {"preprocess": "pca"}, {"norm": "batch"}], ids=str
)
@pytest.mark.parametrize("by", ["row", "class"])
def test_rows_without_weight_shape_nothing_beside_the_loss(changes, by):
    X, y = classes("multiclass")
    out = y == 2 if by == "class" else np.arange(90) % 3 == 0
    how = {"early_stopping": True, "max_iter": 5, "random_state": 0} | changes
    how |= {"class_weight": {2: 0.0}} if by == "class" else {}
    weight = np.where(out, 0.0, 1.5) if by == "row" else None
    found = fitted(MLPClassifier(**how), np.where(out[:, None], -9999.0, X), y, weight)
    classed = np.unique(y)
    expected = MLPClassifier(**how)
    rest = X[~out], y[~out], None if weight is None else weight[~out]
    if by == "class":  # which is known, and has no rows
        found, expected = (
            MLPClassifier(**how | {"early_stopping": False}),
            MLPClassifier(**how | {"early_stopping": False}),
        )
        found.partial_fit(np.where(out[:, None], -9999.0, X), y, classes=classed)
        expected.partial_fit(*rest, classes=classed)
    else:
        fitted(expected, *rest)
    assert_same_network(found, expected)


def test_a_part_whose_rows_all_weigh_nothing_is_refused_where_they_would_shape_more():
    X, y = classes("binary")
    ours = model(class_weight={0: 0.0}, norm="batch", batch_size="auto").partial_fit(X, y, classes=[0, 1])
    with pytest.raises(InputError, match="all of these rows have weight 0: leave them out"):
        ours.partial_fit(X[y == 0], y[y == 0])


def test_balanced_is_of_all_rows_and_not_of_a_part():
    X, y = classes("binary")
    with pytest.raises(
        InputError, match=r"class_weight 'balanced' needs all rows.* give a dict, for example from"
    ):
        model(class_weight="balanced").partial_fit(X, y, classes=[0, 1])


@pytest.mark.parametrize("how", [{"X_val": 1}, {"X_val": 5}, {}], ids=["one", "alike", "set aside"])
def test_where_r_squared_says_nothing_the_loss_chooses(how):
    X, y = numbers(1)
    given = {"X_val": X[: how["X_val"]], "y_val": np.full(how["X_val"], 0.2)} if how else {}
    if not how:
        y = np.full_like(y, 0.2)
    how = {"max_iter": 30, "random_state": 0, "early_stopping": not given, "n_iter_no_change": np.inf}
    ours = MLPRegressor(8, **how)
    with pytest.warns(UserWarning, match="is undefined: epochs are compared by val_loss"):
        ours.fit(X, y, **given)
    assert_same_network(ours, fitted(MLPRegressor(8, **how, monitor="val_loss"), X, y, **given))
    assert np.isnan(ours.validation_scores_).all()


@pytest.mark.parametrize("weights", [{0: 9.0}, "balanced"], ids=str)
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_validation_rows_weigh_what_their_classes_do(kind, weights):
    """And by the training rows: "balanced" is not another thing for validation rows of other shares."""
    X, y = classes(kind)
    X, y, X_val, y_val = X[20:], y[20:], X[:30], y[:30]
    ours = fitted(model(class_weight=weights, monitor="val_score"), X, y, X_val=X_val, y_val=y_val)
    count = np.bincount(y)
    factor = np.where(np.arange(len(count)) == 0, 9.0, 1.0)
    factor = len(y) / (len(count) * count) if weights == "balanced" else factor
    expected = ours.score(X_val, y_val, factor[y_val])
    assert ours.best_validation_score_ == pytest.approx(expected, rel=1e-12)
    assert ours.best_validation_score_ == max(ours.validation_scores_)
    P = ours.predict_proba(X_val)[np.arange(30), y_val]
    loss = -np.average(np.log(P), weights=factor[y_val])
    assert ours.history_["val_loss"][np.argmax(ours.validation_scores_)] == pytest.approx(loss, rel=1e-9)


def test_a_rare_class_of_great_weight_chooses_the_epoch():
    """By plain accuracy it is the first one, in which the rare class is never predicted."""
    rng = np.random.default_rng(0)
    y = (np.arange(600) % 30 == 0).astype(int)
    X = rng.normal(size=(600, 3)) + 2 * y[:, None]
    how = {"early_stopping": True, "class_weight": "balanced", "learning_rate_init": 0.01, "max_iter": 20}
    ours = fitted(MLPClassifier(8, random_state=0, **how), X, y)
    assert ours.predict(X)[y == 1].mean() > 0.8
    assert max(ours.validation_scores_) > 0.8


def test_weights_of_classes_that_a_fold_lacks_do_nothing():
    X, y = classes("binary")
    weights = {0: 1.0, 1: 2.0}
    some = fitted(model(class_weight=weights | {2: 30.0}), X, y)
    assert_same_network(some, fitted(model(class_weight=weights), X, y))
    names = np.array(["common", "usual", "rare"])[np.where(np.arange(90) < 2, 2, y)]
    folds = [(np.arange(30, 90), np.arange(30)), (np.arange(30), np.arange(30, 90))]
    by_name = {"common": 1, "usual": 2, "rare": 30}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = cross_val_score(model(class_weight=by_name), X, names, cv=folds, error_score="raise")
    assert np.isfinite(found).all()


# Rows of other kinds


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csr_array, scipy.sparse.csc_array])
@pytest.mark.parametrize("how", [{}, {"early_stopping": True}], ids=str)
def test_sparse_rows_are_the_same_rows(kind, how):
    X, y = classes("multiclass")
    X = np.where(np.abs(X) > 1, X, 0.0)
    sparse, dense = fitted(model(**how), kind(X), y), fitted(model(**how), X, y)
    assert_same_network(sparse, dense)
    np.testing.assert_array_equal(sparse.predict_proba(kind(X)), dense.predict_proba(X))
    given = fitted(model(), kind(X), y, X_val=kind(X), y_val=y)
    assert given.best_validation_score_ == given.score(X, y)


def test_sparse_rows_become_dense_a_batch_at_a_time(monkeypatch):
    taken = []
    take = feeding.HostRows.take
    monkeypatch.setattr(
        feeding.HostRows, "take", lambda rows, index: taken.append(len(index)) or take(rows, index)
    )
    dense = []
    toarray = scipy.sparse.csr_array.toarray
    monkeypatch.setattr(
        scipy.sparse.csr_array,
        "toarray",
        lambda a, *args, **how: dense.append(a.shape) or toarray(a, *args, **how),
    )
    monkeypatch.setattr(model_module, "PART", 6 * 1000)
    X, y = classes("binary", rows=2500)
    fitted(model(max_iter=2, batch_size=400), scipy.sparse.csr_array(X), y).predict(scipy.sparse.csr_array(X))
    assert taken == [*(2 * [*(6 * [400]), 100]), 1000]  # the last, to look at their scale
    assert max(rows for rows, _ in dense) <= 1000


def test_the_dtype_is_that_of_the_rows_unless_it_is_chosen():
    X, y = classes("multiclass")
    for given, dtype, expected in (
        (X, None, np.float64),
        (X.astype(np.float32), None, np.float32),
        ((10 * X).astype(int), None, np.float64),
        (X, "float32", np.float32),
        (X.astype(np.float32), "float64", np.float64),
    ):
        ours = fitted(model(dtype=dtype), given, y)
        assert {value.dtype for value in parameters(ours)} == {np.dtype(expected)}
        assert ours.predict_proba(given).dtype == ours.predict_log_proba(given).dtype == expected


def test_in_float32_the_network_is_nearly_the_same():
    X, y = classes("multiclass")
    single, double = fitted(model(dtype="float32"), X, y), fitted(model(), X, y)
    assert_same_network(single, double, atol=1e-4)


# Devices


@pytest.mark.parametrize(
    ("kind", "how"),
    [("binary", {}), ("multiclass", {"solver": "sgd", "dropout": 0.2, "early_stopping": True})],
    ids=["binary-adam", "multiclass-sgd"],
)
def test_training_on_every_device(device, dtype, kind, how):
    """The attributes are NumPy's, and the network is the one of the CPU."""
    X, y = classes(kind)
    ours = fitted(model(device=device, dtype=dtype, **how), X, y, np.linspace(0.5, 1.5, 90))
    here = fitted(model(dtype=dtype, **how), X, y, np.linspace(0.5, 1.5, 90))
    assert all(type(value) is np.ndarray for value in parameters(ours))
    assert_same_network(ours, here, atol=1e-4 if dtype == "float32" else 1e-10)
    np.testing.assert_allclose(ours.predict_proba(X), here.predict_proba(X), atol=1e-4)
    sparse = fitted(model(device=device, dtype=dtype, **how), scipy.sparse.csr_array(X), y)
    dense = fitted(model(device=device, dtype=dtype, **how), X, y)
    # The steps of sparse rows fetch them from the host, so no device compiles them.
    compiled = {"atol": 1e-4 if dtype == "float32" else 1e-10} if "jax" in device.backend else {}
    assert_same_network(sparse, dense, **compiled)


def test_a_model_of_a_gpu_predicts_where_there_is_none():
    """What training there leaves is what training here does, but for the name."""
    X, y = classes("multiclass")
    ours = fitted(model(), X, y).set_params(device="cuda:99")
    loaded = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(loaded.predict_proba(X), ours.set_params(device="cpu").predict_proba(X))


def test_what_is_pickled_is_numpy_and_small():
    X, y = classes("multiclass")
    ours = fitted(model(), X, y)
    assert len(pickle.dumps(ours)) < 4 * sum(value.nbytes for value in parameters(ours)) + 20_000
    state = ours.__getstate__()
    assert not {type(value).__module__ for value in state.values()} & {"xpnet.device", "xpnet.training.step"}


# Among other tools


def test_in_a_pipeline_a_search_and_a_calibration():
    X, y = classes("multiclass", rows=150)
    names = np.array(["a", "b", "c"])[y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline = make_pipeline(StandardScaler(), model(max_iter=40))
        assert pipeline.fit(X, names).score(X, names) > 0.7
        search = GridSearchCV(
            pipeline, {"mlpclassifier__alpha": [1e-4, 10.0], "mlpclassifier__dropout": [0.0, 0.2]}, cv=2
        )
        assert search.fit(X, names).best_score_ > 0.5
        assert cross_val_score(pipeline, X, names, cv=3).mean() > 0.5
        calibrated = CalibratedClassifierCV(pipeline, cv=2).fit(X, names)
        assert calibrated.predict_proba(X).shape == (150, 3)
        regression = make_pipeline(StandardScaler(), MLPRegressor(random_state=0, max_iter=300))
        assert cross_val_score(regression, *numbers(rows=300), cv=2).mean() > 0.5


def test_a_pipeline_prepares_the_validation_rows_too():
    pipeline_parameters = make_pipeline(StandardScaler(), model()).get_params()
    if "transform_input" not in pipeline_parameters:
        pytest.skip("this scikit-learn cannot")
    import sklearn

    X, y = classes("multiclass")
    with sklearn.config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = model().set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), network, transform_input=["X_val"])
        pipeline.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    scores = pipeline[-1].validation_scores_
    assert max(scores) == pipeline.score(X[60:], y[60:])


def test_only_what_is_fitted_predicts_and_only_rows_like_those():
    with pytest.raises(NotFittedError):
        model().predict([[0.0]])
    X, y = classes("multiclass")
    ours = fitted(model(), X, y)
    assert ours.n_features_in_ == 6
    with pytest.raises(ValueError, match="6 features"):
        ours.predict(X[:, :5])


def test_settled_counts_as_scikit_learn_does():
    settled = Settled(0.1, 1, "val_score", Pace("", 0.1, 0.5))
    idle, ended = [], []
    for number, value in enumerate((0.0, 0.05, 0.2, 0.25, 0.29, 0.4, np.nan)):
        ended.append(bool(settled.ends(Epoch(number, np.nan, np.nan, np.nan, None, np.asarray(value)))))
        idle.append(int(settled.idle))
    assert idle == [0, 1, 0, 1, 2, 0, 1]
    assert ended == [False, False, False, False, True, False, False]
    assert settled.best == 0.4


def test_each_network_settles_by_itself_and_is_slowed_down_first():
    pace = Pace("adaptive", 0.5, 0.5)
    settled = Settled(0.0, 0, None, pace)
    losses = np.array([[1.0, 2.0], [0.5, 3.0], [0.4, 4.0]])
    ended = [settled.ends(Epoch(k, loss, np.nan, np.nan, None)).tolist() for k, loss in enumerate(losses)]
    assert ended == [[False, False]] * 3
    assert pace._rate.tolist() == [0.5, 0.02]
    pace._rate = np.array([1e-6, 0.1])
    assert settled.ends(Epoch(3, np.array([1.0, 5.0]), np.nan, np.nan, None)).tolist() == [True, False]


def test_only_the_ratios_of_weights_matter():
    """Also where their sum, or they themselves, are beyond the dtype."""
    X, y = classes("multiclass")
    weight = np.linspace(1, 2, 90)
    for dtype, factor in (("float64", 2.0**1022), ("float64", 2.0**-1000), ("float32", 2.0**-200)):
        plain = fitted(model(alpha=0.0, dtype=dtype), X, y, weight)
        assert_same_network(plain, fitted(model(alpha=0.0, dtype=dtype), X, y, factor * weight))


def test_a_new_network_begins_with_the_rate_of_a_new_one():
    X, y = classes("binary")
    how = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.1, "tol": 10}
    ours = fitted(model(**how, n_iter_no_change=1), X, y)
    assert ours.history_["learning_rate"][-1] < 0.1
    with pytest.raises(ValueError, match="NaN"):
        ours.fit(np.full_like(X, np.nan), y)
    assert ours.partial_fit(X, y, classes=[0, 1]).history_["learning_rate"] == [0.1]


def test_a_fit_that_is_refused_late_leaves_no_network(monkeypatch):
    X, y = classes("multiclass")
    ours = model(mixup=0.4)
    with pytest.raises(InputError, match="mixup cannot be combined with weights"):
        ours.fit(X, y, np.ones(90))
    with pytest.raises(NotFittedError):
        ours.predict(X)

    def refuse(*_):
        raise InputError("too few rows")

    monkeypatch.setattr(transforms, "fit", refuse)
    ours = model(preprocess="standardize")
    with pytest.raises(InputError, match="too few rows"):
        ours.fit(X, y)
    with pytest.raises(NotFittedError):
        ours.predict(X)


def test_a_callback_that_raises_leaves_weights_and_memory_of_one_moment():
    X, y = classes("multiclass")

    def fail(_):
        raise ZeroDivisionError

    parts = model(shuffle=False, ema=0.9).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ZeroDivisionError):
        parts.set_params(callbacks=fail).partial_fit(X, y)
    parts.set_params(callbacks=None).partial_fit(X, y)
    assert_same_network(parts, fitted(model(shuffle=False, ema=0.9, max_iter=3), X, y))


def test_errors_are_those_of_xpnet_and_of_python():
    assert issubclass(InputError, ValueError)
