"""Validates settings and parameters: their kind, read from an annotation, and the range of their numbers."""

import difflib
import math
import reprlib
import types
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import numpy as np

from xpnet.errors import InputError

__all__ = [
    "BELOW_ONE",
    "COUNT",
    "DEVIATION",
    "NOT_NEGATIVE",
    "POSITIVE",
    "WIDTH",
    "Kind",
    "Range",
    "below_one",
    "between",
    "counted",
    "refuse_mask",
    "shown",
]

_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "text"}


class Kind(NamedTuple):
    """What an annotation asks for.

    Attributes
    ----------
    item
        ``bool``, ``int``, ``float`` or ``str``.
    choices
        The allowed values, if they are listed; if the kind ``is_open``, only the best-known ones.
    is_tuple
        Whether it is a tuple of such values.
    is_optional
        Whether it may be None.
    is_open
        Whether values other than the choices may be valid; their owner checks those.
    """

    item: type
    choices: tuple[Any, ...] = ()
    is_tuple: bool = False
    is_optional: bool = False
    is_open: bool = False

    @classmethod
    def of(cls, hint: Any) -> "Kind":
        """Read an annotation."""
        origin, args = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            first, *others = (arg for arg in args if arg is not types.NoneType)
            return cls.of(first)._replace(is_optional=types.NoneType in args, is_open=others == [str])
        if origin is tuple:
            return cls.of(args[0])._replace(is_tuple=True)
        if origin is Literal:
            return cls(type(args[0]), choices=args)
        return cls(hint)

    def describe(self) -> str:
        """Say what a value has to be."""
        if self.choices:
            few = len(self.choices) <= 2
            name = (" or " if few else ", ").join(map(repr, self.choices))
            name = name if few else f"one of {name}"
        else:
            name = _NAMES[self.item]
        return f"{name} or a list of them" if self.is_tuple else name

    def take(self, name: str, value: Any, several: bool = False, other: str = "") -> Any:
        """Return a value converted to this kind.

        Parameters
        ----------
        name
            The name for the message.
        value
            A value from a file or from Python. NumPy's numbers and arrays are accepted like Python's.
        several
            Whether a list of such values is accepted too; it is returned as a tuple.
        other
            Text that the message appends to the allowed values, such as ``", or None"``.

        Raises
        ------
        InputError
            It is of another kind.
        """
        try:
            return self._convert_several(value) if several else self._convert(value)
        except TypeError:
            close: list[str] = []
            if isinstance(value, str) and self.choices:
                close = _meant(value, self.choices)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            text = f"{name} must be {self.describe()}{other}, not {shown(value)}{hint}"
            raise InputError(text) from None
        except OverflowError:
            raise InputError(f"{name} must be {self.describe()} that fits 64 bits") from None

    def _convert(self, value: Any) -> Any:
        """Return a value converted to this kind; raise TypeError if it is of another."""
        value = _plain(value)
        if value is None and self.is_optional:
            return None
        if not self.is_tuple:
            return self._convert_item(value)
        return tuple(map(self._convert_item, value if isinstance(value, list | tuple | range) else (value,)))

    def _convert_several(self, value: Any) -> tuple[Any, ...]:
        """Return a list of values of this kind, or a single one, as a tuple."""
        is_list = isinstance(value, list) and len(value) > 0
        if self.is_tuple:
            is_list = is_list and all(isinstance(item, list) for item in value)
        return tuple(map(self._convert, value)) if is_list else (self._convert(value),)

    def _convert_item(self, value: Any) -> Any:
        value = _plain(value)
        # True is an int to Python, but no one means 1 by it.
        is_number = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
        if self.item is float and is_number:
            return float(value)
        if self.item is int and is_number and isinstance(value, int):
            if value.bit_length() > 128:
                raise OverflowError  # perhaps too large even to be shown; `Range` checks the others
            value = int(value)
        elif self.item is str and isinstance(value, str):
            value = str.__str__(value)  # an enum's text
        elif self.item is not bool or not isinstance(value, bool):
            raise TypeError
        if self.choices and not self.is_open and value not in self.choices:
            raise TypeError
        return value


class Range(NamedTuple):
    """The numbers that a setting accepts.

    Attributes
    ----------
    words
        How a message describes them.
    holds
        A function that returns whether a number is one of them.
    """

    words: str
    holds: Callable[[float], bool]

    def check(self, name: str, value: Any, other: str = "") -> None:
        """Refuse a number, or a tuple with a number, that is out of range; None is always accepted.

        The message appends ``other`` to the allowed values.

        Raises
        ------
        InputError
            A number is out of range.
        """
        for item in value if isinstance(value, tuple) else (value,):
            if item is not None and not self.holds(item):
                raise InputError(f"{name} must be {self.words}{other}, not {item}")


