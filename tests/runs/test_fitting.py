"""`xpnet.fit`: what it trains on, the settings that it is given, and however it ends."""

import dataclasses
import json
import signal
import threading
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fits import PLAIN
from sweeps import DEVICE, blobs, numbers

from xpnet import datasets, recipes, sweep
from xpnet.commands import sweep as sweep_command
from xpnet.commands import train
from xpnet.datasets import from_arrays
from xpnet.errors import DeviceError, GapWarning, InputError, RangeWarning
from xpnet.runs import carry_out as carrying
from xpnet.runs import experiment
from xpnet.runs import folder as run_folder
from xpnet.runs.config import Config
from xpnet.runs.fit import fit
from xpnet.runs.keywords import in_python
from xpnet.runs.load import load
from xpnet.runs.model_file import load_model
from xpnet.runs.run import Run
from xpnet.sweep.search import search
from xpnet.training import interrupt

BLOBS = blobs()
ARRAYS = {"X_val": BLOBS.X_val, "y_val": BLOBS.y_val}
FAST = PLAIN | {"hidden": 7, "iterations": 40, "batch_size": 10}
FAST |= {"learning_rate": 0.3, "dtype": "float64", "seed": 3}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(*args, **given):
    with pytest.raises(InputError) as caught:
        fit(*args, **{"quiet": True} | given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(run, other):
    """The same networks to the bit, and the same of all that was measured but the seconds."""
    for name, value in other.model.params.items():
        np.testing.assert_array_equal(run.model.params[name], value)
    np.testing.assert_array_equal(run.history.losses, other.history.losses)
    assert [row[:7] for row in run.history.rows] == [row[:7] for row in other.history.rows]
    assert {**run.summary, "seconds": 0} == {**other.summary, "seconds": 0}


# What it trains on


@pytest.mark.parametrize(
    ("y", "says"),
    [
        (np.arange(100), "100 classes in 100 rows: use --task regression if these are numbers to predict"),
        (
            [f"name {k}" for k in range(100)],
            "100 classes in 100 rows, too few of each to learn from: give another",
        ),
        (["one"] * 100, "every row has the same target, so there is nothing to learn: give another target"),
        (np.full(100, 2.5), "every row has the same target, so there is nothing to learn"),
        (np.arange(100) % 15, None),
        (np.arange(100.0), None),
    ],
)
def test_targets_of_which_nothing_can_be_learnt_get_a_word(y, says):
    X = np.random.default_rng(0).standard_normal((100, 3))
    np.savez("own.npz", X=X, y=np.asarray(y))
    for given in ((X, y), ("own.npz",)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit(*given, **PLAIN | {"iterations": 2})
        said = [str(warning.message) for warning in caught]
        assert sum("classes in" in line or "every row" in line for line in said) == (says is not None)
        assert says is None or any(says in line for line in said)


def test_arrays():
    run = fit(BLOBS.X_train, BLOBS.y_train, **ARRAYS, **FAST)
    assert isinstance(run, Run)
    config = Config(dataset="data", quiet=True, **FAST)
    assert run.config == config
    same(run, experiment.run(config, BLOBS, DEVICE))
    assert run.folder is None
    assert list(Path().iterdir()) == []
    assert run.evaluate(BLOBS.X_val, BLOBS.y_val)["accuracy"] == run.summary["val_accuracy"]


def test_a_tenth_is_held_out():
    run = fit(BLOBS.X_train, BLOBS.y_train, **FAST)
    same(run, fit(from_arrays(BLOBS.X_train, BLOBS.y_train), **FAST))
    assert len(run.validated.y) == 4


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array(["no", "yes"])[BLOBS.y_train % 2], "classification"),
        (BLOBS.y_train % 2 == 0, "classification"),
        (BLOBS.y_train + 0.5, "regression"),
        (np.stack([BLOBS.y_train > 0, BLOBS.y_train > 1], axis=1), "multilabel"),
    ],
)
def test_the_task_is_that_of_the_targets(y, task):
    run = fit(BLOBS.X_train, y, **FAST)
    assert run.model.task == task
    assert run.predict(BLOBS.X_val).shape == (30, *y.shape[1:])
    assert run.predict(BLOBS.X_val).dtype.kind in (y.dtype.kind, "i")


def test_the_task_can_be_said():
    assert fit(BLOBS.X_train, BLOBS.y_train, task="regression", **FAST).model.task == "regression"
    y = BLOBS.y_train.astype(float)
    assert fit(BLOBS.X_train, y, task="classification", **FAST).model.task == "classification"
    np.savez("rows.npz", X=BLOBS.X_train, y=BLOBS.y_train)
    of_file = fit("rows.npz", task="regression", **FAST)
    assert (of_file.model.task, of_file.config.dataset) == ("regression", "rows.npz")
    same(of_file, fit(BLOBS.X_train, BLOBS.y_train, task="regression", **FAST))
    assert "--task must be one of 'classification', 'multilabel', 'regression'" in refused(
        BLOBS.X_train, BLOBS.y_train, task="forest"
    )
    assert refused(BLOBS, task="regression").startswith("'blobs' is for classification, not 'regression'")
    assert fit(BLOBS, task="classification", **FAST).model.task == "classification"
    assert "digits is for classification" in refused("digits", task="regression")


def test_test_rows_and_weights():
    weight = np.arange(40) % 3
    given = ARRAYS | {"X_test": BLOBS.X_val, "y_test": BLOBS.y_val, "sample_weight": weight}
    run = fit(BLOBS.X_train, BLOBS.y_train, **given, **FAST)
    assert run.summary["test_accuracy"] == run.summary["val_accuracy"]
    data = dataclasses.replace(BLOBS, weight_train=weight.astype(float))
    same(fit(data, **FAST), experiment.run(run.config, data, DEVICE))
    assert not np.array_equal(run.model.params["W1"], fit(BLOBS, **FAST).model.params["W1"])


