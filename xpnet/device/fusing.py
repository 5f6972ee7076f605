"""Turn an element-wise function into one CUDA kernel, by tracing the function once.

The function is called with stand-ins for its arrays, which record in C++ what is done to them. So the same
lines of maths run on every device. The result is a CuPy ``ElementwiseKernel``, which takes care of
broadcasting, strides and launching. CuPy's own ``fuse`` is of no use here: it may silently fall back to a
kernel that uses only a few of the GPU's multiprocessors, and it treats Python numbers as arrays.
"""

import math
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from xpnet.typing import Array

__all__ = ["C_TYPES", "Fuser", "Kernel", "Of", "sign", "written"]

C_TYPES = {
    "bool": "bool",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned int",
    "uint64": "unsigned long long",
    "float32": "float",
    "float64": "double",
}


class Traced:
    """An element of an array, or a value computed from elements: a C++ variable and its dtype."""

    __array_ufunc__ = None  # makes NumPy scalars defer to the operators of this class
    __hash__ = None  # type: ignore[assignment] # `==` compares element-wise, as for arrays

    def __init__(self, lines: list[str], name: str, dtype: np.dtype[Any]) -> None:
        self.lines = lines
        self.name = name
        self.dtype = dtype
        self.changed = False

    def __bool__(self) -> bool:
        raise TypeError("an element-wise function asks for a value: use `where`")

    def __getitem__(self, _key: object) -> "Traced":
        raise TypeError("an element-wise function takes a part of an array: hand it the part")

    def __neg__(self) -> "Traced":
        return _let("-{}", self.dtype, self)

    def become(self, value: "Traced") -> "Traced":
        """Change in place."""
        self.lines.append(f"{self.name} = {_in_c(value, self.dtype)};")
        self.changed = True
        return self


def _in_c(operand: Any, dtype: np.dtype[Any]) -> str:
    """Return an operand as an expression of that dtype."""
    to = C_TYPES[dtype.name]
    if isinstance(operand, Traced):
        return operand.name if operand.dtype == dtype else f"({to}){operand.name}"
    if dtype.kind != "f":
        return f"({to})({int(operand)}LL)"
    if not math.isfinite(operand):
        raise TypeError(f"an element-wise function has the number {operand}, which C++ cannot spell")
    return f"({to})({float(operand)!r})"


def _common(*operands: Any) -> np.dtype[Any]:
    """Return the dtype to compute in, as in NumPy 2: a Python number takes the dtype of the others."""
    return np.result_type(
        *(operand.dtype if isinstance(operand, Traced) else operand for operand in operands)
    )


def _let(expression: str, result: Any, *operands: Any, computed_in: Any = None) -> Traced:
    """Return a new variable for the expression, with the operands converted to ``computed_in`` first."""
    lines = next(operand.lines for operand in operands if isinstance(operand, Traced))
    dtype = np.dtype(result)
    number = len(lines)
    of = dtype if computed_in is None else computed_in
    text = expression.format(*(_in_c(operand, of) for operand in operands))
    lines.append(f"{C_TYPES[dtype.name]} t{number} = {text};")
    return Traced(lines, f"t{number}", dtype)


def _operate(symbol: str, a: Any, b: Any) -> Traced:
    of = _common(a, b)
    if symbol in COMPARISONS.values():
        return _let(f"{{}} {symbol} {{}}", bool, a, b, computed_in=of)
    if symbol == "/" and of.kind != "f":
        raise TypeError("an element-wise function divides whole numbers: convert them before")
    if symbol in ("+", "-", "*") and of.kind == "i":
        # Integers wrap around on overflow; in C++, only unsigned ones do.
        c = C_TYPES[of.name]
        return _let(f"({c})((unsigned {c})({{}}) {symbol} (unsigned {c})({{}}))", of, a, b)
    return _let(f"{{}} {symbol} {{}}", of, a, b)


SYMBOLS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "truediv": "/",
    "and": "&",
    "or": "|",
    "xor": "^",
    "rshift": ">>",
}
COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}

for _name, _symbol in (SYMBOLS | COMPARISONS).items():
    setattr(Traced, f"__{_name}__", lambda a, b, s=_symbol: _operate(s, a, b))
    setattr(Traced, f"__r{_name}__", lambda a, b, s=_symbol: _operate(s, b, a))
    setattr(Traced, f"__i{_name}__", lambda a, b, s=_symbol: a.become(_operate(s, a, b)))


def _where(condition: Traced, a: Any, b: Any) -> Traced:
    of = _common(a, b)
    return _let(f"{condition.name} ? {_in_c(a, of)} : {_in_c(b, of)}", of, condition, computed_in=of)


def _clip(x: Traced, low: float, high: float) -> Traced:
    for limit, beyond in ((low, "<"), (high, ">")):
        if math.isfinite(limit):
            x = _let(f"{{0}} {beyond} {{1}} ? {{1}} : {{0}}", x.dtype, x, limit)
    return x


def _function(expression: str) -> Callable[..., Traced]:
    return lambda *operands: _let(expression, _common(*operands), *operands)


