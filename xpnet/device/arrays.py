"""What can be said of an array whatever library it is of, and its way to the host."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.typing import Array

__all__ = ["dtype_name", "to_numpy"]


def dtype_name(array: Array) -> str:
    """Return the name of an array's dtype in any library: ``"float32"``."""
    return str(array.dtype).rpartition(".")[2]


def to_numpy(array: Any) -> NDArray[Any]:
    """Return an array of any library, on any device, or a nested sequence, as a NumPy array."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "detach"):  # PyTorch's, which may be part of a graph of gradients
        array = array.detach()
    if hasattr(array, "__dlpack__") or hasattr(array, "__array_namespace__"):
        import array_api_compat

        array = array_api_compat.to_device(array, "cpu")
    return np.asarray(array)
