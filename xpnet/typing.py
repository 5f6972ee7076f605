"""Names for the types that the maths passes around.

The Python Array API has no static type for "an array of whichever library", so `Array` and `Namespace`
stand for ``Any``; they tell the reader what is meant.
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
"""What a network predicts: one class a row, any number of labels a row, or numbers."""

Params: TypeAlias = dict[str, Array]
"""Parameters, gradients or solver state by name: ``W1``, ``b1``, ``W2``, …"""

Pullback: TypeAlias = Callable[[Array], tuple[Array, ...]]
"""From the gradient of the loss by a value to those by each input the value was made of."""

Layer: TypeAlias = Callable[[Params, Array], tuple[Array, Callable[[Array], tuple[Array, Params]]]]
"""Parameters and input to the value and its pullback, which returns ``dx`` and gradients by name."""

State: TypeAlias = dict[str, Params]
"""All that a training step consumes and returns: ``"params"``, and what solver and averaging keep."""

Draws: TypeAlias = dict[str, Array]
"""What changes from step to step, by name; with a leading axis of steps for a whole epoch."""

Step: TypeAlias = Callable[[State, Draws], tuple[State, Array]]
"""``step(state, draws)`` returns the state after one step, and its loss ``(*nets,)``. A pure function of
arrays, but for this: it consumes the state it is given."""

Advance: TypeAlias = Callable[[State, Draws, int, int], tuple[State, Array]]
"""``advance(state, draws, begin, end)`` returns the state after the steps ``begin … end - 1`` of an epoch,
and their losses ``(steps, *nets)``. The draws are those of the whole epoch; the state is consumed."""


EpochAdvance: TypeAlias = Callable[[State, int, int], tuple[State, Array]]
"""``advance(state, begin, end)`` of an epoch whose draws are known: as `Advance`."""


class Product(NamedTuple):
    """The gradient of a weight matrix in factors, not multiplied out: ``xᵀ dy``.

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
    """The rows of a batch that one of several processes makes: those from ``begin`` to ``end``, of ``rows``.

    Attributes
    ----------
    begin, end, rows
        As said. Each has a row at least, so that no array is empty.
    part
        What the mean over its rows is multiplied by, to add up to the mean over all. It is 0 where the rows
        are too few for all processes and this one's is another's too.
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
"""``subtract(W, x, dy, keep)`` makes ``W`` to be ``keep · W - xᵀ dy`` in place, and returns whether it did;
``keep`` is ``(*nets,)``, or None for 1."""

Random: TypeAlias = Union["np.random.Generator", "np.random.RandomState"]
"""A source of randomness on the host. In quotes because NumPy loads its random module on first use."""