@pytest.mark.parametrize("as_path", [str, Path])
def test_a_file(as_path):
    np.savez("rows.npz", X=BLOBS.X_train, y=BLOBS.y_train, **ARRAYS)
    run = fit(as_path("rows.npz"), **FAST)
    assert run.config.dataset == "rows.npz"
    same(run, fit(BLOBS, **FAST))


def test_the_name_of_a_data_set():
    run = fit("digits", **FAST | {"dtype": "float32"})
    assert run.config == Config(quiet=True, **FAST | {"dtype": "float32"})
    assert run.model.image_shape == (8, 8, 1)
    images = datasets.digits().X_val.reshape(-1, 8, 8)
    np.testing.assert_array_equal(run.predict(images), run.model.predict(datasets.digits().X_val))


@pytest.mark.parametrize(
    ("args", "given", "text"),
    [
        ((BLOBS.X_train,), {}, "X is an array without targets: give y, too"),
        (
            (BLOBS, BLOBS.y_train),
            {},
            "'blobs' contains its own targets and weights: drop y, or give X as rows",
        ),
        (
            ("digits",),
            {"X_val": BLOBS.X_val},
            "'digits' contains its own targets and weights: drop X_val",
        ),
        (
            (Path("a.npz"),),
            {"sample_weight": [1]},
            "'a.npz' contains its own targets and weights: drop sample_weight",
        ),
        (
            (BLOBS.X_train, BLOBS.y_train),
            {"X_val": BLOBS.X_val},
            "data has only one of X_val and y_val: give",
        ),
        ((BLOBS.X_train, BLOBS.y_train[:-1]), {}, "data: "),
        ((None,), {}, "X is missing: give rows or the name of a data set"),
        (("nowhere.npz",), {}, "there is no file nowhere.npz: check the path"),
        (("nonsense",), {}, "unknown dataset 'nonsense'"),
    ],
)
def test_what_is_no_data(args, given, text):
    assert refused(*args, **given).startswith(text)


@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize(
    "y",
    [
        [None if k in (3, 8) else "ab"[k % 2] for k in range(40)],
        np.array([np.nan if k in (3, 8) else k / 4 for k in range(40)]),
        np.array([[np.nan, 1.0] if k in (3, 8) else [k / 4, 2.0 * k] for k in range(40)]),
    ],
    ids=["text", "numbers", "several"],
)
def test_rows_without_a_target_are_left_out(y, as_table):
    X = BLOBS.X_train
    table = {f"c{k}": X[:, k] for k in range(X.shape[1])} if as_table else X
    given = {
        "epochs": 2,
        "recipe": "table-fast",
        "task": "classification" if type(y) is list else "regression",
    }
    with pytest.warns(UserWarning, match=r"left out 2 of 40 rows without a value for '"):
        run = fit(table, y, sample_weight=np.arange(1, 41), **given)
    kept = [k for k in range(40) if k not in (3, 8)]
    rest = {name: column[kept] for name, column in table.items()} if as_table else X[kept]
    targets = [y[k] for k in kept] if type(y) is list else y[kept]
    other = fit(rest, targets, sample_weight=np.arange(1, 41)[kept], **given)
    np.testing.assert_array_equal(run.model.params["W1"], other.model.params["W1"])
    with pytest.warns(UserWarning, match=r"left out 2 of 40 rows without a value for '"):
        held = fit(rest, targets, X_val=table, y_val=y, **given)
    assert len(held.validated.y) == 38


