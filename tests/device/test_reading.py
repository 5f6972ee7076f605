"""Many arrays read back at once."""

import numpy as np
from taping import TapedDevice

from xpnet.device import Device, all_to_host, reading


def some_arrays():
    rng = np.random.default_rng(0)
    return {
        ("params", "W1"): rng.standard_normal((3, 5, 4)).astype(np.float32),
        ("params", "b1"): rng.standard_normal((3, 4)).astype(np.float32),
        ("count", "steps"): np.array(7),
        ("params", "W2"): rng.standard_normal((3, 4, 2)).astype(np.float32),
        ("count", "turned"): np.arange(6).reshape(2, 3).T,
        "loss": np.array(0.5, np.float32),
        "none": np.zeros((0, 2), np.float32),
        "mask": np.array([True, False]),
    }


def test_arrays_come_back_as_they_are_and_in_their_order(device):
    host = some_arrays()
    found = all_to_host(device, {key: device.put(array) for key, array in host.items()})
    assert list(found) == list(host)
    for key, array in host.items():
        assert type(found[key]) is np.ndarray
        assert found[key].dtype == device.to_host(device.put(array)).dtype
        np.testing.assert_array_equal(found[key], array)
    assert all_to_host(device, {}) == {}


class Counting(TapedDevice):
    """A device that counts what is read."""

    def __init__(self):
        super().__init__()
        self.read = []

    def to_host(self, array):
        self.read.append(array.shape)
        return super().to_host(array)

    def all(self):
        """Read all arrays; return the shapes of what was read."""
        found = all_to_host(self, {key: self.put(array) for key, array in some_arrays().items()})
        for key, array in some_arrays().items():
            np.testing.assert_array_equal(found[key], array)
        return sorted(self.read)


def test_small_arrays_of_a_dtype_are_one_reading():
    assert Counting().all() == [(2,), (7,), (60 + 12 + 24 + 1,)]


def test_large_arrays_are_not_copied_on_the_device(monkeypatch):
    monkeypatch.setattr(reading, "JOINED", 100)
    assert Counting().all() == [(2,), (3, 5, 4), (7,), (12 + 24 + 1,)]


def test_the_host_copies_nothing():
    host = some_arrays()
    found = all_to_host(Device(), host)
    assert all(found[key] is array for key, array in host.items())


def test_what_is_on_the_host_already_is_not_read():
    device, host = Counting(), some_arrays()
    found = all_to_host(device, host | {"loss": device.put(host["loss"])})
    assert device.read == [()]
    assert all(found[key] is array for key, array in host.items() if key != "loss")
