"""Type aliases used throughout the maths.

The Python Array API has no static type for "an array of whichever library", so `Array` and `Namespace`
stand for ``Any``; they only tell the reader what is meant.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, Union

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = Any
"""An array of the namespace in use: NumPy, CuPy or another library that conforms."""

Namespace: TypeAlias = Any
"""An Array API namespace, called ``xp`` throughout."""

Task: TypeAlias = Literal["classification", "multilabel", "regression"]
"""What a network predicts: one class per row, any number of labels per row, or numbers."""

Params: TypeAlias = dict[str, Array]
"""Parameters, gradients or solver state by name: ``W1``, ``b1``, ``W2``, …"""

Pullback: TypeAlias = Callable[[Array], tuple[Array, ...]]
"""Maps the gradient of the loss by a value to its gradients by the inputs of that value."""

Layer: TypeAlias = Callable[[Params, Array], tuple[Array, Callable[[Array], tuple[Array, Params]]]]
"""Maps parameters and input to the value and its pullback, which returns ``dx`` and gradients by name."""

State: TypeAlias = dict[str, Params]
"""What a training step consumes and returns: ``"params"``, and the state of the solver and of averaging."""

Draws: TypeAlias = dict[str, Array]
"""Inputs that change from step to step, by name; for a whole epoch, with a leading axis of steps."""

Step: TypeAlias = Callable[[State, Draws], tuple[State, Array]]
"""``step(state, draws)`` returns the state after one step, and its loss ``(*nets,)``. It is a pure function
of arrays, except that it consumes the state it is given."""

Advance: TypeAlias = Callable[[State, Draws, int, int], tuple[State, Array]]
"""``advance(state, draws, begin, end)`` returns the state after the steps ``begin … end - 1`` of an epoch,
and their losses ``(steps, *nets)``. The draws are those of the whole epoch; the state is consumed."""


EpochAdvance: TypeAlias = Callable[[State, int, int], tuple[State, Array]]
"""``advance(state, begin, end)``: an `Advance` for an epoch whose draws are already bound."""


class Product(NamedTuple):
    """The gradient of a weight matrix, ``xᵀ dy``, kept as its two factors.

    Attributes
    ----------
    x
        ``(*nets, batch, in)``, or ``(batch, in)`` shared by all networks.
    dy
        ``(*nets, batch, out)``.
    """

    x: Array
    dy: Array

    def multiply(self, xp: Namespace) -> Array:
        """Return ``xᵀ dy``, ``(*nets, in, out)``."""
        return xp.matmul(self.x.mT, self.dy)


class Share(NamedTuple):
    """The rows of a batch that one of several processes computes: ``begin`` to ``end``, out of ``rows``.

    Attributes
    ----------
    begin, end, rows
        The range, and the number of rows in the batch. Each share has at least one row, so no array is empty.
    part
        The weight of the mean over these rows, so that the weighted means add up to the mean over all rows.
        It is 0 if there are fewer rows than processes and another process already counts this share's row.
    """

    begin: int
    end: int
    rows: int
    part: float

    def of(self, a: Array) -> Array:
        """Return this share of an array ``(…, rows)``."""
        return a[..., self.begin : self.end]

    def mirrored(self) -> "Share":
        """Return the rows that are as far from the end of the batch as these are from its beginning."""
        return Share(self.rows - self.end, self.rows - self.begin, self.rows, self.part)


Subtract: TypeAlias = Callable[[Array, Array, Array, Array | None], bool]
"""``subtract(W, x, dy, keep)`` sets ``W`` to ``keep · W - xᵀ dy`` in place, and returns whether it did so;
``keep`` is ``(*nets,)``, or None for 1."""

Random: TypeAlias = Union["np.random.Generator", "np.random.RandomState"]
"""A source of randomness on the host. The names are quoted because NumPy loads its random module lazily."""