def test_targets_with_gaps_that_cannot_be_used():
    X, gaps = BLOBS.X_train, [None, *range(39)]
    assert "has only one of X_val and y_val" in refused(X, BLOBS.y_train, y_val=gaps)
    halves = np.array([[1.0, np.nan], [np.nan, 2.0]] * 20)
    assert "y has no row with all targets: fill in" in refused(X, halves)
    assert "X has 38 rows and y 40: give each row one label" in refused(X[:38], gaps)
    assert "give rows of one length" in refused(X, [[1], [1, 2]] * 20)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_integers_with_gaps_are_classes(library):
    """As where they are a column that is the target; other libraries would make floats of them."""
    frames = pytest.importorskip(library)
    y = frames.Series([None if k == 3 else 5 + k % 2 for k in range(40)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = fit(BLOBS.X_train, y, epochs=2, recipe="table-fast")
    assert "left out 1 of 40 rows" in str(caught[0].message)
    assert run.model.labels == (5, 6)
    words = [
        in_python("'y' holds whole floats with gaps, read as classes: use --task regression for numbers")
    ]
    assert [str(one.message) for one in caught[1:]] == (words if library == "pandas" else [])
    with pytest.warns(UserWarning, match="left out 1 of 40 rows") as caught:
        run = fit(BLOBS.X_train, y, epochs=2, task="regression", recipe="table-fast")
    assert (run.model.task, len(caught)) == ("regression", 1)


@pytest.mark.parametrize("gap", [False, True])
def test_floats_of_0_and_1_are_classes_at_every_door(tmp_path, gap):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(BLOBS.X_train, columns=list("abcde")).assign(y=(BLOBS.y_train > 0) * 1.0)
    frame.loc[7, "y"] = np.nan if gap else frame["y"][7]
    frame.to_csv(tmp_path / "own.csv", index=False)
    X, y = frame.drop(columns="y"), frame["y"]
    np.savez(tmp_path / "own.npz", X=X, y=y)
    for given, more in (
        ((frame,), {"target": "y"}),
        ((tmp_path / "own.csv",), {"target": "y"}),
        ((tmp_path / "own.npz",), {}),
        ((X, y), {}),
        ((X.to_numpy(), y.to_numpy()), {}),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = fit(*given, epochs=2, recipe="table-fast", **more)
        assert len(caught) == 1 + gap
        assert "--task regression for numbers" in str(caught[-1].message)
        assert (run.model.task, run.model.class_names, run.model.labels) == (
            "classification",
            ("0", "1"),
            None,
        )
        assert run.predict(X.to_numpy()).dtype == np.int64


def test_frames_with_names_of_any_kind():
    pandas = pytest.importorskip("pandas")
    X, y = BLOBS.X_train, BLOBS.y_train
    frame = pandas.DataFrame(X)  # its names are integers
    run = fit(frame.assign(plan=y), target="plan", ignore="1", epochs=2, recipe="table-fast")
    assert run.model.columns.sources == ("0", "2", "3", "4")
    np.testing.assert_array_equal(run.predict(frame[[4, 3, 2, 0]]), run.predict(frame))
    frame.columns = pandas.MultiIndex.from_product([["a"], range(X.shape[1])])
    run = fit(frame, y, epochs=2, recipe="table-fast")
    assert run.model.columns.names[:2] == ("('a', 0)", "('a', 1)")
    np.testing.assert_array_equal(run.predict(frame[frame.columns[::-1]]), run.predict(frame))


def test_rows_by_name():
    rows = [
        {"a": float(row[0]), "b": row[1], "y": int(label)}
        for row, label in zip(BLOBS.X_train, BLOBS.y_train, strict=True)
    ]
    run = fit(rows, target="y", epochs=2, recipe="table-fast")
    assert run.model.columns.names == ("a", "b")
    np.testing.assert_array_equal(run.predict([rows[0]]), run.predict(BLOBS.X_train[:1, :2]))


def test_columns_of_an_array_are_found_by_their_numbers_in_a_frame():
    pandas = pytest.importorskip("pandas")
    X, y = BLOBS.X_train, BLOBS.y_train
    run = fit(X, y, epochs=2, recipe="table-fast")
    frame = pandas.DataFrame(X, columns=list(map(str, range(X.shape[1]))))
    for other in (frame, frame[frame.columns[::-1]], frame.set_axis(list("abcdefgh")[: X.shape[1]], axis=1)):
        np.testing.assert_array_equal(run.predict_proba(other), run.predict_proba(X))


@pytest.mark.parametrize("with_gaps", [False, True])
def test_gaps_in_rows_of_an_array_are_such_as_training_had(with_gaps):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    X[:20, 1] = np.where(with_gaps, np.nan, X[:20, 1])
    run = fit(X, y, **FAST | {"preprocess": "table"})
    fit_rows = X.copy()
    fit_rows[7, 2] = np.nan
    pandas = pytest.importorskip("pandas")
    says = (
        r"row 7 of X has no value \(NaN\) in column 2, where every training row had one: fill in a value, or"
    )
    for call in (run.predict, run.predict_proba, lambda X: run.evaluate(X, y), run.model.predict):
        for rows in (fit_rows, pandas.DataFrame(fit_rows, columns=list("abc"))):
            with pytest.raises(InputError, match=says):
                call(rows)
    X[3, 1] = np.nan
    if with_gaps:
        run.predict(X)
    else:
        with pytest.raises(InputError, match="row 3 of X has no value"):
            run.predict(X)


def test_gaps_of_rows_that_validate_are_such_too():
    X, y = np.arange(90.0).reshape(30, 3), np.arange(30) % 2
    X_val = X[:3].copy()
    X_val[0, 2] = np.nan
    run = fit(X, y, X_val=X_val, y_val=y[:3], **FAST | {"preprocess": "table"})
    run.predict(X_val)
    assert run.model.row_range.gaps.tolist() == [False, False, True]


def test_a_new_gap_in_a_named_column_gets_a_word():
    table = {"a": np.arange(40.0) * 3 % 40, "b": [str(k % 3) for k in range(40)]}
    run = fit(table, np.arange(40) % 2, **FAST | {"preprocess": "table"})
    new = {"a": [None, 3.0], "b": ["1", "2"]}
    with pytest.warns(GapWarning, match="missing values in columns that had none in training: a;"):
        assert run.predict(new).shape == (2,)
    with pytest.warns(
        RangeWarning, match="column 'a' holds 5000, far outside the training range [0-9] to 3[0-9]: is it in"
    ):
        run.predict({"a": [1, 5000], "b": ["1", "2"]})


@pytest.mark.parametrize("name", ["target", "Label", " CLASS ", "y", "kind"])
def test_the_column_to_predict_is_found_where_it_is_plain(name):
    table = {"a": np.arange(40.0) % 9, "b": np.arange(40) % 7, name: ["no", "yes"] * 20}
    with pytest.warns(UserWarning, match=rf"column '{name}' is used as the target: give --target NAME"):
        run = fit(table, **FAST | {"preprocess": "table"})
    assert (run.config.target, run.model.labels) == ((name,), ("no", "yes"))
    assert run.evaluate(table)["accuracy"] == run.evaluate(table, table[name])["accuracy"]


def test_what_is_given_in_a_wrong_place_is_said_to_be_that():
    pandas = pytest.importorskip("pandas")
    X, y = BLOBS.X_train, BLOBS.y_train
    for pair in ((X, y), [X, y], (pandas.DataFrame(X), pandas.Series(y))):
        assert refused(pair, None) == "X is a pair of arrays: give X and y separately, as in xpnet.fit(*pair)"
    assert fit(tuple(map(tuple, X.tolist())), y, **FAST).model.num_features == 5
    frame = pandas.DataFrame(X, columns=list("abcde")).assign(y=y)
    says = "sample_weight is 'a', the name of a column: give the values of that column, "
    says += "and leave it out with --ignore a"
    assert says in refused(frame, None, target="y", sample_weight="a")
    assert says in refused(X, y, sample_weight="a")
    assert "sample_weight has shape (3,)" in refused(frame, None, target="y", sample_weight=[1, 2, 3])


def test_samples_that_are_no_images_are_rows_of_numbers():
    X = BLOBS.X_train[:, None, None, :] * np.ones((2, 2, 1))
    run = fit(X, BLOBS.y_train, epochs=2, ensemble=1)
    assert (run.model.num_features, run.model.preprocessing.kind) == (20, "table")
    assert run.predict(X).shape == (40,)


@pytest.mark.parametrize("row", range(0, 40, 5))
def test_values_beyond_all_measure_are_no_matter_of_how_training_rows_were(row):
    X = BLOBS.X_train.astype(float)
    X[row, 2] = -1e300  # be it held out or not
    says = "X holds 1e+300 in column 2, beyond 1e+150: divide that column by its largest value"
    assert refused(X, BLOBS.y_train) == says


def test_a_lazy_frame_is_to_be_collected():
    polars = pytest.importorskip("polars")
    lazy = polars.DataFrame({"a": BLOBS.X_train[:, 0]}).lazy()
    text = "the table is a lazy query: give its collect()"
    assert refused(lazy, BLOBS.y_train) == refused(lazy, target="a") == text


def test_columns_of_an_array_are_called_by_their_numbers():
    X = np.column_stack([BLOBS.X_train, BLOBS.y_train])
    last = str(X.shape[1] - 1)
    run = fit(X, BLOBS.y_train, categorical=[last], ignore="0", epochs=2, recipe="table-fast")
    kinds = {column.name: column.kind for column in run.model.columns.columns}
    assert (kinds[last], kinds["1"], "0" in kinds) == ("category", "number", False)
    assert run.predict(X[:5]).shape == (5,)
    assert fit(X, target=last, task="regression", epochs=2, recipe="table-fast").config.target == (last,)
    assert "--categorical 'town' is not a column: give one of 0, 1" in refused(
        X, BLOBS.y_train, categorical="town"
    )


@pytest.mark.parametrize(
    ("args", "given", "text"),
    [
        ((BLOBS,), {"target": "plan"}, "blobs is not a table: drop --target"),
        (
            (BLOBS,),
            {"validation_fraction": 0.3},
            "blobs has its own validation rows: drop --validation-fraction",
        ),
        (("digits",), {"validation_fraction": 0.3}, "digits has its own validation rows: drop "),
        ((BLOBS.X_train, BLOBS.y_train), {"size": 8}, "data is not a folder of images: drop --size"),
        (
            ({"a": BLOBS.X_train[:, 0]}, BLOBS.y_train),
            {"header": True},
            "data is not a text file: drop --header",
        ),
        (
            (BLOBS.X_train, BLOBS.y_train),
            ARRAYS | {"validation_fraction": 0.3},
            "data has its own validation rows: drop --validation-fraction",
        ),
    ],
)
def test_what_data_have_no_use_for_is_refused(args, given, text):
    assert refused(*args, **given).startswith(text)


# Settings


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"lr": 0.1}, "there is no setting 'lr': did you mean learning_rate?"),
        ({"learning_rate": -1.0}, "--learning-rate must be a finite number, 0 or more, not -1.0"),
        ({"resume": False}, "--resume must be text, not False"),
        ({"dataset": "digits"}, "X is blobs, but dataset is 'digits': leave out dataset"),
        ({"recipe": "quick"}, "there is no recipe 'quick': use "),
        ({"loss": "squared-error"}, "--loss squared-error is not for classification"),
        ({"flip": True}, "augmentation needs images"),
        (
            {"on_epoch": np.zeros((2, 2))},
            "on_epoch must be a function that takes the history, not array([[0., 0.",
        ),
        ({"on_epoch": 5}, "on_epoch must be a function that takes the history, not 5"),
        ({"checkpoint_every": 2}, "--checkpoint-every writes into the run folder: give --out, too"),
        ({"tensorboard": True}, "--tensorboard writes into the run folder: give --out, too"),
        ({"weights_image": True}, "--weights-image writes into the run folder: give --out, too"),
        ({"out": "there", "weights_image": True}, "the weights cannot be shown as images, because"),
    ],
)
def test_settings_that_are_refused_leave_nothing(given, text):
    assert refused(BLOBS, **{"batch_size": 10} | given).startswith(text)
    assert list(Path().iterdir()) == []


