"""Settings: what is refused and where, what stacks, and that all of them can be written and read."""

import copy
import dataclasses
import json
import math
import pickle
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet import recipes, train
from xpnet.commands import flags
from xpnet.commands.sweep import SweepConfig
from xpnet.commands.sweep import main as sweep_main
from xpnet.data.augment import Augmentation
from xpnet.datasets import Reading
from xpnet.datasets.reading import SETTINGS as READING
from xpnet.errors import InputError
from xpnet.nn.mlp import MLP
from xpnet.nn.solvers import SOLVERS
from xpnet.runs.config import Config
from xpnet.runs.defaults import defaults_for, usual_recipe
from xpnet.runs.networks import hyper_of
from xpnet.runs.settings import GROUPS, default_of, kinds_of
from xpnet.training.regime import Hyper, Monitor, Regime
from xpnet.training.schedules import SCHEDULES

MONITORS = ", ".join(map(repr, get_args(Monitor)))

EVERY_SETTING = {
    "task": "classification",
    "dtype": "float64",
    "hidden": (12, 12),
    "activation": "gelu",
    "norm": "batch",
    "residual": True,
    "init": "he",
    "init_std": 0.1,
    "preprocess": "pca-whiten",
    "components": 20,
    "bins": 5,
    "ridge": 0.05,
    "contrast": True,
    "fit_rows": 400,
    "train_rows": 900,
    "flip": True,
    "shift": 1,
    "rotation": 10.0,
    "cutout": 2,
    "mixup": 0.3,
    "iterations": None,
    "epochs": 2,
    "batch_size": 100,
    "sampling": "shuffle",
    "label_smoothing": 0.1,
    "solver": "adam",
    "learning_rate": 3e-3,
    "schedule": "one-cycle",
    "learning_rate_decay": 0.5,
    "step_epochs": 7,
    "peak": 0.4,
    "warmup": 0.1,
    "momentum": 0.8,
    "beta2": 0.99,
    "epsilon": 1e-7,
    "reg": 1e-4,
    "weight_decay": 1e-3,
    "clip_norm": 2.0,
    "dropout": 0.2,
    "input_dropout": 0.1,
    "ema": 0.95,
    "seed": 3,
    "batch_seed": 4,
    "ensemble": 2,
    "bagging": True,
    "averaging": "flip-shift",
}
"""Values of the settings of the computation that are not their defaults, and go together on the digits."""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# Refused by themselves: one line that names the flag


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        *[({name: value}, [flags.flag(name), "0 or more and below 1", str(value)])
          for name in ("dropout", "input_dropout", "label_smoothing", "momentum", "beta2", "ema")
          for value in (-0.1, 1.0, 1.5, math.nan, math.inf)],
        *[({name: value}, [flags.flag(name), "0 or more", str(value)])
          for name in ("learning_rate", "learning_rate_decay", "reg", "weight_decay", "init_std", "mixup")
          for value in (-0.1, math.nan, math.inf)],
        *[({name: value}, [flags.flag(name), "above 0", str(value)])
          for name in ("epsilon", "clip_norm") for value in (0.0, -1.0, math.nan, math.inf)],
        *[({name: 1 - 1e-12}, [flags.flag(name), "below 1 in float32"]) for name in ("beta2", "momentum")],
        *[({"peak": value}, ["--peak", "above 0 and below 1", str(value)])
          for value in (0.0, 1.0, -1.0, math.nan)],
        ({"step_epochs": 0}, ["--step-epochs", "0"]),
        ({"train_rows": 0}, ["--train-rows", "from 1 to", "0"]),
        ({"warmup": 1.0}, ["--warmup", "1.0"]),
        ({"ensemble": -1}, ["--ensemble", "-1"]),
        ({"ensemble": 10**6}, ["--ensemble", "1000000"]),
        ({"iterations": 9, "epochs": 3}, ["--iterations or --epochs"]),
        ({"norm": "batch", "batch_size": 1}, ["--norm batch", "--batch-size of 2 or more"]),
        ({"loss": "hinge", "label_smoothing": 0.1}, ["--loss hinge", "--label-smoothing"]),
        ({"loss": "hinge", "mixup": 0.1}, ["--loss hinge", "--mixup"]),
        ({"residual": True, "hidden": (3, 4)}, ["residual blocks", "one width", "(3, 4)"]),
        ({"residual": True, "hidden": ()}, ["residual blocks"]),
        ({"preprocess": "pca", "components": 9, "fit_rows": 8}, ["pca fitted on 8 rows", "at least 9"]),
        ({"preprocess": "zca", "fit_rows": 1}, ["zca fitted on 1 rows"]),
        ({"ridge": -1.0}, ["ridge of -1.0"]),
        ({"ridge": math.inf}, ["ridge of inf"]),
        ({"fit_rows": 0}, ["fitted on 0 rows"]),
        ({"shift": -1}, ["shift of images is -1"]),
        ({"cutout": -1}, ["cutout's side is -1"]),
        ({"components": -1}, ["--components must be from 0", "not -1"]),
        *[({name: -1}, [flags.flag(name), "from 0", "not -1"]) for name in ("bins", "epochs", "batch_size")],
        *[({name: 0}, [flags.flag(name), "not 0"]) for name in ("size", "patience", "iterations")],
        *[({"validation_fraction": value}, ["--validation-fraction", "above 0 and below 1", str(value)])
          for value in (0.0, 1.0, math.nan)],
        ({"preprocess": "table", "contrast": True}, ["contrast applies to images"]),
        ({"class_weight": ["0=2", "0=3"]}, ["--class-weight gives 0 twice"]),
        ({"rotation": -1.0}, ["rotation of images is -1.0"]),
        ({"rotation": 181.0}, ["rotation of images is 181.0"]),
        ({"rotation": math.nan}, ["rotation of images is nan"]),
    ],
)  # fmt: skip
def test_what_is_refused(changes, parts):
    with pytest.raises(InputError) as caught:
        Config(**changes)
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Hyper)])
def test_the_ends_of_what_is_allowed(name):
    """Smallest values do nothing or little; none is refused that the solvers can take."""
    Config(**{name: 1e-12 if name in ("epsilon", "clip_norm") else 0.0})


