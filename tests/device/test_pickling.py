"""Devices in a pickle, a copy, and another process: the same device is asked for again."""

import copy
import multiprocessing
import operator
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from xpnet.device import Device, TorchDevice, get_device
from xpnet.errors import DeviceError


class MarkedDevice(Device):
    """A class of somebody's own, with a constructor of its own."""

    name = "marked"

    def __init__(self, mark):
        super().__init__()
        self.mark = mark


class OtherTorch(TorchDevice):
    """A device whose namespace is in no module."""


def again(device):
    return [
        copy.deepcopy(device),
        copy.copy(device),
        *(pickle.loads(pickle.dumps(device, p)) for p in (2, 5)),
    ]


def test_every_device(device):
    for made in again(device):
        assert type(made) is type(device)
        assert (made.name, made.backend, made.options) == (device.name, device.backend, device.options)
        assert made.to_host(made.put(np.arange(3.0), "float32")).tolist() == [0, 1, 2]
        assert made.xp.__name__ == device.xp.__name__


def test_the_options_of_a_device_are_kept():
    pytest.importorskip("torch", exc_type=ImportError)
    device = get_device("cpu", "torch", "fp32", True)
    for made in again(device):
        assert made.options == device.options == ("cpu", "torch", "fp32", True)


def test_a_class_of_somebodys_own():
    for made in again(MarkedDevice([7])):
        assert type(made) is MarkedDevice
        assert (made.mark, made.name) == ([7], "marked")
        assert made.xp is get_device().xp


def test_a_namespace_that_is_no_module_is_not_taken_for_one():
    pytest.importorskip("torch", exc_type=ImportError)
    with pytest.raises(TypeError, match="cannot pickle 'module'"):
        pickle.dumps(OtherTorch())


def test_another_process_has_the_same(device):
    if not type(device).__module__.startswith("xpnet."):
        pytest.skip("a class of these tests, which another process does not have")
    if device.options.backend == "jax":
        pytest.skip("JAX takes long to start")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(operator.attrgetter("options"), device).result() == device.options


def test_a_device_that_is_not_there(monkeypatch):
    raw = pickle.dumps(get_device())
    monkeypatch.setattr(Device, "options", ("cuda:99", "cupy", "fp32", False))
    elsewhere = pickle.dumps(Device())
    monkeypatch.undo()
    assert type(pickle.loads(raw)) is Device
    with pytest.raises(DeviceError):
        pickle.loads(elsewhere)
