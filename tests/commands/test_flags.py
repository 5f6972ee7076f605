"""Settings from flags and files, on a dataclass of every kind of field."""

import json
from dataclasses import dataclass
from typing import Literal

import pytest

from xpnet.__main__ import main
from xpnet.commands import flags
from xpnet.errors import InputError
from xpnet.runs.settings import setting


@dataclass(frozen=True)
class Settings:
    name: str = setting("all", "100 % of the names", group="what", common=True)
    folder: str | None = setting(None, "where", group="what")
    size: int = setting(0, "how many", group="how")
    rate: float = setting(0.5, "how fast", group="how", common=True)
    hidden: tuple[int, ...] = setting((300,), "how wide")
    mode: Literal["fast", "slow"] = setting("fast", "how")
    loud: bool = setting(False, "with noise")
    steps: int | None = setting(100, "how long")
    epochs: int | None = setting(None, "how long in epochs", instead_of="steps")


DEFAULTS = {name: field.default for name, field in Settings.__dataclass_fields__.items()}
VARIANTS = {"big": {"rate": 0.25, "epochs": 5}}


def defaults(given):
    return DEFAULTS | {"name": given.get("name", "all")} | VARIANTS.get(given.get("name"), {})


def parse(*argv, several=()):
    """Parse arguments: one text is cut at its spaces."""
    argv = argv[0].split() if len(argv) == 1 else argv
    parser = flags.Parser("prog", "Do it.", "prog --rate 2")
    return flags.parse(parser, Settings, argv, defaults=defaults, variants=VARIANTS, several=several)


def parse_file(tmp_path, text, *argv, name="run.toml", several=()):
    path = tmp_path / name
    path.write_text(text)
    return parse("--config", str(path), *argv, several=several)


def message(function, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_arguments_the_defaults():
    assert parse() == DEFAULTS


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("--name x", {"name": "x"}),
        ("--folder=y", {"folder": "y"}),
        ("--size -3", {"size": -3}),
        ("--rate 1e-3", {"rate": 1e-3}),
        ("--rate 2", {"rate": 2.0}),
        ("--hidden 5", {"hidden": (5,)}),
        ("--hidden 5 6 7", {"hidden": (5, 6, 7)}),
        ("--mode slow", {"mode": "slow"}),
        ("--loud", {"loud": True}),
        ("--no-loud", {"loud": False}),
        ("--epochs 2", {"epochs": 2, "steps": None}),
        ("--steps 2", {"steps": 2}),
    ],
)
def test_each_kind_of_flag(argv, expected):
    assert parse(argv) == DEFAULTS | expected


@pytest.mark.parametrize("content", ['rate = 2\nmode = "slow"', "rate = 2.0\nmode = 'slow'"])
def test_a_toml_file_whose_integers_may_stand_for_floats(tmp_path, content):
    resolved = parse_file(tmp_path, content)
    assert resolved == DEFAULTS | {"rate": 2.0, "mode": "slow"}
    assert type(resolved["rate"]) is float


def test_a_single_number_may_stand_for_a_list(tmp_path):
    assert parse_file(tmp_path, "hidden = 30") == DEFAULTS | {"hidden": (30,)}


def test_a_json_file_with_every_field_gives_the_same_again(tmp_path):
    settings = parse("--hidden", "3", "4", "--epochs", "2", "--loud")
    assert parse_file(tmp_path, json.dumps(settings), name="config.json") == settings


def test_keys_with_either_dash(tmp_path):
    @dataclass(frozen=True)
    class Dashed:
        batch_size: int = setting(1, "rows")

    for key in ("batch-size", "batch_size"):
        path = tmp_path / "a.toml"
        path.write_text(f"{key} = 7")
        assert flags.read_file(path, Dashed) == {"batch_size": 7}
    path.write_text("batch-size = 7\nbatch_size = 7")
    assert "batch_size is given twice" in message(flags.read_file, path, Dashed)


def test_flags_go_before_the_file_and_the_file_before_defaults(tmp_path):
    text = 'name = "big"\nsize = 1\nhidden = [1, 2]'
    expected = {"name": "big", "size": 1, "hidden": (1, 2), "rate": 0.25, "epochs": 5}
    assert parse_file(tmp_path, text) == DEFAULTS | expected
    assert parse_file(tmp_path, text, "--size", "9", "--rate", "1") == DEFAULTS | expected | {
        "size": 9,
        "rate": 1.0,
    }


@pytest.mark.parametrize(
    ("text", "argv", "steps", "epochs"),
    [
        ("epochs = 3", "", None, 3),
        ("epochs = 3", "--steps 7", 7, None),
        ("steps = 7", "--epochs 3", None, 3),
        ("epochs = 3", "--epochs 4", None, 4),
        ("steps = 7\nepochs = 3", "", 7, 3),  # for the dataclass to refuse
    ],
)
def test_of_two_rivals_the_later_replaces_the_other(tmp_path, text, argv, steps, epochs):
    resolved = parse_file(tmp_path, text, *argv.split())
    assert (resolved["steps"], resolved["epochs"]) == (steps, epochs)


