"""Experiments that predict numbers or several labels, of weighted rows, or that are out of time."""

import dataclasses
import json

import numpy as np
import pytest
from sweeps import BASE, DEVICE, blobs, labels, numbers

from xpnet.datasets import from_arrays
from xpnet.errors import InputError
from xpnet.runs import folder as run_folder
from xpnet.runs.config import Config
from xpnet.runs.experiment import run
from xpnet.runs.model_file import load_model
from xpnet.runs.networks import scores, train
from xpnet.runs.preparation import prepare

ADAM = dataclasses.replace(BASE, solver="adam", learning_rate=0.02, reg=0.0, iterations=300, hidden=(12,))


def r_squared(y, predicted):
    """R² by its definition, the mean over the outputs."""
    predicted = predicted.reshape(y.shape)
    return np.mean(1 - ((y - predicted) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0))


# Numbers


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1e6, 1.0), (-1e150, 1e149), (1e-150, 1e-150)])
def test_numbers_of_any_size(dtype_name, outputs, shift, scale):
    """Predictions are in the units of the targets, and float32 loses no deviation small beside the mean."""
    data = numbers(outputs, shift=shift, scale=scale)
    data = dataclasses.replace(data, X_test=data.X_val[:9], y_test=data.y_val[:9])
    found = run(dataclasses.replace(ADAM, dtype=dtype_name), data, DEVICE)
    assert found.summary["status"] == "finished"
    for part in ("train", "val", "test"):
        X, y = getattr(data, f"X_{part}"), getattr(data, f"y_{part}")
        predicted = found.model.predict(X)
        assert predicted.shape == ((len(X),) if outputs == 1 else (len(X), outputs))
        value = r_squared((y - shift) / scale, (predicted - shift) / scale)
        assert found.summary[f"{part}_r2"] == pytest.approx(value, abs=1e-4)
        assert value > 0.3 or part == "test"  # of a few rows, alike by chance
    assert not {key for key in found.summary if "accuracy" in key}
    assert found.history.rows[-1].val_score == pytest.approx(found.summary["val_r2"], abs=1e-4)
    assert found.validated.y is data.y_val
    np.testing.assert_array_equal(found.validated.predicted, found.model.predict(data.X_val))
    assert found.model.target.mean.shape == (outputs,)


@pytest.fixture(params=["float32", "float64"])
def dtype_name(request):
    return request.param


def test_the_unit_of_numbers_changes_nothing_else():
    """The same network to the bit, for a power of two, and as many times its predictions."""
    data = numbers(2)
    other = dataclasses.replace(data, y_train=1024 * data.y_train, y_val=1024 * data.y_val)
    one, two = run(ADAM, data, DEVICE), run(ADAM, other, DEVICE)
    for name, value in one.model.params.items():
        np.testing.assert_array_equal(two.model.params[name], value)
    np.testing.assert_array_equal(two.model.predict(data.X_val), 1024 * one.model.predict(data.X_val))
    assert [row[:7] for row in one.history.rows] == [row[:7] for row in two.history.rows]
    assert one.summary["val_r2"] == two.summary["val_r2"]


def test_a_target_that_never_changes():
    X = np.random.default_rng(0).standard_normal((40, 4))
    y = np.stack([np.full(40, 7.0), X[:, 0]], axis=1)
    data = from_arrays(X, y, X_val=X[:9], y_val=y[:9])
    found = run(ADAM, data, DEVICE)
    np.testing.assert_allclose(found.model.predict(X)[:, 0], 7.0, atol=0.5)
    assert np.isfinite(found.summary["val_r2"])


