"""xpnet: fully-connected networks on NumPy or CuPy, from one implementation of backprop."""

from xpnet.device import get_device
from xpnet.errors import DeviceError, InputError, XpnetError
from xpnet.network import MLP
from xpnet.two_layer_net import TwoLayerNet

__all__ = ["MLP", "DeviceError", "InputError", "TwoLayerNet", "XpnetError", "get_device"]

__version__ = "0.1.0"
