"""Make scikit-learn's searches use networks that were trained as stacks.

The searches still make the candidates, splits, scores and table, and request fitted estimators one by one, in
their order.
"""

import functools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from sklearn import get_config
from sklearn.base import clone
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import process_routing

from xpnet.estimator.together import Outcome, Score

__all__ = ["delivering", "in_stacks", "routed"]

FEW = 2
"""Number of rows of a fold passed to ``fit`` if its network is already trained."""


def in_stacks(kind: Any) -> Any:
    """Return a subclass of a scikit-learn search that trains all networks before they are requested."""

    class InStacks(kind):  # type: ignore[misc]  # scikit-learn has no types
        _train_all: Callable[..., list[tuple[Any, Any]]]
        _scores: deque[Score] | None = None

        def _get_scorers(self) -> tuple[Any, Any]:
            scorer, refit_metric = super()._get_scorers()
            return scorer if self._scores is None else _Recalling(scorer, self._scores), refit_metric

        def _run_search(self, evaluate_candidates: Any, *, callback_ctx: Any = None) -> None:
            def evaluate(candidates: Any, cv: Any = None, *args: Any, **options: Any) -> Any:
                candidates = list(candidates)
                # Split once: a splitter that shuffles may split differently each time.
                splits = self._train_all(candidates, self._checked_cv_orig if cv is None else cv)
                if not self.return_train_score:  # these rows are not used again: copy only a few
                    splits = [(train[:FEW], test) for train, test in splits]
                return evaluate_candidates(candidates, check_cv(splits), *args, **options)

            context = {} if callback_ctx is None else {"callback_ctx": callback_ctx}  # scikit-learn 1.9
            super()._run_search(evaluate, **context)

    InStacks.__name__ = InStacks.__qualname__ = "MLPSearchCV"  # in messages
    return InStacks


def routed(search: Any, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of ``fit`` for the estimator, and those for the splitter."""
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(search, "fit", **params)
        return dict(routed.estimator.fit), dict(routed.splitter.split)
    return {name: of for name, of in params.items() if name != "groups"}, {"groups": params.get("groups")}


class _Recalling:
    """A scorer that repeats the scores computed earlier for the estimator delivered last.

    Networks trained in other processes were scored there. With parameters, it computes a new score.
    """

    def __init__(self, scorer: Any, scores: deque[Score]) -> None:
        self.__wrapped__ = scorer  # scikit-learn inspects its signature
        self._scores = scores

    def __call__(self, *args: Any, **params: Any) -> Any:
        score = self._scores.pop() if self._scores else None  # training rows are scored after test rows
        if score is None or params:
            return self.__wrapped__(*args, **params)
        if score.error is not None:
            raise score.error
        return score.value

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


def delivering(estimator: Any, deliveries: deque[Outcome], scores: deque[Score]) -> Any:
    """Return a copy of an estimator whose ``fit`` takes over a network that was trained before.

    If the network has been scored, too, the scorer of the search repeats that score.
    """
    kind = type(estimator)

    class Delivered(kind):  # type: ignore[misc,valid-type]  # the base class is known only here
        @functools.wraps(kind.fit)
        def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
            self.__class__ = kind  # for scorers, and for clones
            if not deliveries:  # the final fit on all rows
                return self.fit(X, y, **params)
            found = deliveries.popleft()
            if found.error is not None:
                raise found.error
            self.__dict__.update(vars(found.estimator))
            scores.extend([found.score] if found.score else [])
            return self

    Delivered.__name__, Delivered.__qualname__ = kind.__name__, kind.__qualname__
    found = clone(estimator)
    found.__class__ = Delivered
    return found
