"""Read the pickles of CIFAR-10's python layout without trusting them.

A pickle is a program: the standard unpickler calls whatever function it names. The files of
CIFAR-10 need dicts, lists, integers, text, bytes and one matrix of bytes, so this reader can build
these and nothing else. It takes three measures, each of which closes a hole that the others leave:

* Names (`find_class`) lead to functions of this file, never to NumPy's own, which could make
  arrays of any dtype and size.
* Opcodes not in `_OPCODES` do not exist. Those that make instances or look up extensions are
  removed, and the others are harmless: BUILD, which normally sets attributes of any object, only
  fills an array.
* Every object is made from bytes in the file, so none can be larger than the file. This is why the
  reader is the Python one, `pickle._Unpickler`: six bytes can make the C one fill a memo table of
  64 GiB, and its opcodes cannot be restricted.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import InputError

_OPCODES = (
    # frame
    pickle.PROTO, pickle.FRAME, pickle.STOP,
    # scalars
    pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE,
    pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.LONG4,
    # bytes and text, of Python 2 and of Python 3
    pickle.SHORT_BINSTRING, pickle.BINSTRING,
    pickle.SHORT_BINBYTES, pickle.BINBYTES, pickle.BINBYTES8, pickle.BYTEARRAY8,
    pickle.SHORT_BINUNICODE, pickle.BINUNICODE, pickle.BINUNICODE8,
    # containers
    pickle.MARK, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3,
    pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS,
    pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS,
    # memo
    pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET,
    # the four that make a NumPy array
    pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE, pickle.BUILD,
)  # fmt: skip

# Placeholders for the names in a pickle until their array is complete.
_NDARRAY, _UINT8, _UNFILLED = object(), object(), object()


def load(raw: bytes, where: str) -> dict[str, Any]:
    """Read the dict in a batch file of CIFAR-10.

    Parameters
    ----------
    raw : bytes
        A pickle of protocol 2, as Python 2 and NumPy 1 wrote the official files, or of protocol
        2 to 5 as Python 3 writes them.
    where : str
        Name of the file in messages.

    Returns
    -------
    dict
        Its keys are text, even if Python 2 wrote byte strings. The values are ``int``, ``bytes``,
        ``str``, lists of these, and ``uint8`` arrays of shape (n, d).

    Raises
    ------
    InputError
        If the pickle is damaged, or names or holds anything else.
    """
    try:
        loaded = _Unpickler(raw, where).load()
    except InputError:
        raise
    except Exception as error:
        # A meaningless program can fail like any program: IndexError, TypeError, …
        raise InputError(
            f"{where} is not a batch file of CIFAR-10, or a damaged one "
            f"(unpickling ends in {type(error).__name__}): replace it with a fresh copy"
        ) from error
    if not isinstance(loaded, dict):
        raise InputError(f"{where} holds no dict: replace it with a batch file of CIFAR-10")
    return loaded


class _Unpickler(pickle._Unpickler):
    """The standard library's unpickler, stripped down; the module's docstring says why."""

    stack: list[Any]  # from the base class, which does not declare it
    pop_mark: Callable[[], list[Any]]

    def __init__(self, raw: bytes, where: str) -> None:
        super().__init__(io.BytesIO(raw), encoding="bytes")
        self._where = where
        self._bytes_to_encode = len(raw)

    def find_class(self, module: str, name: str) -> object:
        """Return this file's stand-in for a name."""
        # NumPy 2 renamed numpy.core; a pickle contains the name that was valid when it was written.
        match module.replace("numpy._core", "numpy.core"), name:
            case "numpy", "ndarray":
                return _NDARRAY
            case "numpy", "dtype":
                return _dtype
            case "numpy.core.multiarray", "_reconstruct":
                return _reconstruct
            case "numpy.core.numeric", "_frombuffer":
                return _frombuffer
            case "_codecs", "encode":
                return self._encode
        raise InputError(
            f"{self._where} names {f'{module}.{name}'[:80]!a}, which no CIFAR-10 file does: "
            "do not trust it; delete it and get a fresh copy"
        )

    def _encode(self, text: str, encoding: str) -> bytes:
        """Return the bytes that Python 3 writes as text in protocol 2."""
        if encoding != "latin1":
            raise pickle.UnpicklingError("bytes in another encoding than latin1")
        self._bytes_to_encode -= len(text)  # else one long text, encoded often, could fill the memory
        if self._bytes_to_encode < 0:
            raise pickle.UnpicklingError("more encoded bytes than the file holds")
        return text.encode("latin1")

    def _load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_item(key, value)

    def _load_setitems(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set_item(key, value)

    def _set_item(self, key: object, value: object) -> None:
        """Store an item in the dict on the stack. Only text keys: others can be crafted to hash slowly."""
        if isinstance(key, bytes):
            key = key.decode("ascii")
        fields = self.stack[-1]
        if not (isinstance(key, str) and isinstance(fields, dict)):
            raise pickle.UnpicklingError("a dict with keys other than text")
        fields[key] = value

    def _load_build(self) -> None:
        """Fill the array on the stack; a dtype is already complete."""
        state = self.stack.pop()
        if self.stack[-1] is _UNFILLED:
            _version, shape, dtype, fortran, raw = state
            self.stack[-1] = _frombuffer(raw, dtype, shape, "F" if fortran else "C")
        elif self.stack[-1] is not _UINT8:
            raise pickle.UnpicklingError("an object with a state")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES},
        # The standard handler allocates the length that the file claims before reading.
        pickle.BYTEARRAY8[0]: pickle._Unpickler.dispatch[pickle.BINBYTES8[0]],
        pickle.SETITEM[0]: _load_setitem,
        pickle.SETITEMS[0]: _load_setitems,
        pickle.BUILD[0]: _load_build,
    }


def _dtype(code: str | bytes, *_flags: object) -> object:
    """Stand in for ``numpy.dtype``; batch files need only one dtype."""
    if code not in ("u1", b"u1"):
        raise pickle.UnpicklingError("an array of another dtype than uint8")
    return _UINT8


def _reconstruct(*_empty_array: object) -> object:
    """Stand in for NumPy's function of this name, which makes an empty array for BUILD to fill."""
    return _UNFILLED


def _frombuffer(raw: bytes, dtype: object, shape: tuple[int, int], order: str) -> NDArray[np.uint8]:
    """Stand in for NumPy's function of this name; return an (n, d) array that is a view of ``raw``."""
    rows, columns = shape
    if dtype is not _UINT8 or divmod(len(raw), columns) != (rows, 0):
        raise pickle.UnpicklingError("an array that does not fit its bytes")
    flat = np.frombuffer(raw, dtype=np.uint8)
    return flat.reshape(rows, columns, order="F" if order == "F" else "C")