CHOSEN = [(name, kind) for name, kind in kinds_of(Config).items() if kind.choices]


@pytest.mark.parametrize(("name", "kind"), CHOSEN)
def test_what_is_none_of_the_choices(name, kind):
    choices = kind.choices
    for value in ("zzz", "", 1, True, choices, choices[0].upper(), *([] if kind.is_optional else [None])):
        with pytest.raises(InputError) as caught:
            Config(**{name: value})
        text = str(caught.value)
        assert text.startswith(f"{flags.flag(name)} must be ")
        assert all(repr(choice) in text for choice in choices)
        assert "\n" not in text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"solver": "adm"},
            (
                "--solver must be one of 'sgd', 'momentum', 'nesterov', 'rmsprop', 'adagrad', 'adam', "
                "'adamw', 'lion', not 'adm'; did you mean 'adam'?"
            ),
        ),
        (
            {"monitor": "val_scor"},
            (
                f"--monitor must be one of {MONITORS}, or a scorer of scikit-learn by its name, not "
                "'val_scor'; did you mean 'val_score'?"
            ),
        ),
        (
            {"sampling": "Shuffle"},
            (
                "--sampling must be one of 'replacement', 'shuffle', 'all', not 'Shuffle'; "
                "did you mean 'shuffle'?"
            ),
        ),
        (
            {"backend": "tensorflow"},
            "--backend must be one of 'auto', 'numpy', 'cupy', 'torch', 'jax', not 'tensorflow'",
        ),
        ({"flip": "no"}, "--flip must be true or false, not 'no'"),
        ({"flip": 0}, "--flip must be true or false, not 0"),
        ({"hidden": 64.0}, "--hidden must be an integer or a list of them, not 64.0"),
        ({"hidden": np.zeros((2, 2))}, "--hidden must be an integer or a list of them, not array([[0., 0."),
        ({"seed": 10**5000}, "--seed must be an integer that fits 64 bits"),
        ({"seed": 2**64}, f"--seed must be from 0 to {2**64 - 1}, not {2**64}"),
        ({"reg": 10**400}, "--reg must be a number that fits 64 bits"),
        ({"dataset": 3}, "--dataset must be text, not 3"),
        ({"activation": Path("relu")}, "--activation must be one of"),
    ],
)
def test_what_is_said_of_a_value_of_another_kind(changes, text):
    with pytest.raises(InputError) as caught:
        Config(**changes)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("learning_rte", "learning_rate"),
        *[("lr", "learning_rate"), ("wd", "weight_decay"), ("l2", "reg"), ("alpha", "reg")],
        *[("optimizer", "solver"), ("optim", "solver"), ("metric", "monitor"), ("act", "activation")],
        *[("epoch", "epochs"), ("n_epochs", "epochs"), ("max_epochs", "epochs"), ("gpu", "device")],
        *[("batchsize", "batch_size"), ("bs", "batch_size"), ("data", "dataset")],
        *[(word, "hidden") for word in ("layers", "hidden_sizes", "hidden_layer_sizes")],
    ],
)
def test_a_name_that_is_no_setting_leads_to_the_one_that_is_meant(word, ours):
    text = f"there is no setting {word!r}: did you mean {ours}?"
    for make in (Config, Config.of, lambda **given: Config.of(given)):
        with pytest.raises(InputError) as caught:
            make(**{word: 1})
        assert str(caught.value) == text
    with pytest.raises(InputError, match="did you mean"):
        dataclasses.replace(Config(), **{word: 1})


