"""Inputs of estimators: rows of any kind and their weights; and results in the library of the rows."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing, check_random_state, indexable
from sklearn.utils._array_api import _convert_to_numpy, get_namespace_and_device
from sklearn.utils.validation import _num_samples, validate_data

from xpnet.columns.outputs import lacks
from xpnet.columns.tabular import as_array, as_frame, is_frame
from xpnet.device import Device, get_device
from xpnet.errors import DeviceError, InputError
from xpnet.text import shorten
from xpnet.values import refuse_mask, shown

__all__ = [
    "check_length",
    "check_size",
    "checked",
    "device_or_cpu",
    "given_targets",
    "in_one_line",
    "like",
    "own_rows",
    "random_state",
    "refuse_gaps",
    "row_weights",
    "to_host",
]


def checked(
    estimator: Any, X: Any, y: Any = None, *, dtype: str | None = None, end: str = "", **how: Any
) -> Any:
    """Return rows, and targets if there are any, on the host, after scikit-learn's checks.

    Parameters
    ----------
    estimator
        The estimator, whose number and names of features are checked, or set with ``reset=True``.
    X, y
        Rows, dense or sparse, and targets; arrays of any library if scikit-learn's dispatch is on.
    dtype
        Dtype of the rows; by default float32 if they have it, else float64.
    end
        Suffix of ``X`` and ``y`` in messages: ``"_val"`` for validation rows.
    how
        Arguments for `sklearn.utils.validation.validate_data`.
    """
    how |= {"accept_sparse": "csr", "dtype": dtype or (np.float64, np.float32)}
    X = to_host(X)
    _refuse_kinds(X, f"X{end}", "give numbers, or use TableClassifier or TableRegressor")
    targets = "" if y is None else f", and y{end} with a target for each row"
    with in_one_line(f"give X{end} as finite real numbers (rows, features){targets}", as_it_is=True):
        if y is None:
            return validate_data(estimator, X, **how)
        y = to_host(y)
        _refuse_kinds(y, f"y{end}", "give numbers" if how.get("y_numeric") else "")
        if how.get("y_numeric") and hasattr(y, "toarray"):
            raise InputError(f"y{end} is a sparse matrix: give a dense array")
        refuse_gaps(y, f"y{end}")
        return validate_data(estimator, X, y, multi_output=True, **how)


def _refuse_kinds(array: Any, what: str, fix: str, kinds: str = "mM") -> None:
    """Refuse arrays that would silently become numbers: masked values and, by ``kinds``, dates."""
    refuse_mask(array, what)
    dtypes = [*getattr(array, "dtypes", ())] if hasattr(array, "columns") else [getattr(array, "dtype", None)]
    for dtype in dtypes:
        if fix and getattr(dtype, "kind", None) in [*kinds]:
            raise InputError(f"{what} has dtype {dtype}: {fix}")


@contextlib.contextmanager
def in_one_line(fix: str, as_it_is: bool = False) -> Iterator[None]:
    """Turn errors of scikit-learn's checks, which may show whole arrays, into one line with the fix.

    Parameters
    ----------
    fix
        What to give instead.
    as_it_is
        Whether a TypeError, and messages about feature names, stay as they are: scikit-learn's checks of
        estimators require this.
    """
    try:
        yield
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        if as_it_is and first.startswith("The feature names should match"):
            raise
        if as_it_is and "Reshape your data" in str(error):
            first = f"{first.rstrip(':')}, Reshape your data"
        elif as_it_is and first.startswith("Expected unique column names"):
            first, fix = "columns of X have the same name", "rename or drop all but one"
        message = f"{shorten(first).rstrip('.:')}: {fix}"
        if as_it_is and isinstance(error, TypeError):
            raise TypeError(message) from error
        raise InputError(message) from error


def refuse_gaps(y: Any, what: str = "y") -> None:
    """Raise InputError for the first row without a target; scikit-learn's protocol forbids skipping rows."""
    missing = np.zeros(0, bool)
    with contextlib.suppress(InputError, TypeError, ValueError):  # the checks report invalid targets
        missing = lacks(y if np.ndim(y) == 2 else {what: y})
    if missing.any():
        row = int(missing.argmax())
        raise InputError(f"{what} contains NaN or None in row {row}: drop rows without a target, also from X")