COUNTS = numbers(2)
COUNTS = dataclasses.replace(
    COUNTS, y_train=np.exp(COUNTS.y_train / 2).round(), y_val=np.exp(COUNTS.y_val / 2).round()
)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("loss", ["absolute-error", "huber", "poisson"])
def test_every_loss_of_numbers(tmp_path, loss, standardize):
    """Also of an ensemble, saved and loaded, with intervals."""
    config = dataclasses.replace(ADAM, loss=loss, standardize_target=standardize, ensemble=2)
    found = run(config, COUNTS, DEVICE)
    model, X, y = found.model, COUNTS.X_val, COUNTS.y_val
    assert model.link == ("log" if loss == "poisson" else "identity")
    assert (model.target is not None) == standardize
    assert r_squared(y, model.predict(X)) == pytest.approx(found.summary["val_r2"], abs=1e-4)
    assert found.summary["val_r2"] > 0.3
    np.testing.assert_allclose(model.predict(X), model.members(X).mean(axis=0), rtol=1e-5)
    ends = model.predict_interval(X, 0.8)
    assert (ends[..., 0] <= model.predict(X)).all()
    if loss == "poisson":
        assert (model.predict(X) > 0).all()
        assert (ends >= 0).all()
        if standardize:
            np.testing.assert_array_equal(model.target.mean, 0.0)
            np.testing.assert_allclose(model.target.scale, COUNTS.y_train.mean(axis=0))
    run_folder.write(tmp_path, found, pictures=False)
    loaded = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(loaded.predict_interval(X, 0.8), ends)


def test_absolute_errors_end_at_the_median():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((400, 2)), rng.exponential(size=400)
    data = from_arrays(X, y, X_val=X[:40], y_val=y[:40])
    config = dataclasses.replace(ADAM, loss="absolute-error", hidden=(1,), iterations=600)
    median, mean = np.median(y), y.mean()
    predicted = run(config, data, DEVICE).model.predict(X).mean()
    assert abs(predicted - median) < abs(predicted - mean)


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        (
            "y_train",
            -3.0,
            "^y_train holds -3 in row 2, but the loss poisson needs numbers of at least 0: use --",
        ),
        ("y_val", -3.0, "y_val holds -3 in row 2, but the loss poisson"),
        ("y_train", 0.0, "y_train is 0 in all rows, .*: use --loss squared-error"),
    ],
)
def test_counts_are_from_0_up(part, change, said):
    y = getattr(COUNTS, part).copy()
    y[2 if change else slice(None), 0] = change
    with pytest.raises(InputError, match=said):
        run(dataclasses.replace(ADAM, loss="poisson"), dataclasses.replace(COUNTS, **{part: y}), DEVICE)


# Numbers to learn from, of any size


@pytest.mark.filterwarnings("ignore:values from")
@pytest.mark.parametrize("preprocess", ["standardize", "pca", "pca-whiten", "zca", "table"])
def test_features_of_any_size(dtype_name, tmp_path, preprocess):
    """Rows in units from 1e-140 to 1e140, and times: as good as the same rows in units of 1."""
    config = dataclasses.replace(ADAM, dtype=dtype_name, preprocess=preprocess)
    data = numbers(1)
    unit, shift = (
        np.resize([1e-140, 1e140, 1.0], data.num_features),
        np.resize([0, 0, 1.7e9], data.num_features),
    )
    other = dataclasses.replace(data, X_train=data.X_train * unit + shift, X_val=data.X_val * unit + shift)
    plain, found = run(config, data, DEVICE), run(config, other, DEVICE)
    assert found.summary["val_r2"] == pytest.approx(plain.summary["val_r2"], abs=0.02)
    run_folder.write(tmp_path, found, pictures=False)
    loaded = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(other.X_val), found.model.predict(other.X_val))
    with pytest.raises(
        InputError, match=r"row 0 of X (holds values beyond 1e\+150|is predicted as NaN.*): divide"
    ):
        loaded.predict(np.full((1, data.num_features), 1e300))


# Labels


def test_several_labels():
    data = labels()
    found = run(ADAM, data, DEVICE)
    P, y = found.model.probabilities(data.X_val), found.model.predict(data.X_val)
    assert P.shape == y.shape == (30, 3)
    np.testing.assert_array_equal(y, P > 0.5)
    all_right = np.mean((y == data.y_val).all(axis=1))
    assert found.summary["val_accuracy"] == pytest.approx(all_right)
    assert found.history.rows[-1].val_score == pytest.approx(all_right)
    assert all_right > 0.5
    assert found.summary["status"] == "finished"
    assert found.model.task == "multilabel"


