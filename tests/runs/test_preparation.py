"""Data ready to train on: weights, targets of every size, and what does not go together."""

import dataclasses

import numpy as np
import pytest
from sweeps import BASE, DEVICE, blobs, labels, numbers

from xpnet.data.weights import unit_of
from xpnet.datasets import Reading, from_arrays
from xpnet.datasets.tables import from_frame
from xpnet.errors import InputError
from xpnet.runs import preparation
from xpnet.runs.config import Config
from xpnet.runs.preparation import check, prepare, suited

CATS = from_arrays(
    np.arange(24.0).reshape(12, 2),
    ["cat", "dog", "cat", "cat", "owl", "cat", "cat", "dog", "cat", "cat", "owl", "cat"],
    X_val=np.ones((3, 2)),
    y_val=["cat", "dog", "owl"],
    sample_weight=np.arange(12) % 4 + 1,
)
PLAIN = dataclasses.replace(CATS, weight_train=None)


# Refused


@pytest.mark.parametrize(
    ("changes", "data", "text"),
    [
        (
            {"loss": "squared-error"},
            blobs(),
            "--loss squared-error is not for classification: use cross-entropy, hinge",
        ),
        ({"loss": "logistic"}, numbers(), "--loss logistic is not for regression: use squared-error"),
        ({"loss": "hinge"}, labels(), "--loss hinge is not for multilabel: use logistic"),
        (
            {"class_weight": "balanced"},
            numbers(),
            "--class-weight needs one class per row, not regression: give rows weights",
        ),
        (
            {"class_weight": {"0": 2}},
            labels(),
            "--class-weight needs one class per row, not multilabel: give rows weights",
        ),
        (
            {"class_weight": {"cow": 2}},
            CATS,
            "class_weight has 'cow': 2.0; give a number, 0 or more, for each of",
        ),
        (
            {"class_weight": {"cat": 0, "dog": 0, "owl": 0}},
            CATS,
            "class_weight leaves all rows with weight 0: raise the weight of a class that has rows",
        ),
        ({"mixup": 0.5}, CATS, "--mixup cannot be combined with weights: give one of them"),
        (
            {"mixup": 0.5, "class_weight": "balanced"},
            PLAIN,
            "--mixup cannot be combined with weights: give one of them",
        ),
        (
            {"batch_size": 41},
            numbers(),
            "--batch-size 41 is larger than the 40 training rows: use 40 or less",
        ),
        ({"flip": True}, numbers(), "augmentation needs images"),
        ({"averaging": "flip"}, labels(), "averaging over views needs images"),
        ({"preprocess": "pca", "components": 5}, numbers(), "5 components of 4 features"),
    ],
)
def test_what_does_not_go_together(changes, data, text):
    config = Config(**{"batch_size": 5} | changes)
    with pytest.raises(InputError) as caught:
        check(config, data)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (
            {"cat": 2, "cow": 5, "yak": 1},
            "--class-weight names cow, yak, but no training row has that class: it",
        ),
        ({"cat": 2, "dogg": 5}, "class_weight has 'dogg', which no row has: did you mean 'dog'?"),
        ({"cat": 2, "dog": 5}, ""),
        ({"cow": 2}, ""),  # nothing of it occurs, which is refused
    ],
)
def test_a_weight_of_a_class_that_a_fold_lacks_does_nothing(weights, said):
    notes = []
    config, _ = suited([Config(class_weight=weights, batch_size=5)] * 2, CATS, notes.append)
    assert len(notes) == bool(said)
    assert "".join(notes).startswith(said)
    if "cat" in weights:
        there = {name: weight for name, weight in weights.items() if name in ("cat", "dog")}
        alone = prepare(dataclasses.replace(config, class_weight=there), CATS, DEVICE)
        found = prepare(config, CATS, DEVICE).feed.weight
        np.testing.assert_array_equal(DEVICE.to_host(found), DEVICE.to_host(alone.feed.weight))


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"loss": "hinge", "class_weight": {"cat": 2}}, CATS),
        ({"mixup": 0.5}, numbers()),
        ({"mixup": 0.5, "label_smoothing": 0.1}, labels()),
        ({"mixup": 0.5}, PLAIN),
        ({"mixup": 0.5}, dataclasses.replace(PLAIN, weight_val=np.ones(3))),  # which are not mixed
        ({"loss": "squared-error"}, numbers(outputs=3, weights=True)),
        ({"class_weight": {"cat": 0}}, CATS),
        ({"class_weight": {}}, CATS),
    ],
)
def test_what_goes_together(changes, data):
    config = Config(**{"batch_size": 5} | changes)
    check(config, data)
    prepare(config, data, DEVICE)


