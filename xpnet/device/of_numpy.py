"""The namespace of NumPy, with what is fast on NumPy alone in the places of composites of the maths.

A module of its own, not NumPy changed, so that it can be pickled by its name.
"""

import numpy as np

from xpnet.typing import Array

FEW = 64
"""Classes up to which a sum over them is faster one class after the other, all rows of the batch at once."""


def classes_first(a: Array) -> Array:
    """Return ``(*nets, batch, classes)`` as ``(*nets, classes, batch)``: few classes also in memory.

    NumPy reduces what is last in memory row by row, and the call for each costs more than the sum of ten
    classes: a quarter of a step in a stack of small networks. Many classes are better summed as they lie.
    """
    turned = a.mT
    if a.shape[-1] > FEW or a.shape[-1] > a.shape[-2]:
        return turned
    return turned.reshape(-1).reshape(turned.shape)  # by way of one axis comes a copy


globals().update({name: value for name, value in vars(np).items() if not name.startswith("__")})
composites = {"classes_first": classes_first}