def test_a_device_that_there_is_none_of():
    with pytest.raises(DeviceError):
        fit(BLOBS, device="abacus", **FAST)


def test_a_recipe_is_for_what_the_settings_leave_open():
    """And what it was made for is not what is trained on here."""
    given = {"batch_size": 10, "iterations": 8, "flip": False, "shift": 0, "averaging": "none"}
    given |= {"mixup": 0.0, "cutout": 0, "rotation": 0.0, "hidden": 7, "components": None, "ensemble": 1}
    run = fit(BLOBS, recipe="original", **given)
    assert run.config.dataset == "blobs"
    recipe = Config.of(recipes.path("original"))
    assert recipe.dataset == "cifar10"
    assert run.config.learning_rate == recipe.learning_rate != Config().learning_rate
    assert (run.config.iterations, run.config.hidden) == (8, (7,))


@pytest.mark.parametrize(
    ("recipe", "given", "expected"),
    [
        ("table-fast", {}, {"label_smoothing": 0.1, "init": "he", "schedule": "cosine"}),
        ("table-fast", {"loss": "hinge"}, {"label_smoothing": 0.0, "init": "he"}),
        ("table-fast", {"init_std": 0.1}, {"init": "normal", "label_smoothing": 0.1}),
        ("table-fast", {"learning_rate_decay": 0.9}, {"schedule": "exponential"}),
        ("table-fast", {"learning_rate_decay": 0.9, "schedule": "step"}, {"schedule": "step"}),
        ("images", {"batch_size": 1, "flip": False, "shift": 0}, {"norm": "none", "hidden": (512, 512, 512)}),
        (
            "none",
            {"batch_size": 20},
            {"solver": "sgd", "hidden": (300,), "ensemble": 1, "preprocess": "mean"},
        ),
    ],
)
def test_what_is_said_goes_over_what_the_recipe_would_have(recipe, given, expected):
    run = fit(BLOBS.X_train, BLOBS.y_train, recipe=recipe, **{"iterations": 2, **given})
    assert {name: getattr(run.config, name) for name in expected} == expected


