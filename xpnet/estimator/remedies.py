"""Advice after a fit that failed or did not converge: the cause and the fix."""

from typing import Any

from xpnet.data.feed import Feed
from xpnet.device import Device
from xpnet.training import out_of_scale
from xpnet.training.out_of_scale import OutOfScale

__all__ = ["after_divergence", "after_lbfgs", "if_useless"]


def after_divergence(fitting: Any, device: Device, feed: Feed) -> str:
    """Return what to change after divergence: the scale of the data, or else the learning rate."""
    with device.active():
        wrong = out_of_scale.find(device, feed)
    if wrong is None:
        return f"lower learning_rate_init, which is {fitting.learning_rate_init:g}"
    return _remedy(fitting, wrong)


def after_lbfgs(fitting: Any, device: Device, feed: Feed, limit: str) -> str:
    """Return what to change if lbfgs has not converged; ``limit`` is the parameter that ended it, if any."""
    with device.active():
        wrong = out_of_scale.find(device, feed, tiny=True)
    if wrong:
        return _remedy(fitting, wrong)
    fixes = [f"raise {limit}"] if limit else []
    if fitting._how.kind in ("none", "mean"):
        fixes.append(_scaling(fitting))
    return ", or ".join(fixes) or "raise tol, or use another solver"


def if_useless(fitting: Any, device: Device, feed: Feed) -> str:
    """Return a message if the network is hardly better than a constant because of badly scaled data."""
    with device.active():
        params = {name: device.put(value) for name, value in fitting._params().items()}
        wrong = out_of_scale.find_if_useless(device, fitting._mlp, params, feed, fitting._loss())
    if wrong is None:
        return ""
    return f"the network is hardly better than a constant prediction: {_remedy(fitting, wrong)}"


def _remedy(fitting: Any, wrong: OutOfScale) -> str:
    if wrong.what == "y" and getattr(fitting, "standardize_target", False):  # for counts, it only divides
        return f"{wrong.figures} over its mean, so use loss='squared_error', which subtracts the mean"
    if wrong.what == "y":
        return f"{wrong.figures}, so set standardize_target=True"
    return f"{wrong.figures}, so {_scaling(fitting)}"


def _scaling(fitting: Any) -> str:
    """Return how to scale rows like those of training; for sparse rows, no range is known."""
    if fitting._row_range is None:
        return "scale X, for example by sklearn.preprocessing.MaxAbsScaler"
    return "scale X, for example by preprocess='standardize'"
