"""PyTorch as an array library: what its device takes, compiles and complains of."""

import dataclasses
import shutil
import sysconfig
import warnings
from pathlib import Path

import numpy as np
import pytest
from fits import MLP_543, REGIME, begin, draw_step, learnable, on_host, random_params, sources
from imports import fail_to_import

import xpnet
from xpnet.data.feed import Feed
from xpnet.device import get_device
from xpnet.errors import DeviceError
from xpnet.training.regime import Hyper
from xpnet.training.step import make_advance, make_step

torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def cpu():
    return get_device("cpu", "torch")


def test_describes_itself(cpu):
    assert (cpu.name, cpu.is_host) == ("cpu", False)
    assert cpu.backend == f"torch {torch.__version__}"
    assert get_device(*cpu.options).options == cpu.options == ("cpu", "torch", "fp32", False)
    assert get_device("cpu", "torch", compiled=True).options.compiled


def test_put_shares_what_can_be_written_to_and_copies_what_cannot(cpu):
    array = np.zeros(3, np.float32)
    assert np.shares_memory(cpu.to_host(cpu.put(array)), array)
    array.flags.writeable = False
    copy = cpu.put(array)  # without PyTorch's warning
    copy += 1
    assert array.sum() == 0


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0)[::-1], np.arange(6, dtype=">i4"), np.broadcast_to(np.float32(2), (2, 3)), np.float64(3)],
    ids=["reversed", "big-endian", "broadcast", "scalar"],
)
def test_put_takes_what_pytorch_does_not(cpu, array):
    np.testing.assert_array_equal(cpu.to_host(cpu.put(array)), array)


def test_tensors_of_a_graph_come_in(cpu):
    tensor = torch.arange(3.0, requires_grad=True)
    assert not cpu.put(tensor).requires_grad
    np.testing.assert_array_equal(xpnet.get_device().put(tensor), [0, 1, 2])


def test_no_gradients_are_recorded(cpu):
    with cpu.active():
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_out_of_memory_is_a_memory_error(cpu):
    with pytest.raises(MemoryError, match="memory"), cpu.active():
        torch.empty(2**50)
    with pytest.raises(RuntimeError, match="something else"), cpu.active():
        raise RuntimeError("something else")


def steps_of(device):
    """State, draws and step of two networks."""
    hyper, regime = Hyper(0.3, 0.9, 0.01, dropout=0.2), dataclasses.replace(REGIME, solver="momentum")
    X, y = learnable()[:2]
    feed = Feed(device.put(X), device.put(y))
    state = begin(device, random_params(np.random.default_rng(3), (2,)), "float64", regime, hyper)
    draws = draw_step(device, feed, regime, hyper, state["params"], sources(4))
    table = {name: device.xp.stack([value] * 3) for name, value in draws.items()}
    return state, table, (device, MLP_543, feed, regime, hyper, state["params"])


@pytest.mark.skipif(
    shutil.which("c++") is None or not Path(sysconfig.get_path("include"), "Python.h").exists(),
    reason="PyTorch compiles by way of C++ and Python.h",
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's compiler, of PyTorch
def test_a_compiled_step_is_the_step(cpu):
    compiled = get_device("cpu", "torch", compiled=True)
    found = []
    for device in (cpu, compiled):
        with device.active():
            state, table, of_step = steps_of(device)
            state, losses = make_advance(device, of_step[2], make_step(*of_step))(state, table, 0, 3)
            found.append((device.to_host(losses), {kind: on_host(device, of) for kind, of in state.items()}))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-10)
    for kind, arrays in found[0][1].items():
        for name, value in arrays.items():
            np.testing.assert_allclose(found[1][1][kind][name], value, rtol=1e-9, atol=1e-12)


def test_where_compiling_fails_training_goes_on_with_one_warning(monkeypatch, cpu):
    def fail(*_args, **_kwargs):
        raise RuntimeError("no C++ compiler\nfound")

    monkeypatch.setattr(torch, "compile", fail)
    device = get_device("cpu", "torch", compiled=True)
    with device.active():
        state, table, of_step = steps_of(device)
        advance = make_advance(device, of_step[2], make_step(*of_step))
        with pytest.warns(
            RuntimeWarning, match=r"continues without it \(no C\+\+ compiler found\)"
        ) as caught:
            state, losses = advance(state, table, 0, 2)
        assert len(caught) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            advance(state, table, 2, 3)
        expected, table, of_step = steps_of(cpu)
        expected, losses_expected = make_step(*of_step)(expected, {k: v[0, ...] for k, v in table.items()})
        np.testing.assert_array_equal(cpu.to_host(losses)[0], cpu.to_host(losses_expected))


def test_pytorch_is_not_installed(monkeypatch):
    fail_to_import(monkeypatch, "torch", ModuleNotFoundError("No module named 'torch'", name="torch"))
    with pytest.raises(DeviceError, match=r'pip install "xpnet\[torch\]"'):
        get_device("cpu", "torch")


def test_pytorch_that_cannot_be_imported(monkeypatch):
    fail_to_import(monkeypatch, "torch", OSError("libcudart.so:\n cannot open"))
    with pytest.raises(DeviceError, match=r"cannot be imported \(libcudart.so: cannot open\)"):
        get_device("cpu", "torch")


def test_gpus_that_pytorch_has_or_has_not(monkeypatch):
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="PyTorch is installed but finds no usable GPU"):
            get_device("cuda", "torch")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match="the driver lists none"):
        get_device("cuda", "torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(
        DeviceError, match="there is no GPU cuda:2: this machine has 2, from cuda:0 to cuda:1"
    ):
        get_device("cuda:2", "torch")


def test_the_gpu_of_a_mac():
    if torch.backends.mps.is_available():
        assert get_device("mps").name == "mps"
    else:
        with pytest.raises(DeviceError, match="finds no Apple GPU"):
            get_device("mps")


def test_settings_of_the_process_are_left_alone(cpu):
    """Also where the user has set them by the newer names, which the older then refuse to tell."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        with cpu.active():
            pass
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


def test_on_a_gpu_the_last_user_takes_the_precision_of_products_back():
    first, second = get_device("cpu", "torch"), get_device("cpu", "torch")
    for device in (first, second):
        device._place = torch.device("cuda")  # which needs none as long as nothing is put there
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        a, b = first._products(), second._products()  # two threads would enter and leave so
        a.__enter__()
        b.__enter__()
        assert torch.get_float32_matmul_precision() == "highest"
        a.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "highest"
        b.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
