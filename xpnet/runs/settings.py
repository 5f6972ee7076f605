"""Settings: the fields of a frozen dataclass, their valid values, and files with settings.

A field made by `setting` is a flag (``batch_size`` is ``--batch-size``), a line of ``--help`` and a
key in a ``--config`` file. Its annotation gives its type: ``str``, ``int``, ``float``,
``bool``, a ``Literal`` of strings, a ``tuple`` of one of these, or any of them ``| None``.
"""

import functools
import json
import os
import reprlib
import textwrap
import tomllib
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import Field, field, fields, is_dataclass
from pathlib import Path
from typing import Any, cast, get_type_hints

from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.runs.names import did_you_mean, flag
from xpnet.values import Kind

__all__ = [
    "GROUPS",
    "default_of",
    "differing",
    "kinds_of",
    "layered",
    "normalise",
    "read_file",
    "refuse_unknown",
    "rivals",
    "setting",
    "settings_in",
    "taken",
    "yielding",
]

GROUPS = ("data", "network", "training", "regularisation", "augmentation", "device", "output", "sweep")
"""Groups of settings, in the order of the help text."""


def setting(default: Any, help: str, **metadata: Any) -> Any:
    """Return a dataclass field with the metadata that flags and files need.

    Parameters
    ----------
    default
        Its default value.
    help
        Its text in ``--help``.
    **metadata
        ``group``, one of `GROUPS`. ``common=True`` for settings that most people use. ``instead_of``, the
        name of a setting that excludes this one: giving either makes the other None. ``unless_given``, the
        value of a setting if both of such a pair are None. ``path=True`` if it may be a path, including a
        `pathlib.Path`. ``yields_to``, names of other settings, with the values (none for any) for which they
        override a recipe's value of this one. Other keys are free.
    """
    return field(default=default, metadata={"help": help, **metadata})


def default_of(f: Field[Any]) -> Any:
    """Return the default value of a setting."""
    return f.metadata.get("unless_given", f.default)


def kinds_of(settings: type[Any]) -> Mapping[str, Kind]:
    """Return the kind of each setting of a dataclass, by name."""
    return _read(cast("Hashable", settings))[0]


def rivals(settings: type[Any]) -> Mapping[str, str]:
    """Return the settings that exclude each other, each with its counterpart."""
    return _read(cast("Hashable", settings))[1]


@functools.cache
def _read(settings: Any) -> tuple[dict[str, Kind], dict[str, str], set[str]]:
    """Read a dataclass, cached because a sweep makes thousands of instances."""
    hints = get_type_hints(settings)
    pairs = {f.name: f.metadata["instead_of"] for f in fields(settings) if "instead_of" in f.metadata}
    kinds = {f.name: Kind.of(hints[f.name]) for f in fields(settings)}
    paths = {f.name for f in fields(settings) if f.metadata.get("path")}
    return kinds, pairs | {other: name for name, other in pairs.items()}, paths


def normalise(settings: Any) -> None:
    """Convert every setting of an instance to the type of its annotation.

    Parameters
    ----------
    settings
        An instance of the dataclass, frozen or not, from its ``__post_init__``.

    Raises
    ------
    InputError
        If a value has the wrong type or is not among the choices.
    """
    pairs = rivals(type(settings))
    for f in fields(settings):
        value = taken(type(settings), f.name, flag(f.name), getattr(settings, f.name))
        if value is None and f.name in pairs and getattr(settings, pairs[f.name]) is None:
            value = default_of(f)
        object.__setattr__(settings, f.name, value)


def taken(settings: type[Any], name: str, label: str, value: Any, several: bool = False) -> Any:
    """Return a value of a setting, converted to its kind; in paths, ``~`` is expanded.

    Parameters
    ----------
    settings, name
        The dataclass, and the setting.
    label
        Its name in messages.
    value, several
        As for `xpnet.values.Kind.take`.

    Raises
    ------
    InputError
        If it cannot be converted.
    """
    kinds, paths = _read(cast("Hashable", settings))[::2]
    if name in paths and isinstance(value, str | os.PathLike):
        value = os.path.expanduser(os.fspath(value))  # noqa: PTH111 - a name of a data set is no path
    return kinds[name].take(label, value, several)


