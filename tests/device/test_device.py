"""Devices: looking them up, the ways in and out, and an error with its remedy for each that fails."""

import contextlib
import ctypes
import importlib.util
import math
import os
import sys
import threading
import types
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

import array_api_compat
import numpy as np
import pytest

import xpnet
import xpnet.device.cuda
from xpnet.device import CudaDevice, Device, dtype_name, get_device, to_numpy
from xpnet.device.cublas import library
from xpnet.errors import DeviceError, XpnetError

# Any device


@pytest.mark.parametrize("kind", ["uint8", "int32", "int64", "float32", "bool"])
def test_put_and_to_host_return_what_went_in(device, kind):
    host = np.array([[1, 0, 3], [4, 5, 0]]).astype(kind)
    array = device.put(host)
    assert dtype_name(array) == kind
    back = device.to_host(array)
    assert type(back) is np.ndarray
    assert back.dtype == host.dtype
    np.testing.assert_array_equal(back, host)


def test_put_converts(device, dtype):
    array = device.put(np.array([1, 2, 3], np.uint8), dtype)
    assert dtype_name(array) == dtype
    np.testing.assert_array_equal(device.to_host(array), [1, 2, 3])


def test_put_takes_what_is_on_the_device_already(device, dtype):
    array = device.put(np.array([1.5, 2.5]), dtype)
    again = device.put(array, dtype)
    assert again.device == array.device
    assert dtype_name(again) == dtype
    np.testing.assert_array_equal(device.to_host(again), [1.5, 2.5])


def test_describes_itself(device):
    assert device.name
    assert "." in device.backend  # library and version
    assert device.free_memory() > 2**20
    device.synchronize()
    with device.active(), device.active():
        pass


# The CPU


def test_cpu_is_numpy():
    device = get_device("cpu")
    assert (device.name, device.xp.matmul, device.is_host) == ("cpu", np.matmul, True)
    assert device.backend == f"numpy {np.__version__}"
    assert repr(device) == f"<Device cpu: numpy {np.__version__}>"


def test_cpu_copies_nothing_that_is_right_already():
    device, array = get_device("cpu"), np.ones(3, np.float32)
    assert device.put(array) is array
    assert device.put(array, "float32") is array
    assert device.to_host(array) is array
    assert not np.shares_memory(device.put(array, "float64"), array)


def test_cpu_computes_without_warnings_of_overflow():
    with get_device("cpu").active():
        np.array([1e300]) * 1e300
        np.log(np.array([-1.0, 0.0]))


def test_a_device_is_its_own_name():
    device = Device()
    assert get_device(device) is device


def test_free_memory_of_the_cpu_without_proc(monkeypatch):
    """As on macOS, which has no ``/proc``, and on Windows, which has no ``sysconf`` either."""

    def missing(*_args, **_kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert Device().free_memory() > 2**20
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert Device().free_memory() > 2**20


@pytest.mark.parametrize("array", [[1.0, 2.0], (1.0, 2.0), np.array([1.0, 2.0]), range(1, 3)])
def test_to_numpy_takes_sequences(array):
    result = to_numpy(array)
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, [1.0, 2.0])


def test_to_numpy_leaves_numpy_alone():
    array = np.ones(3)
    assert to_numpy(array) is array


def test_arrays_of_pytorch_come_in():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for array in (torch.arange(3), torch.arange(3.0, dtype=torch.float32)):
        for result in (to_numpy(array), Device().put(array)):
            assert type(result) is np.ndarray
            assert result.dtype.name == dtype_name(array)
            np.testing.assert_array_equal(result, [0, 1, 2])


def test_dtype_names():
    assert dtype_name(np.ones(1, np.float32)) == "float32"
    assert dtype_name(np.float64(1)) == "float64"
    assert dtype_name(np.arange(2)) == "int64"


# Devices that cannot be had


def error_of(spec):
    with pytest.raises(DeviceError) as caught:
        get_device(spec)
    message = str(caught.value)
    assert "\n" not in message
    assert isinstance(caught.value, XpnetError)
    return message


