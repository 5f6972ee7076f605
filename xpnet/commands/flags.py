"""Command-line flags from the fields of one frozen dataclass (see `xpnet.runs.settings`)."""

import argparse
import contextlib
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, fields
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from xpnet.errors import InputError
from xpnet.files import path_of
from xpnet.runs.names import did_you_mean, flag
from xpnet.runs.settings import default_of, kinds_of, layered, read_file, rivals, taken, yielding
from xpnet.values import Kind

__all__ = ["DESCRIBE", "Described", "Parser", "add_run", "parse"]

DESCRIBE = "\0"
"""The only argument when a command is asked to describe its flags. No shell can pass it, so no user can."""


class Described(Exception):  # noqa: N818 - an answer, not an error
    """Raised with the parser of a command that was called with `DESCRIBE`."""

    def __init__(self, parser: "Parser") -> None:
        super().__init__(parser)
        self.parser = parser


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `InputError` where argparse prints its usage and exits.

    Parameters
    ----------
    prog
        Name of the command.
    description
        What the command does. The help opens with it and with the examples.
    *examples
        Example calls of the command.
    **options
        Options of `argparse.ArgumentParser`.
    """

    def __init__(self, prog: str, description: str, *examples: str, **options: Any) -> None:
        # Argparse wraps either all of a text, with the examples, or nothing: the description is wrapped here.
        width = shutil.get_terminal_size().columns - 2
        filled = textwrap.fill(" ".join(description.split()), width, break_on_hyphens=False)
        super().__init__(
            prog,
            description="\n".join([filled, *([""] if examples else []), *(f"  {line}" for line in examples)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            # An abbreviated flag in a script would break when another flag with the same beginning is added.
            allow_abbrev=False,
            **options,
        )

    def read(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """Parse arguments, by default those of the process; suggest a known flag for an unknown one."""
        words = sys.argv[1:] if argv is None else argv
        known = {name for action in self._actions for name in action.option_strings}
        for word in words:
            if word == "--":
                break
            if word.startswith("--") and word.partition("=")[0] not in known:
                self.error(f"unknown argument {word!r}{did_you_mean(word, known)}")
        return self.parse_args(words)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, unless the arguments are `DESCRIBE`."""
        if args is not None and list(args) == [DESCRIBE]:
            raise Described(self)
        return super().parse_known_args(args, namespace)

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
    usual: Callable[[Mapping[str, Any]], str | None] = lambda _given: None,
    file_of: Callable[[Mapping[str, Any]], Path | None] = lambda _given: None,
    under: Callable[[Mapping[str, Any], bool], tuple[Mapping[str, Any], bool]] = lambda *_: ({}, False),
    hidden: Collection[str] = (),
    check: Callable[[Mapping[str, Any], Mapping[str, Any]], None] = lambda _given, _settings: None,
) -> dict[str, Any]:
    """Resolve settings: defaults, overridden by a ``--recipe``, then a ``--config`` file, then flags.

    Settings of the recipe that contradict the file or flags are left out, see `xpnet.runs.settings.yielding`.
    A setting ``dataset`` may also be given as an argument without a flag.

    Parameters
    ----------
    parser
        The parser to add the flags to. ``--help`` shows the common ones, ``--help-all`` all of them.
    settings
        The dataclass.
    argv
        Arguments; those of the process by default.
    defaults
        Returns the default of every setting, given those that files and flags set.
    variants
        Other defaults, by the name of the case that they apply to; the help shows them.
    several
        Names of the settings that take any number of values instead of one: several values after a
        flag, or a list in the file. If one value is itself a tuple, the flag is repeated,
        ``--hidden 300 --hidden 100 100``, and the file has a list of lists.
    recipes
        Files of the recipes, by name.
    usual
        Takes the settings from the file and flags, and returns the recipe to use if none is named, or None.
    file_of
        Takes the flags, and returns a settings file that one of them implies, or None. With such a file,
        ``--recipe`` and ``--config`` are refused.
    under
        Takes the settings from the file and flags, and whether neither a recipe nor a file is named. Returns
        settings that one of them implies, which the file and flags override, and whether they are complete,
        so that no default recipe applies.
    hidden
        Settings that the help does not show, because the command refuses them with messages of its own. They
        are left out of a recipe.
    check
        Called with the flags and with all settings, to refuse invalid combinations.

    Returns
    -------
    dict
        Every setting by name; those of ``several`` as a tuple of values.

    Raises
    ------
    InputError
        An unknown flag or key, a value of the wrong type, a file that cannot be read.
    """
    argv = sys.argv[1:] if argv is None else argv
    recipes, kinds = recipes or {}, kinds_of(settings)
    everything = "--help-all" in argv or DESCRIBE in argv
    shown = {f.name for f in fields(settings) if everything or f.metadata.get("common")} - set(hidden)
    _add_flags(parser, settings, variants or {}, several, recipes, shown)
    namespace, unknown = parser.parse_known_args(argv)
    if unknown:
        known = [flag(name) for name in ("recipe", "config", *kinds)]
        parser.error(f"unknown argument {unknown[0]!r}{did_you_mean(unknown[0], known)}")
    words = vars(namespace)
    recipe, config = words.pop("recipe", None), words.pop("config", None)
    data = words.pop("data", None)
    if data is not None:
        if "dataset" in words:
            raise InputError(f"the data set is given twice, as {data} and by --dataset: leave out one")
        words["dataset"] = data
    given = {name: _take(settings, name, value, several) for name, value in words.items()}
    stood_for = file_of(given)
    for name, value in {"recipe": recipe, "config": config}.items():
        if stood_for is not None and value:  # it has every setting, and would override all of theirs
            raise InputError(f"the settings are those of {stood_for}: drop {flag(name)}")
    layers = [read_file(path_of(path), settings, several) for path in (config, stood_for) if path is not None]
    layers.append(given)
    if recipe is not None:
        recipe = Kind(str, tuple(recipes)).take("--recipe", recipe)
    together = {name: value for layer in layers for name, value in layer.items()}
    if stood_for is None:
        taken_over, is_all = under(together, recipe is None and config is None)
        layers.insert(0, {name: value for name, value in taken_over.items() if name not in hidden})
        if recipe is None and not is_all:
            recipe = usual(together)
    if recipe is not None:
        of_recipe = yielding(read_file(recipes[recipe], settings, several), together, settings, several)
        layers.insert(0, {name: value for name, value in of_recipe.items() if name not in hidden})
    resolved = layered(settings, layers, defaults, several)
    check(given, resolved)
    return resolved


