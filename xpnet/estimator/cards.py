"""Cards with scores and curves of a fitted estimator, shown in notebooks below scikit-learn's diagram."""

import math
from typing import Any

import numpy as np

from xpnet.reporting.card import card
from xpnet.reporting.curves import best_row, curves
from xpnet.reporting.metrics import score_name, shown
from xpnet.reporting.page import cell, table
from xpnet.training.history import History, Row

__all__ = ["Carded", "card_of_epochs", "card_of_search"]

MOST_CANDIDATES = 10
"""Number of candidates of a search to show, the best ones."""


class Carded:
    """Shows a card once there is something to show; inherit from it before `sklearn.base.BaseEstimator`."""

    def _card(self) -> str:
        """Return the card as HTML; ``""`` if the estimator is not fitted."""
        return ""

    # scikit-learn calls these two methods, under the names that its versions have in common.
    def _repr_html_inner(self) -> str:
        return str(super()._repr_html_inner()) + self._card()  # type: ignore[misc]

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        return bundle | {"text/html": self._repr_html_inner()} if "text/html" in bundle else bundle


def card_of_epochs(estimator: Any, score: str) -> str:
    """Return the card of a fitted `MLPClassifier` or `MLPRegressor`, given the name of its score."""
    measured = estimator.history_ or {"loss": estimator.loss_curve_}  # lbfgs has only losses
    epochs = len(measured["loss"])

    def of(name: str, k: int) -> float:
        return float(measured[name][k]) if name in measured else math.nan

    history = History(
        [
            Row(
                k + 1,
                k + 1,
                of("learning_rate", k),
                of("loss", k),
                math.nan,
                of("val_loss", k),
                of("val_score", k),
                of("seconds", k),
            )
            for k in range(epochs)
        ]
    )
    monitor = estimator.monitor if isinstance(estimator.monitor, str) else "val_score"
    best = None if estimator.ensemble > 1 else best_row(history, monitor, score)
    drawn = curves(
        history, score, best=() if best is None else (best,), networks=estimator.ensemble, unit="epoch"
    )
    values = [("epochs", f"{epochs:,}"), ("training loss", f"{estimator.loss_:.4g}")]
    if estimator.best_validation_score_ is not None and monitor == "val_score":
        validated = shown(estimator.best_validation_score_, score)
        values.insert(0, (f"best validation {score_name(score)}", validated))
    title = f"{type(estimator).__name__}: training"
    return card(title, "", values, drawn)


def card_of_search(search: Any) -> str:
    """Return the card of a fitted `MLPSearchCV`: its best candidates, and the curves of the best one."""
    results = search.cv_results_
    scoring = search.refit if isinstance(search.refit, str) and search.multimetric_ else "score"
    if f"mean_test_{scoring}" not in results:  # several scores, none of which chose the best candidate
        return ""
    mean, deviation = results[f"mean_test_{scoring}"], results[f"std_test_{scoring}"]
    order = np.argsort(results[f"rank_test_{scoring}"], kind="stable")
    names = sorted({name for params in results["params"] for name in params})
    rows = [
        f"<tr>{cell(str(results[f'rank_test_{scoring}'][k]))}"
        f"{''.join(cell(str(results['params'][k].get(name, ''))) for name in names)}"
        f"{cell(f'{mean[k]:.4f} ± {deviation[k]:.4f}')}</tr>"
        for k in order[:MOST_CANDIDATES]
    ]
    count = len(results["params"])
    few = f"The best {MOST_CANDIDATES} of {count} candidates" if count > MOST_CANDIDATES else "All candidates"
    candidates = table(few, ("rank", *names, "mean ± deviation"), rows)
    best = order[0]
    values = [
        ("best mean score", f"{mean[best]:.4f}"),
        ("candidates", f"{count:,}"),
        ("folds", str(search.n_splits_)),
    ]
    values += [(name, str(value)) for name, value in results["params"][best].items()]
    of_best = getattr(search, "best_estimator_", None)
    drawn = of_best._card() if isinstance(of_best, Carded) else ""
    return card("MLPSearchCV: results", "", values, f'<div class="o">{candidates}</div>') + drawn