# Ensembles, averages, stacks


@pytest.mark.parametrize("data", [numbers(2), labels()], ids=["numbers", "labels"])
def test_an_ensemble_predicts_the_mean(data):
    together = run(dataclasses.replace(ADAM, ensemble=3, seed=4), data, DEVICE)
    each = [run(dataclasses.replace(ADAM, seed=4 + k), data, DEVICE).model for k in range(3)]
    if data.task == "regression":
        mean = np.mean([model.predict(data.X_val) for model in each], axis=0)
        np.testing.assert_allclose(together.model.predict(data.X_val), mean)
        assert together.summary["val_r2"] == pytest.approx(r_squared(data.y_val, mean))
    else:
        mean = np.mean([model.probabilities(data.X_val) for model in each], axis=0)
        np.testing.assert_allclose(together.model.probabilities(data.X_val), mean)
        assert together.summary["val_accuracy"] == np.mean(((mean > 0.5) == data.y_val).all(axis=1))


@pytest.mark.parametrize("averaging", ["none", "flip"])
@pytest.mark.parametrize("data", [numbers(2), labels(), numbers(1, weights=True)])
def test_scores_of_a_stack_are_those_of_its_networks(device, data, averaging):
    data = dataclasses.replace(data, image_shape=(2, 2, 1))
    config = dataclasses.replace(ADAM, averaging=averaging, dtype="float32", iterations=10)
    configs = [dataclasses.replace(config, seed=seed) for seed in range(3)]
    prepared, mlp = prepare(config, data, device), config.mlp(4, data.num_outputs)
    params = train(configs, mlp, prepared, device).params
    measured = scores(config, mlp, params, prepared, device)
    name = "r2" if data.task == "regression" else "accuracy"
    for k, one in enumerate(configs):
        single = run(one, data, device)
        for part in ("train", "val"):
            assert measured[f"{part}_score"].shape == (3,)
            expected = single.summary[f"{part}_{name}"]
            assert measured[f"{part}_score"][k] == pytest.approx(expected, abs=1e-5)


# Weights, and all rows


def test_a_row_of_weight_two_counts_as_two():
    """With batches of all rows, so that none is drawn more often than another."""
    data = numbers(2, weights=True)
    times = data.weight_train.astype(int)
    again = dataclasses.replace(
        data,
        X_train=np.repeat(data.X_train, times, axis=0),
        y_train=np.repeat(data.y_train, times, axis=0),
        weight_train=None,
    )
    config = dataclasses.replace(ADAM, sampling="all", preprocess="none", iterations=50)
    of_weights = run(dataclasses.replace(config, batch_size=40), data, DEVICE)
    of_copies = run(dataclasses.replace(config, batch_size=int(times.sum())), again, DEVICE)
    np.testing.assert_allclose(of_weights.model.target.mean, of_copies.model.target.mean)
    predicted = [found.model.predict(data.X_val) for found in (of_weights, of_copies)]
    np.testing.assert_allclose(*predicted, rtol=1e-6)
    losses = [found.history.losses for found in (of_weights, of_copies)]
    np.testing.assert_allclose(*losses, rtol=1e-7)


@pytest.mark.parametrize("batch_size", [13, 2])
def test_a_batch_may_be_of_rows_that_weigh_nothing(batch_size):
    """That ends no run: the last batch of a pass is often of few rows."""
    config = dataclasses.replace(ADAM, sampling="all", batch_size=batch_size, iterations=400)
    found = run(dataclasses.replace(config, class_weight={"0": 0.0, "1": 0.0}), blobs(), DEVICE)
    assert found.summary["status"] == "finished"
    assert np.isfinite(found.history.losses).all()
    assert all(np.isfinite(row.val_loss) for row in found.history.rows)
    seen = [row.train_score for row in found.history.rows]
    assert np.isnan(seen).any()  # there is nothing to score in such a batch
    assert np.isfinite(seen).any()