def given_targets(y: Any, what: str = "y") -> Any:
    """Return targets on the host; raise InputError if a row has none."""
    refuse_mask(y, what)
    y = to_host(y)
    array = as_array(y, what)
    if array.ndim not in (1, 2):
        raise InputError(f"{what} has shape {array.shape}: give one target for each row")
    if array.dtype.kind in "mM":  # NumPy would convert these to numbers
        raise InputError(f"{what} has dtype {array.dtype}: give classes or numbers")
    refuse_gaps(y, what)
    return y if hasattr(y, "dtype") and isinstance(y.dtype, np.dtype) else array


def check_length(X: Any, y: NDArray[Any]) -> None:
    """Refuse targets whose number differs from that of the rows."""
    rows = len(as_frame(X)) if is_frame(X) else _num_samples(X)
    if len(y) != rows:
        raise InputError(f"y has {len(y)} values, but X has {rows} rows: give one for each")


def check_size(X: Any, dtype: np.dtype[Any]) -> None:
    """Refuse checked rows, dense or sparse, with values beyond the range of ``dtype``."""
    values = X.data if hasattr(X, "toarray") else X
    if values.dtype.itemsize > dtype.itemsize and values.size:
        most = np.finfo(dtype).max
        if values.max() > most or values.min() < -most:
            raise InputError(f"X has values too large for {dtype}: scale them like the training rows")


def to_host(array: Any) -> Any:
    """Return another library's array as a NumPy array, if scikit-learn's dispatch is on; else as it is."""
    xp, _ = _library(array)
    return array if xp is None else _convert_to_numpy(array, xp)


def like(X: Any, result: NDArray[Any]) -> Any:
    """Return a result in the library and on the device of ``X``, if scikit-learn's dispatch is on.

    Strings and objects, which other libraries lack, stay NumPy arrays.
    """
    xp, device = _library(X)
    return result if xp is None or result.dtype.kind not in "biuf" else xp.asarray(result, device=device)


def _library(array: Any) -> tuple[Any, Any]:
    """Return namespace and device of another library's array, if scikit-learn's dispatch is on."""
    is_array = hasattr(array, "__array_namespace__") or hasattr(array, "__dlpack__")
    if isinstance(array, np.ndarray) or not is_array:
        return None, None
    xp, dispatches, device = get_namespace_and_device(array)
    return (xp, device) if dispatches else (None, None)


def row_weights(sample_weight: Any, rows: int) -> NDArray[np.float64] | None:
    """Return the weights of the rows: ``(rows,)``; None for all the same.

    Raises
    ------
    InputError
        The weights have another shape, are negative or not finite, or are all 0.
    """
    if sample_weight is None:
        return None
    sample_weight = to_host(sample_weight)
    _refuse_kinds(sample_weight, "sample_weight", "give one number for each row", "mMc")
    try:
        given = np.asarray(sample_weight)
        if given.dtype.kind == "c":  # NumPy would take the real part
            raise TypeError("they are complex")
        weight = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"sample_weight must be one number for each row: {error}") from error
    if weight.ndim == 0:
        weight = np.full(rows, float(weight))
    if weight.shape != (rows,):
        raise InputError(f"Sample weights must be 1D array or scalar, ({rows},) here, not {weight.shape}")
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise InputError("sample_weight must be finite numbers, no weight negative, and not all zero")
    return weight


def own_rows(rows: Any) -> Any:
    """Return a copy of rows or targets of any kind, sparse ones as CSR, for code that may change them."""
    (rows,) = indexable(rows)
    return None if rows is None else _safe_indexing(rows, np.arange(_num_samples(rows)))


def random_state(given: Any) -> Any:
    """Return scikit-learn's source of random numbers for ``random_state``.

    Raises
    ------
    InputError
        ``given`` is something else, such as a `numpy.random.Generator`.
    """
    try:
        return check_random_state(given)
    except ValueError as error:
        raise InputError(
            f"random_state must be an integer, a numpy.random.RandomState or None, not {shown(given)}: "
            "give a seed, as random_state=0"
        ) from error


def device_or_cpu(name: str | Device, backend: str, precision: str) -> Device:
    """Return the device of this name, or the CPU if it cannot be used.

    A model may have been trained on a GPU that is missing on the machine used for prediction.
    """
    try:
        return get_device(name, backend, precision)
    except DeviceError:
        return Device()
