"""Command-line flags from the fields of one frozen dataclass (see `xpnet.runs.settings`)."""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from xpnet.errors import InputError
from xpnet.runs.settings import default_of, did_you_mean, flag, kinds_of, layered, read_file, rivals

__all__ = ["Parser", "add_run", "parse"]


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
        parser.error(f"unknown argument {unknown[0]!r}{did_you_mean(unknown[0], known)}")
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
    return layered(settings, layers, defaults, several)


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
    kinds, pairs = kinds_of(settings), rivals(settings)
    groups: dict[str, Any] = {}
    for f in fields(settings):
        kind = kinds[f.name]
        options: dict[str, Any] = {
            "default": argparse.SUPPRESS,
            "help": (f.metadata["help"] + _defaults(f.name, default_of(f), variants)).replace("%", "%%"),
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
        if f.name in pairs and f.name not in groups:
            groups[f.name] = groups[pairs[f.name]] = parser.add_mutually_exclusive_group()
        groups.get(f.name, parser).add_argument(flag(f.name), **options)


def _truth(text: str) -> bool:
    """Return what a word on the command line says."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"true or false, not {text!r}")
    return text == "true"


def _defaults(name: str, default: Any, variants: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the note on defaults at the end of a line of help."""
    cases = {"default": default} | {c: values[name] for c, values in variants.items() if name in values}
    shown = [f"{c}: {_show(v)}" for c, v in cases.items() if v is not None and v is not False]
    return f" ({'; '.join(shown)})" if shown else ""


def _show(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _as_tuple(value: Any) -> Any:
    """Return the lists that argparse makes, and those in them, as tuples."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the argument that `xpnet.runs.saved_run.open_run` takes."""
    parser.add_argument("run", metavar="RUN", help="run folder, or a model.safetensors")
