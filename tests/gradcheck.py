"""Checks of gradients by finite differences, in float64.

The derivative of the loss along a direction is measured by central differences at two step sizes whose
errors cancel (Richardson), and compared with the inner product of the gradient and that direction.

A ReLU network has kinks, where a difference quotient mixes two slopes. Its ``pattern``, which units are
active on which rows, tells when a step crosses one: then the step is made smaller, and at last the
direction drawn anew.
"""

import numpy as np

RTOL = 1e-8
"""Allowed error of a directional derivative, relative to the length of the gradient.

What is left of the error at `STEP` is about 1e-12 of truncation and 1e-13 / `STEP` of rounding, on losses
of about 1: the tolerance leaves a factor of a hundred, and a wrong gradient has still five digits to hide.
"""

ATOL = 1e-10
"""Allowed error where the gradient itself vanishes, per unit of the loss."""

STEP = 1e-3
"""First step along a direction of length 1."""

SHRINKS = 4
"""How often a step that crosses a kink is divided by 4 before the direction is given up."""

DRAWS = 20
"""How many directions are tried before the point itself is blamed."""


class GradientError(AssertionError):
    """A gradient that is not the one of the loss."""


class KinkError(Exception):
    """A point from which every direction crosses a kink at once."""


def check_gradient(loss, params, grads, rng, *, pattern=None, directions=3, rtol=RTOL):
    """Raise `GradientError` unless ``grads`` is the gradient of ``loss`` at ``params``.

    Parameters
    ----------
    loss
        ``loss(params)`` returns a float.
    params, grads
        Dicts of NumPy float64 arrays under the same names.
    rng
        Source of the directions.
    pattern
        ``pattern(params)`` returns a sequence of arrays that change where a kink is crossed.
    directions
        Random directions for each parameter alone, and as many for all parameters together.
    rtol
        Allowed error relative to the length of the gradient.
    """
    if {name: g.shape for name, g in grads.items()} != {k: p.shape for k, p in params.items()}:
        raise GradientError("the gradients have not the names and shapes of the parameters")
    scale = abs(loss(params))
    for names in [*([name] for name in params), list(params)]:
        length = np.sqrt(sum(np.sum(grads[name] ** 2) for name in names))
        allowed = rtol * length + ATOL * scale
        for _ in range(directions):
            measured, direction = _slope_along_random(loss, params, names, rng, pattern)
            claimed = sum(np.sum(grads[name] * direction[name]) for name in names)
            if not abs(measured - claimed) <= allowed:  # a NaN is an error too
                raise GradientError(
                    f"along a direction in {', '.join(names)} the loss changes by {measured!r}, the "
                    f"gradient says {claimed!r}: {abs(measured - claimed):.1e} is more than {allowed:.1e}"
                )


def numerical_gradient(loss, params, *, pattern=None):
    """Return the gradient of ``loss`` by finite differences along every coordinate."""
    grads = {}
    for name, value in params.items():
        grads[name] = np.empty_like(value)
        for index in np.ndindex(value.shape):
            unit = np.zeros_like(value)
            unit[index] = 1.0
            grads[name][index] = _slope(loss, params, {name: unit}, pattern)
    return grads


def _slope_along_random(loss, params, names, rng, pattern):
    for _ in range(DRAWS):
        direction = {name: rng.standard_normal(params[name].shape) for name in names}
        length = np.sqrt(sum(np.sum(d**2) for d in direction.values()))
        direction = {name: d / length for name, d in direction.items()}
        try:
            return _slope(loss, params, direction, pattern), direction
        except KinkError:
            continue
    raise KinkError(f"{DRAWS} directions in {', '.join(names)} all cross a kink: move the point")


def _slope(loss, params, direction, pattern):
    """Measure the derivative of ``loss`` along ``direction``, with the first step that meets no kink."""
    step = STEP
    for _ in range(SHRINKS):
        ends = [_moved(params, direction, k * step) for k in (-1.0, -0.5, 0.5, 1.0)]
        if pattern is None or not _crosses_kink(pattern, params, ends):
            far_minus, near_minus, near_plus, far_plus = map(loss, ends)
            # The error of the wide quotient is four times that of the narrow one, up to step ** 4.
            return (4.0 * (near_plus - near_minus) - (far_plus - far_minus) / 2.0) / (3.0 * step)
        step /= 4.0
    raise KinkError(f"a kink lies within {step * 4.0:.1e} of the point")


def _moved(params, direction, distance):
    return params | {name: params[name] + distance * d for name, d in direction.items()}


def _crosses_kink(pattern, params, ends):
    here = pattern(params)
    return any(not np.array_equal(a, b) for end in ends for a, b in zip(here, pattern(end), strict=True))
