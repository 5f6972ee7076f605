"""``train_rows``: some of the training rows, drawn by the seed, and nothing that is fitted to any others."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from command_lines import call
from fits import PLAIN
from hypothesis import given
from hypothesis import strategies as st
from sweeps import BASE, alone, assert_same, blobs, labels, numbers

from xpnet import Config, InputError, fit
from xpnet.commands import evaluate, train
from xpnet.datasets import Dataset
from xpnet.runs.subset import subset_of

SMALL = PLAIN | {"hidden": 5, "batch_size": 10, "dtype": "float64"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def of_classes(*sizes):
    """A data set of classes of these sizes, whose rows are their numbers."""
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = np.arange(float(len(y)))[:, None]
    return Dataset("classes", X, y, X[:1], y[:1], None, None, tuple(map(str, range(len(sizes)))))


def drawn(data, count, seed=0):
    """Return the numbers of the rows of a subset of `of_classes`."""
    return subset_of(Config(train_rows=count, seed=seed), data).X_train[:, 0].astype(int).tolist()


sizes = st.lists(st.integers(1, 15), min_size=1, max_size=4)


@given(sizes=sizes, seed=st.integers(0, 2**64 - 1))
@hypothesis.settings(max_examples=15)
def test_subsets_of_one_seed_are_nested(sizes, seed):
    data = of_classes(*sizes)
    before = set()
    for count in range(1, sum(sizes) + 1):
        rows = drawn(data, count, seed)
        assert rows == sorted(set(rows))  # in their order
        assert len(rows) == count
        assert before <= set(rows)
        before = set(rows)


@given(sizes=sizes)
@hypothesis.settings(max_examples=20)
def test_no_class_has_more_than_its_share(sizes):
    """By the measure of Huntington and Hill no row of one class had better been another's."""
    data = of_classes(*sizes)
    for count in range(len(sizes), sum(sizes) + 1):
        found = np.bincount(data.y_train[drawn(data, count)], minlength=len(sizes)).tolist()
        assert min(found) >= 1
        for (n, size), (other, its_size) in itertools.permutations(zip(found, sizes, strict=True), 2):
            assert n * (n - 1) * its_size**2 <= other * (other + 1) * size**2


@pytest.mark.parametrize(
    ("count", "found"), [(100, [60, 30, 10]), (50, [30, 15, 5]), (11, [7, 3, 1]), (3, [1, 1, 1])]
)
def test_classes_keep_their_shares(count, found):
    data = of_classes(600, 300, 100)
    assert np.bincount(data.y_train[drawn(data, count)]).tolist() == found


def test_the_larger_classes_come_first_where_there_are_more_classes_than_rows():
    data = of_classes(1, 30, 2, 20)
    assert sorted(data.y_train[drawn(data, 2)]) == [1, 3]


def test_seeds_draw_other_rows_and_always_the_same():
    data = of_classes(50, 50)
    assert drawn(data, 20, 1) == drawn(data, 20, 1)
    assert len({tuple(drawn(data, 20, seed)) for seed in range(20)}) == 20
    assert len({row for seed in range(20) for row in drawn(data, 20, seed)}) > 95
    # A run that was made years ago is evaluated on the rows that it was trained on.
    assert drawn(data, 6, 2**64 - 1) == [12, 14, 25, 78, 83, 95]


@pytest.mark.parametrize("data", [blobs(), numbers(2, weights=True), labels(weights=True)], ids=repr)
def test_targets_and_weights_go_with_their_rows(data):
    some = subset_of(Config(train_rows=15), data)
    place = {row.tobytes(): k for k, row in enumerate(data.X_train)}
    rows = [place[row.tobytes()] for row in some.X_train]
    assert rows == sorted(rows)
    assert len(rows) == 15
    np.testing.assert_array_equal(some.y_train, data.y_train[rows])
    if data.weight_train is not None:
        np.testing.assert_array_equal(some.weight_train, data.weight_train[rows])
    assert some.X_val is data.X_val
    assert some.y_val is data.y_val


def test_all_rows_are_the_data_set_itself():
    data = blobs()
    assert subset_of(Config(), data) is data
    assert subset_of(Config(train_rows=40), data) is data
    some = subset_of(Config(train_rows=20), data)
    assert subset_of(Config(train_rows=20), some) is some


def test_more_rows_than_there_are():
    with pytest.raises(
        InputError, match=r"^--train-rows 41 is more than the 40 training rows: give 40 or less "
    ):
        fit(blobs(), train_rows=41)


