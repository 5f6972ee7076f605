"""A GPU that can be captured, made of NumPy: what is asked of it during a capture is put on a tape.

During a capture nothing is computed: results are rubbish until the graph is launched, which does what is on
the tape, on the same memory. After a launch the memory of all that was made in passing is rubbish again.
What a CUDA stream refuses to capture, or had better not, is refused here, too, and ends the capture: reading
a value, copies from the host, functions that were never called before (kernels to be compiled), memory that
others have a claim to.
"""

import functools
import operator
import types
from contextlib import contextmanager

import numpy as np
from unreadable import Hidden

from xpnet.device import Device
from xpnet.device.graph import captured


class CaptureError(RuntimeError):
    """Something that cannot be captured."""


class Tape:
    """What has been asked of the GPU, while it is captured."""

    def __init__(self):
        self.actions = None  # a list during a capture
        self.made = []
        self.broken = False
        self.known = set()
        self.pool = None
        self.reads = 0

    def refuse(self, what):
        if self.actions is not None:
            self.broken = True
            raise CaptureError(f"{what} during a capture")

    def call(self, function, *args, **kwargs):
        """Return what a pure function makes of arrays, or a view of them."""
        args, kwargs = plain(args), {name: plain(value) for name, value in kwargs.items()}
        result = function(*args, **kwargs)
        if isinstance(result, bool):  # `isdtype`
            return result
        result = np.asarray(result)
        if self.actions is None:
            self.known.add(function)
            return Taped(self, result)
        if not any(np.may_share_memory(result, array) for array in arrays_of(args)):
            if function not in self.known:
                self.refuse(f"a first {function}")
            self.actions.append(lambda: np.copyto(result, function(*args, **kwargs)))
            self.made.append(result)
            spoil(result)
        return Taped(self, result)

    def change(self, operation, array, *args):
        """Change an array in place."""
        args = plain(args)
        if self.actions is None:
            operation(array._array, *args)
        else:
            self.actions.append(lambda: operation(array._array, *args))
        return array


def arrays_of(args):
    for arg in args:
        if isinstance(arg, np.ndarray):
            yield arg
        elif isinstance(arg, list | tuple):
            yield from arrays_of(arg)


def plain(value):
    if isinstance(value, Taped):
        return value._array
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    if isinstance(value, np.ndarray):
        raise TypeError("a host array meets a device's")
    return value


def spoil(array):
    array[...] = np.nan if array.dtype.kind == "f" else 0


class Taped(Hidden):
    """An array on the GPU."""

    def __init__(self, tape, array):
        self._tape = tape
        self._array = array

    def __getitem__(self, key):
        return self._tape.call(operator.getitem, self, key)

    @property
    def mT(self):  # noqa: N802 - the name that the Array API gives it
        return self._tape.call(np.matrix_transpose, self)

    def __invert__(self):
        return self._tape.call(operator.invert, self)

    def __setitem__(self, key, value):
        self._tape.change(operator.setitem, self, key, value)

    def __float__(self):
        self._tape.refuse("reading")
        return float(self._array)

    def __bool__(self):
        self._tape.refuse("reading")
        return bool(self._array)


def _operators(name):
    operation = getattr(operator, f"__{name}__")
    in_place = getattr(operator, f"__i{name}__")
    setattr(Taped, f"__{name}__", lambda self, other: self._tape.call(operation, self, other))
    setattr(Taped, f"__r{name}__", lambda self, other: self._tape.call(operation, other, self))
    setattr(Taped, f"__i{name}__", lambda self, other: self._tape.change(in_place, self, other))


for _name in ("add", "sub", "mul", "truediv", "pow", "and", "or", "xor", "rshift"):
    _operators(_name)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _compare = getattr(operator, f"__{_name}__")
    setattr(Taped, f"__{_name}__", lambda self, other, f=_compare: self._tape.call(f, self, other))


class Namespace:
    def __init__(self, tape):
        self._tape = tape

    def __getattr__(self, name):
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type):
            return function
        return functools.partial(self._tape.call, function)


class Stream:
    def __init__(self, tape):
        self.tape = tape
        self.captures = 0
        self.launches = 0
        self.recorded = []

    def begin_capture(self):
        assert self.tape.actions is None
        if self.tape.pool is None:
            raise CaptureError("memory of the pool that all share")
        self.tape.actions, self.tape.made, self.tape.broken = [], [], False
        self.captures += 1

    def end_capture(self):
        actions, self.tape.actions = self.tape.actions, None
        if self.tape.broken:
            raise CaptureError("the capture has been broken off")
        self.recorded.append(len(actions))
        return Graph(actions, self.tape.made)


class Graph:
    def __init__(self, actions, made):
        self.actions = actions
        self.made = made

    def launch(self, stream):
        assert stream.tape.actions is None
        stream.launches += 1
        for action in self.actions:
            action()
        for array in self.made:
            spoil(array)


class Cupy:
    """What of CuPy is needed for a capture; it is its own module ``cuda``."""

    def __init__(self, tape):
        self.tape = tape
        self.cuda = self
        self.runtime = types.SimpleNamespace(getDevice=lambda: 0)

    def get_default_memory_pool(self):
        return self

    def free_all_blocks(self):
        self.tape.refuse("freeing memory")

    @contextmanager
    def Device(self, number):  # noqa: N802
        assert number == 0
        yield

    class MemoryPool:
        emptied = 0

        def malloc(self, size):
            raise NotImplementedError

        def free_all_blocks(self):
            type(self).emptied += 1

    @contextmanager
    def using_allocator(self, allocator):
        assert isinstance(allocator.__self__, self.MemoryPool)
        before, self.tape.pool = self.tape.pool, allocator.__self__
        try:
            yield
        finally:
            self.tape.pool = before


class TapedDevice(Device):
    """A device whose steps are captured. What `put` returns is never written to: only copies are."""

    name = "taped"
    is_host = False
    steps_at_once = 4

    def __init__(self):
        super().__init__()
        self.tape = Tape()
        self.xp = Namespace(self.tape)
        self.stream = Stream(self.tape)

    def put(self, array, dtype=None):
        self.tape.refuse("a copy from the host")
        view = super().put(array, dtype).view()
        view.flags.writeable = False
        return Taped(self.tape, view)

    def to_host(self, array):
        self.tape.refuse("reading")
        return np.array(array._array)

    def compile(self, step):
        return captured(self, Cupy(self.tape), lambda: self.stream, step)
