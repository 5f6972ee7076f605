"""A GPU made of NumPy that counts what it is asked to launch; its own kernels are compiled for the host.

Each operation on arrays is a launch, but for views; so is each call of a fused function and of a product, and
a composite is as many as `xpnet.device.kernels` makes of it.
"""

from collections import Counter
from typing import ClassVar

import host_kernels
import numpy as np
from host_kernels import Cupy

from xpnet.device import Device
from xpnet.device.arrays import replacing
from xpnet.device.fusing import Fuser
from xpnet.device.kernels import Kernels

VIEWS = {"matrix_transpose", "reshape", "broadcast_to"}


class OnGpu(np.ndarray):
    """An array that stays one, also of a single number, and counts what is made of it."""

    launches: ClassVar[Counter] = Counter()

    def __array_ufunc__(self, ufunc, method, *args, out=None, **options):
        self.launches[ufunc.__name__] += 1
        if out is not None:
            options["out"] = tuple(map(plain, out))
        result = getattr(ufunc, method)(*map(plain, args), **options)
        return out[0] if out is not None else on_gpu(result)

    def __array_function__(self, function, types, args, options):
        if function.__name__ not in VIEWS:
            self.launches[function.__name__] += 1
        return on_gpu(function(*plain(args), **{name: plain(value) for name, value in options.items()}))

    def __getitem__(self, key):
        return on_gpu(plain(self)[plain(key)])

    def __setitem__(self, key, value):
        self.launches["copy"] += 1
        plain(self)[key] = plain(value)

    @property
    def mT(self):  # noqa: N802 - the name that the Array API gives it
        return on_gpu(plain(self).mT)


def plain(value):
    if isinstance(value, OnGpu):
        return value.view(np.ndarray)
    return type(value)(map(plain, value)) if isinstance(value, list | tuple) else value


def on_gpu(value):
    return np.asarray(value).view(OnGpu) if isinstance(value, np.ndarray | np.generic) else value


def counted(function):
    """A function of the namespace that NumPy doesn't hand to its arrays' class."""

    def call(*args, **options):
        OnGpu.launches[function.__name__] += 1
        return on_gpu(function(*plain(args), **{name: plain(value) for name, value in options.items()}))

    return call


class Launched:
    """A kernel of `host_kernels`, counted."""

    def __init__(self, kernel, name):
        self.kernel, self.name = kernel, name

    def __call__(self, *args):
        OnGpu.launches[self.name] += 1
        return self.kernel(*plain(args))


class CountingCupy(Cupy):
    def ElementwiseKernel(self, inputs, outputs, body, name):  # noqa: N802
        return Launched(host_kernels.ElementwiseKernel(inputs, outputs, body, name), name)

    def RawModule(self, code):  # noqa: N802
        module = host_kernels.RawModule(code)
        found = module.get_function
        module.get_function = lambda name: Launched(found(name), name)
        return module


class HostGpu(Device):
    """A device with the composites and fused functions of a CUDA device."""

    name = "host-gpu"
    is_host = False
    subtracted_from = 0

    def __init__(self):
        super().__init__()
        cupy = CountingCupy(OnGpu)
        own = {name: counted(getattr(np, name)) for name in ("arange", "asarray", "astype", "full", "zeros")}
        kernels = {"composites": {**Kernels(cupy).composites, "elementwise": Fuser(cupy)}}
        # `sum` and `mean` of NumPy are ufuncs' methods, and would be counted twice.
        sums = {name: counted(getattr(np, name)) for name in ("sum", "mean", "max")}
        self.xp = replacing(np, **own, **sums, **kernels)

    def put(self, array, dtype=None):
        return on_gpu(np.array(super().put(plain(array), dtype)))

    def to_host(self, array):
        return plain(array)

    def find_subtract(self):
        def subtract(W, x, dy, keep):
            assert keep is None or keep.shape == W.shape[:-2]
            if keep is not None:
                W *= keep[..., None, None]
            OnGpu.launches["subtract"] += 1
            W = plain(W)
            W -= np.matmul(plain(x).mT, plain(dy))
            return True

        return subtract


def launches(function, *args):
    """Return how often each launch was made."""
    OnGpu.launches.clear()
    function(*args)
    return Counter(OnGpu.launches)
