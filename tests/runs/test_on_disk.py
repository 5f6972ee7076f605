"""Training on rows that stay on the disk: what is trained is, to the bit, what is trained in memory."""

import re

import numpy as np
import pytest

import xpnet
from xpnet.commands import evaluate
from xpnet.datasets import parquet_rows
from xpnet.datasets.npy_rows import NpyRows
from xpnet.errors import InputError

RNG = np.random.default_rng(0)
N, D = 700, 6
X = (RNG.standard_normal((N, D)) * 2 ** np.arange(D)).astype(np.float32)
Y = {
    "classification": (X @ RNG.standard_normal(D) > 0).astype(np.int64),
    "regression": (X @ RNG.standard_normal((D, 2))).astype(np.float64),
}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    np.save(folder / "X.npy", X)
    return folder


def both(folder, **settings):
    """The run on rows in memory and the one on rows on the disk."""
    here = xpnet.fit(folder, rows_in="memory", **settings)
    there = xpnet.fit(folder, rows_in="disk", **settings)
    return here, there


def assert_same(here, there):
    assert here.model.params.keys() == there.model.params.keys()
    for name, value in here.model.params.items():
        np.testing.assert_array_equal(value, there.model.params[name], err_msg=name)
    for name, value in here.model.fitted.items():
        np.testing.assert_array_equal(value, there.model.fitted[name], err_msg=name)
    np.testing.assert_array_equal(here.model.row_range.low, there.model.row_range.low)
    differing = {"seconds"}
    assert {k: v for k, v in here.summary.items() if k not in differing} == {
        k: v for k, v in there.summary.items() if k not in differing
    }
    assert [row._replace(seconds=0) for row in here.history.rows] == [
        row._replace(seconds=0) for row in there.history.rows
    ]
    np.testing.assert_array_equal(here.history.losses, there.history.losses)


