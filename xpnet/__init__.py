"""xpnet: fully-connected networks on NumPy, CuPy, PyTorch or JAX, from one implementation of backprop."""

from typing import TYPE_CHECKING, Any

from xpnet.device import get_device
from xpnet.errors import DeviceError, InputError, XpnetError
from xpnet.nn.mlp import MLP
from xpnet.two_layer_net import TwoLayerNet

if TYPE_CHECKING:
    from xpnet.estimator import MLPClassifier as MLPClassifier
    from xpnet.estimator import MLPRegressor as MLPRegressor

__all__ = ["MLP", "DeviceError", "InputError", "TwoLayerNet", "XpnetError", "get_device"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the estimators when they are asked for: scikit-learn takes longer than all the rest."""
    if name not in ("MLPClassifier", "MLPRegressor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from xpnet import estimator

    return getattr(estimator, name)


def __dir__() -> list[str]:
    return sorted({*globals(), "MLPClassifier", "MLPRegressor"})