KINDS = [
    (blobs(), {}),
    (blobs(), {"class_weight": "balanced", "preprocess": "standardize"}),
    (blobs(), {"preprocess": "pca", "components": 0, "ensemble": 2, "batch_size": 0, "epochs": 0}),
    (replace(blobs(features=9), image_shape=(3, 3, 1)), {"flip": True, "cutout": 1, "epochs": 3}),
    (numbers(2, weights=True, shift=1e3, scale=5.0), {"epochs": 3}),
    (labels(weights=True), {"sampling": "all", "epochs": 3}),
]


@pytest.mark.parametrize(("data", "changes"), KINDS, ids=range(len(KINDS)))
def test_a_run_is_that_of_a_file_that_has_only_these_rows(data, changes):
    """What was fitted to the rows, the steps and the summary; the settings apart, which say so."""
    settings = SMALL | {"seed": 4} | changes
    few = fit(data, train_rows=25, **settings)
    cut = fit(subset_of(Config(train_rows=25, seed=4), data), **settings)
    assert_same(few.model.params, cut.model.params)
    assert_same(few.model.fitted, cut.model.fitted)
    assert repr(few.model.target) == repr(cut.model.target)
    assert few.summary | {"seconds": 0} == cut.summary | {"seconds": 0}
    assert few.config == replace(cut.config, train_rows=25)
    whole = fit(data, **settings).model.params
    assert any(not np.array_equal(whole[name], value) for name, value in few.model.params.items())


def test_an_experiment_cuts_its_data_by_itself():
    config = replace(BASE, train_rows=25)
    cut = alone(BASE, subset_of(config, blobs()))
    assert_same(alone(config, blobs()).model.params, cut.model.params)


@pytest.mark.usefixtures("without_pictures")
def test_a_run_of_few_rows_goes_on():
    settings = SMALL | {"train_rows": 25, "checkpoint_every": 1}
    whole = fit(blobs(), epochs=6, **settings | {"checkpoint_every": None})
    fit(blobs(), epochs=3, out="run", **settings)
    with pytest.raises(InputError, match=r"different settings \(train_rows\): resume with"):
        fit(blobs(), epochs=6, train_rows=26, resume="run")
    assert_same(fit(blobs(), epochs=6, resume="run").model.params, whole.model.params)


@pytest.mark.usefixtures("without_pictures")
def test_a_run_is_evaluated_on_the_rows_that_it_was_trained_on(capsys):
    run = fit("digits", train_rows=200, epochs=3, out="run")
    status, out, err = call(evaluate.main, capsys, "run", "--split", "train", "--json", "--quiet")
    found = json.loads(out)
    assert (status, err, found["rows"]) == (0, "", 200)
    assert found["accuracy"] == run.summary["train_accuracy"]
    _, out, err = call(evaluate.main, capsys, "run", "--json", "--quiet")
    assert err == ""
    assert json.loads(out)["accuracy"] == run.summary["test_accuracy"]


@pytest.mark.usefixtures("without_pictures")
def test_a_file_that_has_changed_since_is_no_error(capsys):
    def write(rows):
        data = blobs(rows=rows)
        arrays = {"X": data.X_train, "y": data.y_train, "X_val": data.X_val, "y_val": data.y_val}
        np.savez("data.npz", **arrays)

    write(40)
    fit("data.npz", train_rows=30, out="run", **SMALL, epochs=2)
    _, _, err = call(evaluate.main, capsys, "run", "--quiet")
    assert err == ""
    # By its own name the file is measured whole, and known for what it was trained on.
    _, _, err = call(evaluate.main, capsys, "run", "--dataset", "data.npz", "--split", "val", "--quiet")
    assert err == ""
    for rows in (50, 20):
        write(rows)
        status, _, err = call(evaluate.main, capsys, "run", "--quiet")
        assert status == 0
        assert "has changed since the run" in err


@pytest.mark.usefixtures("without_pictures")
def test_a_run_that_begins_with_another_takes_its_rows_over_with_its_data():
    np.savez("data.npz", X=blobs().X_train, y=blobs().y_train)
    np.savez("other.npz", X=blobs(rows=20).X_train, y=blobs(rows=20).y_train)
    fit("data.npz", train_rows=30, out="run", **SMALL, epochs=2)
    assert train.main(["--init-from", "run", "--out", "again", "--quiet"]) == 0
    for folder in ("run", "again"):
        assert json.loads(Path(folder, "config.json").read_text())["train_rows"] == 30
    assert fit("data.npz", init_from="run").config.train_rows is None  # as all that is said of data
    assert fit("other.npz", init_from="run").config.train_rows is None
    assert fit(blobs(), init_from="run").config.train_rows is None
