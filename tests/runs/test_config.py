"""Settings: what is refused and where, what stacks, and that all of them can be written and read."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from xpnet import train
from xpnet.commands import flags
from xpnet.commands.sweep import main as sweep_main
from xpnet.data.augment import Augmentation
from xpnet.errors import InputError
from xpnet.nn.mlp import MLP
from xpnet.nn.solvers import SOLVERS
from xpnet.runs.config import Config, defaults_for
from xpnet.runs.experiment import hyper_of
from xpnet.training.regime import Hyper, Regime
from xpnet.training.schedules import SCHEDULES

EVERY_SETTING = {
    "dtype": "float64",
    "hidden": (12, 12),
    "activation": "gelu",
    "norm": "batch",
    "residual": True,
    "init": "he",
    "init_std": 0.1,
    "preprocess": "pca-whiten",
    "components": 20,
    "ridge": 0.05,
    "contrast": True,
    "fit_rows": 400,
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
        ({"warmup": 1.0}, ["--warmup", "1.0"]),
        ({"ensemble": 0}, ["--ensemble", "0"]),
        ({"ensemble": 10**6}, ["--ensemble", "1000000"]),
        ({"iterations": None}, ["--iterations or --epochs"]),
        ({"epochs": 3}, ["--iterations or --epochs"]),
        ({"norm": "batch", "batch_size": 1}, ["--norm batch", "--batch-size of 2 or more"]),
        ({"loss": "hinge", "label_smoothing": 0.1}, ["--loss hinge", "--label-smoothing"]),
        ({"loss": "hinge", "mixup": 0.1}, ["--loss hinge", "--mixup"]),
        ({"residual": True, "hidden": (3, 4)}, ["residual blocks", "one width", "(3, 4)"]),
        ({"residual": True, "hidden": ()}, ["residual blocks"]),
        ({"preprocess": "pca", "components": 0}, ["0 components", "at least 1"]),
        ({"preprocess": "pca", "components": 9, "fit_rows": 8}, ["pca fitted on 8 rows", "at least 9"]),
        ({"preprocess": "zca", "fit_rows": 1}, ["zca fitted on 1 rows"]),
        ({"ridge": -1.0}, ["ridge of -1.0"]),
        ({"ridge": math.inf}, ["ridge of inf"]),
        ({"fit_rows": 0}, ["fitted on 0 rows"]),
        ({"shift": -1}, ["shift of images is -1"]),
        ({"cutout": -1}, ["cutout's side is -1"]),
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
        (f"{ROWS} --flip", ["augmentation is of images", "turn it off"]),
        (f"{ROWS} --rotation 5", ["augmentation is of images"]),
        (f"{ROWS} --averaging flip", ["averaging over views is of images"]),
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


def test_a_sweep_of_ensembles_is_refused(capsys):
    assert sweep_main(["--ensemble", "2", "--seed", "0", "1", "--iterations", "5"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "drop --ensemble" in err


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
    }
    skipped |= {"monitor", "patience", "min_delta", "checkpoint_every", "resume"}  # how long, not how
    return {f.name: f.default for f in dataclasses.fields(Config) if f.name not in skipped}


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
    assert Config(**{"iterations": None, **read}) == Config(**EVERY_SETTING)


# What is made of them


def test_components_are_of_the_kinds_that_have_them():
    """So a sweep can vary the kind, and a recipe's can be changed."""
    assert Config(preprocess="pca", components=3).preprocessing.components == 3
    assert Config(preprocess="zca", components=3).preprocessing.components is None


def test_the_warm_up_is_a_part_of_the_run():
    assert Config(iterations=200, warmup=0.05).regime(1000).warmup_steps == 10
    assert Config(iterations=20, warmup=0.05).regime(1000).warmup_steps == 1


def test_hyper_parameters_are_those_that_stack():
    stackable = {f.name for f in dataclasses.fields(Config) if f.metadata.get("stackable")}
    assert stackable == {f.name for f in dataclasses.fields(Hyper)} | {"init_std", "seed", "batch_seed"}


def test_names_that_can_be_chosen_are_those_that_there_are():
    hints = flags.get_type_hints(Config)
    assert set(hints["solver"].__args__) == set(SOLVERS)
    assert set(hints["schedule"].__args__) == set(SCHEDULES)
    for solver in SOLVERS:
        assert Config(solver=solver).regime(1000).solver == solver


def test_network_regime_and_preprocessing_of_every_setting():
    config = Config(**EVERY_SETTING)
    assert config.mlp(64, 10) == MLP((20, 12, 12, 10), "gelu", "batch", True)
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
    assert defaults_for("cifar10")["solver"] == "sgd"
