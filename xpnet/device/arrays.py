"""Arrays of any library: their dtype, their conversion to NumPy, and their namespace."""

import functools
import importlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import DeviceError
from xpnet.typing import Array, Namespace

__all__ = ["adapter_of", "between_numbers", "dtype_name", "replacing", "to_numpy"]


def dtype_name(array: Array) -> str:
    """Return the name of an array's dtype in any library: ``"float32"``."""
    return _name(array.dtype)


# NumPy takes longer to convert a dtype to text than to add ten thousand numbers. `typed`, because dtypes of
# different libraries can have the same hash, and some warn when they are compared.
@functools.lru_cache(maxsize=None, typed=True)
def _name(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


def to_numpy(array: Any) -> NDArray[Any]:
    """Return an array of any library, on any device, or a nested sequence, as a NumPy array."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "detach"):  # a PyTorch tensor, which may be part of an autograd graph
        array = array.detach()
    if hasattr(array, "__dlpack__") or hasattr(array, "__array_namespace__"):
        import array_api_compat

        if not array_api_compat.is_jax_array(array):  # NumPy reads JAX arrays on any device
            array = array_api_compat.to_device(array, "cpu")
    return np.asarray(array)


def adapter_of(library: str) -> Namespace:
    """Return the Array API namespace of a library, from array-api-compat; imports the library.

    Raises
    ------
    DeviceError
        The adapter is not installed.
    """
    try:
        return importlib.import_module(f"array_api_compat.{library}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "array_api_compat":
            raise
        raise DeviceError(
            f"backend {library} needs array-api-compat, which is not installed: "
            "run `pip install array-api-compat`"
        ) from error


def replacing(plain: Namespace, **others: Any) -> Namespace:
    """Return the namespace ``plain`` with some functions and values replaced."""
    mine = types.ModuleType(plain.__name__, plain.__doc__)
    vars(mine).update(vars(plain), **others)
    return mine


def between_numbers(clip: Callable[..., Array], plain: Callable[..., Array]) -> Callable[..., Array]:
    """Return the standard's `clip`: the library's for two floats, else the adapter's, which reads back."""

    def clip_(x: Array, /, min: Any = None, max: Any = None) -> Array:
        own = isinstance(min, float) and isinstance(max, float)
        return clip(x, min, max) if own else plain(x, min, max)

    return clip_