def test_a_name_that_is_like_no_setting():
    with pytest.raises(InputError, match=r"no setting 'zzz': xpnet train --help-all lists them all$"):
        Config(zzz=1)


# Brought to their types


INTS = [f for f, kind in kinds_of(Config).items() if kind.item is int and not kind.is_tuple]
FLOATS = [f for f, kind in kinds_of(Config).items() if kind.item is float]
BOOLS = [f for f, kind in kinds_of(Config).items() if kind.item is bool]


@pytest.mark.parametrize("name", INTS)
def test_integers_of_any_kind(name):
    for value in (np.int64(3), np.uint8(3), np.array(3)):
        got = getattr(Config(**{name: value}), name)
        assert (got, type(got)) == (3, int)
    for value in (3.0, np.float32(3), "3", True, np.True_, [3]):
        with pytest.raises(InputError, match=f"^{flags.flag(name)} must be an integer, not "):
            Config(**{name: value})


@pytest.mark.parametrize("name", FLOATS)
def test_numbers_of_any_kind(name):
    for value in (0.5, np.float16(0.5), np.float64(0.5), np.longdouble(0.5), np.array(0.5)):
        got = getattr(Config(**{name: value}), name)
        assert (got, type(got)) == (0.5, float)
    for value in ("0.5", True, np.True_, 0.5j, [0.5]):
        with pytest.raises(InputError, match=f"^{flags.flag(name)} must be a number, not "):
            Config(**{name: value})


def test_whole_numbers_may_stand_for_decimals():
    config = Config(reg=1, learning_rate=np.int32(2))
    assert [type(config.reg), type(config.learning_rate)] == [float, float]
    assert config == Config(reg=1.0, learning_rate=2.0)


@pytest.mark.parametrize("name", BOOLS)
def test_truth_of_any_kind(name):
    for value in (np.True_, np.array(True), True):
        assert getattr(Config(**{name: value}, hidden=(3, 3)), name) is True
    may_be_open = kinds_of(Config)[name].is_optional
    for value in (0, 1, "true", "no", np.int64(1), *([] if may_be_open else [None])):
        with pytest.raises(InputError, match=f"^{flags.flag(name)} must be true or false, not "):
            Config(**{name: value})


@given(hidden=st.lists(st.integers(1, 10**7), max_size=4))
def test_layers_of_any_kind(hidden):
    expected = Config(hidden=tuple(hidden))
    assert all(type(units) is int for units in expected.hidden)
    array = np.array(hidden, np.int64)
    for value in (hidden, array, list(array), tuple(array)):
        assert Config(hidden=value) == expected
        assert hash(Config(hidden=value)) == hash(expected)
    if len(hidden) == 1:
        assert Config(hidden=hidden[0]) == Config(hidden=array[0]) == expected


