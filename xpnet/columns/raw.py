"""The unconverted values of a column, whatever library holds it."""

import decimal
import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.columns import words
from xpnet.columns.tabular import Frame, flag
from xpnet.errors import InputError
from xpnet.values import shown

__all__ = ["NUMBERS", "Raw", "raw"]

NUMBERS = (numbers.Real, decimal.Decimal, np.number)
"""Types of numbers; these include booleans."""


@dataclass(frozen=True, eq=False)
class Raw:
    """Values in the NumPy dtype that holds them exactly; the values in gaps are arbitrary.

    Attributes
    ----------
    values
        Bools, integers, floats, ``datetime64``, ``timedelta64`` or objects.
    gaps
        Rows without a value.
    has_zone
        Whether dates had a time zone (and are now in UTC).
    is_declared
        As for `Text`.
    """

    values: NDArray[Any]
    gaps: NDArray[np.bool_]
    has_zone: bool = False
    is_declared: bool = False


def raw(frame: Frame, name: str) -> Raw:
    """Return the unconverted values of a column.

    Raises
    ------
    InputError
        The column holds something else: lists, bytes or complex numbers.
    """
    column = frame.columns[name]
    try:
        found = _of_array(column) if isinstance(column, np.ndarray) else _of_series(column)
    except Exception as error:  # each library has its own exceptions for failed conversions
        found = None
        cause: BaseException | None = error
    else:
        cause = None
    if found is None or found.values.ndim != 1 or found.values.dtype.kind not in "biufmMO":
        kind = found.values.dtype if found is not None else getattr(column, "dtype", "objects")
        raise InputError(
            f"column {shown(name)} holds {kind}, not numbers, text or dates: leave it out with "
            f"{flag('ignore', name)}"
        ) from cause
    return Raw(frame.select(found.values), frame.select(found.gaps), found.has_zone, found.is_declared)


def _of_array(column: NDArray[Any]) -> Raw:
    kind = column.dtype.kind
    if kind == "U":
        column = column.astype(object)
    if kind == "O":
        gaps = np.fromiter(map(_is_gap, column), bool, len(column))
    else:
        gaps = np.isnan(column) if kind == "f" else np.isnat(column) if kind in "mM" else _none(len(column))
    return Raw(column, gaps)


def _of_series(series: Any) -> Raw | None:
    """Return the values of a narwhals Series; None if it is nested or binary."""
    import narwhals.stable.v2 as nw

    dtype = series.dtype
    if dtype.is_nested() or dtype == nw.Binary:
        return None
    is_declared = dtype in (nw.Categorical, nw.Enum)
    native = series.to_native()
    if is_declared and hasattr(native, "chunks"):
        # narwhals replaces the nulls of a pyarrow dictionary with other values.
        native = _without_views(native)
        series = nw.from_native(native.cast(native.type.value_type), series_only=True)
    gaps = np.asarray(series.is_null().to_numpy(), bool)
    if gaps.any() and (dtype.is_integer() or dtype == nw.Boolean):
        series = series.fill_null(False if dtype == nw.Boolean else 0)  # floats may be inexact
    found = _of_array(np.asarray(series.to_numpy()))
    has_zone = dtype == nw.Datetime and dtype.time_zone is not None
    values = found.values
    if has_zone and values.dtype.kind == "M":
        values = np.asarray(series.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy())
    return Raw(values, found.gaps | gaps, has_zone, is_declared)


def _without_views(column: Any) -> Any:
    """Return a pyarrow dictionary with plain text: it can't decode one of string views, as from Polars."""
    import pyarrow as pa

    if column.type.value_type != pa.string_view():
        return column
    parts = ((part.indices, part.dictionary.cast(pa.large_string())) for part in column.chunks)
    return pa.chunked_array([pa.DictionaryArray.from_arrays(*part) for part in parts])


def _none(length: int) -> NDArray[np.bool_]:
    return np.zeros(length, bool)


def _is_gap(value: Any) -> bool:
    """Whether an object stands for a missing value: None, NaN, NaT or pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return value.strip() in words.GAPS
    # A number that does not equal itself is NaN; arrays and the like are handled elsewhere.
    return isinstance(value, (*NUMBERS, np.datetime64, np.timedelta64)) and bool(value != value)