def test_a_contradiction_of_ones_own_is_refused():
    text = refused(BLOBS, loss="hinge", label_smoothing=0.1)
    assert text.startswith("--loss hinge takes one class per row: drop --mixup and --label-smoothing (in ")


def test_a_weight_by_class():
    run = fit(BLOBS, class_weight={2: 0, "1": 5}, **FAST)
    assert run.config.class_weight == ("2=0", "1=5")
    assert (run.predict(BLOBS.X_train) == 2).mean() < 0.1


# The folder


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("as_path", [str, Path])
def test_out(as_path):
    run = fit(BLOBS, out=as_path("a/b"), **FAST)
    assert run.folder == Path("a/b")
    assert json.loads(Path("a/b/summary.json").read_text()) == run.summary
    model = load_model("a/b/model.safetensors")
    np.testing.assert_array_equal(model.params["W1"], run.model.params["W1"])
    assert run.report() == Path("a/b/report.html")
    again = fit(BLOBS, **{**json.loads(Path("a/b/config.json").read_text()), "dataset": "blobs"})
    same(again, run)


def test_a_new_folder_in_runs():
    run = fit(BLOBS, out="", **FAST)
    assert run.folder.parent == Path("runs")
    assert run.folder.name.startswith("blobs-2")


@pytest.mark.usefixtures("without_pictures")
def test_the_path_of_a_file_is_found_from_anywhere(tmp_path, monkeypatch):
    np.savez("rows.npz", X=BLOBS.X_train, y=BLOBS.y_train)
    run = fit("rows.npz", out="there", **FAST)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    config = Config.of(tmp_path / "there" / "config.json")
    assert config.dataset == str(tmp_path / "rows.npz")
    same(fit(config.dataset, **FAST), run)


# Watching


def test_epochs_are_told():
    seen = []

    def on_epoch(history):
        seen.append((len(history.rows), history.rows[-1].step, history.rows[-1].val_score))

    run = fit(BLOBS, on_epoch=on_epoch, **FAST)
    assert seen == [(k, row.step, row.val_score) for k, row in enumerate(run.history.rows, 1)]
    seen.clear()
    run = fit(BLOBS, on_epoch=on_epoch, **FAST | {"ensemble": 2})
    assert seen == [(k, row.step, row.val_score) for k, row in enumerate(run.history.rows, 1)]
    assert all(type(value) is float for _, _, value in seen)


def test_an_error_in_between_leaves_no_folder():
    def on_epoch(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(BLOBS, on_epoch=on_epoch, out="there", **FAST)
    assert list(Path().iterdir()) == []


def test_it_is_quiet_unless_it_is_told_otherwise(capfd):
    fit(BLOBS, **FAST)
    assert capfd.readouterr() == ("", "")
    fit(BLOBS, quiet=False, **FAST)
    out, err = capfd.readouterr()
    assert out == ""
    assert err != ""


@pytest.mark.usefixtures("without_pictures")
def test_validation_rows_of_a_file_on_another_scale():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 3)), rng.integers(0, 2, 200)
    np.savez("rows.npz", X=X, y=y, X_val=255 * X[:50] + 100, y_val=y[:50])
    for door in (partial(fit, "rows.npz"), partial(search, "rows.npz", grid={"seed": [0, 1]})):
        with pytest.warns(UserWarning, match="different scale from the training rows in 3 of 3 features"):
            door(recipe="none", **FAST)


# However it ends


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("data", [BLOBS, numbers(2)])
def test_divergence_is_a_warning(data):
    with pytest.warns(
        RuntimeWarning, match=r"^training diverged at step \d+: lower --learning-rate, "
    ) as seen:
        run = fit(data, **FAST | {"learning_rate": 1e9})
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert "parameters from before that are kept" in str(seen[0].message)
    assert run.summary["status"] == "diverged"
    assert run.diverged_at > 0
    assert np.isfinite(run.model.params["W1"]).all()
    with pytest.warns(RuntimeWarning, match="parameters from before that are in there"):
        fit(data, out="there", **FAST | {"learning_rate": 1e9, "patience": 50})