@pytest.mark.parametrize("hidden", [64.0, "64", None, True, [64.0], [True], ["64"], [[64]], {64}, (64, None)])
def test_what_are_no_layers(hidden):
    with pytest.raises(InputError, match=r"^--hidden must be an integer or a list of them, not "):
        Config(hidden=hidden)


def test_paths_are_texts(tmp_path):
    config = Config(dataset=tmp_path / "x.npz", data_dir=tmp_path, out=tmp_path, resume=tmp_path)
    assert config.dataset == str(tmp_path / "x.npz")
    assert config.data_dir == config.out == config.resume == str(tmp_path)
    with pytest.raises(InputError, match=r"^--device must be text"):
        Config(device=Path("cpu"))
    assert Config(device=np.str_("cpu")) == Config()


# How long


def test_iterations_or_epochs():
    assert (Config().iterations, Config().epochs) == (1000, None)
    assert (Config(epochs=5).iterations, Config(epochs=5).epochs) == (None, 5)
    assert Config(iterations=None, epochs=5) == Config(epochs=5)
    assert Config(iterations=None) == Config() == Config(iterations=1000)
    with pytest.raises(InputError, match=r"^give either --iterations or --epochs$"):
        dataclasses.replace(Config(), epochs=5)
    assert dataclasses.replace(Config(), iterations=None, epochs=5) == Config(epochs=5)


def test_later_layers_go_over_earlier_ones(tmp_path):
    assert Config.of() == Config()
    cifar = Config.of(dataset="cifar10")
    assert (cifar.iterations, cifar.batch_size, cifar.solver) == (1600, 400, "sgd")
    assert Config.of({"dataset": "cifar10", "batch_size": 9}, batch_size=7) == dataclasses.replace(
        cifar, batch_size=7
    )
    recipe, file = {"epochs": 3, "reg": 0.5}, tmp_path / "mine.toml"
    file.write_text('iterations = 7\nsolver = "adam"')
    made = Config.of(recipe, file)
    assert made == Config(iterations=7, reg=0.5, solver="adam")
    assert Config.of(recipe, str(file), epochs=2, reg=0.1) == Config(epochs=2, reg=0.1, solver="adam")
    assert Config.of(made, epochs=4) == Config(epochs=4, reg=0.5, solver="adam")
    assert Config.of(Config(epochs=4), iterations=6) == Config(iterations=6)
    assert Config.of(Config(epochs=4)) == Config(epochs=4)
    assert Config.of(Config(epochs=4), epochs=None) == Config()
    assert Config.of(dataset="cifar10", iterations=None).iterations == 1600
    with pytest.raises(InputError, match="give either --iterations or --epochs"):
        Config.of(iterations=4, epochs=4)
    with pytest.raises(InputError, match=r"mine\.json cannot be read"):
        Config.of(tmp_path / "mine.json")
    with pytest.raises(InputError, match="must be a dict, a Config or the path of a file, not list"):
        Config.of(["reg"])


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_are_layers(name):
    read = flags.read_file(recipes.path(name), Config)
    config = Config.of(read, reg=0.25)
    assert {key: getattr(config, key) for key in read} == read | ({"reg": 0.25} if "reg" in read else {})
    assert config == Config.of(recipes.path(name), reg=0.25)


# As text


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (Config(), "Config()"),
        (Config(hidden=64, epochs=5), "Config(hidden=(64,), epochs=5)"),
        (Config(iterations=5, quiet=True), "Config(iterations=5, quiet=True)"),
        (Config(dataset="a b.npz"), "Config(dataset='a b.npz')"),
        (Config.of(dataset="cifar10"), "Config.of(dataset='cifar10')"),
        (
            Config.of(dataset="cifar10", hidden=512, epochs=5),
            "Config.of(dataset='cifar10', hidden=(512,), epochs=5)",
        ),
        (
            Config(dataset="cifar10"),
            (
                "Config(dataset='cifar10', init_std=0.05, iterations=1000, batch_size=50, "
                "learning_rate=0.02,\n    learning_rate_decay=0.99)"
            ),
        ),
    ],
)
def test_settings_print_what_is_not_usual(config, text):
    assert repr(config) == text
    assert eval(text) == config


