"""``xpnet completion``: a script that makes a shell complete commands, flags, their values and file names."""

import argparse
import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from xpnet import recipes
from xpnet.commands import COMMANDS
from xpnet.commands.console import run_command
from xpnet.commands.flags import DESCRIBE, Described, Parser
from xpnet.commands.sweep import SweepConfig
from xpnet.errors import InputError
from xpnet.runs.settings import kinds_of

__all__ = ["main"]

NAME = "xpnet completion"

SHELLS = ("bash", "zsh", "fish")

FILES = {"config", "data_dir", "folders", "input", "output", "run"}
"""Arguments that are paths. Settings are not listed: their metadata say whether they are paths."""

VALUES: Mapping[str, Collection[str]] = {
    "device": ("cpu", "cuda", "mps", "auto"),
    "recipe": recipes.names(),
}
"""Values to suggest for flags that take other values, too, or that are not settings."""

DATA = {
    "bash": "_xpnet_data_or_files",  # the name tells shtab that these are names of files
    "zsh": "_xpnet_data_or_files",
    "fish": "(printf '%s\\n' digits cifar10; __fish_complete_path (commandline -ct))",
}
"""What completes a data set: the name of a built-in one, or a file."""

PREAMBLE = {
    "bash": '_xpnet_data_or_files() {\n  compgen -W "digits cifar10" -- "$1"\n  compgen -f -- "$1"\n}',
    "zsh": "_xpnet_data_or_files() {\n  _alternative 'data:data set:(digits cifar10)' 'files:file:_files'\n}",
    "fish": "",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the script for the shell that the arguments name; return the exit status of `run_command`."""
    return run_command(NAME, lambda _: _print(argv))


def _print(argv: Sequence[str] | None) -> int:
    parser = Parser(
        NAME,
        "Print a script that lets a shell complete the commands, flags and values of xpnet, and file "
        "names. Save it where the shell looks for such scripts (zsh: any folder in fpath), and save it "
        "again after each update of xpnet.",
        "xpnet completion bash > ~/.local/share/bash-completion/completions/xpnet",
        "xpnet completion zsh > ~/.zfunc/_xpnet",
        "xpnet completion fish > ~/.config/fish/completions/xpnet.fish",
    )
    parser.add_argument("shell", metavar="{" + ",".join(SHELLS) + "}", help="shell to write the script for")
    shell = parser.read(argv).shell
    if shell not in SHELLS:
        raise InputError(
            f"there is no completion for {shell!r}: give {', '.join(SHELLS[:-1])} or {SHELLS[-1]}"
        )
    try:
        import shtab
    except ImportError:
        raise InputError('xpnet completion needs shtab: pip install "xpnet[cli]"') from None
    script = shtab.complete(_all_commands(), shell, preamble=PREAMBLE[shell])
    if shell == "zsh":  # shtab's script accepts only one value where an argument takes several
        script = script.replace('  "(*)::', '  "*:')
    print(script)
    return 0


def _all_commands() -> argparse.ArgumentParser:
    """Return a parser with all commands as subcommands, and with completions for their arguments."""
    everything = argparse.ArgumentParser("xpnet")
    everything.add_argument("--version", action="store_true", help="show the version")
    below = everything.add_subparsers(parser_class=argparse.ArgumentParser)
    for name, (module, what) in COMMANDS.items():
        described = _parser_of(module)
        for action in described._actions:
            _complete(action)
        below.add_parser(name, help=what, description=what, parents=[described], add_help=False)
    return everything


def _parser_of(module: str) -> Parser:
    """Return the parser of a command, which the command creates when it is called."""
    try:
        importlib.import_module(module).main([DESCRIBE])
    except Described as answer:
        return answer.parser
    raise AssertionError(f"{module} reads its arguments by another parser")


def _complete(action: argparse.Action) -> None:
    """Set what completes an argument: its possible values, or file names."""
    import shtab

    kinds = kinds_of(SweepConfig)
    kind = kinds.get(action.dest)
    paths = {f.name for f in fields(SweepConfig) if f.metadata.get("path")} | FILES
    if action.dest == "shell":
        action.choices = SHELLS
    elif action.dest == "name":
        action.choices = recipes.names()
    elif action.dest in ("data", "dataset"):
        _set(action, DATA)
    elif action.dest in VALUES:
        action.choices = list(VALUES[action.dest])
    elif kind is not None and kind.choices and not kind.is_open:
        action.choices = list(kind.choices)
    elif kind is not None and kind.item is bool and action.nargs == "*":
        action.choices = ["true", "false"]
    elif action.dest in paths:
        _set(action, shtab.FILE)


def _set(action: Any, completer: Mapping[str, Any]) -> None:
    """Set the attribute that shtab reads."""
    action.complete = completer