PLAIN = {"recipe": "none", "hidden": (12,), "epochs": 3, "batch_size": 32}
RUNS = {
    "table": {"recipe": "table", "epochs": 3, "hidden": (12,)},
    "mean": PLAIN,
    "standardize": PLAIN | {"preprocess": "standardize", "sampling": "all", "norm": "batch"},
    "some rows": PLAIN
    | {"train_rows": 99, "fit_rows": 50, "preprocess": "standardize", "sampling": "shuffle"},
    "bags": PLAIN | {"ensemble": 2, "bagging": True, "dropout": 0.2},
    "mixup": PLAIN | {"mixup": 0.4, "dtype": "float64", "preprocess": "none", "learning_rate": 1e-4},
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_the_one_in_memory(folder, name):
    np.save(folder / "y.npy", Y["classification"])
    assert_same(*both(folder, **RUNS[name]))


def test_numbers_with_weights(folder):
    np.save(folder / "y.npy", Y["regression"])
    np.save(folder / "sample_weight.npy", RNG.integers(0, 3, N) / 2)
    assert_same(*both(folder, **PLAIN | {"learning_rate": 1e-3, "preprocess": "standardize"}))


@pytest.mark.parametrize("kind", ["pca", "zca"])
def test_a_projection_is_the_one_in_memory_but_for_rounding(folder, kind):
    np.save(folder / "y.npy", Y["classification"])
    here, there = both(folder, **PLAIN | {"preprocess": kind, "dtype": "float64"})
    for name, value in here.model.params.items():
        np.testing.assert_allclose(value, there.model.params[name], rtol=1e-9, atol=1e-12)


def test_images_that_are_augmented(tmp_path):
    images = RNG.integers(0, 256, (200, 9, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "X.npy", images)
    np.save(tmp_path / "y.npy", images[:, 0, 0, 0] > 100)
    np.save(tmp_path / "X_test.npy", images[:50])
    np.save(tmp_path / "y_test.npy", images[:50, 0, 0, 0] > 100)
    said = {"recipe": "none", "hidden": (8,), "epochs": 2, "flip": True, "shift": 1, "cutout": 2}
    assert_same(*both(tmp_path, **said, averaging="flip"))


def test_a_stack_of_a_sweep(folder):
    np.save(folder / "y.npy", Y["classification"])
    grid = {"learning_rate": [0.01, 0.1], "hidden": [(8,), (4, 4)]}
    said = {"recipe": "none", "epochs": 2, "batch_size": 50}
    here = xpnet.search(folder, grid=grid, rows_in="memory", **said)
    there = xpnet.search(folder, grid=grid, rows_in="disk", **said)
    for one, other in zip(here.rows, there.rows, strict=True):
        assert one["curve"] == other["curve"]


def test_a_run_goes_on_wherever_its_rows_are(folder, tmp_path):
    np.save(folder / "y.npy", Y["classification"])
    whole = xpnet.fit(folder, rows_in="memory", **PLAIN | {"epochs": 6})
    xpnet.fit(folder, rows_in="disk", out=tmp_path / "run", checkpoint_every=1, **PLAIN)
    more = xpnet.fit(folder, rows_in="memory", resume=tmp_path / "run", epochs=6)
    for name, value in whole.model.params.items():
        np.testing.assert_array_equal(value, more.model.params[name])


def test_a_compiled_loop_is_the_same_up_to_rounding(folder):
    pytest.importorskip("jax", reason="JAX is not installed")
    np.save(folder / "y.npy", Y["classification"])
    here, there = both(folder, **PLAIN, backend="jax", dtype="float64")
    for name, value in here.model.params.items():
        np.testing.assert_allclose(there.model.params[name], value, rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*classes")
@pytest.mark.parametrize("classes", [12, 65, 100])
def test_training_rows_are_measured_as_in_memory(folder, tmp_path, capsys, classes):
    """Of so many classes a pair of them is more than a class of rows on the disk can hold."""
    np.save(folder / "y.npy", np.arange(N) % classes)
    told = []
    for where in ("memory", "disk"):
        xpnet.fit(folder, rows_in=where, **PLAIN, out=tmp_path / where)
        assert evaluate.main([str(tmp_path / where), "--split", "train"]) == 0
        told.append(capsys.readouterr().out.replace(where, ""))
    assert told[0] == told[1]


def test_the_classes_of_validation_rows_are_predicted_in_parts(folder, monkeypatch):
    np.save(folder / "y.npy", Y["classification"])
    here = xpnet.fit(folder, rows_in="memory", **PLAIN)
    monkeypatch.setattr("xpnet.datasets.stored.PART", 10 * D)
    rows = NpyRows(folder / "X.npy")
    np.testing.assert_array_equal(here.model.predict(rows), here.model.predict(X))
    assert here.model.score(rows, Y["classification"]) == here.model.score(X, Y["classification"])


def test_the_range_of_training_rows_is_known(folder):
    np.save(folder / "y.npy", Y["classification"])
    _, run = both(folder, **PLAIN)
    with pytest.warns(UserWarning, match="far outside"):
        run.predict(1000 * X)


def test_rows_elsewhere_than_on_a_disk():
    with pytest.raises(InputError, match="drop --rows-in"):
        xpnet.fit("digits", rows_in="disk")
    xpnet.fit("digits", rows_in="memory", epochs=1, hidden=(8,))  # as they are


def test_an_array_that_numpy_has_mapped(folder):
    mapped = np.load(folder / "X.npy", mmap_mode="r")
    here = xpnet.fit(mapped, Y["classification"], rows_in="memory", **PLAIN)
    there = xpnet.fit(mapped, Y["classification"], rows_in="disk", **PLAIN)
    assert_same(here, there)
    with pytest.raises(InputError, match="drop --rows-in"):  # a table's columns are in memory
        xpnet.fit(mapped, Y["classification"], group="0", rows_in="disk", **PLAIN)
    for array in (X, mapped.copy()):  # which is a memmap of no file
        with pytest.raises(InputError, match="drop --rows-in"):
            xpnet.fit(array, Y["classification"], rows_in="disk", **PLAIN)


@pytest.fixture
def parquet(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    monkeypatch.setattr(parquet_rows, "BUFFER", 600)
    folder = tmp_path / "parts"
    folder.mkdir()
    columns = {f"x{k}": X[:, k] for k in range(D)} | {"class": np.where(Y["classification"], "a", "b")}
    for part in range(4):
        rows = {name: values[part::4] for name, values in columns.items()}
        pq.write_table(pa.table(rows), folder / f"{part}.parquet", row_group_size=20)
    return folder


quiet = pytest.mark.filterwarnings("ignore:.*(on disk|by row groups|is used as|holds the data)")


@quiet
def test_a_table_in_parquet_is_learnt_and_a_run_goes_on(parquet, tmp_path):
    said = {"rows_in": "disk", "hidden": (16,), "batch_size": 32, "schedule": "constant", "ensemble": 2}
    first = xpnet.fit(parquet, **said, epochs=5, out=tmp_path / "run", checkpoint_every=1)
    more = xpnet.fit(parquet, resume=tmp_path / "run", epochs=10)
    whole = xpnet.fit(parquet, **said, epochs=10)
    assert whole.summary["val_accuracy"] > 0.9
    assert first.summary["steps"] < more.summary["steps"]
    for name, value in whole.model.params.items():
        np.testing.assert_array_equal(value, more.model.params[name])
    with pytest.raises(InputError, match="with its rows in another place: add --rows-in disk"):
        xpnet.fit(parquet, resume=tmp_path / "run", epochs=20, rows_in="memory")
    xpnet.fit(parquet, **said | {"rows_in": "memory"}, epochs=1, out=tmp_path / "here", checkpoint_every=1)
    with pytest.raises(InputError, match="with its rows in another place: add --rows-in memory"):
        xpnet.fit(parquet, resume=tmp_path / "here", epochs=2, rows_in="disk")


@quiet
@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"sampling": "replacement"}, "use --sampling shuffle or all, or --rows-in memory"),
        ({"bagging": True, "ensemble": 2}, "use no --bagging, or --rows-in memory"),
    ],
)
def test_what_would_draw_any_row_is_refused(parquet, said, message):
    with pytest.raises(InputError, match=message):
        xpnet.fit(parquet, rows_in="disk", **said)