NAMESPACE = SimpleNamespace(
    **{
        name: _function(f"{name}({{}})")
        for name in ("exp", "expm1", "log", "log1p", "sqrt", "tanh", "cos", "sin")
    },
    floor=_function("floor({})"),
    round=_function("rint({})"),  # rounds halves to even, as the standard requires
    # NaN stays NaN in all of these.
    abs=_function("{0} < 0 ? -{0} : {0}"),
    sign=_function("{0} != {0} ? {0} : ({0} > 0) - ({0} < 0)"),
    maximum=_function("{0} > {1} ? {0} : {0} <= {1} ? {1} : {0} + {1}"),
    minimum=_function("{0} < {1} ? {0} : {0} >= {1} ? {1} : {0} + {1}"),
    clip=_clip,
    where=_where,
    astype=lambda x, dtype: _let("{}", dtype, x, computed_in=x.dtype),
    int32=np.int32,
    int64=np.int64,
    float32=np.float32,
)
"""The part of the Array API that element-wise functions may use."""


class Of(NamedTuple):
    """Stands for an argument of a function to be traced: an array of this dtype, or a number."""

    dtype: np.dtype[Any]
    is_array: bool = True


class Kernel(NamedTuple):
    """An element-wise function in C++, as ``ElementwiseKernel`` takes it.

    Attributes
    ----------
    name, inputs, outputs, body
        Its name, the arrays it reads, those it writes (and may read), and its statements.
    read
        The positions of the arguments that are ``inputs``.
    write
        For each of ``outputs``, the position of the argument that is changed, or the dtype of a new array.
    returns
        For each returned value, its index in ``outputs``; or, if negative, ``~`` the position of an argument
        that is returned unchanged.
    single
        Whether the function returns one array, not several.
    """

    name: str
    inputs: str
    outputs: str
    body: str
    read: tuple[int, ...]
    write: tuple[int | np.dtype[Any], ...]
    returns: tuple[int, ...]
    single: bool


def written(function: Callable[..., Any], args: tuple[Any, ...], writes: bool) -> Kernel:
    """Return a function translated to C++.

    Parameters
    ----------
    function
        Element-wise function, ``function(xp, *args)``; see `xpnet.nn.composites.elementwise`.
    args
        An `Of` for each array or float; None, integers and everything else as they are: each such value makes
        a different kernel.
    writes
        Whether arguments that the function changes and returns are changed in place; otherwise new arrays are
        returned instead.
    """
    lines: list[str] = []
    given = [Traced(lines, f"v{i}", a.dtype) if isinstance(a, Of) else a for i, a in enumerate(args)]
    arrays = {i: value for i, value in enumerate(given) if isinstance(value, Traced)}
    result = function(NAMESPACE, *given)
    single = isinstance(result, Traced)
    returns: list[int] = []
    write: list[int | np.dtype[Any]] = []
    ends = []
    for value in (result,) if single else result:
        number = next((i for i, argument in arrays.items() if argument is value), None)
        if number is not None and not value.changed:
            returns.append(~number)
            continue
        returns.append(len(write))
        if writes and number is not None:
            ends.append(f"a{number} = {value.name};")
            write.append(number)
        else:
            ends.append(f"r{len(write)} = {value.name};")
            write.append(value.dtype)
    read = tuple(i for i in arrays if i not in write)
    begins = [f"{C_TYPES[value.dtype.name]} v{i} = a{i};" for i, value in arrays.items()]
    return Kernel(
        "xpnet_" + re.sub(r"\W+", "_", function.__qualname__),
        ", ".join(f"{arrays[i].dtype} a{i}" for i in read),
        ", ".join(
            f"{arrays[w].dtype} a{w}" if isinstance(w, int) else f"{w} r{i}" for i, w in enumerate(write)
        ),
        "\n".join([*begins, *lines, *ends]),
        read,
        tuple(write),
        tuple(returns),
        single,
    )


class Fuser:
    """Call element-wise functions as CUDA kernels, each generated on its first call.

    Parameters
    ----------
    cupy
        The module.
    """

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._kernels: dict[Any, tuple[Kernel, Any]] = {}

    def __call__(self, function: Callable[..., Any], args: tuple[Any, ...], writes: bool = True) -> Any:
        """Return ``function(xp, *args)``; see `written` for ``writes``."""
        ndarray = self._cupy.ndarray
        kinds = tuple(Of(arg.dtype) if isinstance(arg, ndarray) else arg for arg in args)
        if any(type(kind) is float for kind in kinds):  # floats take the precision of the arrays
            real = next(kind.dtype for kind in kinds if isinstance(kind, Of) and kind.dtype.kind == "f")
            kinds = tuple(Of(real, False) if type(kind) is float else kind for kind in kinds)
        key = function, writes, kinds
        if key not in self._kernels:
            kernel = written(function, kinds, writes)
            make = self._cupy.ElementwiseKernel
            compiled = make(kernel.inputs, kernel.outputs, kernel.body, kernel.name) if kernel.write else None
            self._kernels[key] = kernel, compiled
        kernel, compiled = self._kernels[key]
        shape: tuple[int, ...] | None = None
        outputs: list[Array] = []
        for made in kernel.write:
            if isinstance(made, int):
                outputs.append(args[made])
                continue
            if shape is None:
                shape = np.broadcast_shapes(*(arg.shape for arg in args if isinstance(arg, ndarray)))
            outputs.append(self._cupy.empty(shape, made))
        if compiled is not None:
            compiled(*(args[i] for i in kernel.read), *outputs)
        results = tuple(outputs[i] if i >= 0 else args[~i] for i in kernel.returns)
        return results[0] if kernel.single else results


def sign(xp: Any, x: Array) -> Array:
    """Return the sign, and NaN for NaN: CuPy's does so only since 14.2, and the adapter's reads back."""
    return xp.sign(x)