def test_all_settings_print_on_few_lines():
    other = {"device": "cuda:1", "backend": "torch", "precision": "tf32", "compile": True, "quiet": True}
    other |= {"monitor": "val_loss", "patience": 7, "min_delta": 0.001, "checkpoint_every": 4, "json": True}
    other |= {"max_time": 60, "class_weight": {"a=b": 2, "c": 0.5}, "loss": "cross-entropy"}
    other |= {"out": "some where  else/" * 9, "data_dir": "a\n'b", "resume": "x" * 99, "tensorboard": True}
    for config in (Config(**EVERY_SETTING), Config(**EVERY_SETTING, **other)):
        assert repr(config).count("\n") < 10
        assert eval(repr(config)) == config


@pytest.mark.parametrize("config", [Config(**EVERY_SETTING), Config.of(dataset="cifar10", epochs=5)])
def test_settings_pickle(config):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(config, protocol)) == config
    assert copy.deepcopy(config) == copy.copy(config) == config


def test_every_setting_is_in_a_group():
    settings = dataclasses.fields(SweepConfig)
    groups = [f.metadata["group"] for f in dataclasses.fields(Config)]
    assert list(dict.fromkeys(groups)) == [group for group in GROUPS if group != "sweep"]
    assert groups == sorted(groups, key=GROUPS.index)
    assert {f.metadata["group"] for f in settings} == set(GROUPS)
    common = [f.name for f in dataclasses.fields(Config) if f.metadata.get("common")]
    assert len(common) == 21
    assert {"dataset", "target", "hidden", "epochs", "iterations", "solver", "reg", "out"} <= set(common)


# Refused with the data: by the command lines, one line and exit status 2


def write_rows():
    """Rows that are no images."""
    rng = np.random.default_rng(0)
    np.savez("rows.npz", X=rng.standard_normal((80, 6)), y=rng.integers(2, size=80))


ROWS = "--dataset rows.npz --batch-size 10"


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        ("--dropout 1", ["--dropout", "below 1"]),
        ("--input-dropout -0.5", ["--input-dropout"]),
        ("--norm batch --batch-size 1", ["--norm batch"]),
        ("--loss hinge --label-smoothing 0.1", ["--loss hinge"]),
        ("--preprocess pca --components 65", ["65 components of 64 features", "at most 64"]),
        (f"{ROWS} --preprocess pca-whiten --components 7", ["7 components of 6 features"]),
        (f"{ROWS} --flip", ["augmentation needs images", "turn it off"]),
        (f"{ROWS} --rotation 5", ["augmentation needs images"]),
        (f"{ROWS} --averaging flip", ["averaging over views needs images"]),
        ("--shift 8", ["shift of 8 pixels", "at most 7"]),
        ("--cutout 9", ["cutout of side 9", "at most 8"]),
        ("--solver adagrid", ["--solver", "adagrid"]),
        ("--schedule linear", ["--schedule", "linear"]),
        ("--activation relu6", ["--activation", "relu6"]),
        ("--clip-norm 0", ["--clip-norm"]),
        ("--ensemble 3 --seed 18446744073709551615", ["--seed"]),
    ],
)
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_what_the_command_lines_refuse(capsys, command, argv, parts):
    write_rows()
    main = {"train": train.main, "sweep": sweep_main}[command]
    if command == "sweep" and "--ensemble" in argv:
        parts = ["--ensemble"]
    assert main(argv.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"xpnet {command}: error: ")
    assert err.count("\n") == 1
    assert all(part in err for part in parts)
    assert not Path("runs").exists()


def test_pca_of_more_components_than_rows(capsys):
    np.savez("few.npz", X=np.random.default_rng(0).standard_normal((30, 40)), y=np.arange(30) % 2)
    argv = "--dataset few.npz --batch-size 5 --preprocess pca --components 35"
    assert train.main(argv.split()) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "rows are too few to fit pca on" in err


