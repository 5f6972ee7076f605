"""Preprocessing: fit it on the training rows, apply it to any rows, or fold it into the first layer.

`xpnet.data.preprocessing` describes the steps, and `fit` returns their arrays; a saved model holds both. All
steps except contrast normalisation and tables are affine: ``(x - mean) * scale`` or ``(x - mean) matrix``.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.data import exact, pca, table
from xpnet.data.preprocessing import Preprocessing
from xpnet.datasets.stored import Stored, picked
from xpnet.device import Device, blas_threads, one_blas_thread, to_numpy
from xpnet.errors import InputError
from xpnet.nn.composites import elementwise
from xpnet.typing import Array, Namespace, Params

__all__ = [
    "apply",
    "apply_all",
    "check_size",
    "complete",
    "fit",
    "fold",
    "for_device",
    "suited",
]

CHUNK = 2**21
"""Maximum number of values converted at a time: 8 MB in float32, or 682 rows of 3,072 features."""

KEPT = 2**24
"""Maximum number of values for which the rows of a fit are kept as floats (64 MB in float32). With more,
every pass over the rows converts them again."""


def suited(how: Preprocessing, X: Any, dtype: str) -> Preprocessing:
    """Return preprocessing suited to the training rows: exact if the dtype cannot tell their values apart.

    Parameters
    ----------
    how
        The preprocessing.
    X
        ``(rows, features)`` on the host; not images.
    dtype
        The dtype to compute in.
    """
    if how.kind in ("none", "table"):
        return how
    return replace(how, exact=exact.is_needed(X, dtype))


def check_size(how: Preprocessing, X: Any) -> None:
    """Refuse training rows with a value beyond the largest that the preprocessing accepts.

    Raises
    ------
    InputError
        A value is too large; the message names its column.
    """
    if X.dtype.kind != "f" or not how.most or how.most > np.finfo(X.dtype).max:
        return
    if isinstance(X, Stored):
        sizes = np.fmax(X.scan.high, -X.scan.low)
    else:
        sizes = np.fmax(np.fmax.reduce(X, axis=0), -np.fmin.reduce(X, axis=0))
    if (sizes > how.most).any():
        place = int(np.fmax(sizes, 0).argmax())
        found = f"{sizes[place]:.6g} in column {place}, beyond {how.most:.0e}"
        raise InputError(f"X holds {found}: divide that column by its largest value")


def fit(how: Preprocessing, X: Any, device: Device, dtype: str = "float32") -> dict[str, NDArray[np.float64]]:
    """Fit the preprocessing on the training rows.

    Parameters
    ----------
    how
        The preprocessing to fit.
    X
        ``(rows, features)`` on the host, any real dtype; or a `xpnet.datasets.stored.Stored`, which is read
        in passes.
    device
        The device to compute on.
    dtype
        The dtype to compute in; sums over many rows and decompositions are in float64 if the device has it.

    Returns
    -------
    dict
        Arrays on the host, with the names and shapes of `Preprocessing.shapes`: ``mean`` (zeros for
        ``"none"``), ``scale`` or ``matrix``, and ``contrast``, which is added to the variance of a row. Exact
        preprocessing with a ``matrix`` has ``scale``, too. For a table, those of `xpnet.data.table.fit`.

    Raises
    ------
    InputError
        There are too few rows or features, or values too large for ``dtype``.
    """
    if how.kind == "table":
        return table.fit(_rows_to_fit(how, X), how.categories or (0,) * X.shape[1], how.bins)
    xp = device.xp
    if how.exact:
        return _fit_exactly(how, _rows_to_fit(how, X), device, dtype)
    X = _rows_to_fit(how, X)
    num_rows, num_features = X.shape
    fitted: dict[str, NDArray[np.float64]] = {}

    def raw() -> Iterator[Array]:
        for part in _parts(num_rows, num_features):
            rows = _put(device, X[part], dtype)
            # If only the mean is needed, it is faster to take it from the integers.
            needs_floats = how.contrast or how.kind != "mean" or X.dtype.kind == "b"
            yield xp.astype(rows, getattr(xp, dtype)) if needs_floats else rows

    def seen() -> Iterator[Array]:
        for rows in raw():
            yield _normalise_contrast(xp, rows, contrast) if how.contrast else rows

    def centred() -> Iterator[Array]:
        for rows in seen():
            rows -= mean
            yield rows

    with device.active():
        if how.contrast:
            fitted["contrast"] = _fit_contrast(how, device, raw(), dtype)
            contrast = device.put(fitted["contrast"], dtype)
        if how.kind == "none":
            return fitted | {"mean": np.zeros(num_features)}
        exact_mean, variance = pca.moments(xp, seen, need_variance=how.kind != "mean")
        fitted["mean"] = _to_host(device, exact_mean)
        # The sum of squares of a feature is the largest sum that will occur.
        _check_size(np.abs(fitted["mean"]) + num_rows * _to_host(device, variance), dtype)
        if how.kind == "mean":
            return fitted
        mean = xp.astype(exact_mean, getattr(xp, dtype))
        scale = pca.inverse_deviation(xp, exact_mean, variance, mean.dtype)
        if how.kind == "standardize":
            return fitted | {"scale": _to_host(device, scale)}
        kept = list(centred()) if num_rows * num_features <= KEPT else None
        matrix = pca.projection(
            pca.Standardized(xp, centred if kept is None else lambda: kept, num_rows, scale, mean.dtype),
            how.output_features(num_features),
            ridge=None if how.kind == "pca" else how.ridge,
            rotate_back=how.kind == "zca",
        )
        return fitted | {"matrix": _to_host(device, matrix)}


def _fit_exactly(how: Preprocessing, X: Any, device: Device, dtype: str) -> dict[str, NDArray[np.float64]]:
    """Fit the part that runs on the host, and then the matrix on its output."""
    if how.contrast and isinstance(X, Stored):
        raise InputError(
            "contrast on numbers that float32 cannot tell apart needs all rows at once: give --rows-in memory"
        )
    contrast = exact.ridge_of(X, how.ridge) if how.contrast else None
    fitted = exact.fit(X, how.kind != "mean", contrast)
    if how.kind in ("mean", "standardize"):
        return fitted

    def chunks() -> Iterator[Array]:
        for part in _parts(*X.shape):
            yield device.put(exact.prepare(fitted, X[part], dtype))

    with device.active():
        kept = list(chunks()) if len(X) * X.shape[1] <= KEPT else None
        varies = device.put(fitted["scale"] > 0, dtype)
        matrix = pca.projection(
            pca.Standardized(
                device.xp, chunks if kept is None else lambda: kept, len(X), varies, varies.dtype
            ),
            how.output_features(X.shape[1]),
            ridge=None if how.kind == "pca" else how.ridge,
            rotate_back=how.kind == "zca",
        )
        return fitted | {"matrix": _to_host(device, matrix)}


def complete(how: Preprocessing, fitted: Params) -> Preprocessing:
    """Return the description, for a table with the sizes that `fit` found."""
    return replace(how, sizes=table.sizes(fitted)) if how.kind == "table" else how


def for_device(how: Preprocessing, fitted: Params, X: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return rows on the host, ready for the device: unchanged, except for a table or exact preprocessing."""
    if how.kind == "table":
        return table.standardise(fitted, X, dtype)
    return exact.prepare(fitted, X, dtype) if how.exact else X


