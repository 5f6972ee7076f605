"""The devices that tests run on, and what tests of arrays on any of them share.

A test that takes the fixture ``device`` runs on each of `DEVICES`; one that takes ``dtype`` too, with
each floating dtype the device has; with fewer on devices that are slow to test or that compute as another,
unless its module has an ``EVERY_DTYPE``, and on some devices only few cases. ``--xp numpy,cupy`` demands
devices by name: only those run, with every dtype and case, and one that this machine lacks is an error
instead of a skip.
"""

import functools
import gc
import os
import zlib
from collections import defaultdict
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from xpnet.commands import sweep, train
from xpnet.device import Device, dtype_name, get_device
from xpnet.errors import DeviceError
from xpnet.reporting import live, plots

# The examples are the same in every run, and none is kept for the next.
hypothesis.settings.register_profile("xpnet", deadline=None, derandomize=True, database=None, max_examples=60)
hypothesis.settings.load_profile("xpnet")


class ReadOnlyDevice(Device):
    """NumPy whose `put` returns arrays that raise when they are written to.

    Parameters and solver state are consumed by a training step, so tests hand them over by the fixture
    ``put_params``, which copies. Everything else that code is given here can only be read.
    """

    name = "read-only"

    def put(self, array, dtype=None):
        view = super().put(array, dtype).view()
        view.flags.writeable = False
        return view


class StrictDevice(Device):
    """array-api-strict on a device from which nothing converts to NumPy unasked."""

    is_host = False

    def __init__(self, name):
        import array_api_strict

        self.xp = array_api_strict
        self.name = name
        self.backend = f"array-api-strict {array_api_strict.__version__}"
        self.place = array_api_strict.Device(name)

    def put(self, array, dtype=None):
        if isinstance(array, type(self.xp.empty(0))):
            array = self.to_host(array)
        return self.xp.asarray(np.asarray(array, dtype=dtype), device=self.place)

    def to_host(self, array):
        return np.asarray(array.to_device(self.xp.Device("CPU_DEVICE")))


class MissingError(Exception):
    """Why this machine cannot offer a device."""


def strict(name):
    """Return array-api-strict's device of that name."""
    try:
        return StrictDevice(name)
    except ModuleNotFoundError as error:
        raise MissingError("array-api-strict is not installed") from error


def found(*options):
    """Return the device that `get_device` finds."""
    try:
        return get_device(*options)
    except DeviceError as error:
        raise MissingError(str(error)) from error


BOTH = ("float32", "float64")
FLOAT64 = ("float64",)
DEVICES = {
    "numpy": (Device, BOTH),
    "numpy-read-only": (ReadOnlyDevice, BOTH, FLOAT64),
    "strict": (functools.partial(strict, "device1"), FLOAT64),
    "strict-no-float64": (functools.partial(strict, "no_float64"), ("float32",)),
    "torch": (functools.partial(found, "cpu", "torch"), BOTH),
    "jax": (functools.partial(found, "cpu", "jax"), BOTH, FLOAT64),
    "cupy": (functools.partial(found, "cuda", "cupy"), BOTH),
    "cupy-captured": (functools.partial(found, "cuda", "cupy", "fp32", True), BOTH),
}

FEW_CASES, FEW_CASES_OF = ("jax", "strict"), ("nn", "data", "training")
"""Devices on which only modules of some rooms are tested, one case of each, chosen by its name. JAX compiles
each operation of each shape, and takes as long for that as all others for their tests; ``test_backends.py``
goes through the other rooms. What array-api-strict refuses, it refuses without float64 too, and slowly."""

LONGEST = ("test_docs",)
"""Modules with tests of half a minute. They run first: at the end, other workers would wait for them."""


@functools.cache
def make(name):
    """Return the device ``name``, or the `MissingError` that says why there is none."""
    try:
        return DEVICES[name][0]()
    except MissingError as error:
        return error


def pytest_addoption(parser):
    parser.addoption(
        "--xp",
        metavar="NAME[,NAME]",
        help=f"demand these devices and run on no others: {', '.join(DEVICES)}",
    )


def demanded(config):
    """Return the names given with ``--xp``, an empty list without it."""
    names = [name.strip() for name in (config.getoption("--xp") or "").split(",") if name.strip()]
    for name in names:
        if name not in DEVICES:
            raise pytest.UsageError(f"--xp: no device {name!r}; there are {', '.join(DEVICES)}")
    return names


