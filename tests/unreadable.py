"""Arrays that cannot be read: NumPy behind a wall, for code that a device may capture or compile.

`Unreadable` arrays compute as NumPy's do, but whatever asks for their values on the host, a float, a
truth value, an index, raises `ReadError`. `xp` is their namespace; it refuses host arrays.
"""

import operator

import numpy as np

from xpnet.device import Device


class ReadError(TypeError):
    """A value was asked for on the host."""


class Hidden:
    """An array of which shape and dtype are known."""

    __array_ufunc__ = None  # NumPy's own operators step back

    @property
    def shape(self):
        return self._array.shape

    @property
    def ndim(self):
        return self._array.ndim

    @property
    def dtype(self):
        return self._array.dtype


class Unreadable(Hidden):
    """An array of which nothing else is known, as a tracer's."""

    def __init__(self, array):
        self._array = np.asarray(array)

    @property
    def mT(self):  # noqa: N802 - the name that the Array API gives it
        return Unreadable(self._array.mT)

    def __getitem__(self, key):
        for part in key if isinstance(key, tuple) else (key,):
            if not (part is None or part is Ellipsis or isinstance(part, int | slice)):
                raise ReadError(f"indexed by {type(part).__name__}")
        return Unreadable(self._array[key])


def _refuse(name):
    def refuse(*_args, **_kwargs):
        raise ReadError(name)

    return refuse


def _operate(operation, reflected=False, in_place=False):
    def operate(self, other):
        value = _unwrap(other)
        result = operation(value, self._array) if reflected else operation(self._array, value)
        if in_place:
            self._array = np.asarray(result)
            return self
        return Unreadable(result)

    return operate


def _unwrap(value):
    if isinstance(value, Unreadable):
        return value._array
    if isinstance(value, list | tuple):
        return type(value)(map(_unwrap, value))
    if isinstance(value, np.ndarray | np.generic):
        raise ReadError("a host array meets a device's")
    return value


for _name in (
    *("__bool__", "__int__", "__float__", "__complex__", "__index__", "__array__", "__dlpack__"),
    *("__iter__", "__len__", "__contains__", "__setitem__", "__repr__", "__format__"),
):
    setattr(Unreadable, _name, _refuse(_name))

# Not `@`: a device may put a product of its own in the place of `xp.matmul`.
for _name in ("add", "sub", "mul", "truediv", "pow", "and", "xor", "rshift"):
    _operation = getattr(operator, f"__{_name}__")
    setattr(Unreadable, f"__{_name}__", _operate(_operation))
    setattr(Unreadable, f"__r{_name}__", _operate(_operation, reflected=True))
    setattr(Unreadable, f"__i{_name}__", _operate(getattr(operator, f"__i{_name}__"), in_place=True))

for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Unreadable, f"__{_name}__", _operate(getattr(operator, _name)))


class _Namespace:
    def __getattr__(self, name):
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type):
            return function

        def call(*args, **kwargs):
            result = function(*map(_unwrap, args), **{k: _unwrap(v) for k, v in kwargs.items()})
            return result if isinstance(result, bool) else Unreadable(result)  # `isdtype` tells a bool

        return call


xp = _Namespace()


class UnreadableDevice(Device):
    """A device that counts how often it is asked for values."""

    name = "unreadable"
    is_host = False

    def __init__(self):
        super().__init__()
        self.xp = xp
        self.reads = 0

    def put(self, array, dtype=None):
        return Unreadable(super().put(array, dtype))

    def to_host(self, array):
        self.reads += 1
        return array._array
