"""Scorers of one class measure the class that scikit-learn's do, or the one that is named."""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn import metrics
from sklearn.metrics import get_scorer, make_scorer
from sklearn.neural_network import MLPClassifier as Theirs

import xpnet
from xpnet import InputError, MLPClassifier
from xpnet.commands import sweep, train
from xpnet.training import monitors
from xpnet.training.scorers import scorer_of

RNG = np.random.default_rng(3)
X = RNG.normal(size=(120, 3))
RARE = (X[:, 0] + RNG.normal(scale=0.7, size=120) > 1).astype(int)
NAMES = ["recall", "precision", "f1", "jaccard", "average_precision"]


def fitted(y):
    """Return scikit-learn's estimator, and the network's scores of the rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Theirs(5, max_iter=60, random_state=0).fit(X, y)
    P = model.predict_proba(X)
    return model, np.log(P[:, 1:] / P[:, :1]) if P.shape[1] == 2 else np.log(P)


def numbers(y):
    return np.unique(y, return_inverse=True)[1]


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("labels", [(0, 1), (1, 2), (2, 1), (False, True), (-1, 1), (1.0, 0.0)])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_class_1_as_in_scikit_learn(name, labels, outputs):
    y = np.array(labels)[RARE]
    model, scores = fitted(y)
    given, of = numbers(y), scorer_of(name, "classification", model.classes_.tolist())
    if outputs == 2:
        scores = np.concatenate([-scores, scores], axis=1) / 2
    else:
        given = given[:, None].astype(float)
    of.check(given, None, 2)
    assert of(given, scores, None) == pytest.approx(get_scorer(name)(model, X, y), rel=1e-9)


@pytest.mark.parametrize("wanted", ["fraud", "ok"])
@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_is_named(name, wanted):
    y = np.array(["ok", "fraud"])[RARE]
    model, scores = fitted(y)
    how = {"response_method": ["decision_function", "predict_proba"]} if name == "average_precision" else {}
    theirs = make_scorer(getattr(metrics, f"{name}_score"), pos_label=wanted, **how)
    weight = RNG.uniform(0.5, 2, 120)
    expected = theirs(model, X, y, sample_weight=weight)
    ours = scorer_of(f"{name}:{wanted}", "classification", ["fraud", "ok"])
    assert ours(numbers(y), np.concatenate([0 * scores, scores], axis=1), weight) == pytest.approx(expected)


def test_a_class_of_several():
    y = np.array(["a", "b", "c"])[np.argmax(X + RNG.normal(size=X.shape), axis=1)]
    model, scores = fitted(y)
    labels = model.classes_.tolist()
    for k, label in enumerate(labels):
        recall = metrics.recall_score(y, model.predict(X), labels=[label], average=None)[0]
        assert scorer_of(f"recall:{label}", "classification", labels)(numbers(y), scores, None) == recall
        area = metrics.average_precision_score(y == label, model.predict_proba(X)[:, k])
        found = scorer_of(f"average_precision:{label}", "classification", labels)(numbers(y), scores, None)
        assert found == pytest.approx(area)


def test_a_label_of_several_a_row():
    scores = RNG.normal(size=(40, 2))
    y = (scores + RNG.normal(size=(40, 2)) > 0).astype(float)
    of = scorer_of("f1:tall", "multilabel", range(2), class_names=("wide", "tall"))
    of.check(y, None, 2)
    assert of(y, scores, None) == metrics.f1_score(y[:, 1], scores[:, 1] > 0)


@pytest.mark.parametrize(
    ("name", "labels", "text"),
    [
        (
            "recall",
            ["fraud", "ok"],
            "by default 1, but the classes are 'fraud', 'ok': name one, as in recall",
        ),
        ("average_precision", [2, 3], "the classes are '2', '3': name one, as in average_precision:2$"),
        ("f1", [0, 1, 2], "one class, but there are 3: name one, as in f1:0, or use f1_macro$"),
        ("recall:frau", ["fraud", "ok"], "one class, but 'frau' is not a class: name one of 'fraud', 'ok'$"),
        ("recall:", list("abcdefg"), "'' is not a class: name one of 'a', 'b', 'c', 'd', 'e', …$"),
    ],
)
def test_what_class_is_meant_has_to_be_plain(name, labels, text):
    with pytest.raises(InputError, match=text) as caught:
        monitors.check(name, "classification", labels=labels)
    assert "\n" not in str(caught.value)


def test_validation_rows_without_the_class():
    of = scorer_of("recall", "classification", [0, 1])
    with pytest.raises(
        InputError, match="recall measures one class, but no validation row has it: give rows"
    ):
        of.check(np.array([0, 0, 1]), np.array([1.0, 1.0, 0.0]), 2)
    of.check(np.array([0, 0, 1]), None, 2)


@pytest.mark.parametrize("name", ["accuracy", "val_loss", "f1_macro", "roc_auc"])
def test_a_class_for_what_is_of_all(name):
    with pytest.raises(
        InputError,
        match=f"--monitor {name} does not take a class: use {name}, average_precision:CLASS, .*, recall:",
    ):
        monitors.check_name(f"{name}:fraud")


def test_a_misspelt_name_keeps_its_class():
    with pytest.raises(InputError, match="not 'recal:fraud'; did you mean 'recall:fraud'"):
        monitors.check_name("recal:fraud")


# At the doors


def test_an_estimator_keeps_the_epoch_by_the_class_that_is_named():
    y = np.array(["ok", "fraud"])[RARE]

    def coefs(monitor):
        model = MLPClassifier(8, monitor=monitor, max_iter=40, n_iter_no_change=np.inf, random_state=0)
        return model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:]).coefs_[0]

    made = make_scorer(metrics.recall_score, pos_label="fraud")
    np.testing.assert_array_equal(coefs("recall:fraud"), coefs(made))
    assert (coefs("recall:ok") != coefs("recall:fraud")).any()


def test_a_run_keeps_the_epoch_by_the_class_that_is_named():
    how = {"recipe": "none", "epochs": 30, "patience": 30, "hidden": 8, "X_val": X[60:], "batch_size": 10}

    def weights(y, monitor):
        return xpnet.fit(X[:60], y[:60], y_val=y[60:], monitor=monitor, **how).model.params["W1"]

    text = np.array(["ok", "fraud"])[RARE]
    np.testing.assert_array_equal(weights(text, "recall:fraud"), weights(2 - RARE, "recall"))
    np.testing.assert_array_equal(weights(2 - RARE, "recall:1"), weights(2 - RARE, "recall"))
    assert (weights(text, "recall:ok") != weights(text, "recall:fraud")).any()


@pytest.mark.parametrize("door", ["estimator", "fit", "search", "train", "sweep"])
def test_it_is_refused_before_training_at_every_door(door, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    y = np.array(["ok", "fraud"])[RARE]
    text = (
        "monitor recall measures one class, by default 1, but the classes are 'fraud', 'ok': name one, as "
        "in recall:fraud"
    )
    rows = [f"{a},{b},{label}" for (a, b, _), label in zip(X, y, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,kind", *rows]))
    words = ["--dataset", "t.csv", "--target", "kind", "--epochs", "2", "--monitor"]
    if door in ("train", "sweep"):
        main = train.main if door == "train" else sweep.main
        also = [] if door == "train" else ["--reg", "0", "0.1"]
        assert main([*words, "recall", *also]) == 2
        assert text in capsys.readouterr().err
        assert main([*words, "recall:fraud", "--quiet", *also]) == 0
        return
    act = {
        "estimator": lambda: MLPClassifier(monitor="recall").fit(X, y),
        "fit": lambda: xpnet.fit(X, y, monitor="recall", epochs=1),
        "search": lambda: xpnet.search(X, y, {"reg": [0, 0.1]}, monitor="recall", epochs=1),
    }[door]
    with pytest.raises(InputError) as caught:
        act()
    assert str(caught.value) == text
