"""Settings: the fields of one frozen dataclass, and files that hold them.

A field made by `setting` is a flag (``batch_size`` is ``--batch-size``), a line of ``--help`` and a
key of a ``--config`` file. Its annotation says what it takes: ``str``, ``int``, ``float``,
``bool``, a ``Literal`` of texts, ``tuple`` of one of these, or any of them ``| None``.
"""

import difflib
import json
import reprlib
import textwrap
import tomllib
import types
from collections.abc import Collection
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from xpnet.errors import InputError

__all__ = ["Kind", "did_you_mean", "flag", "read_file", "setting"]

_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "text"}


def setting(default: Any, help: str, **metadata: Any) -> Any:
    """Return a dataclass field with what flags and files need to know of it.

    Parameters
    ----------
    default
        Its value where nobody gives one.
    help
        What ``--help`` says of it.
    **metadata
        ``instead_of``, the name of a setting that is None once this one is given, and the other
        way round; and whatever else the owner wants to note.
    """
    return field(default=default, metadata={"help": help, **metadata})


def flag(name: str) -> str:
    """Return the command-line flag of a setting: ``--batch-size`` for ``batch_size``."""
    return "--" + name.replace("_", "-")


def read_file(path: Path, settings: type[Any], several: Collection[str] = ()) -> dict[str, Any]:
    """Read settings from a TOML file, or from JSON if its name ends so.

    Parameters
    ----------
    path
        The file. Its keys may be spelt with ``-`` or ``_``.
    settings, several
        As for `parse`.

    Returns
    -------
    dict
        The settings in the file by name.

    Raises
    ------
    InputError
        The file cannot be read, or has an unknown key or a value of the wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): "
            "--config takes a TOML file or the config.json of a run"
        ) from error
    except (ValueError, RecursionError) as error:
        form = "JSON" if path.suffix == ".json" else "TOML"
        reason = textwrap.shorten(str(error), 300, placeholder="…")
        raise InputError(f"{path} is no valid {form} ({reason}): correct it, in UTF-8") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings: write them as in the config.json of a run")

    kinds = {name: Kind.of(hint) for name, hint in get_type_hints(settings).items()}
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in kinds:
            hint = did_you_mean(name, kinds) or f": the keys are {', '.join(kinds)}"
            raise InputError(f"{path}: unknown key {reprlib.repr(key)}{hint}")
        if name in values:
            raise InputError(f"{path}: {name} is given twice, with - and with _: drop one")
        kind = kinds[name]
        try:
            values[name] = kind.convert_several(value) if name in several else kind.convert(value)
        except TypeError:
            raise InputError(f"{path}: {key} must be {kind.describe()}, not {_shown(value)}") from None
        except OverflowError:
            raise InputError(f"{path}: {key} must be {kind.describe()} that fits 64 bits") from None
    return values


class Kind(NamedTuple):
    """What an annotation asks for."""

    item: type
    choices: tuple[Any, ...] = ()
    is_tuple: bool = False
    is_optional: bool = False

    @classmethod
    def of(cls, hint: Any) -> "Kind":
        """Read an annotation."""
        origin, args = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            (inner,) = (arg for arg in args if arg is not types.NoneType)
            return cls.of(inner)._replace(is_optional=True)
        if origin is tuple:
            return cls.of(args[0])._replace(is_tuple=True)
        if origin is Literal:
            return cls(type(args[0]), choices=args)
        return cls(hint)

    def describe(self) -> str:
        """Say what a file has to hold."""
        name = " or ".join(map(repr, self.choices)) or _NAMES[self.item]
        return f"a list, each item {name}" if self.is_tuple else name

    def convert(self, value: Any) -> Any:
        """Return a value read from a file in this kind; raise TypeError if it is of another."""
        if value is None and self.is_optional:
            return None
        if not self.is_tuple:
            return self._convert_item(value)
        if not isinstance(value, list):
            raise TypeError
        return tuple(map(self._convert_item, value))

    def convert_several(self, value: Any) -> tuple[Any, ...]:
        """Return a list of values of this kind, or a single one, as a tuple."""
        is_list = isinstance(value, list) and len(value) > 0
        if self.is_tuple:
            is_list = is_list and all(isinstance(item, list) for item in value)
        return tuple(map(self.convert, value)) if is_list else (self.convert(value),)

    def _convert_item(self, value: Any) -> Any:
        if type(value) is int and value.bit_length() > 64 and self.item is int:
            raise OverflowError  # too large for any setting, and perhaps even to be shown
        if self.item is float and type(value) is int:
            return float(value)
        # Not isinstance: True is an int.
        if type(value) is not self.item or (self.choices and value not in self.choices):
            raise TypeError
        return value


def _shown(value: Any) -> str:
    """Return a value from a file for a message, in part if it is long."""
    try:
        return reprlib.repr(value)
    except ValueError:  # digits beyond what Python converts, as 0xf…f in TOML
        return "so large a number"


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return what to add to a message about an unknown word; nothing if none is like it."""
    close = difflib.get_close_matches(word.partition("=")[0], known, n=1)
    return f": did you mean {close[0]}?" if close else ""
