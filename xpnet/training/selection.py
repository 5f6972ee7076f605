"""Which of many trained networks to average: greedy ensemble selection, on the host, in NumPy."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["select"]


def select(
    P: NDArray[np.floating], loss: Callable[[NDArray[np.float64]], float], k: int
) -> NDArray[np.int64]:
    """Choose models whose mean prediction has a low loss, one after the other.

    Ensemble selection with replacement and sorted initialisation (Caruana, Niculescu-Mizil, Crew and Ksikes
    2004, "Ensemble selection from libraries of models", https://doi.org/10.1145/1015330.1015432):

    1. Sort the models by their own loss. Begin with the best ``n`` of them, for that ``n`` of up to half of
       ``k`` whose mean has the lowest loss: who begins with one model alone fits the rows too closely.
    2. Until there are ``k``, add that model, perhaps once more, with which the mean has the lowest loss,

           argmin over m of  loss((n · mean + P[m]) / (n + 1)).

    3. Of all that there have been, return the first ensemble of the lowest loss. A model that was added
       several times weighs as much.

    So the loss of what is returned is no higher than that of the best model, nor of what it began with. That
    is said of these rows: on others it is as good as they are many.

    Parameters
    ----------
    P
        ``(models, rows, outputs)``: what each model predicts of rows that it was not trained on.
    loss
        Of a mean prediction ``(rows, outputs)``; less is better, NaN is worst.
    k
        Most models, 1 or more.

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
    best_first = np.argsort(alone, kind="stable")[: max(1, k // 2)]  # of equals the first
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