def table(gap_in="", **changes):
    """Return a data set of a table: a column of numbers and, with ``city``, one of categories."""
    y = np.arange(20) % 2
    parts = {
        "X": {"age": np.arange(20.0)},
        "X_val": {"age": np.arange(4.0)},
        "X_test": {"age": np.arange(4.0)},
    }
    for name, part in parts.items():
        if name == gap_in:
            part["age"][3] = np.nan
        part |= {column: np.resize(values, len(part["age"])) for column, values in changes.items()}
    X = parts.pop("X")
    return from_frame(X, {"y": y, **parts, "y_val": y[:4], "y_test": y[:4]}, "people", Reading())


@pytest.mark.parametrize("how", ["none", "mean", "standardize", "pca", "zca"])
@pytest.mark.parametrize(
    ("data", "has"),
    [
        (table(city=["Oslo", "Rome"]), "column 'city' has categories"),
        *[(table(gap_in=name), "column 'age' has gaps") for name in ("X", "X_val", "X_test")],
        (from_arrays([[1.0], [np.nan], [2.0]], [0, 1, 0]), "column '0' has gaps"),
    ],
)
def test_only_the_preprocessing_of_tables_takes_them_as_they_are(how, data, has):
    with pytest.raises(InputError) as caught:
        check(Config(batch_size=2, preprocess=how), data)
    assert str(caught.value) == f"{has}, which --preprocess {how} cannot take: use --preprocess table"
    config = Config(batch_size=2, preprocess="table", bins=2)
    check(config, data)
    prepared = prepare(config, data, DEVICE)
    assert np.isfinite(prepared.feed.X).all()
    assert np.isfinite(prepared.validation.X).all()
    assert prepared.mlp(config).sizes[0] == prepared.feed.X.shape[1] == sum(prepared.how.sizes)
    assert prepared.how.categories == tuple(len(c.categories) for c in data.columns.columns)


def test_a_table_of_numbers_alone_may_have_any_preprocessing():
    check(Config(batch_size=2), table())


def test_many_inputs_of_a_table_are_made_batch_by_batch(device, monkeypatch):
    data, config = table(city=["Oslo", "Rome"]), Config(batch_size=5, preprocess="table", bins=3)
    once = prepare(config, data, device)
    monkeypatch.setattr(preparation, "ENCODED", 0)
    each = prepare(config, data, device)
    assert (once.feed.X.shape[1], each.feed.X.shape[1]) == (sum(once.how.sizes), 2)
    rows = device.to_host(each.feed.prepare(device.xp.asarray(each.feed.X, copy=True)))
    np.testing.assert_array_equal(rows, device.to_host(once.feed.X))


# Weights


@pytest.mark.parametrize(
    ("data", "changes", "factor"),
    [
        (PLAIN, {}, None),
        (CATS, {}, [1, 1, 1]),
        (PLAIN, {"class_weight": {"dog": 3.0}}, [1, 3, 1]),
        (CATS, {"class_weight": {"dog": 3.0}}, [1, 3, 1]),
        (PLAIN, {"class_weight": "balanced"}, 12 / 3 / np.array([8, 2, 2])),
    ],
)
def test_both_feeds_have_the_weights(device, data, changes, factor):
    config = Config(batch_size=5, **changes)
    prepared = prepare(config, data, device)
    for feed, weight, y in (
        (prepared.feed, data.weight_train, data.y_train),
        (prepared.validation, data.weight_val, data.y_val),
    ):
        if weight is None and not changes:
            assert feed.weight is None
            continue
        expected = np.asarray(factor)[y] * (1.0 if weight is None else weight)
        # Of training rows the mean is 1; of the others, which are one whole, only the ratios matter.
        expected = expected / (expected.mean() if feed is prepared.feed else unit_of(expected))
        np.testing.assert_allclose(device.to_host(feed.weight), expected, rtol=1e-6)
        assert str(feed.weight.dtype).endswith("float32")


