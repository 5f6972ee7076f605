"""``xpnet completion``: scripts that the shells themselves run."""

import shutil
import subprocess
import sys
from dataclasses import fields

import pytest

pytest.importorskip("shtab", reason="shtab is not installed")

from xpnet import Config, recipes
from xpnet.__main__ import main as xpnet
from xpnet.commands import COMMANDS, completion, train
from xpnet.commands.completion import _all_commands, _parser_of
from xpnet.commands.flags import DESCRIBE, Described
from xpnet.nn.solvers import SOLVERS
from xpnet.runs.names import flag

needs_bash = pytest.mark.skipif(
    sys.platform == "win32" or not shutil.which("bash"), reason="bash is not installed, or not of this system"
)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Return what writes the script for a shell, once; it returns the path."""
    folder = tmp_path_factory.mktemp("completion")

    def write(shell):
        path = folder / shell
        if not path.exists():
            with pytest.MonkeyPatch.context() as patch:
                text = []
                patch.setattr("builtins.print", text.append)
                assert completion.main([shell]) == 0
            path.write_text(text[0], encoding="utf-8")
        return path

    return write


@pytest.fixture
def complete(script, tmp_path):
    """Return what bash makes of a line that ends where Tab is pressed."""
    (tmp_path / "houses.csv").touch()
    (tmp_path / "runs").mkdir()
    asked = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_xpnet; printf "%s\\n" "${COMPREPLY[@]}"'

    def ask(*words):
        command = ["bash", "-c", f'source "$0"; {asked}', str(script("bash")), "xpnet", *words]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert found.returncode == 0, found.stderr
        return set(found.stdout.split())

    return ask


@needs_bash
def test_commands(complete):
    assert complete("") == set(COMMANDS)
    assert complete("tr") == {"train"}
    assert complete("--v") == {"--version"}


@needs_bash
def test_flags(complete):
    every = {flag(f.name) for f in fields(Config)}
    assert every <= complete("train", "--")
    assert every - complete("sweep", "--") == {
        *("--alone", "--bagging", "--checkpoint-every", "--ensemble", "--resume", "--tensorboard")
    }
    assert complete("train", "houses.csv", "--hidden", "3", "4", "--solv") == {"--solver"}
    assert {"--probabilities", "--input", "--no-quiet"} <= complete("predict", "--")


@needs_bash
def test_values_of_flags(complete):
    assert complete("train", "--solver", "") == set(SOLVERS)
    assert complete("train", "--solver", "ad") == {"adagrad", "adam", "adamw"}
    assert complete("sweep", "--solver", "adam", "sg") == {"sgd"}
    assert complete("sweep", "--flip", "t") == {"true"}
    assert complete("train", "--recipe", "") == complete("recipe", "") == set(recipes.names())
    assert complete("train", "--device", "c") == {"cpu", "cuda"}
    assert complete("evaluate", "--split", "t") == {"test", "train"}
    assert complete("completion", "") == {"bash", "zsh", "fish"}


@needs_bash
def test_names_of_files(complete):
    assert complete("train", "d") == complete("train", "--dataset", "d") == {"digits"}
    for line in (["train"], ["train", "--config"], ["train", "--dataset"], ["predict", "runs", "--input"]):
        assert complete(*line, "h") == {"houses.csv"}, line
    for line in (["evaluate"], ["runs"], ["runs", "houses.csv"], ["train", "--out"]):
        assert complete(*line, "ru") == {"runs"}, line


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_it(script, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    found = subprocess.run([shell, "-n", script(shell)], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")
    if shell == "fish":
        asked = f'source {script(shell)}; complete -C "xpnet train --solver ada"'
        found = subprocess.run(["fish", "-c", asked], capture_output=True, text=True, timeout=60)
        assert {line.split("\t")[0] for line in found.stdout.splitlines()} == {"adagrad", "adam", "adamw"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_value_with_a_colon_would_break_the_scripts(script, shell):
    """A colon parts the words of bash, and the specifications of zsh."""
    values = [value for of in completion.VALUES.values() for value in of]
    assert [value for value in values if ":" in value] == []
    assert all(name in script(shell).read_text(encoding="utf-8") for name in COMMANDS)


def test_in_zsh_each_of_several_folders_is_completed(script):
    assert '  "*:folder to look in' in script("zsh").read_text(encoding="utf-8")


def test_all_that_a_command_takes_is_described():
    for name, (module, _) in COMMANDS.items():
        assert _parser_of(module).prog == f"xpnet {name}"
    below = next(action for action in _all_commands()._actions if action.dest == "==SUPPRESS==")
    assert set(below.choices) == set(COMMANDS)
    with pytest.raises(Described):
        train.main([DESCRIBE])


def test_an_unknown_shell(capsys):
    assert xpnet(["completion", "powershell"]) == 2
    expected = "xpnet completion: error: there is no completion for 'powershell': give bash, zsh or fish\n"
    assert capsys.readouterr().err == expected


def test_without_shtab(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert completion.main(["bash"]) == 2
    expected = 'xpnet completion: error: xpnet completion needs shtab: pip install "xpnet[cli]"\n'
    assert capsys.readouterr().err == expected