def apply(xp: Namespace, how: Preprocessing, fitted: Params, X: Array) -> Array:
    """Return the rows of ``X`` preprocessed for the network; ``X`` itself is not changed.

    The mean is subtracted from the rows, not from their product with the matrix: if it is large compared with
    the standard deviation, float32 would lose precision in the product.

    Parameters
    ----------
    xp
        Array API namespace of the arrays.
    how
        The preprocessing that was fitted.
    fitted
        The arrays that `fit` returned, on the device of ``X``, all of one floating dtype.
    X
        ``(…, rows, features)``, any real dtype: what `for_device` returned.

    Returns
    -------
    Array
        ``(…, rows, how.output_features(features))`` in the dtype of the fitted arrays.
    """
    mean, scale = fitted["mean"], fitted.get("scale")
    if how.kind == "table" or how.exact or how.contrast:
        rows = xp.astype(X, mean.dtype)  # always a copy
        if how.kind == "table":
            return table.apply(xp, fitted, rows)
        if how.contrast and not how.exact:
            rows = _centred(xp, _normalise_contrast(xp, rows, fitted["contrast"]), mean, scale)
    else:
        rows = _of_raw(xp, X, mean, scale)
    return xp.matmul(rows, fitted["matrix"]) if "matrix" in fitted else rows


