"""`MLPSearchCV`: scikit-learn's parameter searches, with all candidates and folds trained as stacks."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Self

import joblib  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the two there
from sklearn.metrics import check_scoring
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params, check_is_fitted

from xpnet.errors import InputError
from xpnet.estimator import inputs
from xpnet.estimator.cards import Carded, card_of_search
from xpnet.estimator.delivery import delivering, in_stacks, routed
from xpnet.estimator.fitting import Fitting
from xpnet.estimator.selected import SelectedClassifier, SelectedRegressor
from xpnet.estimator.tables import Table
from xpnet.estimator.together import Outcome, Part, Score, Unit, fit_together
from xpnet.reporting import counting
from xpnet.training.selection import select
from xpnet.values import Kind, counted, shown

__all__ = ["MLPSearchCV"]

SOME = 256
"""Number of rows used to recognise the data of a search."""


class MLPSearchCV(Carded, GridSearchCV):  # type: ignore[misc]  # scikit-learn has no types
    """Hyperparameter search by cross-validation, with all candidates and folds trained as stacks.

    Results and attributes are those of `sklearn.model_selection.GridSearchCV` and similar searches, but
    faster: networks of one shape, from all candidates and folds, are trained as one stack. Each has its own
    rows, preprocessing, parameters and early stopping. On NumPy, its weights are bit for bit those of fitting
    it alone with the same number of BLAS threads.

    Parameters
    ----------
    estimator
        `xpnet.MLPClassifier`, `xpnet.MLPRegressor`, `xpnet.TableClassifier` or `xpnet.TableRegressor`, or a
        pipeline that ends with one; its earlier steps are fitted on each fold.
    param_grid
        Values to try for each parameter, in all combinations: a dict of lists, or a list of such dicts.
    param_distributions, n_iter, random_state
        Instead of a grid: distributions or lists from which ``n_iter`` candidates are drawn.
    scoring, refit, cv, error_score, return_train_score
        As in scikit-learn.
    halving
        Whether to use successive halving: all candidates start with few resources, and the best ``1 /
        factor`` of each round go on to ``factor`` times as many.
    resource, factor, min_resources, max_resources, aggressive_elimination
        For halving, as in `sklearn.model_selection.HalvingRandomSearchCV`. The resource is ``"n_samples"``,
        or a parameter such as ``"max_iter"``, for which ``max_resources`` is required.
    n_jobs
        Number of processes, as in scikit-learn; each trains and scores part of the networks, in stacks. By
        default the networks train in this process, on one thread per core if their steps are long enough,
        else on a single thread.
    max_nets
        Maximum number of networks per stack; by default chosen for the machine.
    executor
        Train on the workers of this `concurrent.futures.Executor`, which must be able to import xpnet, as for
        `xpnet.search`.
    verbose
        1 shows a progress bar during training; higher values print scikit-learn's messages, too.

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, refit_time_, \
multimetric_
        As in scikit-learn. ``mean_fit_time`` is a network's share of its stack's time.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from xpnet import MLPClassifier, MLPSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> grid = {"alpha": [1e-4, 1e-2], "learning_rate_init": [1e-3, 1e-2]}
    >>> model = MLPClassifier(max_iter=20, n_iter_no_change=float("inf"), random_state=0)
    >>> search = MLPSearchCV(model, grid, cv=3).fit(X / 16, y)
    >>> len(search.cv_results_["params"]), search.best_params_["learning_rate_init"]
    (4, 0.01)
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Any = None,
        *,
        param_distributions: Any = None,
        n_iter: int = 10,
        random_state: Any = None,
        scoring: Any = None,
        refit: Any = True,
        cv: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        halving: bool = False,
        resource: str = "n_samples",
        factor: float = 3,
        min_resources: int | str = "exhaust",
        max_resources: int | str = "auto",
        aggressive_elimination: bool = False,
        n_jobs: int | None = None,
        max_nets: int | None = None,
        executor: Executor | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.random_state = random_state
        self.halving = halving
        self.resource = resource
        self.factor = factor
        self.min_resources = min_resources
        self.max_resources = max_resources
        self.aggressive_elimination = aggressive_elimination
        self.max_nets = max_nets
        self.executor = executor

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Run the search, and fit the best candidate on all rows.

        Parameters
        ----------
        X, y
            Rows and targets, as the estimator takes them.
        **params
            Parameters for ``fit`` of the estimator, such as ``sample_weight``, which are split with the rows;
            and ``groups``, for the splitter.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If the estimator is not one of xpnet's, or if not exactly one of ``param_grid`` and
            ``param_distributions`` is given.
        """
        last = self.estimator.steps[-1][1] if isinstance(self.estimator, Pipeline) else self.estimator
        if not isinstance(last, Fitting | Table):
            raise InputError(
                f"MLPSearchCV needs an estimator of xpnet, not {shown(last)}: give MLPClassifier or another "
                "one, or a pipeline that ends with it, or use GridSearchCV"
            )
        if (self.param_grid is None) == (self.param_distributions is None):
            raise InputError(
                "MLPSearchCV needs either a grid or distributions: give param_grid or param_distributions"
            )
        Kind(bool).take("halving", self.halving)
        Kind(int).take("verbose", self.verbose)
        if self.max_nets is not None:
            counted("max_nets", self.max_nets)
        if self.n_jobs is not None and not Kind(int).take("n_jobs", self.n_jobs):
            raise InputError("n_jobs must be a number of processes, not 0: use 1, or -1 for all cores")
        if self.executor is not None and not callable(getattr(self.executor, "submit", None)):
            raise InputError(
                f"executor must be a concurrent.futures.Executor or similar, not {shown(self.executor)}"
            )
        networks: list[Any] = []
        last_splits: list[tuple[Any, Any]] = []
        deliveries: deque[Outcome] = deque()
        scores: deque[Score] = deque()
        seconds: list[tuple[float, float]] = []
        inner = self._inner(delivering(self.estimator, deliveries, scores))
        scorer = self._scorer()
        if scorer is not None:
            inner._scores = scores
        rows, targets = indexable(X, y)
        # Before anything can change them. The estimator refuses missing targets.
        searched = "" if targets is None else _fingerprint(rows, targets)
        of_fit, of_split = routed(inner, params)

        def train_all(candidates: Sequence[Mapping[str, Any]], cv: Any) -> list[tuple[Any, Any]]:
            splits = [(_places(a), _places(b)) for a, b in cv.split(rows, targets, **of_split)]
            outcomes = self._train(candidates, splits, rows, targets, of_fit, scorer)
            seconds.extend((one.seconds, one.score.seconds if one.score else 0.0) for one in outcomes)
            deliveries.extend(outcomes)
            # Networks of an earlier round of halving have seen less.
            networks[:] = [None if outcome.error else outcome.estimator for outcome in outcomes]
            last_splits[:] = splits
            return splits

        inner._train_all = train_all
        if callbacks := getattr(self, "_skl_callbacks", None):  # from set_callbacks of scikit-learn 1.9
            inner.set_callbacks(*callbacks)
        inner.fit(X, y, **params)
        for name, value in vars(inner).items():
            if name.endswith("_") and not name.startswith("_"):
                setattr(self, name, value)
        if self.scoring is None:  # it holds the estimator to which the networks were delivered
            self.scorer_ = check_scoring(self.estimator)
        elif scorer is not None:  # not the one that repeats scores
            self.scorer_ = scorer
        self._networks, self._splits, self._searched = networks, last_splits, searched
        for times, name in zip(np.transpose(seconds), ["fit_time", "score_time"], strict=True):
            if times.any():  # scikit-learn knows the times of scores computed here
                of_folds = times.reshape(-1, self.n_splits_)
                self.cv_results_[f"mean_{name}"] = of_folds.mean(axis=1)
                self.cv_results_[f"std_{name}"] = of_folds.std(axis=1)
        return self

    def ensemble(self, X: Any, y: Any, k: int = 10) -> SelectedClassifier | SelectedRegressor:
        """Return an ensemble of the candidates that do best together, without further training.

        Candidates are added greedily, possibly more than once, so that the mean of their predictions for
        held-out rows has the lowest loss (`xpnet.training.selection.select`). A candidate consists of its
        networks of all folds, each of which has seen part of the rows.

        Parameters
        ----------
        X, y
            The rows and targets given to `fit`.
        k
            Maximum number of candidates; one that is chosen twice counts twice.

        Returns
        -------
        SelectedClassifier or SelectedRegressor
            With ``predict``, ``predict_proba`` and ``score``; ``candidates_`` are the indices of the chosen
            candidates in ``cv_results_``.

        Raises
        ------
        InputError
            If the search is not fitted, or was fitted on other rows; or if a network of every candidate has
            failed.
        """
        k = counted("k", k)
        check_is_fitted(self, "cv_results_")
        rows, targets = indexable(X, y)
        if _fingerprint(rows, targets) != self._searched:
            raise InputError(
                "X and y differ from those given to fit: give the same rows and targets, in the same order"
            )
        folds = self.n_splits_
        candidates = [
            (number, networks)
            for number in range(len(self._networks) // folds)
            if None not in (networks := self._networks[number * folds : (number + 1) * folds])
        ]
        if not candidates:
            raise InputError("a network of every candidate has failed: correct what the warnings name")
        tests = [_safe_split(self.estimator, rows, targets, test) for _, test in self._splits]
        y_tests = np.concatenate([np.asarray(inputs.to_host(y_test)) for _, y_test in tests])
        kind = SelectedClassifier if is_classifier(self.estimator) else SelectedRegressor
        of_all = kind([one for _, networks in candidates for one in networks])
        X_tests = [X_test for X_test, _ in tests]

        def says(networks: Sequence[Any]) -> NDArray[np.float64]:
            each = [of_all.says(one, X_test) for one, X_test in zip(networks, X_tests, strict=True)]
            return np.concatenate(each)

        P = np.stack([says(networks) for _, networks in candidates])
        chosen = [candidates[m] for m in select(P, lambda mean: of_all.loss(y_tests, mean), k)]
        # After halving, only the networks of the last round are left, which are the last rows of the table.
        first = len(self.cv_results_["params"]) - len(self._networks) // folds
        networks = [one for _, each in chosen for one in each]
        return kind(networks, [first + number for number, _ in chosen])

    def _card(self) -> str:
        return card_of_search(self) if hasattr(self, "cv_results_") else ""

    def __sklearn_clone__(self) -> Self:
        """Return a clone with the same executor, which cannot be copied."""
        executor, self.executor = self.executor, None
        try:
            found: Self = super().__sklearn_clone__()
        finally:
            self.executor = executor
        found.executor = executor
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle: everything except the executor."""
        return dict(super().__getstate__()) | {"executor": None}

    def _scorer(self) -> Callable[..., Any] | None:
        """Return the scorer for other processes; None if there are none, or if there are several scores."""
        if self.executor is not None or self.n_jobs is None or joblib.effective_n_jobs(self.n_jobs) == 1:
            return None
        if callable(self.scoring):
            return self.scoring  # type: ignore[no-any-return]
        if self.scoring is None or isinstance(self.scoring, str):
            return check_scoring(self.estimator, self.scoring)  # type: ignore[no-any-return]
        return None

    def _train(
        self,
        candidates: Sequence[Mapping[str, Any]],
        splits: Sequence[tuple[Any, Any]],
        X: Any,
        y: Any,
        params: Mapping[str, Any],
        scorer: Callable[..., Any] | None,
    ) -> list[Outcome]:
        """Fit all candidates on all folds; return the outcomes, candidate by candidate."""
        parts = []
        for train, test in splits:
            X_train, y_train = _safe_split(self.estimator, X, y, train)
            of_fit = _check_method_params(X, params=params, indices=train)
            kept = None if scorer is None else _safe_split(self.estimator, X, y, test)
            parts.append(Part(X_train, y_train, of_fit, kept))
        units: list[Unit] = []
        # Fold by fold, because the candidates of a fold share their rows; results are by candidate.
        for part in parts:
            for parameters in candidates:
                estimator = clone(self.estimator).set_params(**clone(dict(parameters), safe=False))
                units.append(Unit(estimator, part))
        with counting.start("networks", quiet=self.verbose < 1) as count:
            count.expect(len(units))
            outcomes = fit_together(
                units,
                n_jobs=self.n_jobs,
                max_nets=self.max_nets,
                executor=self.executor,
                scorer=scorer,
                on_part=count.add,
            )
        return [outcomes[k] for c in range(len(candidates)) for k in range(c, len(units), len(candidates))]

    def _inner(self, estimator: Any) -> Any:
        """Return the scikit-learn search that suits the parameters, to which the networks are delivered."""
        common = {
            "scoring": self.scoring,
            "refit": self.refit,
            "cv": self.cv,
            "error_score": self.error_score,
            "return_train_score": self.return_train_score,
            "verbose": max(0, self.verbose - 1),
            "n_jobs": 1,  # in this process, and in order
        }
        drawn = self.param_distributions is not None
        candidates = self.param_distributions if drawn else self.param_grid
        if self.halving:
            common |= {
                "random_state": self.random_state,
                "resource": self.resource,
                "factor": self.factor,
                "min_resources": self.min_resources,
                "max_resources": self.max_resources,
                "aggressive_elimination": self.aggressive_elimination,
            }
            if self.cv is None:
                common["cv"] = 5
            if drawn:
                return in_stacks(HalvingRandomSearchCV)(
                    estimator, candidates, n_candidates=self.n_iter, **common
                )
            return in_stacks(HalvingGridSearchCV)(estimator, candidates, **common)
        if drawn:
            return in_stacks(RandomizedSearchCV)(
                estimator, candidates, n_iter=self.n_iter, random_state=self.random_state, **common
            )
        return in_stacks(GridSearchCV)(estimator, candidates, **common)


def _places(rows: Any) -> NDArray[Any]:
    """Return the row numbers of a split, which may be given as a mask or a range."""
    places = np.asarray(rows)
    return np.flatnonzero(places) if places.dtype == bool else places


def _fingerprint(X: Any, y: Any) -> str:
    """Return a fingerprint of rows and targets: of all targets, and some of the rows."""
    targets = np.asarray(inputs.to_host(y))
    some = np.arange(min(SOME, len(targets))) * len(targets) // min(SOME, len(targets))
    rows = inputs.to_host(_safe_indexing(X, some))
    return str(joblib.hash([_plain(rows), _plain(targets)]))


def _plain(values: Any) -> Any:
    """Return an array, with numbers converted to a common dtype; sparse rows stay as they are."""
    if hasattr(values, "toarray"):
        return values
    values = np.asarray(values)
    return np.ascontiguousarray(values, np.float64) if values.dtype.kind in "biuf" else values
