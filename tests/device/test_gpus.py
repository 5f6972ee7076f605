"""What ``auto`` chooses, and what names of several GPUs stand for; GPUs are made up here."""

import ctypes
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest

from xpnet import MLPClassifier, TwoLayerNet
from xpnet.device import Device, choose, count_gpus, get_device, gpu_names, gpus, is_several
from xpnet.errors import DeviceError
from xpnet.runs.config import Config
from xpnet.runs.fit import fit


@pytest.fixture(autouse=True)
def _no_device_is_known(monkeypatch):
    """Have devices made anew, as on another machine."""
    monkeypatch.setattr("xpnet.device.cuda._known", {})


@pytest.fixture
def machine(monkeypatch):
    """Return what makes a machine with a driver, and libraries that can use the GPU or say why not."""

    def machine(driver, **libraries):
        def make(error):
            if error:
                raise DeviceError(error)

        monkeypatch.setattr(gpus, "has_driver", lambda: driver)
        monkeypatch.setattr(gpus, "find_spec", lambda name: True if name in libraries else None)
        makers = {name: lambda error=error: make(error) for name, error in libraries.items()}
        monkeypatch.setattr(gpus, "FIRST_OF", {name: makers.get(name) for name in gpus.FIRST_OF})

    return machine


FIRST = "it is the first library here that can use the GPU"


@pytest.mark.parametrize(
    ("driver", "libraries", "asked", "expected"),
    [
        (False, {"cupy": ""}, "auto", ("cpu", "numpy", "there is no driver of an NVIDIA GPU")),
        (False, {"torch": ""}, "torch", ("cpu", "torch", "there is no driver of an NVIDIA GPU")),
        (True, {"jax": "", "torch": "", "cupy": ""}, "auto", ("cuda:0", "cupy", FIRST)),
        (True, {"jax": "", "torch": "", "cupy": "no GPU: do this"}, "auto", ("cuda:0", "torch", FIRST)),
        (True, {"jax": "", "torch": "built for the CPU: do that"}, "auto", ("cuda:0", "jax", FIRST)),
        (True, {"jax": "", "torch": "", "cupy": ""}, "jax", ("cuda:0", "jax", FIRST)),
        (True, {"torch": "no: do that", "cupy": ""}, "torch", ("cpu", "torch", "no: do that")),
        (True, {"torch": "no: do that", "cupy": "no: do this"}, "auto", ("cpu", "numpy", "no: do this")),
        (True, {}, "auto", ("cpu", "numpy", gpus.NO_LIBRARY)),
        (True, {"cupy": ""}, "numpy", ("cpu", "numpy", "numpy computes on the CPU only")),
        (False, {}, "cupy", ("cuda:0", "cupy", "cupy computes on CUDA GPUs only")),
    ],
)
def test_auto_is_the_gpu_if_a_library_can_use_it(machine, driver, libraries, asked, expected):
    machine(driver, **libraries)
    assert choose(asked) == expected
    device, backend, reason = expected
    assert str(choose(asked)) == f"device auto is {device} with {backend}: {reason}"


