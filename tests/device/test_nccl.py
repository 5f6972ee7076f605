"""Sums over GPUs, on a stand-in: NCCL's calls on arrays of NumPy, and a step with the kernels of CUDA."""

import ctypes
import socket
import sys
import threading
import types

import host_kernels
import numpy as np
import pytest
from fits import EVERYTHING, assert_same, begin, image_feed, random_params, sources
from host_gpu import HostGpu, on_gpu, plain
from teams import in_processes

from xpnet.device.cuda import CudaDevice
from xpnet.device.nccl import Nccl
from xpnet.errors import DeviceError
from xpnet.training.loop import fit

STREAM = 77


class OnGpu(np.ndarray):
    """An array with an address, as CuPy's have it."""

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)


class NcclError(RuntimeError):
    pass


class FakeNccl(types.ModuleType):
    """CuPy's module of NCCL, for threads; `calls` are those of each."""

    NCCL_FLOAT32, NCCL_FLOAT64, NCCL_SUM = 7, 8, 0
    available = True
    NcclError = NcclError

    def __init__(self, teams):
        super().__init__("nccl")
        self.teams, self.mine, self.fails = teams, threading.local(), False

    @property
    def calls(self):
        if not hasattr(self.mine, "calls"):
            self.mine.calls = []
        return self.mine.calls

    def get_unique_id(self):
        return b"an id"

    def groupStart(self):  # noqa: N802 - CuPy's names
        self.calls.append("start")

    def groupEnd(self):  # noqa: N802
        self.calls.append("end")

    def NcclCommunicator(self, size, number, rank):  # noqa: N802
        assert size == len(self.teams) or self.fails
        if self.fails:
            raise NcclError("NCCL_ERROR_SYSTEM_ERROR")
        assert number == b"an id"
        return types.SimpleNamespace(allReduce=lambda *given: self.all_reduce(self.teams[rank], *given))

    def all_reduce(self, team, send, receive, count, of_type, operation, stream):
        assert (send, operation, stream) == (receive, self.NCCL_SUM, STREAM)
        real = ctypes.c_float if of_type == self.NCCL_FLOAT32 else ctypes.c_double
        array = np.ctypeslib.as_array(ctypes.cast(send, ctypes.POINTER(real)), (count,))
        self.calls.append((count, real))
        (array[...],) = team.whole(array.copy())


@pytest.fixture
def nccl(monkeypatch):
    """The stand-in, and CuPy's module around it; GPUs are numbered by rank unless `same` are shared."""
    teams = {}
    fake = FakeNccl(teams)
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))
    monkeypatch.setitem(sys.modules, "cupy.cuda", types.SimpleNamespace(nccl=fake))
    return fake


def cupy_of(team, number=None):
    cuda = types.SimpleNamespace(
        Device=lambda: types.SimpleNamespace(pci_bus_id=f"0000:{team.rank if number is None else number}"),
        get_current_stream=lambda: types.SimpleNamespace(ptr=STREAM),
    )
    return types.SimpleNamespace(cuda=cuda, ascontiguousarray=lambda a: np.ascontiguousarray(a).view(OnGpu))


def test_sums_of_arrays_of_any_shape_are_queued_as_one(nccl):
    def work(team):
        nccl.teams[team.rank] = team
        team.all_have(None)
        gpus = Nccl(cupy_of(team), team)
        values = np.arange(6.0).reshape(2, 3) * (1 + team.rank)
        given = np.float32(2.5) * np.ones((), np.float32), values, values.T.copy().T, values.T
        found = gpus.whole(*given)
        sums = [(1, ctypes.c_float), *[(6, ctypes.c_double)] * 3]
        assert nccl.calls == ["start", *sums, "end"]
        return found

    for number, square, turned, transposed in in_processes(3, work):
        assert (number.shape, float(number)) == ((), 7.5)
        for found in (square, turned, transposed.T):
            np.testing.assert_array_equal(found, np.arange(6.0).reshape(2, 3) * 6)


def test_two_processes_of_one_gpu_are_refused(nccl):
    def work(team):
        nccl.teams[team.rank] = team
        with pytest.raises(
            DeviceError, match="processes 1 and 2 have the same GPU: start no more processes on"
        ):
            Nccl(cupy_of(team, number=min(team.rank, 1)), team)

    in_processes(3, work)
    assert socket.gethostname()  # GPUs of several machines may have one number


def test_where_there_is_no_nccl_all_say_so(nccl):
    nccl.available = False

    def work(team):
        with pytest.raises(
            DeviceError, match=r"CuPy finds none \(it is not installed\): run `python -m cupyx"
        ):
            Nccl(cupy_of(team), team)

    in_processes(2, work)


def test_gpus_that_cannot_be_joined(nccl):
    nccl.fails = True

    def work(team):
        with pytest.raises(
            DeviceError, match=r"cannot join the GPUs \(NCCL_ERROR_SYSTEM_ERROR\): set NCCL_DEBUG"
        ):
            Nccl(cupy_of(team), team)

    in_processes(2, work)


def test_steps_that_are_captured_are_of_one_process():
    device = object.__new__(CudaDevice)
    device._compiled = True
    with pytest.raises(
        DeviceError, match="compile does not work with several processes yet: leave out compile"
    ):
        device.among(None)


@pytest.mark.skipif(host_kernels.COMPILER is None, reason="there is no C++ compiler")
@pytest.mark.parametrize("sharing", [2])
def test_a_network_on_several_gpus_is_the_one_on_one(sharing):
    """With the kernels of CUDA, on the host, and everything at once."""
    mlp, regime = EVERYTHING["mlp"], EVERYTHING["regime"]
    regime = type(regime)(**(vars(regime) | {"solver": "nesterov", "num_steps": 6}))
    params = random_params(np.random.default_rng(31), (), mlp)

    def work(team):
        device = HostGpu()
        if team is not None:
            device = device._with(team, lambda *arrays: tuple(map(on_gpu, team.whole(*map(plain, arrays)))))
        with device.active():
            return fit(
                mlp,
                begin(device, params, "float64", regime, EVERYTHING["hyper"]),
                image_feed(device, "float64", EVERYTHING["augmentation"]),
                device=device,
                regime=regime,
                hyper=EVERYTHING["hyper"],
                sources=sources(34),
            )

    alone, each = work(None), in_processes(sharing, work, by_turns=True)  # kernels have one host
    for other in each[1:]:
        assert_same(other.params, each[0].params)
    for name, value in alone.params.items():
        np.testing.assert_allclose(
            each[0].params[name], value, rtol=0, atol=1e-10 * max(1, np.abs(value).max())
        )