def _take(settings: type[Any], name: str, value: Any, several: Collection[str]) -> Any:
    """Return the given value of a setting in the form that `layered` takes; refuse an invalid one."""
    if name not in several:
        return taken(settings, name, flag(name), value)
    # A bare --flag has no value.
    return tuple(taken(settings, name, flag(name), item) for item in value or [True])


def _add_flags(
    parser: Parser,
    settings: type[Any],
    variants: Mapping[str, Mapping[str, Any]],
    several: Collection[str],
    recipes: Collection[str],
    shown: Collection[str],
) -> None:
    kinds, pairs = kinds_of(settings), rivals(settings)
    has_data = "dataset" in kinds
    parser.usage = f"%(prog)s {'[DATA] ' if has_data else ''}[flags]"
    parser.argument_default = argparse.SUPPRESS  # so that the namespace holds only the flags given
    if has_data:
        parser.add_argument("data", nargs="?", metavar="DATA", help="same as --dataset DATA")
    parser.add_argument("--help-all", action="help", help="show all flags, not just the common ones")
    files = parser.add_argument_group("settings from a file (flags override them)")
    if recipes:
        files.add_argument(
            "--recipe",
            metavar=_braces(recipes),
            help="a set of settings known to work; your own data use table or images by default",
        )
    files.add_argument("--config", metavar="FILE", help="TOML file of settings, or the config.json of a run")
    groups: dict[str, Any] = {}  # by heading
    exclusive: dict[str, Any] = {}  # by the name of the setting that excludes another
    for f in fields(settings):
        heading = f.metadata.get("group", "settings")
        if heading not in groups:
            groups[heading] = parser.add_argument_group(heading)
        if f.name in pairs and f.name not in exclusive:
            exclusive[f.name] = exclusive[pairs[f.name]] = groups[heading].add_mutually_exclusive_group()
        options = _options(f, kinds[f.name], f.name in several, _defaults(f.name, default_of(f), variants))
        if f.name not in shown:
            options["help"] = argparse.SUPPRESS
        exclusive.get(f.name, groups[heading]).add_argument(flag(f.name), **options)


def _options(f: Field[Any], kind: Kind, is_several: bool, note: str) -> dict[str, Any]:
    """Return the options of a flag for argparse. `Kind` checks the values: its messages are better."""
    help, metavar = f.metadata["help"], {int: "N", float: "X"}.get(kind.item)
    options: dict[str, Any] = {"type": partial(_value, kind.item)}
    if kind.item is bool and not is_several:
        return {"action": argparse.BooleanOptionalAction, "help": (help + note).replace("%", "%%")}
    if kind.item is bool:
        options["nargs"], metavar, note = "*", "true|false", note + "; without a value: true"
    elif kind.is_tuple or is_several:
        options["nargs"] = "+"
    if kind.is_tuple and is_several:
        options["action"] = "append"
    if kind.choices and is_several:  # as a metavar, argparse would show them twice
        help, metavar = f"{help}; one of {', '.join(kind.choices)}", "NAME"
    elif kind.choices:
        metavar = _braces(kind.choices)
    metavar = metavar or f.name.rpartition("_")[2].upper()
    return options | {"metavar": metavar, "help": (help + note).replace("%", "%%")}


def _value(item: type, text: str) -> Any:
    """Convert a word on the command line to a type; return the word itself if it cannot be converted."""
    if item is bool:
        return {"true": True, "false": False}.get(text, text)
    with contextlib.suppress(ValueError):
        return item(text)
    return text


def _braces(choices: Collection[str]) -> str:
    return "{" + ",".join(choices) + "}"


def _defaults(name: str, default: Any, variants: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the note on defaults at the end of a line of help."""
    cases = {"default": default} | {c: values[name] for c, values in variants.items() if name in values}
    shown = [f"{c}: {_show(v)}" for c, v in cases.items() if v is not None and v is not False and v != ()]
    return f" ({'; '.join(shown)})" if shown else ""


def _show(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the argument that `xpnet.runs.load.open_run` takes."""
    parser.add_argument("run", metavar="RUN", help="folder of a run or a sweep, or a model.safetensors file")