def prices(rows=80, columns=1, unit=1.0):
    """Rows, and numbers in the hundred thousands."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 4))
    return unit * X, 3e5 + 1e5 * (X @ rng.standard_normal((4, columns)))


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("given", "unit", "said"),
    [
        ({"standardize_target": False}, 1.0, "y has {}, so leave out --no-standardize-target; param"),
        ({}, 1e4, "feature . of X has {}, so use --preprocess standardize; param"),
    ],
)
def test_what_is_out_of_scale_is_named_and_the_advice_works(given, unit, said):
    X, y = prices(unit=unit)
    how = FAST | {"learning_rate": 0.05, "iterations": 100, "learning_rate_decay": 1.0}
    figures = r"a mean of \S+ and a deviation of \S+"
    with pytest.warns(RuntimeWarning, match=r"^training diverged at step \d+: " + said.format(figures)):
        run = fit(X, y, X_val=X, y_val=y, **how | given)
    assert np.isfinite(run.predict(X)).all()
    of_sweep = "every network diverged: " + said.format(figures).partition("; ")[0]
    with pytest.warns(RuntimeWarning, match=of_sweep):
        search(X, y, {"seed": [0, 1]}, X_val=X, y_val=y, **how | given)
    better = fit(X, y, X_val=X, y_val=y, **how | {"preprocess": "standardize"})
    assert better.summary["status"] == "finished"
    assert better.summary["val_r2"] > 0.5


@pytest.mark.usefixtures("without_pictures")
def test_ctrl_c_ends_a_run_with_what_it_has(handlers):
    left = "run.model holds the network reached so far, and run.best that of the best epoch"
    onwards = "fit the same data with resume='there' to continue from there"
    with pytest.warns(UserWarning, match=f"^training was interrupted after epoch 2: {left}; {onwards}$"):
        run = fit(BLOBS, on_epoch=interrupt_after(3), out="there", **FAST)
    assert run.summary["status"] == "interrupted"
    assert [row.step for row in run.history.rows] == [1, 5, 9]
    assert json.loads(Path("there/summary.json").read_text()) == run.summary
    whole = fit(BLOBS, **FAST)
    np.testing.assert_array_equal(run.history.losses, whole.history.losses[:9])
    assert signal.getsignal(signal.SIGINT) is handlers


@pytest.fixture
def handlers():
    """The handler of Ctrl-C, which must be there again in the end."""
    return signal.getsignal(signal.SIGINT)


def interrupt_after(epochs, times=1):
    """Return what sends Ctrl-C in an epoch."""

    def on_epoch(history):
        if len(history.rows) == epochs:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return on_epoch


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"ensemble": 2}, "networks reached so far, and run.best those of their best epochs"),
        ({"patience": 999}, "network of the best epoch so far"),
        ({"patience": 999, "ensemble": 2}, "networks of their best epochs so far"),
    ],
)
def test_ctrl_c_without_a_folder_says_what_is_left(settings, kept):
    onwards = r"fit again to train to the end; with a folder \(out=\), a run can be continued \(resume=\)"
    with pytest.warns(UserWarning, match=rf"after epoch \d+: run.model holds the {kept}; {onwards}$") as told:
        fit(BLOBS, on_epoch=interrupt_after(3), **FAST | {"iterations": 4000} | settings)
    assert [warning.filename for warning in told] == [__file__]


def test_ctrl_c_in_the_first_epoch_says_that_there_is_nothing_to_go_on_from(monkeypatch):
    begun = iter(range(9))
    real = carrying.progress.start

    def start(_):
        shown = real(True)
        shown.on_step = lambda: next(begun) == 2 and signal.raise_signal(signal.SIGINT)
        return shown

    monkeypatch.setattr(carrying.progress, "start", start)
    with pytest.warns(UserWarning, match="in the first epoch, after step 2: .*so resume='there' starts over"):
        fit(BLOBS, out="there", **FAST | {"sampling": "all"})


def test_ctrl_c_at_the_very_end_is_told(handlers):
    with pytest.warns(UserWarning, match="was interrupted, but it was already complete"):
        run = fit(BLOBS, on_epoch=interrupt_after(11), **FAST)
    assert run.summary["status"] == "finished"
    assert signal.getsignal(signal.SIGINT) is handlers


def test_ctrl_c_again_ends_it_at_once(handlers, monkeypatch):
    monkeypatch.setattr(interrupt, "ONE_PRESS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        fit(BLOBS, on_epoch=interrupt_after(3, times=2), out="there", **FAST)
    assert signal.getsignal(signal.SIGINT) is handlers
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("without_pictures")
def test_ctrl_c_pressed_twice_is_once(handlers):
    """As a program in between passes it on, too: what was trained is not lost."""
    with pytest.warns(UserWarning, match="interrupted after epoch 2"):
        run = fit(BLOBS, on_epoch=interrupt_after(3, times=3), out="there", **FAST)
    assert run.summary["status"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is handlers
    again = fit(BLOBS, resume="there")
    assert again.summary["status"] == "finished"


@pytest.mark.usefixtures("without_pictures")
def test_ctrl_c_while_files_are_written_leaves_all_of_them(handlers, monkeypatch):
    save = run_folder.save_model

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        save(*args)

    monkeypatch.setattr(run_folder, "save_model", interrupted)
    with pytest.raises(KeyboardInterrupt, match="but the run was already complete, in there"):
        fit(BLOBS, out="there", **FAST)
    assert signal.getsignal(signal.SIGINT) is handlers
    assert load("there").summary["status"] == "finished"


@pytest.mark.usefixtures("without_pictures")
def test_a_full_disk_loses_no_network(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "save_model", full)
        with pytest.warns(RuntimeWarning, match="could not be written .*No space left.*: save it elsewhere"):
            run = fit(BLOBS, out="full", **FAST)
    assert run.folder is None
    assert run.save("elsewhere") == Path("elsewhere")
    np.testing.assert_array_equal(load("elsewhere").predict(BLOBS.X_val), run.predict(BLOBS.X_val))


@pytest.mark.usefixtures("without_pictures")
def test_ctrl_c_again_while_files_are_written_leaves_what_resumes(handlers, monkeypatch):
    monkeypatch.setattr(interrupt, "ONE_PRESS", 0.0)

    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "save_model", interrupted)
        with pytest.raises(
            KeyboardInterrupt, match=r"complete it with xpnet train --resume there \(in Python resume=\)"
        ):
            fit(BLOBS, out="there", **FAST)
    assert signal.getsignal(signal.SIGINT) is handlers
    assert fit(BLOBS, resume="there").summary["status"] == "finished"


def test_ctrl_c_before_the_first_step(handlers, monkeypatch):
    prepare = experiment.prepare

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)
        return prepare(*args)

    monkeypatch.setattr(experiment, "prepare", interrupted)
    with pytest.raises(KeyboardInterrupt, match="interrupted before the first step"):
        fit(BLOBS, out="there", **FAST)
    assert signal.getsignal(signal.SIGINT) is handlers
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("error", [InputError, ZeroDivisionError])
def test_the_handler_is_there_again_after_an_error(handlers, error):
    def on_epoch(_):
        assert signal.getsignal(signal.SIGINT) is not handlers
        raise error

    with pytest.raises(error):
        fit(BLOBS, on_epoch=on_epoch, **FAST)
    assert signal.getsignal(signal.SIGINT) is handlers


def test_on_another_thread():
    """To which Python sends no signals."""
    found = []
    thread = threading.Thread(target=lambda: found.append(fit(BLOBS, **FAST)))
    thread.start()
    thread.join()
    same(found[0], fit(BLOBS, **FAST))


def test_time():
    run = fit(BLOBS, max_time=1e-9, **FAST)
    assert (run.summary["status"], run.summary["steps"]) == ("stopped", 1)
    same(fit(BLOBS, max_time=1e6, **FAST), fit(BLOBS, **FAST))


# A batch that is larger than the data


def clipped(door, size, capsys):
    """Train at a door with batches of a size; return its score and what was said."""
    settings = FAST | {"batch_size": size}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if door == "fit":
            score = fit(BLOBS, out="there", force=True, **settings).summary["val_accuracy"]
            assert load("there").config.batch_size == 40
        elif door == "search":
            score = search(BLOBS, grid={"seed": [3]}, **settings).best.summary["val_accuracy"]
        elif door == "sweep.run":
            score = sweep.run([Config(**settings)], BLOBS).rows[0]["val_score"]
        else:
            np.savez("my.npz", X=BLOBS.X_train, y=BLOBS.y_train, X_val=BLOBS.X_val, y_val=BLOBS.y_val)
            argv = ["my.npz", "--recipe", "none", "--batch-size", str(size), "--quiet", "--json"]
            argv += [
                *(
                    [
                        "--hidden",
                        "7",
                        "--iterations",
                        "40",
                        "--learning-rate",
                        "0.3",
                        "--dtype",
                        "float64",
                        "--seed",
                        "3",
                    ]
                )
            ]
            assert {"train": train, "sweep": sweep_command}[door].main(argv) == 0
            out, err = capsys.readouterr()
            return json.loads(out)["val_accuracy"], err.splitlines()
    return score, [str(warning.message) for warning in caught]


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("door", ["fit", "search", "sweep.run", "train", "sweep"])
def test_a_batch_of_more_rows_than_there_are_has_all_of_them(door, capsys):
    score, said = clipped(door, 41, capsys)
    assert said
    assert "--batch-size 41 is more than the 40 training rows: every batch contains all of them" in said[0]
    assert len(said) == 1
    assert clipped(door, 40, capsys) == (score, [])


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("y_val", [[0.3], [0.3, 0.3, 0.3]], ids=["one", "alike"])
@pytest.mark.parametrize("monitor", ["val_score", "val_r2"])
def test_where_r_squared_says_nothing_the_loss_chooses(monitor, y_val):
    """By R², 0 in each, the first epoch would be the best."""
    data = numbers(1)
    X, y = data.X_train, data.y_train[:, 0]
    how = {"X_val": X[: len(y_val)], "y_val": y_val, "patience": 60, "recipe": "none"}
    how = FAST | how | {"learning_rate": 0.05}
    text = "R² of (a single validation row|validation rows with equal targets) is undefined: epochs"
    with pytest.warns(UserWarning, match=text):
        run = fit(X, y, **how | {"monitor": monitor, "out": "there"})
    by_loss = fit(X, y, **how | {"monitor": "val_loss"})
    assert run.model.checksum() == by_loss.model.checksum()
    assert run.best.checksum() == by_loss.best.checksum()
    assert run.summary["val_r2"] is None
    assert json.loads(Path("there/summary.json").read_text())["val_r2"] is None
    with pytest.raises(InputError, match="is undefined, but a sweep ranks by it: hold out more rows"):
        search(
            X, y, {"learning_rate": [1e-9, 1e-2]}, **{k: v for k, v in how.items() if k != "learning_rate"}
        )


def test_rows_of_weight_nothing_shape_no_columns():
    """In a table, too: neither what a column is, nor its categories, nor the classes."""
    rng = np.random.default_rng(3)
    table = {"size": rng.normal(size=60).tolist(), "town": ["Rome", "Oslo"] * 30, "kind": ["a", "b"] * 30}
    weight = np.where(np.arange(60) < 6, 0.0, rng.uniform(1, 2, 60))
    kept = {name: column[6:] for name, column in table.items()}
    for row in range(6):
        table["size"][row], table["town"][row], table["kind"][row] = 1e9, "Atlantis", "c"
    how = {"target": "kind", "recipe": "table-fast", "epochs": 3}
    found, expected = fit(table, sample_weight=weight, **how), fit(kept, sample_weight=weight[6:], **how)
    assert found.model.class_names == ("a", "b")
    assert found.model.checksum() == expected.model.checksum()


# Resuming


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("data", [BLOBS, numbers(2, weights=True)], ids=["classes", "numbers"])
@pytest.mark.parametrize("changes", [{}, {"solver": "adam", "ema": 0.9, "sampling": "all", "patience": 99}])
def test_an_interrupted_run_goes_on(data, changes, handlers):
    settings = FAST | {"learning_rate": 0.05} | changes
    with pytest.warns(UserWarning, match="interrupted after epoch"):
        cut = fit(data, on_epoch=interrupt_after(6), out="there", checkpoint_every=2, **settings)
    assert cut.summary["status"] == "interrupted"
    assert {path.name for path in Path("there").glob("checkpoint-*")} == {
        "checkpoint-000000004.safetensors",
        "checkpoint-000000006.safetensors",
    }
    told = []
    run = fit(data, resume="there", on_epoch=lambda history: told.append(len(history.rows)))
    whole = fit(data, **settings)
    same(run, whole)
    assert run.folder == Path("there")
    assert told[-1] == len(whole.history.rows)
    (kept,) = Path("there").glob("checkpoint-*")  # of an epoch that a longer run has, too
    assert kept.name == f"checkpoint-{8 if settings.get('sampling') is None else 10:09}.safetensors"
    assert json.loads(Path("there/summary.json").read_text()) == run.summary
    assert signal.getsignal(signal.SIGINT) is handlers


@pytest.mark.usefixtures("without_pictures")
def test_what_cannot_be_resumed():
    assert refused(BLOBS, resume="there") == "there is no run in there to resume: give the folder of one"
    fit(BLOBS, out="there", **FAST)
    text = (
        "there holds no checkpoint: its run is finished, or wrote none; train a new run from its weights "
        "with --init-from there (in Python init_from=)"
    )
    assert refused(BLOBS, resume="there") == text
    assert (
        refused(BLOBS, resume="there", out="b")
        == "--resume continues in there itself: drop --out (in Python out=, resume=)"
    )
    with pytest.warns(UserWarning, match="interrupted after epoch"):
        fit(BLOBS, on_epoch=interrupt_after(6), out="other", checkpoint_every=2, **FAST)
    assert "is from a run with different data" in refused(blobs(seed=1), resume="other")
    assert "is from a run with different settings (seed)" in refused(BLOBS, resume="other", seed=9)
    same(fit(BLOBS, resume="other"), fit(BLOBS, **FAST))


@pytest.mark.parametrize("frame", [False, True])
def test_validation_rows_of_another_scale(frame):
    X, y = np.random.default_rng(0).normal(size=(80, 2)), np.arange(80) % 2

    def rows(of):
        return {"a": of[:, 0], "b": of[:, 1]} if frame else of

    with pytest.warns(UserWarning, match="in 2 of 2 features: scale X_val as X was scaled"):
        fit(rows(X[:40]), y[:40], X_val=rows(1000 * X[40:]), y_val=y[40:], **FAST)
    fit(rows(X[:40]), y[:40], X_val=rows(X[40:]), y_val=y[40:], **FAST)


@pytest.mark.parametrize("rest", [1, 2])
def test_batch_norm_of_all_rows_learns_whatever_rest_there_is(rest):
    """In a run, and in the stack of a sweep."""
    X = np.random.default_rng(5).normal(size=(300, 4))
    y = X @ [1.0, -2.0, 0.0, 1.0]
    part = slice(100 + rest)
    how = {"recipe": "none", "norm": "batch", "sampling": "all", "batch_size": 50, "hidden": 16, "seed": 1}
    how |= {
        "solver": "adam",
        "learning_rate": 0.01,
        "epochs": 80,
        "reg": 0.0,
        "X_val": X[200:],
        "y_val": y[200:],
    }
    run = fit(X[part], y[part], **how)
    assert run.evaluate(X[200:], y[200:])["r2"] > 0.9
    assert run.summary["steps"] == 80 * 3
    found = search(X[part], y[part], {"learning_rate": [0.01, 0.02]}, **how | {"learning_rate": 0.01})
    assert min(row["val_score"] for row in found.rows) > 0.9


def test_batch_norm_of_one_row_is_refused():
    X, y = np.eye(3), np.arange(3.0)
    how = {"X_val": X, "y_val": y, "norm": "batch", "recipe": "none", "task": "regression"}
    text = "--norm batch needs batches of several rows, but there is only 1 training row: give more, or use "
    assert refused(X[:1], y[:1], **how).startswith(text)
    with pytest.raises(InputError, match="there is only 1 training row"):
        search(X[:1], y[:1], {"reg": [0.0, 0.1]}, **how)


def test_a_scorer_of_scikit_learn_at_every_door(tmp_path):
    """What a run and a sweep are given by its name, and `config.json` holds."""
    metrics = pytest.importorskip("sklearn.metrics")
    how = {"monitor": "f1_macro", "hidden": 4, "iterations": 30, "batch_size": 10, "recipe": "none"}
    seen = fit(BLOBS, **how, patience=50, out=str(tmp_path / "a"))
    assert load(tmp_path / "a").config.monitor == "f1_macro"
    assert Config.of(tmp_path / "a" / "config.json").monitor == "f1_macro"
    X, y = BLOBS.X_val, BLOBS.y_val
    kept = metrics.f1_score(y, seen.model.predict(X), average="macro")
    best = metrics.f1_score(y, seen.best.predict(X), average="macro")
    assert best == kept
    found = search(BLOBS, grid={"reg": [0.0, 0.1]}, **how, patience=50)
    assert len(found.rows) == 2
    with pytest.raises(InputError, match="'scoring': did you mean monitor"):
        fit(BLOBS, scoring="f1_macro")
    with pytest.raises(InputError, match="neg_max_error is not for classification"):
        search(BLOBS, grid={"reg": [0.0, 0.1]}, **how | {"monitor": "neg_max_error"})
