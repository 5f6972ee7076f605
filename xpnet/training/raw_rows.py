"""Raw rows as users hand them to a model: what they may be, and what is said of those that it cannot take."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.device import to_numpy
from xpnet.errors import InputError

__all__ = ["RowError", "checked"]

CHUNK = 2**20
"""Numbers that are looked at together."""


class RowError(InputError):
    """A row that a model cannot predict.

    Attributes
    ----------
    row
        Its number, from 0.
    problem
        What is wrong with it, and what to do.
    """

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(row, problem)
        self.row, self.problem = row, problem

    def __str__(self) -> str:
        return f"row {self.row} of X {self.problem}"


def checked(X: Any, num_features: int, dtype: str, most: float = 0.0, gaps: bool = False) -> Any:
    """Return rows on the host: an array, or a sparse matrix of SciPy's in CSR.

    Parameters
    ----------
    X
        ``(rows, features)``: an array of any library, on any device, a nested sequence or a sparse matrix.
    num_features
        Of the model.
    dtype
        Of its parameters, beyond whose range no value may be.
    most
        The largest value, where more than that range is taken; else 0.
    gaps
        Whether NaN stands for a value that is not known.

    Raises
    ------
    RowError
        A row holds NaN, infinity, or a value beyond that range; it is the first.
    InputError
        ``X`` is no such rows.
    """
    try:
        X = X.tocsr() if hasattr(X, "tocsr") else to_numpy(X)
    except (TypeError, ValueError) as error:  # sequences of several lengths, a dtype that NumPy lacks
        reason = " ".join(str(error).split())
        raise InputError(f"X is no array ({reason}): give rows of {num_features} numbers each") from error
    if X.ndim != 2 or X.shape[1] != num_features:
        raise InputError(f"X has shape {X.shape}: give (rows, {num_features})")
    if X.dtype.kind not in "biuf":
        raise InputError(f"X has dtype {X.dtype}: give real numbers, as X.astype(np.float32)")
    if X.dtype.kind == "f":
        _check_values(X, dtype, most, gaps)
    return X


def _check_values(X: Any, dtype: str, most: float, gaps: bool) -> None:
    is_sparse = hasattr(X, "tocsr")
    held = min(most or float(np.finfo(dtype).max), float(np.finfo(X.dtype).max))
    first = _first_beyond(X.data if is_sparse else X, held, gaps)
    if first is None:
        return
    row = int(np.searchsorted(X.indptr, first, "right")) - 1 if is_sparse else first
    values = X.data[first] if is_sparse else X[row]
    if not np.isinf(values).any() and (gaps or not np.isnan(values).any()):
        beyond = f"beyond {most:.0e}" if most else f"too large for {dtype}"
        raise RowError(row, f"holds values {beyond}: divide them as the training rows were")
    raise RowError(
        row, f"holds {'infinity' if gaps else 'NaN or infinity'}: drop such rows or replace the values"
    )


def _first_beyond(values: NDArray[Any], most: float, gaps: bool) -> int | None:
    """Return the first row, or number, that holds NaN or is beyond ``most`` in size; None if none is."""
    step = max(1, CHUNK * len(values) // max(1, values.size))
    for start in range(0, len(values), step):
        part = values[start : start + step]
        fits = ~(np.abs(part) > most) if gaps else np.abs(part) <= most  # the second is not so of NaN
        fits = fits if fits.ndim == 1 else fits.all(axis=1)
        if not fits.all():
            return start + int(fits.argmin())
    return None
