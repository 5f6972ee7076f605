"""Solvers: how gradients change parameters. Pure functions of plain dicts.

A solver consumes what it is given: the parameters may be overwritten, and the caller goes on with what is
returned. That is what keeps a step close to the cost of its matrix products.
"""

from collections.abc import Iterable

from xpnet.typing import Array, Params

__all__ = ["sgd"]


def sgd(params: Params, scaled_grads: Params, weights: Iterable[str], decay: Array) -> Params:
    """Take one step of gradient descent with L2 regularisation.

    For the regularised loss ``L + 0.5 * reg * ΣW²`` the step ``W - learning_rate * (dW + reg * W)`` is
    computed as ``W * (1 - decay) - learning_rate * dW`` with ``decay = learning_rate * reg``: two passes
    over the weights in place, no temporary of their size.

    Parameters
    ----------
    params
        Consumed.
    scaled_grads
        Gradients of ``learning_rate * L``, in the shapes of ``params`` (see `xpnet.network.loss`).
    weights
        Names of the parameters that are regularised.
    decay
        ``learning_rate * reg``, ``(*nets,)``.

    Returns
    -------
    Params
        The new parameters.
    """
    keep = (1.0 - decay)[..., None, None]
    regularised = set(weights)
    for name, value in params.items():
        if name in regularised:
            value *= keep
        value -= scaled_grads[name]
        params[name] = value
    return params