@pytest.mark.parametrize("flags", [["--ensemble", "2"], ["--bagging"], ["--ensemble", "2", "--bagging"]])
def test_a_sweep_of_ensembles_is_refused(capsys, flags):
    assert sweep_main([*flags, "--seed", "0", "1", "--iterations", "5"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"drop {flags[-1]}\n" in err or "drop --ensemble" in err


# There and back


def of_computation():
    skipped = {
        "dataset",
        "data_dir",
        "device",
        "backend",
        "precision",
        "compile",
        "weights_image",
        "loss",
        "tensorboard",
        "out",
        "json",
        "quiet",
        "force",
        "init_from",
        "alone",
        "threads",
    }
    skipped |= {"monitor", "patience", "min_delta", "max_time", "checkpoint_every", "resume"}  # how long
    skipped |= {"class_weight"}  # which mixup cannot have
    skipped |= {"standardize_target"}  # of numbers alone
    skipped |= {*READING} - {"task"}  # of data of one's own
    return {f.name: default_of(f) for f in dataclasses.fields(Config) if f.name not in skipped}


def test_the_list_above_has_every_setting():
    assert EVERY_SETTING.keys() == of_computation().keys()
    for name, default in of_computation().items():
        assert EVERY_SETTING[name] != default, name


def test_a_run_of_every_setting_repeats_bit_for_bit_from_its_config(capsys):
    arguments = []
    for name, value in EVERY_SETTING.items():
        if value is not None:
            values = value if isinstance(value, tuple) else (value,)
            arguments += [flags.flag(name), *(map(str, values) if value is not True else ())]
    assert train.main([*arguments, "--out", "a", "--quiet"]) == 0
    written = json.loads(Path("a/config.json").read_text())
    for name, value in EVERY_SETTING.items():
        assert written[name] == (list(value) if isinstance(value, tuple) else value), name
    assert train.main(["--config", "a/config.json", "--out", "b", "--quiet"]) == 0
    for name in ("config.json", "model.safetensors"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()
    summaries = [json.loads(Path(folder, "summary.json").read_text()) for folder in "ab"]
    for summary in summaries:
        assert summary.pop("seconds") > 0
    assert summaries[0] == summaries[1]
    assert capsys.readouterr() == ("", "")


def test_every_setting_in_toml():
    lines = [f"{name} = {json.dumps(value)}" for name, value in EVERY_SETTING.items() if value is not None]
    Path("a.toml").write_text("\n".join(lines))
    read = flags.read_file(Path("a.toml"), Config)
    assert Config(**read) == Config(**EVERY_SETTING)


# What is made of them


def test_components_are_of_the_kinds_that_have_them():
    """So a sweep can vary the kind, and a recipe's can be changed."""
    assert Config(preprocess="pca", components=3).preprocessing.components == 3
    assert Config(preprocess="zca", components=3).preprocessing.components is None


def test_what_suits_the_rows():
    """A 0 leaves it to their number; what is said stays."""
    config = Config(epochs=0, batch_size=0, preprocess="pca", components=0)
    found = config.for_data(4800, 100, "classification")
    assert (found.epochs, found.batch_size, found.components) == (24, 256, 100)
    assert config.for_data(10**6, 10**4, "multilabel").components == 512
    several = dataclasses.replace(config, ensemble=0)
    networks = [several.for_data(rows, 9, "regression").ensemble for rows in (2, 199_999, 200_000, 10**7)]
    assert networks == [4, 4, 2, 2]
    for rows in (1, 2, 15, 16, 100, 300, 4096, 10**5, 10**8):
        found = config.for_data(rows, 10**4, "regression")
        assert 1 <= found.batch_size <= min(rows, 1024)
        assert 8 <= found.epochs <= 64
        assert 1 <= found.components <= max(1, rows // 2)
        assert found.num_steps(rows) >= found.epochs
    few = dataclasses.replace(config, fit_rows=20).for_data(10**5, 10**4, "classification")
    assert few.components == 10
    said = Config(epochs=7, batch_size=9, components=3, ensemble=3, label_smoothing=0.1)
    for task in ("classification", "multilabel"):
        assert said.for_data(4800, 100, task) == said
    # Numbers have no classes to smooth over.
    assert said.for_data(4800, 100, "regression") == dataclasses.replace(said, label_smoothing=0.0)
    assert Config().for_data(4800, 100, "regression") == Config()


def test_how_data_of_ones_own_are_read():
    given = {
        "task": "regression",
        "target": ("a", "b"),
        "categorical": ("c",),
        "numeric": ("d",),
        "ignore": ("e",),
        "header": False,
        "validation_fraction": 0.25,
        "group": "f",
        "size": 16,
        "rows_in": "disk",
    }
    by_time = {"time": "g"}
    assert given.keys() | by_time == set(READING)
    for said in (given, by_time):
        assert Config(**said).reading == Reading(**said)
    with pytest.raises(InputError, match="give either --group or --time"):
        Config(**given | by_time)
    assert Config(seed=7).reading == Reading()  # the rows that are held out are those of every seed


@pytest.mark.parametrize(
    ("given", "recipe"),
    [
        *[({}, None), ({"dataset": "digits"}, None), ({"dataset": "cifar10"}, None)],
        *[({"dataset": "rows.npz"}, "table"), ({"dataset": "people.csv", "hidden": (3,)}, "table")],
        *[({"dataset": "pictures"}, "images"), ({"dataset": "images.npz"}, "images")],
    ],
)
def test_data_of_ones_own_have_a_recipe(given, recipe):
    write_rows()
    Path("pictures").mkdir()
    np.savez("images.npz", X=np.zeros((4, 8, 8)), y=np.arange(4))
    assert usual_recipe(given) == recipe


def test_the_warm_up_is_a_part_of_the_run():
    assert Config(iterations=200, warmup=0.05).regime(1000).warmup_steps == 10
    assert Config(iterations=20, warmup=0.05).regime(1000).warmup_steps == 1


def test_hyper_parameters_are_those_that_stack():
    stackable = {f.name for f in dataclasses.fields(Config) if f.metadata.get("stackable")}
    assert stackable == {f.name for f in dataclasses.fields(Hyper)} | {"init_std", "seed", "batch_seed"}


def test_names_that_can_be_chosen_are_those_that_there_are():
    kinds = kinds_of(Config)
    assert set(kinds["solver"].choices) == set(SOLVERS)
    assert set(kinds["schedule"].choices) == set(SCHEDULES)
    for solver in SOLVERS:
        assert Config(solver=solver).regime(1000).solver == solver


def test_network_regime_and_preprocessing_of_every_setting():
    config = Config(**EVERY_SETTING)
    assert config.mlp(20, 10) == MLP((20, 12, 12, 10), "gelu", "batch", True)
    regime = config.regime(1000)
    assert regime.num_steps == 20
    for name in {f.name for f in dataclasses.fields(Regime)} & EVERY_SETTING.keys():
        assert getattr(regime, name) == EVERY_SETTING[name]
    assert config.augmentation == Augmentation(True, 1, 10.0, 2)
    hyper = hyper_of([config])
    for field in dataclasses.fields(Hyper):
        assert getattr(hyper, field.name) == EVERY_SETTING[field.name]


def test_no_clipping_is_a_limit_of_infinity():
    assert hyper_of([Config()]).clip_norm == math.inf
    assert hyper_of([Config(clip_norm=2.0), Config()]).clip_norm.tolist() == [2.0, math.inf]
    assert not hyper_of([Config()]).uses("clip_norm")
    assert hyper_of([Config(clip_norm=2.0), Config()]).uses("clip_norm")


def test_the_defaults_compute_as_before_there_was_a_choice():
    """Hence techniques cost nothing where nobody asks for them."""
    hyper, regime = hyper_of([Config()]), Config().regime(1000)
    off = {"weight_decay", "clip_norm", "dropout", "input_dropout", "label_smoothing", "ema"}
    assert not any(hyper.uses(name) for name in off)
    assert (regime.solver, regime.schedule, regime.loss) == ("sgd", "exponential", "cross-entropy")
    assert not Config().augmentation
    assert defaults_for(Config, "cifar10")["solver"] == "sgd"
