"""Settings of any dataclass: kinds of values, what names lead to, and layers of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xpnet
from xpnet.commands import sweep, train
from xpnet.commands.sweep import SweepConfig
from xpnet.errors import InputError
from xpnet.runs import names
from xpnet.runs.config import Config
from xpnet.runs.settings import (
    Kind,
    default_of,
    did_you_mean,
    kinds_of,
    layered,
    normalise,
    rivals,
    setting,
    settings_in,
    yielding,
)

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.complex_numbers()
    | st.binary(max_size=3)
    | st.sampled_from([np.int8(-1), np.float32(0.5), np.False_, np.str_("fast"), np.zeros(3), int, object()]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@dataclass(frozen=True)
class Settings:
    size: int = setting(3, "how many")
    rate: float = setting(0.5, "how fast")
    loud: bool = setting(False, "with noise")
    name: str | None = setting(None, "what", path=True)
    mode: Literal["fast", "slow"] = setting("fast", "how")
    widths: tuple[int, ...] = setting((300,), "how wide")
    steps: int | None = setting(None, "how long", unless_given=100)
    epochs: int | None = setting(None, "how long in epochs", instead_of="steps")
    quick: bool = setting(False, "quickly", yields_to={"mode": ("slow",), "rate": ()})

    def __post_init__(self):
        normalise(self)


TYPES = {"size": int, "rate": float, "loud": bool, "mode": str, "widths": tuple}


@given(name=st.sampled_from(sorted(TYPES)), value=ANYTHING)
def test_any_value_is_brought_to_its_type_or_refused_in_one_line(name, value):
    try:
        settings = Settings(**{name: value})
    except InputError as error:
        text = str(error)
        assert text.startswith(f"--{name} must be ")
        assert "\n" not in text
        assert len(text) < 200
    else:
        made = getattr(settings, name)
        assert type(made) is TYPES[name]
        assert Settings(**{name: made}) == settings or made != made  # what is right stays as it is
        items = made if name == "widths" else ()
        assert all(type(item) is int for item in items)


def test_what_annotations_ask_for():
    assert kinds_of(Settings)["mode"] == Kind(str, ("fast", "slow"))
    assert kinds_of(Settings)["widths"] == Kind(int, is_tuple=True)
    assert kinds_of(Settings)["name"] == Kind(str, is_optional=True)
    assert rivals(Settings) == {"epochs": "steps", "steps": "epochs"}


def test_a_kind_says_what_it_takes():
    described = {name: kind.describe() for name, kind in kinds_of(Settings).items()}
    assert described["mode"] == "'fast' or 'slow'"
    assert described["widths"] == "an integer or a list of them"
    assert Kind(str, ("a", "b", "c")).describe() == "one of 'a', 'b', 'c'"


def test_a_default_that_another_setting_puts_aside():
    assert (Settings().steps, Settings().epochs) == (100, None)
    assert (Settings(epochs=5).steps, Settings(epochs=5).epochs) == (None, 5)
    assert default_of(Settings.__dataclass_fields__["steps"]) == 100


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("siz", ("size", "rate"), ": did you mean size?"),
        ("--siz=3", ("--size",), ": did you mean --size?"),
        ("lr", ("learning_rate", "l"), ": did you mean learning_rate?"),
        ("LR", ("learning_rate",), ": did you mean learning_rate?"),
        ("--batch-norm", ("--norm", "--batch-size"), ": did you mean --norm?"),
        ("lr", ("size",), ""),
        ("sise", ("size",), ": did you mean size?"),
        ("logger", ("--solver",), ""),  # of which only the dashes are alike
        ("", ("size",), ""),
    ],
)
def test_what_a_word_leads_to(word, known, hint):
    assert did_you_mean(word, known) == hint


def usual(given):
    return {"size": given.get("size", 3), "steps": 100, "epochs": None}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([], (3, 100, None)),
        ([{"size": 1}, {"size": 2}], (2, 100, None)),
        ([{"epochs": 5}], (3, None, 5)),
        ([{"epochs": 5}, {"steps": 7}], (3, 7, None)),
        ([{"steps": 7, "epochs": None}], (3, 7, None)),
        ([{"epochs": 5}, {"epochs": None}], (3, 100, None)),
        ([{"steps": 7, "epochs": 5}], (3, 7, 5)),  # for the dataclass to refuse
    ],
)
def test_layers(layers, expected):
    resolved = layered(Settings, layers, usual)
    assert (resolved["size"], resolved["steps"], resolved["epochs"]) == expected


@pytest.mark.parametrize(
    ("given", "several", "kept"),
    [
        ({}, (), True),
        ({"mode": "fast", "size": 1}, (), True),
        ({"mode": "slow"}, (), False),
        ({"rate": 0.5}, (), False),
        ({"mode": ("fast", "slow")}, ("mode",), False),
        ({"mode": ("fast",)}, ("mode", "rate"), True),
        ({"mode": np.array(["slow", "fast"])}, (), True),  # which is refused later on
    ],
)
def test_what_a_recipe_says_gives_way_to_what_contradicts_it(given, several, kept):
    recipe = {"quick": True, "size": 7}
    assert yielding(recipe, given, Settings, several) == (recipe if kept else {"size": 7})


def test_an_unknown_name_in_a_layer():
    with pytest.raises(InputError, match=r"^there is no setting 'n_epochs': did you mean epochs[?]$"):
        layered(Settings, [{}, {"n_epochs": 1}], usual)


def test_what_a_layer_may_be(tmp_path):
    (tmp_path / "a.toml").write_text("size = 7")
    assert settings_in({"size": 7}, Settings) == {"size": 7}
    assert settings_in(tmp_path / "a.toml", Settings) == {"size": 7}
    assert settings_in(Settings(size=7), Settings)["size"] == 7
    for layer in (7, None, ["size"]):
        with pytest.raises(InputError, match="must be a dict, a Config or the path of a file"):
            settings_in(layer, Settings)


# By the names of other tools


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("--lr", "--learning-rate"),
        ("--learning_rate", "--learning-rate"),
        ("--Batch-Size", "--batch-size"),
        ("--optimizer=adam", "--solver"),
        ("--metric", "--monitor"),
        ("--epoch", "--epochs"),
        ("--batchsize", "--batch-size"),
        ("--wd", "--weight-decay"),
        ("--data", "--dataset"),
        ("--val-fraction", "--validation-fraction"),
        ("--test-size", "--validation-fraction"),
        ("--early-stopping-rounds", "--patience"),
        ("--max_grad_norm", "--clip-norm"),
        ("--hidden-dim", "--hidden"),
        ("--n-estimators", "--ensemble"),
        ("--resume-from-checkpoint", "--resume"),
        ("--pretrained", "--init-from"),
        ("--overwrite", "--force"),
        ("--no-cuda", "--device"),
        ("--lr-decay", "--learning-rate-decay"),
        ("--label-column", "--target"),
        ("--imgsz", "--size"),
        ("--time-limit", "--max-time"),
    ],
)
def test_what_other_tools_call_a_setting(word, ours):
    """As a flag, and as a keyword."""
    flags = [names.flag(name) for name in kinds_of(Config)]
    assert names.did_you_mean(word, flags) == f": did you mean {ours}?"
    keyword, name = (text.partition("=")[0].strip("-").replace("-", "_") for text in (word, ours))
    if keyword != name:
        with pytest.raises(InputError, match=f"did you mean {name}\\?$"):
            Config(**{keyword: 1})


@pytest.mark.parametrize(
    ("folder", "command"),
    [
        ("runs/a", "xpnet train --resume runs/a"),
        ("my runs/a", "xpnet train --resume 'my runs/a'"),
        ("-a", "xpnet train --resume ./-a"),
    ],
)
def test_the_command_that_continues_can_be_pasted(folder, command):
    assert names.to_resume(Path(folder)) == command


def test_no_other_name_is_one_of_ours_and_all_lead_somewhere():
    ours = {*kinds_of(SweepConfig), "recipe"}
    of_other_commands = {"input", "output", "probabilities", "format", "split"}
    assert names._OURS.keys() <= ours | of_other_commands
    for name, words in names._OURS.items():
        others = words.split()
        assert sorted(set(others)) == sorted(others), name
        if name in ours:
            assert not set(others) & ours - {"random_seed", "scheduler"}, name


@pytest.mark.parametrize(
    ("setting", "value", "meant"),
    [
        ("solver", "Adam", "adam"),
        ("solver", "AdamW", "adamw"),
        ("solver", "gd", "sgd"),
        ("schedule", "Cosine", "cosine"),
        ("schedule", "one_cycle", "one-cycle"),
        ("schedule", "OneCycleLR", "one-cycle"),
        ("loss", "mse", "squared-error"),
        ("loss", "MSELoss", "squared-error"),
        ("loss", "cross_entropy", "cross-entropy"),
        ("loss", "nll", "cross-entropy"),
        ("activation", "ReLU", "relu"),
        ("activation", "swish", "silu"),
        ("activation", "leaky_relu", "leaky-relu"),
        ("preprocess", "standard", "standardize"),
        ("preprocess", "PCA", "pca"),
        ("norm", "batchnorm", "batch"),
        ("init", "xavier", "glorot"),
        ("backend", "pytorch", "torch"),
        ("dtype", "double", "float64"),
        ("precision", "FP16", "bf16"),
        ("task", "Regression", "regression"),
    ],
)
def test_what_other_tools_call_a_value(setting, value, meant):
    with pytest.raises(InputError) as caught:
        Config(**{setting: value})
    assert str(caught.value).endswith(f"not {value!r}; did you mean {meant!r}?")


# What is no setting

DOORS = {
    "fit": lambda **given: xpnet.fit(np.eye(4), [0, 1, 0, 1], **given),
    "search": lambda **given: xpnet.search(np.eye(4), [0, 1, 0, 1], {"reg": [0.0, 0.1]}, **given),
}
HELP = "xpnet train --help-all lists them all"
HINTS = {  # what fit says, and search where that is something else
    "validation_data eval_set val_data valid_data x_val y_valid val_dataloaders": [
        "did you mean X_val and y_val?"
    ],
    "x_test test_data": ["did you mean X_test and y_test?"],
    "sample_weights weights": ["did you mean sample_weight?"],
    "callbacks callback on_epoch_end": [
        "did you mean on_epoch?",
        "xpnet.fit calls on_epoch after each epoch;",
    ],
    "param_grid": ["use xpnet.search or xpnet sweep to try several values", "did you mean grid?"],
    "n_jobs": ["all CPU cores are used anyway: leave it out", "did you mean executor?"],
    "n_trials": [HELP, "did you mean random?"],
    "verbose progress_bar": ["did you mean quiet?"],
    "random_state": ["did you mean seed?"],
    "restore_best_weights": ["did you mean patience?"],
    "validation_steps": [HELP],
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("words", "hints"), HINTS.items())
def test_what_other_tools_call_an_argument(door, words, hints):
    for word in words.split():
        with pytest.raises(InputError) as caught:
            DOORS[door](**{word: 1})
        hint = hints[0 if door == "fit" else -1]
        assert str(caught.value).startswith(f"there is no setting {word!r}: {hint}")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("main", [train.main, sweep.main])
@pytest.mark.parametrize(
    ("word", "text"),
    [
        (
            "--validation-data",
            "give validation rows as X_val and y_val to xpnet.fit or in an .npz file, or set",
        ),
        ("--X-val", "or in an .npz file, or set --validation-fraction"),
        ("--eval-set=a.csv", "give validation rows as X_val and y_val"),
        ("--test-data", "give test rows as X_test and y_test to xpnet.fit or in an .npz file, or use"),
        (
            "--sample-weight",
            "give weights of rows as sample_weight to xpnet.fit or in an .npz file, weights of",
        ),
        ("--callbacks", "xpnet.fit calls on_epoch after each epoch; --tensorboard logs the epochs"),
        ("--weights", "did you mean --class-weight?"),
        ("--num-workers", "all CPU cores are used anyway: leave it out"),
    ],
)
def test_a_command_says_where_what_it_lacks_is(main, word, text, capsys):
    assert main([word]) == 2
    assert text in capsys.readouterr().err


def test_what_there_is_not_leads_nowhere():
    known = {*kinds_of(SweepConfig), *names._ARGUMENTS}
    elsewhere = {word for words in names._OURS.values() for word in words.split()}
    arguments = [word for of in names._ARGUMENTS.values() for word in of.others.split()]
    assert sorted(set(arguments)) == sorted(arguments)
    nothing = names._NOTHING.split()
    assert not set(nothing) & (known | elsewhere | set(arguments))
    for word in nothing:
        assert names.did_you_mean(word, known) == names.did_you_mean(names.flag(word), known) == ""
