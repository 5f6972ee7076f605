"""Standardised targets of a regression, and the way back."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xpnet.data.weights import unit_of
from xpnet.errors import InputError
from xpnet.nn import losses

__all__ = ["Scale", "check_counts"]


class Scale(NamedTuple):
    """Standardisation of targets: ``(y - mean) / scale``, ``(outputs,)`` each."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, y: NDArray[np.float64], weight: NDArray[np.float64] | None = None, loss: str = "") -> Self:
        """Return the standardisation of targets ``(rows, outputs)`` for training with this loss.

        These are mean and standard deviation (1 for constant targets). If the network predicts logarithms,
        nothing can be subtracted, and the scale is the mean.
        """
        if weight is not None:  # rows of weight 0 must have no influence, not even by their size
            y, weight = y[weight > 0], weight[weight > 0] / unit_of(weight)
        largest = np.abs(y).max(axis=0)  # divide by this so that squares do not overflow
        unit = np.where(largest > 0, largest, 1.0)
        mean = np.average(y / unit, axis=0, weights=weight)
        if losses.OUTPUT_OF.get(loss) == "exp":
            return cls(np.zeros_like(mean), np.where(mean > 0, mean * unit, 1.0))
        variance = np.average((y / unit - mean) ** 2, axis=0, weights=weight)
        varies = y.max(axis=0) > y.min(axis=0)
        return cls(mean * unit, np.where(varies & (variance > 0), np.sqrt(variance) * unit, 1.0))

    def apply(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standardised targets."""
        return (y - self.mean) / self.scale

    def undo(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return targets in original units from standardised numbers."""
        return y * self.scale + self.mean


def check_counts(
    loss: str,
    y: NDArray[np.float64],
    weight: NDArray[np.float64] | None = None,
    *,
    usual: str,
    what: str = "y",
    may_be_zero: bool = False,
) -> None:
    """Refuse targets that a loss of logarithms cannot fit: negative ones, or outputs that are all 0.

    Parameters
    ----------
    loss
        Name of the loss.
    y, weight
        Targets ``(rows, outputs)``, and weights of the rows; None for all the same.
    usual, what
        Names in the message for the loss to use instead, and for ``y``.
    may_be_zero
        Whether all targets may be 0, because these are validation rows or more rows may follow.

    Raises
    ------
    InputError
        There are such targets.
    """
    if losses.OUTPUT_OF[loss] != "exp":
        return
    below = (y < 0).any(axis=1)
    if below.any():
        row = int(below.argmax())
        raise InputError(
            f"{what} holds {y[row].min():g} in row {row}, but the loss {loss} needs numbers of at least 0: "
            f"use {usual}"
        )
    counted = y if weight is None else y[weight > 0]
    if not may_be_zero and not counted.any(axis=0).all():
        raise InputError(f"{what} is 0 in all rows, which the loss {loss} cannot fit: use {usual}")
