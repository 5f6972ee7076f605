"""Fully-connected neural networks on NumPy, CuPy, PyTorch and JAX, with one implementation of backprop.

`fit` trains a network, `load` loads a saved one, and `search` trains many networks at once. `MLPClassifier`
and `MLPRegressor` are scikit-learn estimators; `TwoLayerNet` is the class of the CIFAR-10 exercise.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xpnet import columns as columns
    from xpnet import data as data
    from xpnet import datasets as datasets
    from xpnet import device as device
    from xpnet import errors as errors
    from xpnet import estimator as estimator
    from xpnet import exporters as exporters
    from xpnet import nn as nn
    from xpnet import reporting as reporting
    from xpnet import runs as runs
    from xpnet import sweep as sweep
    from xpnet import training as training
    from xpnet import typing as typing
    from xpnet.datasets import Dataset as Dataset
    from xpnet.device import get_device as get_device
    from xpnet.errors import DeviceError as DeviceError
    from xpnet.errors import InputError as InputError
    from xpnet.errors import XpnetError as XpnetError
    from xpnet.estimator import MLPClassifier as MLPClassifier
    from xpnet.estimator import MLPRegressor as MLPRegressor
    from xpnet.estimator.search import MLPSearchCV as MLPSearchCV
    from xpnet.estimator.tables import TableClassifier as TableClassifier
    from xpnet.estimator.tables import TableRegressor as TableRegressor
    from xpnet.nn.mlp import MLP as MLP
    from xpnet.runs.config import Config as Config
    from xpnet.runs.fit import fit as fit
    from xpnet.runs.load import load as load
    from xpnet.runs.run import Run as Run
    from xpnet.sweep.runner import Sweep as Sweep
    from xpnet.sweep.search import search as search
    from xpnet.training.history import History as History
    from xpnet.training.model import Model as Model
    from xpnet.two_layer_net import TwoLayerNet as TwoLayerNet

_WHERE = {
    "Config": "runs.config",
    "Dataset": "datasets",
    "DeviceError": "errors",
    "History": "training.history",
    "InputError": "errors",
    "MLP": "nn.mlp",
    "MLPClassifier": "estimator",
    "MLPRegressor": "estimator",
    "MLPSearchCV": "estimator.search",
    "Model": "training.model",
    "Run": "runs.run",
    "Sweep": "sweep.runner",
    "TableClassifier": "estimator.tables",
    "TableRegressor": "estimator.tables",
    "TwoLayerNet": "two_layer_net",
    "XpnetError": "errors",
    "fit": "runs.fit",
    "get_device": "device",
    "load": "runs.load",
    "search": "sweep.search",
}
"""The module of each public name; it is imported when the name is first used."""

_ROOMS = (
    *("columns", "data", "datasets", "device", "errors", "estimator", "exporters", "nn"),
    *("reporting", "runs", "sweep", "training", "typing"),
)
"""Submodules that are imported when they are first used, as in `xpnet.datasets.load`."""

__version__ = "0.1.0"

# Without the estimators: `from xpnet import *` must work, and be quick, where scikit-learn is not installed.
__all__ = [
    "MLP",
    "Config",
    "Dataset",
    "DeviceError",
    "History",
    "InputError",
    "Model",
    "Run",
    "Sweep",
    "TwoLayerNet",
    "XpnetError",
    "fit",
    "get_device",
    "load",
    "search",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used; until then not even NumPy is imported."""
    if name in _ROOMS:
        found = importlib.import_module(f"{__name__}.{name}")
        if name == "nn":  # it imports nothing itself, and `backprop` is its public part
            importlib.import_module(f"{__name__}.nn.backprop")
        return found
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*_WHERE, "__version__"])
