"""Choose which of many trained networks to average: greedy ensemble selection, in NumPy on the host."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["select"]


def select(
    P: NDArray[np.floating], loss: Callable[[NDArray[np.float64]], float], k: int
) -> NDArray[np.int64]:
    """Choose models whose mean prediction has a low loss, one at a time.

    This is ensemble selection with replacement and sorted initialisation (Caruana, Niculescu-Mizil, Crew and
    Ksikes 2004, "Ensemble selection from libraries of models", https://doi.org/10.1145/1015330.1015432):

    1. Sort the models by their own loss. Start with the best ``n`` of them, choosing ``n`` (at most half of
       ``k``) so that their mean has the lowest loss. Starting with a single model would overfit these rows.
    2. Until there are ``k`` models, add the model (possibly again) that gives the mean the lowest loss,

           argmin over m of  loss((n · mean + P[m]) / (n + 1)).

    3. Return the ensemble with the lowest loss along the way, the first one if several tie. A model that was
       added several times counts several times.

    So the loss of the result on these rows is no higher than that of the best model, nor that of the initial
    ensemble. How well this carries over to other rows depends on the number of rows.

    Parameters
    ----------
    P
        ``(models, rows, outputs)``: predictions of each model for rows on which it was not trained.
    loss
        Loss of a mean prediction ``(rows, outputs)``; lower is better, NaN is worst.
    k
        Maximum number of models, 1 or more.

    Returns
    -------
    ndarray
        The numbers of the chosen models in the order in which they were added, at most ``k``.
    """

    def of(mean: NDArray[np.float64]) -> float:
        value = float(loss(mean))
        return np.inf if np.isnan(value) else value

    models = range(len(P))
    alone = [of(np.asarray(P[m], np.float64)) for m in models]
    best_first = np.argsort(alone, kind="stable")[: max(1, k // 2)]  # the first among equals
    total = np.zeros(P.shape[1:], np.float64)
    began: list[float] = []
    for m in best_first:
        total += P[m]
        began.append(of(total / (len(began) + 1)))
    chosen = best_first[: 1 + int(np.argmin(began))].tolist()
    losses = began[: len(chosen)]
    total = P[chosen].sum(axis=0, dtype=np.float64)
    while len(chosen) < k:
        found = [of((total + P[m]) / (len(chosen) + 1)) for m in models]
        added = int(np.argmin(found))
        chosen.append(added)
        losses.append(found[added])
        total += P[added]
    return np.array(chosen[: 1 + int(np.argmin(losses))], np.int64)