def layered(
    settings: type[Any],
    layers: Iterable[Mapping[str, Any]],
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    several: Collection[str] = (),
) -> dict[str, Any]:
    """Return every setting by name: the defaults, overridden by each layer in turn.

    Of two settings that exclude each other, the one in the later layer counts.

    Parameters
    ----------
    settings
        The dataclass.
    layers
        Mappings of some settings by name: of a recipe, a file, a caller.
    defaults
        Returns the default of every setting, given those that the layers set.
    several
        Names of the settings that have a tuple of values in the layers, instead of one.

    Raises
    ------
    InputError
        There is no setting of that name.
    """
    layers = list(layers)
    for layer in layers:
        refuse_unknown(layer, settings)
    together = {name: value for layer in layers for name, value in layer.items()}
    usual = {name: (value,) if name in several else value for name, value in defaults(together).items()}
    pairs, resolved = rivals(settings), dict(usual)
    for layer in layers:
        for name, other in pairs.items():
            if not _is_none(layer.get(name)):
                resolved[other] = (None,) if other in several else None
        resolved |= layer
    for name, other in pairs.items():
        if _is_none(resolved[name]) and _is_none(resolved[other]):
            resolved |= {name: usual[name], other: usual[other]}
    return resolved


def yielding(
    recipe: Mapping[str, Any], given: Mapping[str, Any], settings: type[Any], several: Collection[str] = ()
) -> dict[str, Any]:
    """Return the settings of a recipe without those that would contradict or override what the user gave.

    Parameters
    ----------
    recipe, given
        Settings by name.
    settings, several
        As for `layered`.
    """
    kept = dict(recipe)
    for f in fields(settings):
        for other, values in f.metadata.get("yields_to", {}).items():
            said = given.get(other, ()) if other in several or other not in given else (given[other],)
            if any(not values or str(value) in map(str, values) for value in said):  # a value may be anything
                kept.pop(f.name, None)
    return kept


def read_file(path: Path, settings: type[Any], several: Collection[str] = ()) -> dict[str, Any]:
    """Read settings from a TOML file, or from a JSON file if its name ends in ``.json``.

    Parameters
    ----------
    path
        The file. Its keys may be spelt with ``-`` or ``_``.
    settings, several
        As for `layered`.

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
        raise InputError(f"{path} is not valid {form} ({reason}): correct it, in UTF-8") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} contains no settings: write them as in the config.json of a run")

    kinds = kinds_of(settings)
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in kinds:
            hint = did_you_mean(name, kinds) or f": the keys are {', '.join(kinds)}"
            raise InputError(f"{path}: unknown key {reprlib.repr(key)}{hint}")
        if name in values:
            raise InputError(f"{path}: {name} is given twice, with - and with _: drop one")
        values[name] = taken(settings, name, f"{path}: {key}", value, name in several)
    return values


def refuse_unknown(
    names: Iterable[str], settings: type[Any], purpose: str = "", arguments: Collection[str] = ()
) -> None:
    """Refuse names that are not settings.

    Parameters
    ----------
    names
        The names, as the caller wrote them.
    settings
        The dataclass.
    purpose
        What they are for, as part of the message: ``" to sweep over"``.
    arguments
        Names of other arguments that may be meant.

    Raises
    ------
    InputError
        There is no setting of that name.
    """
    known = kinds_of(settings)
    for name in names:
        if name not in known:
            hint = did_you_mean(str(name), (*known, *arguments))
            hint = hint or ": xpnet train --help-all lists them all"
            raise InputError(f"there is no setting {reprlib.repr(name)}{purpose}{hint}")


def settings_in(layer: Any, settings: type[Any]) -> Mapping[str, Any]:
    """Return the settings in one layer, by name.

    Parameters
    ----------
    layer
        A mapping, an instance of a dataclass of settings, or the path of a file.
    settings
        The dataclass.

    Raises
    ------
    InputError
        It is none of these, or the file cannot be read.
    """
    if isinstance(layer, str | os.PathLike):
        return read_file(path_of(layer), settings)
    if isinstance(layer, Mapping):
        return layer
    if not is_dataclass(layer):
        raise InputError(
            f"settings must be a dict, a Config or the path of a file, not {type(layer).__name__}: give one "
            "of these"
        )
    return {f.name: getattr(layer, f.name) for f in fields(layer)}


def differing(settings: Any, usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an instance that differ from the given defaults, by name.

    A setting that is None because its counterpart is given is left out.
    """
    given = {f.name: getattr(settings, f.name) for f in fields(settings)}
    for name, other in rivals(type(settings)).items():
        if given.get(name, other) is None and given.get(other) is not None:
            del given[name]
    return {name: value for name, value in given.items() if value != usual[name]}


def _is_none(value: Any) -> bool:
    """Return whether a layer leaves a setting open (None, or a tuple of one None)."""
    return value is None or (isinstance(value, tuple) and value == (None,))
