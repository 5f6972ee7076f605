"""Scorers of scikit-learn as what is monitored: of a stand-in they say what they say of an estimator."""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.metrics import f1_score, get_scorer, get_scorer_names, make_scorer
from sklearn.neural_network import MLPClassifier, MLPRegressor

from xpnet.errors import InputError
from xpnet.training import monitors, scorers
from xpnet.training.scorers import scorer_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
CLUSTERS = (
    "adjusted_",
    "completeness",
    "fowlkes",
    "homogeneity",
    "mutual",
    "normalized",
    "rand_",
    "v_measure",
)
NAMES = [name for name in get_scorer_names() if not name.startswith(CLUSTERS)]


def fitted(kind):
    """Return scikit-learn's estimator, targets, and the network's scores of rows."""
    of_rows = X @ RNG.normal(size=(4, 3))
    y = {
        "binary": (of_rows[:, 0] > 0).astype(int),
        "multiclass": of_rows.argmax(axis=1),
        "multilabel": (of_rows > 0).astype(int),
        "regression": np.abs(of_rows[:, 0]) + 0.1,
    }[kind]
    make = MLPRegressor if kind == "regression" else MLPClassifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make(hidden_layer_sizes=5, max_iter=30, random_state=0).fit(X, y)
    if kind == "regression":
        return model, y, model.predict(X)[:, None]
    P = model.predict_proba(X)
    if kind == "binary":
        P = P[:, 1:]
    scores = np.log(P) if kind == "multiclass" else np.log(P / (1 - P))
    return model, y, scores


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_every_scorer_says_what_it_says_of_an_estimator(kind, weighted):
    """Or it is refused in one line, where scikit-learn refuses it, too, or it takes no weights."""
    model, y, scores = fitted(kind)
    task = "classification" if kind in ("binary", "multiclass") else kind
    weight = RNG.uniform(0.5, 2, 60) if weighted else None
    given = y.reshape(60, -1) if kind in ("binary", "regression") else y
    measured = 0
    for name in NAMES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                how = {} if weight is None else {"sample_weight": weight}
                expected = get_scorer(name)(model, X, y, **how)
            except (ValueError, TypeError, AttributeError):
                expected = None
        refused = None
        try:
            found = scorer_of(name, task)(given, np.stack([scores, scores]), weight)
        except InputError as error:
            refused = str(error)
        if refused is not None:
            assert refused.endswith("use another, such as val_score")
            assert "\n" not in refused
            assert expected is None or f"is not for {task}" in refused, refused
            continue
        if expected is None and kind == "multilabel":
            continue  # of which its estimators have probabilities in another form
        np.testing.assert_allclose(found, [expected, expected], rtol=1e-9, atol=1e-12, err_msg=name)
        measured += 1
    assert measured >= 5


def test_a_network_that_has_overflowed_is_worth_nothing():
    y, scores = np.array([0, 1, 2]), np.array([np.eye(3), np.full((3, 3), np.nan)])
    np.testing.assert_array_equal(scorer_of("f1_macro", "classification")(y, scores, None), [1.0, np.nan])


def test_a_function_sees_the_labels_and_the_rows():
    def of(estimator, rows, y):
        assert estimator.classes_.tolist() == ["no", "yes"]
        return f1_score(y, estimator.predict(rows), pos_label="yes") + rows[0, 0]

    scorer = scorer_of(of, "classification", ["no", "yes"], np.full((2, 1), 7.0))
    assert scorer(np.array([[0.0], [1.0]]), np.array([[-1.0], [1.0]]), None) == 8.0


@pytest.mark.parametrize(
    ("of", "weight", "text"),
    [
        (lambda _estimator, _X, _y: 1 / 0, None, "ZeroDivisionError: division by zero"),
        (lambda _estimator, _X, _y: [1, 2], None, "TypeError"),
        (lambda _estimator: 1.0, None, "TypeError"),
        (lambda _estimator, _X, _y: 1.0, np.ones(3), "does not support weights of rows or classes"),
        (make_scorer(f1_score), None, "ValueError: Target is multiclass but average='binary'"),
    ],
)
def test_what_fails_is_one_line(of, weight, text):
    with pytest.raises(InputError, match=text) as caught:
        scorer_of(of, "classification").check(np.array([0, 1, 2]), weight, 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("f1_macr", "'f1_macro'"),
        ("val_f1_macro", "'f1_macro'"),
        ("neg_log_los", "'neg_log_loss'"),
        ("balanced_acuracy", "'balanced_accuracy'"),
        ("val_acc", "'val_accuracy'"),
    ],
)
def test_a_misspelt_name(name, hint):
    with pytest.raises(InputError, match=f"not '{name}'; did you mean {hint}"):
        monitors.check_name(name)


def test_names_of_ours_are_ours():
    assert monitors.ours("roc_auc") == monitors.ours("val_roc_auc") == "val_roc_auc"
    assert monitors.ours("neg_root_mean_squared_error") == "val_rmse"
    assert monitors.ours("f1_macro") == monitors.ours(make_scorer(f1_score)) == ""
    monitors.check("neg_log_loss", "classification")
    with pytest.raises(InputError, match="--monitor r2 is not for classification: use val_score"):
        monitors.check("r2", "classification")
    with pytest.raises(InputError, match="neg_median_absolute_error is not for classification"):
        monitors.check("neg_median_absolute_error", "classification")
    with pytest.raises(InputError, match="f1_macro is not for regression"):
        monitors.check("f1_macro", "regression")


def test_without_scikit_learn(monkeypatch):
    """A run that was trained with it elsewhere can be loaded, and not trained again."""
    monkeypatch.setattr(scorers.importlib.util, "find_spec", lambda _name: None)
    monitors.check_name("f1_macro")
    with pytest.raises(InputError, match="did you mean 'val_accuracy'"):
        monitors.check_name("val_acc")
    with pytest.raises(InputError, match=r'pip install "xpnet\[sklearn\]"'):
        monitors.check("f1_macro", "classification")