def test_no_driver_is_found_out_without_any_library():
    code = (
        "import sys, ctypes; ctypes.CDLL = lambda name: exec('raise OSError(name)');"
        "from xpnet import get_device; print(get_device('auto').backend.split()[0]);"
        "print({'torch', 'jax', 'cupy'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["numpy", "set()"]


@pytest.mark.parametrize(("system", "has"), [("linux", True), ("linux", False), ("darwin", False)])
def test_the_driver_is_the_library_that_it_brings_along(monkeypatch, system, has):
    asked = []

    def load(name):
        asked.append(name)
        if not has:
            raise OSError(name)

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", load)
    assert gpus.has_driver.__wrapped__() is has
    assert asked == (["libcuda.so.1"] if system == "linux" else [])


def test_a_device_that_was_chosen_is_that_device(machine):
    machine(False)
    device = get_device("auto")
    assert type(device) is Device
    assert device.name == "cpu"
    assert pickle.loads(pickle.dumps(device)).name == "cpu"


def test_cupy_says_itself_what_it_lacks(machine, monkeypatch):
    machine(False)

    def fail(*_given):
        raise DeviceError("CuPy lacks something")

    monkeypatch.setattr("xpnet.device.cuda_device", fail)
    with pytest.raises(DeviceError, match="CuPy lacks something"):
        get_device("auto", "cupy")


def test_every_door_takes_auto(machine):
    machine(False)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 4)), rng.integers(3, size=60)
    run = fit(X, y, iterations=3, recipe="none", device="auto")
    assert (run.config.device, run.summary["device"]) == ("auto", "cpu")
    np.testing.assert_array_equal(run.predict(X, "auto"), run.predict(X))
    assert Config(device="auto").find_device().name == "cpu"
    model = MLPClassifier(4, max_iter=3, n_iter_no_change=float("inf"), device="auto").fit(X, y)
    assert model.predict(X).shape == (60,)
    assert TwoLayerNet(4, 5, 3, device="auto").predict(X).shape == (60,)


@pytest.mark.parametrize("name", ["cuda:all", "cuda:0,cuda:1", "cpu,cuda:0"])
def test_one_network_takes_one_device(name):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 4)), rng.integers(3, size=60)
    for door in (
        lambda: get_device(name),
        lambda: fit(X, y, device=name, recipe="none"),
        lambda: MLPClassifier(device=name).fit(X, y),
        lambda: TwoLayerNet(4, 5, 3, device=name),
    ):
        with pytest.raises(DeviceError) as caught:
            door()
        assert str(caught.value) == (
            f"device {name} is not a single device: give one, such as cuda:0; only `xpnet train`, `xpnet "
            "sweep` and xpnet.search take several GPUs"
        )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cuda:all", ("cuda:0", "cuda:1", "cuda:2")),
        ("cuda:2,cuda:0", ("cuda:2", "cuda:0")),
        ("cuda:1, cuda:02", ("cuda:1", "cuda:2")),
    ],
)
def test_names_of_several(name, expected):
    assert is_several(name)
    assert gpu_names(name, lambda: 3) == expected


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1", "auto", Device(), None])
def test_names_of_one(name):
    assert not is_several(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:0,cuda:3", "there is no GPU cuda:3: this machine has 3, from cuda:0 to cuda:2"),
        ("cuda:0,cuda:1,cuda:0", "cuda:0 is named twice in cuda:0,cuda:1,cuda:0: name each GPU once"),
        ("cuda:0,cpu", "'cpu' is not a GPU: list GPUs as in cuda:0,cuda:1, or use cuda:all"),
        ("cuda:0,1", "'1' is not a GPU: list GPUs as in cuda:0,cuda:1, or use cuda:all"),
        ("cuda:0,", "'' is not a GPU: list GPUs as in cuda:0,cuda:1, or use cuda:all"),
    ],
)
def test_lists_that_name_no_gpus(name, message):
    with pytest.raises(DeviceError) as caught:
        gpu_names(name, lambda: 3)
    assert str(caught.value) == message


def test_a_list_is_read_before_gpus_are_counted():
    def count():
        raise AssertionError("CuPy is missing")

    for name in ("cuda:0,cpu", "cuda:0,cuda:0"):
        with pytest.raises(DeviceError, match=r"list GPUs as|name each GPU once"):
            gpu_names(name, count)


@pytest.mark.parametrize("backend", ["cupy", "torch", "jax"])
def test_each_library_counts_them(monkeypatch, backend):
    library = types.ModuleType(backend)
    library.cuda = types.SimpleNamespace(
        device_count=lambda: 3, runtime=types.SimpleNamespace(getDeviceCount=lambda: 3)
    )
    library.devices = lambda kind: [kind] * 3
    monkeypatch.setitem(sys.modules, backend, library)
    assert count_gpus(backend) == 3