@elementwise
def _of_raw(xp: Namespace, X: Array, mean: Array, scale: Array | None) -> Array:
    """Return `_centred` of a copy of rows of any dtype."""
    rows = xp.astype(X, mean.dtype)
    return _centred(xp, rows, mean, scale)


@elementwise
def _centred(_xp: Namespace, rows: Array, mean: Array, scale: Array | None) -> Array:
    """Return ``(rows - mean) * scale``, computed in place."""
    rows -= mean
    if scale is not None:
        rows *= scale
    return rows


def apply_all(
    device: Device, how: Preprocessing, fitted: Params, X: NDArray[Any], dtype: str = "float32"
) -> Array:
    """Return all rows preprocessed on the device, with only a few raw rows there at a time.

    Parameters
    ----------
    device
        Target device.
    how, fitted
        The preprocessing, and the arrays that `fit` returned.
    X
        ``(rows, features)`` on the host, any real dtype.
    dtype
        The dtype to compute in.

    Returns
    -------
    Array
        ``(rows, how.output_features(features))``.

    Raises
    ------
    InputError
        ``X`` has values too large for ``dtype``.
    """
    xp = device.xp
    with device.active():
        arrays = {name: device.put(value, dtype) for name, value in fitted.items()}
        # Assembled on the host, because not every library's arrays can be written to in parts.
        result = np.empty((len(X), how.output_features(X.shape[1])), dtype)
        may_be_large = X.dtype.kind == "f" or how.exact  # integers fit

        def take(part: slice) -> tuple[Array, ...]:
            """Preprocess some rows; return their minimum and maximum."""
            with device.active():  # it is per thread
                rows = apply(xp, how, arrays, _put(device, for_device(how, fitted, X[part], dtype), dtype))
                result[part] = device.to_host(rows)
                return (xp.min(rows), xp.max(rows)) if may_be_large else ()

        parts = list(_parts(len(X), max(X.shape[1], result.shape[1])))
        if device.is_host and len(parts) > 1:
            threads = blas_threads()
            # Each thread does all the work on its part; otherwise, only products would use several threads.
            with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
                ends = [end for found in pool.map(take, parts) for end in found]
        else:
            ends = [end for part in parts for end in take(part)]
        if ends:
            _check_size(device.to_host(xp.stack(ends)), dtype)
        return device.put(result)


