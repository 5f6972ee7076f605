"""Functions of several operations that a device may fuse: the boundary between the maths and devices.

The maths calls them as any other function, and each is defined once, in the rooms of the maths, for every
library. A device that has something better puts it into the namespace that it hands out, into the dict
``xp.composites``: what stands in the place of a `composite`, by its name; and under ``"elementwise"`` what
calls any `elementwise` function as one kernel, ``call(function, args, writes)``. Where there is nothing, the
definition is what runs.
"""

from __future__ import annotations  # those of inner functions would be evaluated in every step

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from xpnet.typing import Array, Namespace

Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = ["composite", "elementwise", "elementwise_layer", "whole"]

NONE: Mapping[str, Callable[..., Any]] = {}


def composite(function: Function) -> Function:
    """Let a device put a function of its own in the place of ``function(xp, …)``, by its name.

    The device's is called without ``xp``. For what it is no better at, it may return NotImplemented.
    """
    name = function.__name__

    @functools.wraps(function)
    def call(xp: Namespace, *args: Any) -> Any:
        own = getattr(xp, "composites", NONE).get(name)
        result = NotImplemented if own is None else own(*args)
        return function(xp, *args) if result is NotImplemented else result

    return cast("Function", call)


def elementwise(function: Function) -> Function:
    """Let a device make one kernel of ``function(xp, *args)``.

    The function takes arrays, whose shapes broadcast, None, and Python numbers, and computes each element
    of what it returns from the elements in the same place. It asks for no shape. An argument that it
    changes in place is consumed: what it holds afterwards is to be had from what is returned alone.
    """

    @functools.wraps(function)
    def call(xp: Namespace, *args: Any) -> Any:
        fuse = getattr(xp, "composites", NONE).get("elementwise")
        return function(xp, *args) if fuse is None else fuse(function, args)

    return cast("Function", call)


def elementwise_layer(function: Function) -> Function:
    """Let a device make two kernels of a layer that is `elementwise`: one of its value, one of its pullback.

    The second computes again what the first knew in passing, from the same arguments: that is sooner done
    than to keep it in memory. So ``function(xp, *args)`` may consume its arguments, but a device that fuses
    it leaves them as they are.
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
    """Return the sums of arrays over all that have a share of a batch: here nobody else has.

    What is given is consumed. A device that trains with others adds theirs, in a place that all take turns
    in: whoever calls this has to do so in all processes, the same number of times and in the same order.
    """
    return arrays