@quiet
def test_a_part_that_is_damaged_while_it_is_trained_on(parquet):
    data = xpnet.datasets.load(parquet, reading=xpnet.datasets.Reading(rows_in="disk"))
    (parquet / "2.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"2.parquet cannot be read .*: give another file"):
        xpnet.fit(data, recipe="table", epochs=2)


@quiet
def test_folders_are_measured_and_predicted(parquet, folder, tmp_path):
    from xpnet.__main__ import main

    run = xpnet.fit(parquet, epochs=10, hidden=(16,), ensemble=1, out=tmp_path / "run")
    assert run.evaluate(parquet)["accuracy"] > 0.9
    output = tmp_path / "labels.csv"
    assert main(["predict", str(tmp_path / "run"), "--input", str(parquet), "--output", str(output)]) == 0
    assert len(output.read_text().splitlines()) == N + 1
    assert main(["evaluate", str(tmp_path / "run"), "--dataset", str(parquet)]) == 0
    np.save(folder / "y.npy", Y["classification"])
    run = xpnet.fit(folder, rows_in="disk", out=tmp_path / "other", **PLAIN)
    assert main(["evaluate", str(tmp_path / "other")]) == 0
    assert run.evaluate(folder)["accuracy"] == pytest.approx(run.model.score(X, Y["classification"]))


@quiet
def test_a_csv_by_the_command(tmp_path, capsys):
    from xpnet.__main__ import main

    lines = ["a,b,class", *(f"{a:.4f},{b:.4f},{'yn'[int(a + b > 0)]}" for a, b in X[:, :2])]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    arguments = ["train", str(tmp_path / "table.csv"), "--rows-in", "disk", "--epochs", "1"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert re.search(r"^a +number +0 ", said.out, re.MULTILINE)
    assert "is converted into" in said.err
    assert not np.isnan(xpnet.load(tmp_path / "run").summary["val_accuracy"])


def test_private_changes_of_a_map_are_trained_on(folder):
    """Nobody else sees them, so they must not be read from the file again."""
    mapped = np.load(folder / "X.npy", mmap_mode="c")
    mapped *= 2
    here = xpnet.fit(2 * X, Y["classification"], **PLAIN)
    assert_same(here, xpnet.fit(mapped, Y["classification"], **PLAIN))
    with pytest.raises(InputError, match="give it mapped read-only"):
        xpnet.fit(mapped, Y["classification"], rows_in="disk", **PLAIN)


def test_splits_of_other_lengths_are_refused_in_every_folder(folder):
    np.save(folder / "y.npy", Y["classification"])
    run = xpnet.fit(folder, rows_in="disk", **PLAIN)
    np.save(folder / "y.npy", Y["classification"][1:])
    with pytest.raises(InputError, match=f"X has {N} rows and y {N - 1}"):
        run.evaluate(folder)
