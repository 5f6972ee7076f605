"""Command-line flags and settings files, both from the fields of one frozen dataclass.

A field made by `setting` is a flag (``batch_size`` is ``--batch-size``), a line of ``--help`` and a
key of a ``--config`` file. Its annotation says what it takes: ``str``, ``int``, ``float``,
``bool``, a ``Literal`` of texts, ``tuple`` of one of these, or any of them ``| None``.
"""

import argparse
import difflib
import json
import reprlib
import textwrap
import tomllib
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, Union, get_args, get_origin, get_type_hints

from xpnet.errors import InputError

__all__ = ["Parser", "flag", "parse", "read_file", "setting"]

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


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `InputError` where argparse prints its usage and exits."""

    def __init__(self, prog: str, **options: Any) -> None:
        # An abbreviated flag in a script would break when a flag that begins alike is added.
        super().__init__(prog, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise `InputError` with the message."""
        raise InputError(f"{message} (see {self.prog} --help)")


def parse(
    parser: Parser,
    settings: type[Any],
    argv: Sequence[str] | None,
    *,
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    several: Collection[str] = (),
    recipes: Mapping[str, Path] | None = None,
    file_of: Callable[[Mapping[str, Any]], Path | None] = lambda _given: None,
    hidden: Collection[str] = (),
) -> dict[str, Any]:
    """Resolve settings: defaults, then each over those before, a ``--recipe``, a ``--config`` file, flags.

    Parameters
    ----------
    parser
        Where the flags are added.
    settings
        The dataclass.
    argv
        Arguments; those of the process by default.
    defaults
        Returns the default of every setting, given those that files and flags set.
    variants
        Defaults that differ, by the name of the case they are for; shown by ``--help``.
    several
        Names of the settings that take any number of values instead of one: flags followed by a
        list, lists in the file. A setting that is a tuple by itself is repeated for this,
        ``--hidden 300 --hidden 100 100``, or a list of lists.
    recipes
        Files of settings that ``--recipe`` names.
    file_of
        Returns, of the flags given, a file of settings that one of them stands for: no other is then allowed.
    hidden
        Settings that ``--help`` does not show, since the command refuses them in words of its own.

    Returns
    -------
    dict
        Every setting by name; those of ``several`` as a tuple of values.

    Raises
    ------
    InputError
        An unknown flag or key, a value of the wrong type, a file that cannot be read.
    """
    _add_flags(parser, settings, variants or {}, several, recipes or {}, hidden)
    namespace, unknown = parser.parse_known_args(argv)
    if unknown:
        known = [flag(f.name) for f in fields(settings)]
        parser.error(f"unknown argument {unknown[0]!r}{_did_you_mean(unknown[0], known)}")
    given = {name: _as_tuple(value) for name, value in vars(namespace).items()}
    given = {name: (True,) if value == () else value for name, value in given.items()}  # a bare --flag
    recipe, config = given.pop("recipe", ""), given.pop("config", None)
    stood_for = file_of(given)
    for name, value in {"recipe": recipe, "config": config}.items():
        if stood_for is not None and value:  # it has every setting, and would hide all of theirs
            raise InputError(f"the settings are those of {stood_for}: drop {flag(name)}")
    files = [(recipes or {}).get(recipe), config, stood_for]
    layers = [read_file(Path(path), settings, several) for path in files if path is not None]
    layers.append(given)
    together = {name: value for layer in layers for name, value in layer.items()}
    resolved = {name: (value,) if name in several else value for name, value in defaults(together).items()}
    for layer in layers:
        for name, rival in _rivals(settings).items():
            if layer.get(name) not in (None, (None,)):
                resolved[rival] = (None,) if rival in several else None
        resolved |= layer
    return resolved


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

    kinds = {name: _Kind.of(hint) for name, hint in get_type_hints(settings).items()}
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in kinds:
            hint = _did_you_mean(name, kinds) or f": the keys are {', '.join(kinds)}"
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


class _Kind(NamedTuple):
    """What an annotation asks for."""

    item: type
    choices: tuple[Any, ...] = ()
    is_tuple: bool = False
    is_optional: bool = False

    @classmethod
    def of(cls, hint: Any) -> "_Kind":
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


def _add_flags(
    parser: Parser,
    settings: type[Any],
    variants: Mapping[str, Mapping[str, Any]],
    several: Collection[str],
    recipes: Collection[str],
    hidden: Collection[str],
) -> None:
    if recipes:
        parser.add_argument(
            "--recipe",
            choices=recipes,
            default=argparse.SUPPRESS,
            help="settings that are known to work; a file and other flags override them",
        )
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,  # so that only what is given ends up in the namespace
        help="settings from a TOML file or the config.json of a run; other flags override it",
    )
    hints, rivals = get_type_hints(settings), _rivals(settings)
    groups: dict[str, Any] = {}
    for f in fields(settings):
        kind = _Kind.of(hints[f.name])
        options: dict[str, Any] = {
            "default": argparse.SUPPRESS,
            "help": (f.metadata["help"] + _defaults(f.name, f.default, variants)).replace("%", "%%"),
        }
        if kind.item is bool and f.name in several:
            options |= {"type": _truth, "nargs": "*", "metavar": "true|false"}
            options["help"] += "; alone it is true"
        elif kind.item is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options |= {"type": kind.item, "choices": kind.choices or None}
            if kind.item in (int, float):
                options["metavar"] = "N" if kind.item is int else "X"
            if kind.is_tuple or f.name in several:
                options["nargs"] = "+"
            if kind.is_tuple and f.name in several:
                options["action"] = "append"
        if f.name in hidden:
            options["help"] = argparse.SUPPRESS
        if f.name in rivals and f.name not in groups:
            groups[f.name] = groups[rivals[f.name]] = parser.add_mutually_exclusive_group()
        groups.get(f.name, parser).add_argument(flag(f.name), **options)


def _truth(text: str) -> bool:
    """Return what a word on the command line says."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"true or false, not {text!r}")
    return text == "true"


def _rivals(settings: type[Any]) -> dict[str, str]:
    """Return the settings of which only one of two can be given, each with the other."""
    pairs = {f.name: f.metadata["instead_of"] for f in fields(settings) if "instead_of" in f.metadata}
    return pairs | {other: name for name, other in pairs.items()}


def _defaults(name: str, default: Any, variants: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the note on defaults at the end of a line of help."""
    cases = {"default": default} | {c: values[name] for c, values in variants.items() if name in values}
    shown = [f"{c}: {_show(v)}" for c, v in cases.items() if v is not None and v is not False]
    return f" ({'; '.join(shown)})" if shown else ""


def _shown(value: Any) -> str:
    """Return a value from a file for a message, in part if it is long."""
    try:
        return reprlib.repr(value)
    except ValueError:  # digits beyond what Python converts, as 0xf…f in TOML
        return "so large a number"


def _show(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _as_tuple(value: Any) -> Any:
    """Return the lists that argparse makes, and those in them, as tuples."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _did_you_mean(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word.partition("=")[0], known, n=1)
    return f": did you mean {close[0]}?" if close else ""