@pytest.mark.parametrize(
    "spec",
    ["gpu", "", "CPU", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "cuda:0 ", "cuda:1:2", "cuda\n"],
)
def test_unknown_device(spec):
    assert error_of(spec) == (
        f"unknown device {spec!r}: use cpu, cuda, cuda:N, mps or auto; `xpnet train` and sweeps also take "
        "cuda:all and cuda:0,cuda:1"
    )


def installed(monkeypatch, *names):
    """Let exactly these CuPy packages be installed."""
    kept = [d for d in metadata.distributions() if not (d.name or "").lower().startswith("cupy")]
    new = [types.SimpleNamespace(name=name) for name in names]
    monkeypatch.setattr(metadata, "distributions", lambda: [*kept, *new])


def fake_cupy(monkeypatch, get_device_count):
    """Put a module in the place of CuPy that knows how many GPUs there are."""
    error = type("CUDARuntimeError", (RuntimeError,), {})
    cupy = types.ModuleType("cupy")
    cupy.__spec__ = ModuleSpec("cupy", None)
    cupy.__version__ = "0.0"
    runtime = types.SimpleNamespace(getDeviceCount=lambda: get_device_count(error), CUDARuntimeError=error)
    cupy.cuda = types.SimpleNamespace(runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    installed(monkeypatch, "cupy-cuda13x")


@pytest.mark.parametrize("spec", ["cuda", "cuda:0", "cuda:3"])
def test_cupy_is_not_installed(monkeypatch, spec):
    installed(monkeypatch)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "cupy" else find_spec(name, *a),
    )
    message = error_of(spec)
    assert "not installed" in message
    assert 'pip install "xpnet[cuda13]"' in message
    assert '"xpnet[cuda12]"' in message


def test_two_cupy_packages(monkeypatch):
    installed(monkeypatch, "cupy-cuda13x", "cupy-cuda12x")
    message = error_of("cuda")
    assert "cupy-cuda12x and cupy-cuda13x conflict" in message
    assert "pip uninstall cupy-cuda12x cupy-cuda13x" in message


def test_one_cupy_package_found_twice_is_one(monkeypatch):
    """As on a path that lists a folder twice."""
    fake_cupy(monkeypatch, lambda _error: 0)
    installed(monkeypatch, "cupy-cuda12x", "cupy-cuda12x")
    assert "conflict" not in error_of("cuda")


def test_other_packages_named_after_cupy_are_no_conflict(monkeypatch):
    fake_cupy(monkeypatch, lambda _error: 0)
    installed(monkeypatch, "cupy-cuda12x", "cupyx-tools", "pytest-cupy", None)
    assert "conflict" not in error_of("cuda")