def test_rivals_on_one_command_line():
    assert "--steps: not allowed with argument --epochs" in message(parse, "--epochs", "3", "--steps", "4")


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        ("--sise 3", ["'--sise'", "did you mean --size?"]),
        ("--sise=3", ["did you mean --size?"]),
        ("--siz 3", ["did you mean --size?"]),  # no abbreviations
        ("--qqqq", ["unknown argument '--qqqq'"]),
        ("--max-epochs 3", ["unknown argument '--max-epochs'", "did you mean --epochs?"]),
        ("--layers=3", ["did you mean --hidden?"]),
        ("stray", ["unknown argument 'stray'"]),
        ("--size", ["--size", "expected one argument"]),
        ("--hidden", ["--hidden", "expected at least one argument"]),
    ],
)
def test_mistakes_in_flags(argv, parts):
    text = message(parse, argv)
    assert all(part in text for part in [*parts, "(see prog --help)"])


@pytest.mark.parametrize(
    ("argv", "several", "expected"),
    [
        ("--size three", (), "--size must be an integer, not 'three'"),
        ("--size 1.5", (), "--size must be an integer, not '1.5'"),
        ("--size 1 1.5", ("size",), "--size must be an integer, not '1.5'"),
        ("--hidden 3 x", (), "--hidden must be an integer or a list of them, not [3, 'x']"),
        ("--rate fast", (), "--rate must be a number, not 'fast'"),
        ("--mode medium", (), "--mode must be 'fast' or 'slow', not 'medium'"),
        ("--mode Slow", (), "--mode must be 'fast' or 'slow', not 'Slow'; did you mean 'slow'?"),
        ("--mode fast slwo", ("mode",), "--mode must be 'fast' or 'slow', not 'slwo'; did you mean 'slow'?"),
        ("--loud maybe", ("loud",), "--loud must be true or false, not 'maybe'"),
    ],
)
def test_a_wrong_value_is_told_as_the_settings_tell_it(argv, several, expected):
    assert message(parse, argv, several=several) == expected


def test_an_unknown_recipe(tmp_path):
    how = {"defaults": defaults, "recipes": {"quick": tmp_path / "x.toml", "slow": tmp_path / "y.toml"}}
    text = message(flags.parse, flags.Parser("prog", ""), Settings, ["--recipe", "quik"], **how)
    assert text == "--recipe must be 'quick' or 'slow', not 'quik'; did you mean 'quick'?"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("sise = 3", ["'sise'", "did you mean size?"]),
        ("qqqq = 3", ["'qqqq'", "the keys are name, folder, size"]),
        ('"a\\nb" = 3', ["'a\\nb'"]),
        ("size = 3.0", ["size must be an integer, not 3.0"]),
        ("size = true", ["size must be an integer, not True"]),
        ("size = 'three'", ["size must be an integer, not 'three'"]),
        ("rate = '1'", ["rate must be a number, not '1'"]),
        (f"rate = 1{'0' * 400}", ["rate must be a number"]),
        ("hidden = '300'", ["hidden must be an integer or a list of them, not '300'"]),
        ("hidden = [1.5]", ["hidden must be an integer or a list of them, not [1.5]"]),
        ("loud = 1", ["loud must be true or false, not 1"]),
        ("mode = 'medium'", ["mode must be 'fast' or 'slow', not 'medium'"]),
        ("mode = 'Fast'", ["not 'Fast'; did you mean 'fast'?"]),
        ("n_epochs = 3", ["'n_epochs'", "did you mean epochs?"]),
        ("name = 1979-05-27", ["name must be text"]),
        ("[size]\na = 1", ["size must be an integer, not {'a': 1}"]),
        ("size 3", ["is not valid TOML", "line 1"]),
    ],
)
def test_mistakes_in_a_file_name_file_and_key(tmp_path, content, parts):
    text = message(parse_file, tmp_path, content)
    assert text.startswith(str(tmp_path / "run.toml"))
    assert all(part in text for part in parts)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[1]", "contains no settings"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"size": null}', "size must be an integer, not None"),
    ],
)
def test_mistakes_in_json(tmp_path, content, part):
    assert part in message(parse_file, tmp_path, content, name="config.json")


def test_a_flag_that_stands_for_a_file_lets_no_other_be(tmp_path):
    for name in ("own.toml", "other.toml"):
        (tmp_path / name).write_text("epochs = 3\n")
    own, other = tmp_path / "own.toml", str(tmp_path / "other.toml")
    how = {"defaults": defaults, "recipes": {"quick": tmp_path / "other.toml"}, "file_of": lambda _: own}

    def parsed(*argv):
        return flags.parse(flags.Parser("prog", ""), Settings, argv, **how)

    assert parsed()["epochs"] == 3
    assert message(parsed, "--config", other) == f"the settings are those of {own}: drop --config"
    assert message(parsed, "--recipe", "quick") == f"the settings are those of {own}: drop --recipe"