POSITIVE = Range("a finite number above 0", lambda x: 0 < x < math.inf)
NOT_NEGATIVE = Range("a finite number, 0 or more", lambda x: 0 <= x < math.inf)
COUNT = Range("1 or more", lambda x: x >= 1)
BELOW_ONE = Range("0 or more and below 1", lambda x: 0 <= x < 1)


def between(least: float, most: float) -> Range:
    """Return the range with these ends."""
    return Range(f"from {least} to {most}", lambda x: least <= x <= most)


def below_one(dtype: str) -> Range:
    """Return the range from 0 to below 1 in a dtype: a number that rounds to 1 would cause division by 0."""
    return Range(f"0 or more and below 1 in {dtype}", lambda x: x >= 0 and bool(np.dtype(dtype).type(x) < 1))


def counted(name: str, value: Any, least: int = 1) -> int:
    """Return a count as a Python integer; raise InputError if it is not an integer, or too small."""
    what = f"{name} must be an integer, at least {least}, not {shown(value)}"
    try:
        number = int(Kind(int).take(name, value))
    except InputError as error:
        raise InputError(what) from error
    if number < least:
        raise InputError(what)
    return number


def refuse_mask(values: Any, what: str) -> None:
    """Refuse a NumPy masked array with masked values: the values under the mask would be used.

    Raises
    ------
    InputError
        Some values are masked. The message calls the array ``what``.
    """
    if type(values) is np.ndarray or not isinstance(values, np.ndarray):
        return
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        gaps = ""
        if what.startswith("X"):
            gaps = f", or give {what}.astype(float).filled(numpy.nan) where gaps are taken"
        raise InputError(
            f"{what} masks {int(np.count_nonzero(values.mask))} values, but masks are not supported: fill "
            f"them in, or drop such rows{gaps}"
        )


# Larger widths have no use, and each library fails on them differently.
WIDTH = between(1, 10**7)
DEVIATION = Range("a finite number, 0 or more, at most 1e30", lambda x: 0 <= x <= 1e30)


_OTHER_WORDS = {
    "acc": ("val_accuracy",),
    "accuracy": ("val_accuracy",),
    "auc": ("val_roc_auc",),
    "batchnorm": ("batch",),
    "bce": ("logistic", "cross-entropy"),
    "bcewithlogits": ("logistic",),
    "binarycrossentropy": ("logistic", "cross-entropy"),
    "bn": ("batch",),
    "categoricalcrossentropy": ("cross-entropy",),
    "ce": ("cross-entropy",),
    "center": ("mean",),
    "cosineannealing": ("cosine",),
    "double": ("float64",),
    "expdecay": ("exponential",),
    "fixed": ("constant",),
    "fp16": ("bf16",),
    "gd": ("sgd",),
    "heinit": ("he",),
    "kaiming": ("he",),
    "l1": ("absolute-error",),
    "l1loss": ("absolute-error",),
    "l2": ("squared-error",),
    "layernorm": ("layer",),
    "linear": ("identity",),
    "ln": ("layer",),
    "logloss": ("val_log_loss", "cross-entropy"),
    "mae": ("absolute-error", "val_mae"),
    "meanabsoluteerror": ("absolute-error", "val_mae"),
    "meansquarederror": ("squared-error", "val_rmse"),
    "mse": ("squared-error", "val_rmse"),
    "mseloss": ("squared-error",),
    "multistep": ("step",),
    "nll": ("cross-entropy",),
    "onecyclelr": ("one-cycle",),
    "r2": ("val_r2",),
    "rmse": ("val_rmse",),
    "rocauc": ("val_roc_auc",),
    "sigmoid": ("logistic",),
    "single": ("float32",),
    "smoothl1": ("huber",),
    "softmax": ("cross-entropy",),
    "sparsecategoricalcrossentropy": ("cross-entropy",),
    "standard": ("standardize",),
    "standardscaler": ("standardize",),
    "steplr": ("step",),
    "swish": ("silu",),
    "whiten": ("pca-whiten",),
    "xavier": ("glorot",),
    "zscore": ("standardize",),
}
"""Other tools' names for a choice, without spaces, hyphens or underscores."""


def _meant(value: str, choices: Sequence[Any]) -> list[str]:
    """Return the choice that a text may stand for, as a list of one; empty if there is none."""
    plain = value.lower().translate(str.maketrans("", "", " -_"))
    alike = {str(choice).translate(str.maketrans("", "", " -_")): str(choice) for choice in choices}
    named = [alike[plain]] if plain in alike else []
    words = (word.translate(str.maketrans("", "", " -_")) for word in _OTHER_WORDS.get(plain, ()))
    named += [alike[word] for word in words if word in alike]
    return named[:1] or difflib.get_close_matches(value.lower(), list(map(str, choices)), n=1)


def _plain(value: Any) -> Any:
    """Convert NumPy numbers and arrays to Python numbers and lists."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def shown(value: Any) -> str:
    """Return a value for a one-line message, shortened if it is long."""
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # more digits than Python converts, such as 0xf…f in TOML
        return "so large a number"
