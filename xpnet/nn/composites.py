"""Functions of several operations that a device may fuse: the boundary between the maths and devices.

The maths calls them like any other function, and each has one portable definition. A device with a faster
version puts it into the dict ``xp.composites`` of its namespace: replacements of a `composite` under its
name, and under ``"elementwise"`` a function ``call(function, args, writes)`` that runs any `elementwise`
function as one kernel. Without a replacement, the portable definition runs.
"""

from __future__ import annotations  # else those of inner functions are evaluated in every step

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from xpnet.typing import Array, Namespace

Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = ["composite", "elementwise", "elementwise_layer", "whole"]

NONE: Mapping[str, Callable[..., Any]] = {}


def composite(function: Function) -> Function:
    """Let a device replace ``function(xp, …)``, by name.

    The replacement is called without ``xp``. It may return NotImplemented where it is not faster.
    """
    name = function.__name__

    @functools.wraps(function)
    def call(xp: Namespace, *args: Any) -> Any:
        own = getattr(xp, "composites", NONE).get(name)
        result = NotImplemented if own is None else own(*args)
        return function(xp, *args) if result is NotImplemented else result

    return cast("Function", call)


def elementwise(function: Function) -> Function:
    """Let a device turn ``function(xp, *args)`` into one kernel.

    The function takes arrays whose shapes broadcast, None, and Python numbers. It computes each element of
    its results from the elements at the same place, and uses no shapes. An argument that it changes in place
    is consumed: use only the returned arrays afterwards.
    """

    @functools.wraps(function)
    def call(xp: Namespace, *args: Any) -> Any:
        fuse = getattr(xp, "composites", NONE).get("elementwise")
        return function(xp, *args) if fuse is None else fuse(function, args)

    return cast("Function", call)


def elementwise_layer(function: Function) -> Function:
    """Let a device turn an `elementwise` layer into two kernels: one for its value, one for its pullback.

    The second kernel recomputes the intermediate results of the first from the same arguments, which is
    faster than storing them. So ``function(xp, *args)`` may consume its arguments, but a device that fuses it
    leaves them unchanged.
    """

    def value(xp: Namespace, *args: Any) -> Array:
        y, _ = function(xp, *args)
        return y

    def pull_back(xp: Namespace, *args: Any) -> Any:
        _, pullback = function(xp, *args[:-1])
        return pullback(args[-1])

    @functools.wraps(function)
    def call(xp: Namespace, *args: Any) -> Any:
        fuse = getattr(xp, "composites", NONE).get("elementwise")
        if fuse is None:
            return function(xp, *args)
        return fuse(value, args, False), lambda dy: fuse(pull_back, (*args, dy), False)

    return cast("Function", call)


@composite
def whole(_xp: Namespace, *arrays: Array) -> tuple[Array, ...]:
    """Return the sums of arrays over all processes that share a batch; this definition is for one process.

    The arrays are consumed. A device that trains with other processes replaces this by a sum over all of
    them, so all processes must call it the same number of times and in the same order.
    """
    return arrays