def test_cupy_that_cannot_be_imported(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text("raise ImportError('libcudart.so:\\n  no such file')\n")
    installed(monkeypatch, "cupy-cuda12x")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    message = error_of("cuda")
    assert "cannot be imported (libcudart.so: no such file)" in message
    assert "install the CuPy package" in message


def test_cupy_without_a_driver(monkeypatch):
    def no_driver(error):
        raise error("cudaErrorInsufficientDriver: CUDA driver version\nis insufficient")

    fake_cupy(monkeypatch, no_driver)
    message = error_of("cuda")
    assert "no usable GPU (cudaErrorInsufficientDriver: CUDA driver version is insuff" in message
    assert "NVIDIA driver" in message


@pytest.mark.parametrize(("spec", "count"), [("cuda:1", 1), ("cuda:7", 2)])
def test_no_gpu_of_that_number(monkeypatch, spec, count):
    fake_cupy(monkeypatch, lambda _error: count)
    message = error_of(spec)
    assert f"there is no GPU {spec}" in message
    assert f"has {count}" in message
    assert f"cuda:{count - 1}" in message


def test_a_driver_without_a_gpu(monkeypatch):
    """What an empty ``CUDA_VISIBLE_DEVICES`` makes some drivers say."""
    fake_cupy(monkeypatch, lambda _error: 0)
    message = error_of("cuda")
    assert "cuda:-1" not in message
    assert "nvidia-smi" in message


# A CUDA device that can be had, as far as CuPy is not asked to compute


class FakeStream:
    """A stream that notes what it waits for, and is the current one within its context."""

    def __init__(self, cuda, name):
        self.cuda, self.name = cuda, name

    def __enter__(self):
        self.before, self.cuda.current = self.cuda.current, self

    def __exit__(self, *_):
        self.cuda.current = self.before

    def record(self, event):
        event.of = self.name
        return event

    def wait_event(self, event):
        self.cuda.waits.append((self.name, event.of))

    def synchronize(self):
        self.cuda.synchronized.append(self.name)


class FakeCuda(types.SimpleNamespace):
    """As much of ``cupy.cuda`` as a device needs for itself."""

    def __init__(self, runtime):
        super().__init__(runtime=runtime, waits=[], streams=[], synchronized=[])
        self.current = self.default = FakeStream(self, "default")

    def Device(self, index):  # noqa: N802
        self.gpu = contextlib.nullcontext(index)
        return self.gpu

    def Stream(self, non_blocking):  # noqa: N802
        assert non_blocking
        self.streams.append(FakeStream(self, f"own {len(self.streams)}"))
        return self.streams[-1]

    def Event(self, disable_timing):  # noqa: N802
        assert disable_timing
        return types.SimpleNamespace()

    def get_current_stream(self):
        return self.current


@pytest.fixture(autouse=True)
def _no_device_is_known(monkeypatch):
    """Have devices made anew, as on another machine."""
    monkeypatch.setattr("xpnet.device.cuda._known", {})


@pytest.fixture
def cuda(monkeypatch):
    """A stand-in for ``cupy.cuda`` with two GPUs, and for the rest of what a device imports."""
    fake_cupy(monkeypatch, lambda _error: 2)
    cupy, plain = sys.modules["cupy"], types.ModuleType("array_api_compat.cupy")
    cupy.cuda = FakeCuda(cupy.cuda.runtime)
    cupy.ndarray, cupy.asarray, cupy.asnumpy = (), lambda array, dtype: np.asarray(array, dtype), np.asarray
    cupy.clip, plain.clip = lambda *_: "own", lambda *_: "adapter's"
    cupy.ElementwiseKernel = lambda *code: code
    plain.matmul = plain.vecdot = plain.sign = None
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", plain)
    monkeypatch.setattr(array_api_compat, "cupy", plain, raising=False)
    monkeypatch.setattr(xpnet.device.cuda, "library", lambda _cupy: None)
    return cupy.cuda


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_cuda_device_is_what_was_asked_for(precision, compiled):
    device = get_device("cuda:1", "cupy", precision, compiled)
    assert device.options == ("cuda:1", "cupy", precision, compiled)
    assert (device.name, device.backend, device.is_host) == ("cuda:1", "cupy 0.0", False)
    assert device.xp.clip(1, 0.0, math.inf) == "own"  # the adapter's reads back
    assert device.xp.clip(1, 0.0) == "adapter's"
    assert device.xp.sign is not None
    # CuPy's own products copy what lies transposed.
    assert (device.xp.matmul, device.xp.vecdot) == (device.products.matmul, device.products.vecdot)
    assert device.find_subtract() == device.products.subtract
    assert device.subtracted_from == 0


def test_each_thread_captures_a_stream_of_its_own(cuda):
    """Of one that all share, a capture would take what other threads do."""
    device = get_device("cuda", compiled=True)
    assert get_device("cuda:0", "cupy", compiled=True) is device  # made once
    assert get_device("cuda") is not device

    def use():
        for _ in range(2):
            with device.active():
                pass

    use()
    assert len(cuda.streams) == 1
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(cuda.streams) == 2


@pytest.mark.parametrize(("compiled", "stream"), [(False, "default"), (True, "own 0")])
def test_a_cuda_device_waits_for_its_own_stream_alone(cuda, compiled, stream):
    """The GPU, which has no `synchronize` here, is not waited for: that would end other threads' captures."""
    get_device("cuda", compiled=compiled).synchronize()
    assert cuda.synchronized == [stream]


def test_a_cuda_device_that_captures_nothing_has_no_stream_of_its_own(cuda):
    device = get_device("cuda")
    with device.active():
        assert cuda.current is cuda.default
    device.put(np.ones(2))
    assert not cuda.waits


@pytest.mark.parametrize("compiled", [False, True])
def test_a_cuda_device_computes_on_the_host_without_warnings_of_overflow(cuda, compiled):
    assert not cuda.waits
    with get_device("cuda", compiled=compiled).active():
        np.array([1e300]) * 1e300
        np.log(np.array([-1.0, 0.0]))


@pytest.mark.parametrize(("place", "backend"), [("cuda", "cupy"), ("cpu", "torch")])
def test_no_adapter(monkeypatch, cuda, place, backend):
    if backend == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    assert not cuda.waits
    for name in [name for name in sys.modules if name.partition(".")[0] == "array_api_compat"]:
        monkeypatch.delitem(sys.modules, name)

    class Missing:
        """A finder of modules that knows of one that isn't there."""

        def find_spec(self, name, *_):
            if name == "array_api_compat":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    fix = "which is not installed: run `pip install array-api-compat`"
    with pytest.raises(DeviceError, match=f"^backend {backend} needs array-api-compat, {fix}$"):
        get_device(place, backend)


def test_what_an_adapter_lacks_itself_is_not_its_absence(monkeypatch, cuda):
    monkeypatch.delitem(sys.modules, "array_api_compat.cupy")
    monkeypatch.setitem(sys.modules, "cupy.linalg", None)
    with pytest.raises(ImportError):
        get_device("cuda")
    assert not cuda.waits


def test_what_is_captured_is_in_order_with_what_is_not(cuda):
    """The two streams wait for each other wherever one takes over; the host never does."""
    device = get_device("cuda", compiled=True)
    over, back = ("own 0", "default"), ("default", "own 0")
    with device.active():
        assert cuda.current is cuda.streams[0]
        assert cuda.waits == [over]
        with device.active():
            device.to_host(device.put(np.ones(2)))
        assert cuda.current is cuda.streams[0]
        assert cuda.waits == [over]
    assert cuda.current is cuda.default
    assert cuda.waits == [over, back]
    device.to_host(device.put(np.ones(2)))
    assert cuda.waits == [over, back] * 3
    with pytest.raises(KeyError), device.active():
        raise KeyError
    assert cuda.current is cuda.default
    assert cuda.waits == [over, back] * 4


@pytest.mark.parametrize("there", [None, types.ModuleType("cupy.cublas")])
@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (12090, 'run `pip install "xpnet[cuda12]"`, which installs it'),
        (13000, 'run `pip install "xpnet[cuda13]"`, which installs it'),
        (99010, "install the CUDA Toolkit 99"),  # of which there is no extra
    ],
)
def test_cublas_that_cannot_be_loaded(monkeypatch, there, version, remedy):
    """By CuPy, as with a wheel on a machine without the CUDA libraries, or not under its name."""

    def missing(name):
        raise OSError(f"{name}: cannot open\nshared object file")

    monkeypatch.setitem(sys.modules, "cupy.cublas", there)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    runtime = types.SimpleNamespace(runtimeGetVersion=lambda: version)
    with pytest.raises(DeviceError) as caught:
        library(types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime)))
    message = str(caught.value)
    assert message.startswith(f"cuBLAS of CUDA {version // 1000} cannot be loaded (")
    assert message.endswith(f"): {remedy}, or use device cpu")
    assert "\n" not in message


def test_the_cupy_of_this_machine():
    """No stand-in: what CuPy itself does where there is no GPU, and where there is."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
    if cupy.cuda.is_available():
        device = get_device("cuda")
        assert (device.name, device.is_host) == ("cuda:0", False)
        assert device.backend == f"cupy {cupy.__version__}"
        assert "there is no GPU" in error_of("cuda:99")
    else:
        message = error_of("cuda")
        assert "finds no usable GPU" in message
        assert "nvidia-smi" in message
        with pytest.raises(DeviceError, match="no usable GPU"):
            CudaDevice(1)
        with pytest.raises(DeviceError, match="no usable GPU"):
            xpnet.TwoLayerNet(4, 3, 2, device="cuda")


def test_numpy_has_a_small_buffer_while_it_computes():
    before = np.getbufsize()
    with get_device("cpu").active():
        within = np.getbufsize()
        with get_device("cpu").active():
            pass
        assert np.getbufsize() == within < before
    assert np.getbufsize() == before
    with pytest.raises(KeyError), get_device("cpu").active():
        raise KeyError
    assert np.getbufsize() == before
