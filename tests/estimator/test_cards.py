"""What a notebook shows of an estimator: scikit-learn's diagram, and once it is fitted a card with curves."""

import re

import numpy as np
import pytest
from sklearn import config_context
from sklearn.utils import estimator_html_repr

from xpnet import MLPClassifier, MLPRegressor, MLPSearchCV, TableClassifier

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)


def shown(estimator):
    """What a notebook is given, in both ways that there are."""
    html = estimator._repr_mimebundle_()["text/html"]
    assert re.sub(r"\d+", "", html) == re.sub(r"\d+", "", estimator._repr_html_())  # but for running numbers
    return html


def card_in(html):
    _, found, card = html.partition('<div class="xp-card">')
    return found + card


@pytest.mark.parametrize(
    "estimator",
    [MLPClassifier(), MLPRegressor(), TableClassifier(), MLPSearchCV(MLPClassifier(), {"alpha": [1]})],
)
def test_what_is_not_fitted_shows_what_scikit_learn_shows(estimator):
    plain = re.sub(r"\d+", "", estimator_html_repr(estimator))
    assert re.sub(r"\d+", "", shown(estimator)) == plain


def test_a_fitted_one_shows_its_curves():
    model = MLPClassifier(max_iter=5, early_stopping=True, n_iter_no_change=np.inf, random_state=0).fit(X, Y)
    html = shown(model)
    assert "sk-top-container" in html
    card = card_in(html)
    assert card.count("<svg class=") == 3
    assert f"<b>{100 * model.best_validation_score_:.2f} %</b><span>best validation accuracy" in card
    assert "<b>5</b><span>epochs" in card
    assert "best: epoch" in card
    assert not re.search("<script|https?:", card)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("changes", [{"solver": "lbfgs"}, {}, {"ensemble": 2, "early_stopping": True}])
def test_without_validation_rows_or_with_several_networks(changes):
    card = card_in(shown(MLPRegressor(max_iter=4, random_state=0, **changes).fit(X, X[:, 0])))
    assert card.count("<svg class=") == {"lbfgs": 1, None: 2}[changes.get("solver")] + ("ensemble" in changes)
    assert "best: epoch" not in card


def test_a_table_shows_its_run():
    card = card_in(shown(TableClassifier(epochs=2, ensemble=1, random_state=0).fit(X, Y)))
    assert card.count("<svg class=") == 3
    assert "validation accuracy" in card


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_search_shows_its_best_candidates():
    grid = {"alpha": [1e-4, 1e-3], "learning_rate_init": [1e-3, 1e-2, 1e-1]}
    search = MLPSearchCV(MLPClassifier(max_iter=3, random_state=0), grid, cv=2).fit(X, Y)
    card = card_in(shown(search))
    assert f"<b>{search.best_score_:.4f}</b><span>best mean score" in card
    assert card.count("<tr>") == 7
    assert card.count("<svg class=") == 2
    scores = ["accuracy", "f1"]
    several = MLPSearchCV(MLPClassifier(max_iter=3), grid, cv=2, scoring=scores, refit=False).fit(X, Y)
    assert card_in(shown(several)) == ""
    chosen = MLPSearchCV(MLPClassifier(max_iter=3), grid, cv=2, scoring=scores, refit="f1").fit(X, Y)
    assert f"<b>{chosen.best_score_:.4f}</b>" in card_in(shown(chosen))


def test_as_text_where_that_is_asked_for():
    with config_context(display="text"):
        assert "text/html" not in MLPClassifier()._repr_mimebundle_()
        assert not hasattr(MLPClassifier(), "_repr_html_")
