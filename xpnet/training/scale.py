"""Targets of a regression in units of their own spread: what a network is trained on, and the way back."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scale"]


class Scale(NamedTuple):
    """What the targets of a regression were standardised by: ``(y - mean) / scale``, ``(outputs,)`` each."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, y: NDArray[np.float64], weight: NDArray[np.float64] | None = None) -> "Scale":
        """Return mean and standard deviation of targets ``(rows, outputs)``; 1 for one that never changes."""
        largest = np.abs(y).max(axis=0)  # squares of what is divided by it overflow in no row
        unit = np.where(largest > 0, largest, 1.0)
        mean = np.average(y / unit, axis=0, weights=weight)
        variance = np.average((y / unit - mean) ** 2, axis=0, weights=weight)
        varies = y.max(axis=0) > y.min(axis=0)
        return cls(mean * unit, np.where(varies & (variance > 0), np.sqrt(variance) * unit, 1.0))

    def apply(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return targets as the network has them."""
        return (y - self.mean) / self.scale

    def undo(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the network's numbers as targets."""
        return y * self.scale + self.mean