def test_balanced_classes_have_the_same_weight_in_all():
    prepared = prepare(Config(batch_size=5, class_weight="balanced"), CATS, DEVICE)
    totals = np.bincount(CATS.y_train, prepared.feed.weight)
    np.testing.assert_allclose(totals, len(CATS.y_train) / 3, rtol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 1e-300, 1e307])
def test_equal_weights_are_none(factor):
    """So that a run with them is that without, to the bit."""
    data = dataclasses.replace(PLAIN, weight_train=np.full(len(PLAIN.X_train), 0.3 * factor))
    assert prepare(Config(batch_size=5), data, DEVICE).feed.weight is None


@pytest.mark.parametrize("factor", [2.0**-1000, 1e-300, 3.0, 5e307])
def test_only_the_ratios_of_weights_matter(factor):
    """Also where the sum of all is no float any more."""
    weight = np.linspace(1, 3, len(PLAIN.X_train))
    feeds = [
        prepare(Config(batch_size=5), dataclasses.replace(PLAIN, weight_train=given), DEVICE).feed
        for given in (weight, weight * factor)
    ]
    np.testing.assert_allclose(feeds[1].weight, feeds[0].weight, rtol=1e-6)


def test_rows_that_are_held_out_keep_their_weights(device):
    X, weight = np.arange(40.0).reshape(20, 2), np.arange(20) + 1.0
    data = from_arrays(X, np.arange(20) % 2, sample_weight=weight)
    prepared = prepare(Config(batch_size=5, preprocess="none"), data, device)
    for feed in (prepared.feed, prepared.validation):
        weight = device.to_host(feed.weight)
        expected = device.to_host(feed.X)[:, 0] / 2 + 1
        expected = expected / (expected.mean() if feed is prepared.feed else unit_of(expected))
        np.testing.assert_allclose(weight, expected, rtol=1e-6)
    assert prepared.validation.weight.shape == (2,)


# Numbers


@pytest.mark.parametrize("scale", [1.0, 1e150, 1e-150])
@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("weights", [False, True])
def test_targets_are_standardised(device, dtype, scale, shift, weights):
    data = numbers(outputs=2, weights=weights, shift=shift * scale, scale=scale)
    prepared = prepare(dataclasses.replace(BASE, dtype=dtype), data, device)
    weight = np.ones(40) if data.weight_train is None else data.weight_train
    y = device.to_host(prepared.feed.y)
    assert (y.dtype, y.shape) == (np.dtype(dtype), (40, 2))
    # Of numbers around 1e6 a deviation of 1 has lost six digits before they came here.
    atol = 1e-6 if dtype == "float32" else 1e-15 * max(1.0, shift)
    np.testing.assert_allclose(np.average(y, axis=0, weights=weight), 0, atol=10 * atol)
    np.testing.assert_allclose(np.average(y.astype(float) ** 2, axis=0, weights=weight), 1, rtol=10 * atol)
    mean, deviation = prepared.target
    np.testing.assert_allclose(mean, np.average(data.y_train, axis=0, weights=weight), atol=1e-9 * scale)
    back = device.to_host(prepared.validation.y) * deviation + mean
    np.testing.assert_allclose(back, data.y_val, atol=10 * max(atol, 1e-15 * shift) * scale)
    np.testing.assert_allclose(y, prepared.target.apply(data.y_train), atol=atol)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.0, 1e150, 1e-150, 123456.789])
def test_a_target_that_never_changes(value):
    """It is moved to 0 as well as floats can, and not divided by what rounding leaves."""
    X = np.random.default_rng(0).standard_normal((30, 3))
    data = from_arrays(X, np.full((30, 1), value), X_val=X[:4], y_val=np.full((4, 1), value))
    prepared = prepare(Config(batch_size=5), data, DEVICE)
    assert prepared.target.scale.tolist() == [1.0]
    np.testing.assert_allclose(prepared.target.mean, value, rtol=1e-15)
    assert float(np.abs(prepared.feed.y).max()) <= 1e-15 * abs(value)


@pytest.mark.parametrize("data", [blobs(), labels()])
def test_classes_and_labels_are_as_they_are(device, data):
    prepared = prepare(Config(batch_size=5), data, device)
    assert prepared.target is None
    for feed, y in ((prepared.feed, data.y_train), (prepared.validation, data.y_val)):
        np.testing.assert_array_equal(device.to_host(feed.y), y)
    whole = data.task == "classification"
    assert str(prepared.feed.y.dtype).endswith("int64" if whole else "float32")