@pytest.mark.parametrize("data", [blobs(), labels(), numbers(2)], ids=["classes", "labels", "numbers"])
@pytest.mark.parametrize("preprocess", ["none", "standardize", "pca"])
def test_rows_of_weight_nothing_might_as_well_not_be_there(data, preprocess):
    """Whatever they hold: they shape no preprocessing, no batch norm, no batch and no interval."""
    rng = np.random.default_rng(5)
    weight, weight_val = rng.uniform(0.5, 2, 40), rng.uniform(0.5, 2, len(data.y_val))
    out, out_val = np.arange(0, 40, 3), np.arange(0, len(data.y_val), 4)
    spoilt = {}
    for split, rows, w in (("train", out, weight), ("val", out_val, weight_val)):
        X, y = getattr(data, f"X_{split}").copy(), getattr(data, f"y_{split}").copy()
        X[rows], w[rows] = -9999.0, 0.0
        if data.task == "regression":
            y[rows] = 1e6
        spoilt |= {f"X_{split}": X, f"y_{split}": y, f"weight_{split}": w}
    removed = {
        name: np.delete(value, out if "train" in name else out_val, axis=0) for name, value in spoilt.items()
    }
    config = dataclasses.replace(ADAM, preprocess=preprocess, norm="batch", batch_size=10, patience=50)
    found, expected = (run(config, dataclasses.replace(data, **rows), DEVICE) for rows in (spoilt, removed))
    assert found.model.checksum() == expected.model.checksum()
    assert found.summary["data"] == expected.summary["data"]
    assert found.history.losses == expected.history.losses
    assert [row.val_loss for row in found.history.rows] == [row.val_loss for row in expected.history.rows]
    np.testing.assert_array_equal(found.model.row_range.low, expected.model.row_range.low)


def test_a_class_of_weight_nothing_shapes_no_preprocessing():
    data = blobs()
    X = np.where((data.y_train == 1)[:, None], 1e6, data.X_train)
    config = dataclasses.replace(ADAM, class_weight={"1": 0.0}, preprocess="standardize")
    found = run(config, dataclasses.replace(data, X_train=X), DEVICE)
    rest = X[data.y_train != 1]
    np.testing.assert_allclose(found.model.fitted["mean"], rest.mean(axis=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 40])
def test_weights_count_in_batches_of_any_size(batch_size):
    """Of rows that are all alike the prediction is the mean by weight."""
    rows = {"X": np.ones((40, 1)), "y": np.tile([0.0, 1.0], 20)}
    data = from_arrays(**rows, X_val=np.ones((2, 1)), y_val=[0.0, 1.0], task="regression")
    data = dataclasses.replace(data, weight_train=np.where(data.y_train[:, 0] > 0, 9.0, 1.0))
    how = {"hidden": (2,), "preprocess": "none", "sampling": "all", "batch_size": batch_size, "reg": 0.0}
    how |= {"iterations": 6000, "learning_rate": 0.01, "learning_rate_decay": 1.0}
    config = Config(**how)
    found = run(config, data, DEVICE).model.predict(np.ones((1, 1)))
    assert found == pytest.approx(0.9, abs=0.04)


def test_weights_of_classes_are_weights_of_their_rows():
    data = blobs()
    weight = np.array([1.0, 4.0, 0.5])[data.y_train]
    named = run(dataclasses.replace(ADAM, class_weight={"1": 4, "2": 0.5}), data, DEVICE)
    by_row = run(ADAM, dataclasses.replace(data, weight_train=weight), DEVICE)
    plain = run(ADAM, data, DEVICE)
    for name, value in named.model.params.items():
        np.testing.assert_array_equal(by_row.model.params[name], value)
    assert not np.array_equal(plain.model.params["W1"], named.model.params["W1"])


def test_validation_is_weighted_by_class_while_training_and_not_at_the_end():
    data = blobs()
    found = run(dataclasses.replace(ADAM, class_weight={"1": 4, "2": 0.5}), data, DEVICE)
    right = found.model.predict(data.X_val) == data.y_val
    weight = np.array([1.0, 4.0, 0.5])[data.y_val]
    assert found.summary["val_accuracy"] == pytest.approx(right.mean())
    last = found.history.rows[-1].val_score
    assert last == pytest.approx(np.average(right, weights=weight), rel=1e-6)
    best = found.best.predict(data.X_val) == data.y_val
    scores = [row.val_score for row in found.history.rows]
    assert np.average(best, weights=weight) == pytest.approx(max(scores), rel=1e-6)