def pytest_configure(config):
    demanded(config)
    if (cache := getattr(config, "cache", None)) is None:  # pytest -p no:cacheprovider
        return
    # JAX compiles the same few programs in one test after the other, and on every worker.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache.mkdir("jax")))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for no garbage in what stays until the end, a million objects of modules and tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_generate_tests(metafunc):
    if "device" not in metafunc.fixturenames:
        return
    names = demanded(metafunc.config)
    takes_dtype = "dtype" in metafunc.fixturenames
    values = []
    for name in names or DEVICES:
        # A mark rather than a skip in the fixture: pytest's summary then folds many into one line.
        missing = not names and isinstance(make(name), MissingError)
        marks = [pytest.mark.skip(reason=str(make(name)))] if missing else []
        every = names or getattr(metafunc.module, "EVERY_DTYPE", False)
        each = [(name, dtype) for dtype in DEVICES[name][1 if every else -1]] if takes_dtype else [(name,)]
        values += [pytest.param(*given, marks=marks) for given in each]
    arguments = ("device", "dtype") if takes_dtype else ("device",)
    metafunc.parametrize(arguments, values, indirect=["device"], scope="session")


def pytest_collection_modifyitems(config, items):
    """Keep one case of each module on the devices of `FEW_CASES`, and one of each test on missing ones."""
    if demanded(config):
        return
    cases, left = defaultdict(list), set()
    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        name = given.get("device")
        if name in FEW_CASES:
            module = Path(item.location[0])
            if module.parent.name in FEW_CASES_OF:
                cases[str(module), name].append(item)
            else:
                left.add(item)
        elif name in DEVICES and isinstance(make(name), MissingError):  # to be skipped, and counted
            cases[item.nodeid.partition("[")[0], name].append(item)
    kept = {found[zlib.crc32(name.encode()) % len(found)] for (name, *_), found in cases.items()}
    left |= {item for found in cases.values() for item in found} - kept
    config.hook.pytest_deselected(items=[item for item in items if item in left])
    items[:] = [item for item in items if item not in left]
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session")
def device(request):
    """One of `DEVICES`."""
    found = make(request.param)
    if isinstance(found, MissingError):  # demanded, or the test would have been skipped
        pytest.fail(f"--xp {request.param}: {found}", pytrace=False)
    return found


@pytest.fixture(autouse=True)
def _computing(request):
    """Put a test that takes ``device`` into the device's context."""
    if "device" not in request.fixturenames:
        yield
        return
    with request.getfixturevalue("device").active():
        yield


@pytest.fixture(autouse=True)
def _no_line_of_a_phase(monkeypatch):
    """Have no phase last so long that a line says so: what a slow machine would print would differ."""
    monkeypatch.setattr(live, "LASTING", 3600.0)


@pytest.fixture(scope="session")
def put_params(device, dtype):
    """Return the function that copies parameters to the device in ``dtype``, free to be consumed."""
    xp = device.xp

    def put_params(params):
        return {k: xp.asarray(device.put(value, dtype), copy=True) for k, value in params.items()}

    return put_params


@pytest.fixture(scope="session")
def assert_close(device, dtype):
    """Return the function that compares a result on the device with what it should be.

    The result must be an array of the device's library, on it, of the dtype. Tolerances are relative
    to the largest number expected: 1e-12 in float64, 1e-5 in float32.
    """

    def assert_close(actual, expected, rtol=None):
        if isinstance(expected, dict):
            assert sorted(actual) == sorted(expected)
            for name in expected:
                assert_close(actual[name], expected[name], rtol)
            return
        expected = np.asarray(expected)
        like = device.put(expected, dtype)
        assert dtype_name(actual) == dtype
        assert type(actual + 0.0) is type(like + 0.0)
        assert getattr(actual, "device", "cpu") == like.device  # the scalars of NumPy 2.0 have none
        assert tuple(actual.shape) == expected.shape
        rtol = rtol or {"float32": 1e-5, "float64": 1e-12}[dtype]
        scale = np.max(np.abs(expected), initial=0.0)
        np.testing.assert_allclose(
            device.to_host(actual).astype(np.float64), expected, rtol=0, atol=rtol * scale
        )

    return assert_close


@pytest.fixture
def by_definition(monkeypatch):
    """Have NumPy compute the composites of the maths by their definitions: as other devices, to the bit."""
    monkeypatch.setattr("xpnet.device.of_numpy.composites", {})


@pytest.fixture
def without_recipe(monkeypatch):
    """Have the commands train data of one's own by the plain defaults, not by the recipe of such data."""
    for command in (train, sweep):
        monkeypatch.setattr(command, "usual_recipe", lambda _given: None)


@pytest.fixture
def without_pictures(monkeypatch):
    """Leave matplotlib out, which takes longer to draw a run than the run takes."""
    monkeypatch.setattr(plots, "available", lambda: False)