def test_a_file_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        text = message(parse, "--config", str(path))
        assert text.startswith(f"{path} cannot be read (")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "is not valid TOML" in message(parse, "--config", str(tmp_path / "binary.toml"))


def help_of(capsys, *argv, **options):
    with pytest.raises(SystemExit, match="0"):
        parse(*argv, **options)
    return " ".join(capsys.readouterr().out.split())


def test_help_shows_defaults_and_where_they_differ(capsys):
    text = help_of(capsys, "--help-all")
    for part in (
        "100 % of the names (default: all)",
        "--folder FOLDER where how: --size N",
        "how many (default: 0)",
        "how fast (default: 0.5; big: 0.25)",
        "--hidden N [N ...] how wide (default: 300)",
        "--mode {fast,slow} how (default: fast)",
        "--loud, --no-loud with noise --steps N",
        "how long in epochs (big: 5)",
    ):
        assert part in text


def test_help_of_several_values_has_the_choices_once(capsys):
    text = help_of(capsys, "--help-all", several=("mode", "rate", "loud"))
    for part in (
        "--mode NAME [NAME ...] how; one of fast, slow (default: fast)",
        "--rate X [X ...]",
        "--loud [true|false ...] with noise; without a value: true",
    ):
        assert part in text
    assert "{" not in text


def test_help_opens_with_examples_and_shows_the_common_settings_alone(capsys):
    text = help_of(capsys, "--help")
    assert text.startswith("usage: prog [flags] Do it. prog --rate 2 options: ")
    for part in ("--help-all", "--config FILE", "what: --name NAME", "how: --rate X"):
        assert part in text
    for part in ("--folder", "--size", "settings:", "--steps", "--epochs"):
        assert part not in text


def test_a_text_is_filled_as_wide_as_the_terminal_and_examples_are_not(monkeypatch):
    monkeypatch.setenv("COLUMNS", "22")
    example = "prog --rate 2 --mode slow --hidden 10 20"
    text = flags.Parser("prog", "Do log-uniform\nthings that are all the same.", example).format_help()
    assert f"Do log-uniform\nthings that are all\nthe same.\n\n  {example}\n" in text


def test_several_values_from_flags():
    resolved = parse(
        "--rate 1 2 --mode slow --hidden 300 --hidden 10 20 --size 4",
        several=("rate", "mode", "hidden", "folder"),
    )
    assert resolved == DEFAULTS | {
        "rate": (1.0, 2.0),
        "mode": ("slow",),
        "hidden": ((300,), (10, 20)),
        "folder": (None,),
        "size": 4,
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("rate = [1, 2.5]", {"rate": (1.0, 2.5)}),
        ("rate = 3", {"rate": (3.0,)}),
        ("hidden = 1", {"hidden": ((1,),)}),
        ("hidden = [1, 2]", {"hidden": ((1, 2),)}),
        ("hidden = [[1], [2, 3]]", {"hidden": ((1,), (2, 3))}),
        ("hidden = []", {"hidden": ((),)}),
        ("epochs = [1, 2]", {"epochs": (1, 2), "steps": (None,)}),
    ],
)
def test_several_values_from_a_file(tmp_path, content, expected):
    resolved = parse_file(tmp_path, content, several=("rate", "hidden", "steps", "epochs"))
    default = {"rate": (0.5,), "hidden": ((300,),), "steps": (100,), "epochs": (None,)}
    assert resolved == DEFAULTS | default | expected


def test_mistakes_in_several_values(tmp_path):
    for content in ("rate = [1, 'x']", "rate = [[1]]", "rate = []"):
        assert "rate" in message(parse_file, tmp_path, content, several=("rate",))


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        ("train --lr 1", "unknown argument '--lr': did you mean --learning-rate?"),
        ("sweep --val-fraction 1", "did you mean --validation-fraction?"),
        ("evaluate a --data b", "unknown argument '--data': did you mean --dataset?"),
        ("evaluate a --label=b", "did you mean --target?"),
        ("predict a --dataset b", "unknown argument '--dataset': did you mean --input?"),
        ("predict a --input b --out c", "did you mean --output?"),
        ("predict a --input b --proba", "did you mean --probabilities?"),
        ("export a --out b", "did you mean --output?"),
        ("export a --type onnx", "did you mean --format?"),
        ("recipe --hepl", "did you mean --help?"),
    ],
)
def test_what_is_meant_at_every_command(argv, hint, capsys):
    assert main(argv.split()) == 2
    err = capsys.readouterr().err
    assert hint in err
    assert err.count("\n") == 1