def test_a_class_of_weight_nothing_is_not_learnt():
    data = blobs()
    found = run(dataclasses.replace(ADAM, class_weight={"1": 0.0}), data, DEVICE)
    assert (found.model.predict(data.X_train) == 1).mean() < 0.1
    assert (run(ADAM, data, DEVICE).model.predict(data.X_train) == 1).mean() > 0.2


@pytest.mark.parametrize("rows", [40, 41, 49])
def test_a_pass_over_all_rows(rows):
    """Each row once, and the last batch is of those that are left."""
    data = numbers(rows=rows)
    config = dataclasses.replace(ADAM, sampling="all", batch_size=20, iterations=None, epochs=4)
    found = run(config, data, DEVICE)
    steps = -(-rows // 20)
    assert [row.step for row in found.history.rows] == [steps * k for k in (1, 2, 3, 4)]
    assert [row.epoch for row in found.history.rows] == [1, 2, 3, 4]
    assert found.summary["steps"] == len(found.history.losses) == 4 * steps
    drawn, rates = found.rates
    assert drawn.tolist() == list(range(1, 4 * steps + 1))
    assert [rates[row.step - 1] for row in found.history.rows] == pytest.approx(
        [row.learning_rate for row in found.history.rows]
    )


# How it ends


def test_a_run_that_is_out_of_time():
    config = dataclasses.replace(ADAM, iterations=10**7, max_time=0.2)
    found = run(config, numbers(), DEVICE)
    assert found.summary["status"] == "stopped"
    assert 0 < found.summary["steps"] == len(found.history.losses) < 10**7
    assert found.result.timed_out
    assert found.summary["seconds"] < 20
    least = run(dataclasses.replace(config, max_time=1e-9), numbers(), DEVICE)
    assert (least.summary["status"], least.summary["steps"]) == ("stopped", 1)


@pytest.mark.parametrize("ensemble", [1, 2])
def test_numbers_with_patience(ensemble):
    config = dataclasses.replace(ADAM, patience=3, iterations=3000, ensemble=ensemble, hidden=(40,))
    found = run(config, numbers(), DEVICE)
    assert found.summary["status"] == "stopped"
    assert found.summary["steps"] < 3000
    for name, value in found.best.params.items():
        np.testing.assert_array_equal(found.model.params[name], value)
    if ensemble == 1:
        assert found.summary["val_r2"] == pytest.approx(max(row.val_score for row in found.history.rows))


@pytest.mark.parametrize("data", [numbers(2, shift=1e6), labels()], ids=["numbers", "labels"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_that_diverges_leaves_numbers(tmp_path, data, dtype):
    """All that is written can be read by whoever reads JSON."""
    config = Config(hidden=(4,), iterations=60, learning_rate=1e9, batch_size=10, dtype=dtype)
    found = run(config, data, DEVICE)
    assert found.summary["status"] == "diverged"
    assert found.diverged_at > 0
    assert all(np.isfinite(value).all() for value in found.model.params.values())
    run_folder.write(tmp_path, found, pictures=False)

    def refuse(constant):
        raise AssertionError(constant)

    json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)


@pytest.mark.parametrize("data", [numbers(2, shift=1e6), labels()], ids=["numbers", "labels"])
def test_what_is_written_can_be_read(tmp_path, data):
    found = run(dataclasses.replace(ADAM, dtype="float32", iterations=50), data, DEVICE)
    run_folder.write(tmp_path, found, pictures=False)
    model = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(model.predict(data.X_val), found.model.predict(data.X_val))
    header = (tmp_path / "history.csv").read_text().splitlines()[0]
    name = "r2" if data.task == "regression" else "accuracy"
    assert header == f"step,epoch,learning_rate,train_loss,train_{name},val_loss,val_{name},seconds"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    value = found.summary[f"val_{name}"]
    assert (f"{value:.4f}" if name == "r2" else f"{100 * value:.2f} %") in page