def fold(
    how: Preprocessing, fitted: dict[str, NDArray[np.float64]], W1: ArrayLike, b1: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Merge the preprocessing into the first layer, which then takes raw rows and gives the same outputs.

    From ``((x - mean) M) W1 + b1`` follow the weights ``M W1`` and the biases ``b1 - mean M W1``, where
    ``M`` is the matrix, or the diagonal matrix of the scale.

    Parameters
    ----------
    how, fitted
        The preprocessing, and the arrays that `fit` returned.
    W1
        ``(*nets, how.output_features(features), units)``.
    b1
        ``(*nets, units)``.

    Returns
    -------
    W1 : ndarray
        ``(*nets, features, units)``, in float64.
    b1 : ndarray
        ``(*nets, units)``, in float64.

    Raises
    ------
    InputError
        The preprocessing cannot be folded: a table, contrast normalisation or exact preprocessing.
    """
    if how.kind == "table":
        raise InputError(
            "the preprocessing of a table cannot be folded into the weights of a layer: keep it "
            "separate, or train with another, such as standardize"
        )
    if how.exact:
        raise InputError(
            "the numbers in X are too large, too small or too close together for weights that take raw "
            "rows: keep the preprocessing separate, or train on X scaled to size 1"
        )
    if how.contrast:
        raise InputError(
            "contrast normalisation divides each row by its own standard deviation, which the weights "
            "of a layer cannot do: keep the preprocessing separate, or train without contrast"
        )
    W, b = np.asarray(to_numpy(W1), np.float64), np.asarray(to_numpy(b1), np.float64)
    if "scale" in fitted:
        W = fitted["scale"][:, None] * W
    elif "matrix" in fitted:
        W = np.matmul(fitted["matrix"], W)
    return W, b - np.matmul(fitted["mean"], W)


def _rows_to_fit(how: Preprocessing, X: Any) -> Any:
    """Return the rows to fit on; raise an `InputError` if there are too few."""
    if X.ndim != 2:
        raise InputError(f"rows of shape {X.shape}: give (rows, features)")
    num_rows, least, fix = min(len(X), how.fit_rows or len(X)), how.least_rows, ""
    components = how.output_features(X.shape[1])
    if how.kind in ("pca", "pca-whiten"):
        least, fix = max(least, components), f" or keep fewer components than {components}"
    if num_rows < least:
        raise InputError(f"{num_rows} rows are too few to fit {how.kind} on: give {least} or more{fix}")
    if num_rows == len(X):
        return X
    # Drawn at random, not evenly spaced: rows may be periodic, for example an image and its mirror image.
    chosen = np.random.default_rng(0).choice(len(X), num_rows, replace=False, shuffle=False)
    return picked(X, np.sort(chosen))


def _parts(num_rows: int, num_features: int) -> Iterator[slice]:
    """Split rows into parts of at most `CHUNK` numbers."""
    step = min(4096, max(1, CHUNK // max(1, num_features)))
    return (slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step))


def _put(device: Device, rows: NDArray[Any], dtype: str) -> Array:
    """Return rows on the device: integers unchanged, as they are small; floats in ``dtype``."""
    with np.errstate(over="ignore"):  # a resulting infinity is detected later
        return device.put(rows, dtype if rows.dtype.kind == "f" else None)


def _to_host(device: Device, array: Array) -> NDArray[np.float64]:
    return np.asarray(device.to_host(array), np.float64)


def _check_size(values: NDArray[Any], dtype: str) -> None:
    if not (np.abs(values) <= np.finfo(dtype).max).all():  # also true for NaN, which infinities may become
        raise InputError(f"X has values too large for {dtype}: divide it by its largest value")


def _normalise_contrast(xp: Namespace, rows: Array, contrast: Array) -> Array:
    """Return ``(x - mean(x)) / sqrt(var(x) + contrast)`` for each row ``x``, computed in place."""
    rows -= xp.mean(rows, axis=-1, keepdims=True)
    rows /= xp.sqrt(xp.vecdot(rows, rows) / rows.shape[-1] + contrast)[..., None]
    return rows


def _fit_contrast(
    how: Preprocessing, device: Device, chunks: Iterator[Array], dtype: str
) -> NDArray[np.float64]:
    """Return the number to add to the variance of a row: the ridge times the average variance of a row."""
    xp = device.xp
    variances = [device.to_host(xp.var(rows, axis=-1)) for rows in chunks]
    average = np.asarray([np.concatenate(variances).mean(dtype=np.float64)])
    _check_size(average, dtype)
    # At least the smallest float, so that a row without contrast becomes 0 even without a ridge.
    return np.maximum(how.ridge * average, float(np.finfo(np.float32).tiny))
