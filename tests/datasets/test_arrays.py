"""Arrays in memory: which task they are, what becomes of labels, weights and rows, what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.datasets import Reading, from_arrays, load
from xpnet.datasets.arrays import assemble, encode_targets
from xpnet.datasets.npy_rows import NpyRows
from xpnet.datasets.reading import silent
from xpnet.datasets.tables import from_frame
from xpnet.datasets.targets import labelled
from xpnet.errors import InputError

X = np.arange(60.0).reshape(20, 3)


def split(y, **more):
    """A data set of these targets, none of them held out."""
    y = np.asarray(y) if not isinstance(y, list) else y
    return from_arrays(X[: len(y)], y, X_val=X[: len(y)], y_val=y, **more)


def refusal(function, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        function(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Classes


@pytest.mark.parametrize(
    ("y", "stored", "labels", "names"),
    [
        ([0, 1, 2, 1], [0, 1, 2, 1], None, ("0", "1", "2")),
        (np.array([1, 3, 2], np.uint8), [0, 2, 1], (1, 2, 3), ("1", "2", "3")),
        ([-5, 7, -5], [0, 1, 0], (-5, 7), ("-5", "7")),
        ([10**9, 0], [1, 0], (0, 10**9), ("0", "1000000000")),
        (np.array([2**64 - 1, 0], np.uint64), [1, 0], (0, 2**64 - 1), ("0", str(2**64 - 1))),
        ([True, False, True], [1, 0, 1], (False, True), ("False", "True")),
        (["cat", "ant", "cat"], [1, 0, 1], ("ant", "cat"), ("ant", "cat")),
        (np.array(["b", "a"], object), [1, 0], ("a", "b"), ("a", "b")),
        (np.array([4, 2, 4], object), [1, 0, 1], (2, 4), ("2", "4")),
        (np.array([[1], [2]]), [0, 1], (1, 2), ("1", "2")),
    ],
)
def test_classes_are_the_values_that_occur(y, stored, labels, names):
    data = split(y)
    assert data.task == "classification"
    assert data.y_train.dtype == np.int64
    assert data.y_train.tolist() == stored
    assert (data.labels, data.class_names) == (labels, names)
    assert [type(label) for label in data.labels or ()] == [type(label) for label in labels or ()]
    assert (data.num_outputs, data.num_classes) == (len(names), len(names))


def test_whole_floats_are_classes_if_said_so():
    data = split([2.0, 1.0, 2.0], task="classification")
    assert data.y_train.tolist() == [1, 0, 1]
    assert data.labels == (1, 2)
    assert split([0.0, 1.0], task="classification").labels is None


def test_labels_come_from_all_targets():
    data = from_arrays(
        X, [5, 7] * 10, X_val=X[:1], y_val=np.array([7.0]), X_test=X[:2], y_test=np.array([6, 5])
    )
    assert data.labels == (5, 6, 7)
    assert (data.y_train[:2].tolist(), data.y_val.tolist(), data.y_test.tolist()) == ([0, 2], [2], [1, 0])


@given(st.lists(st.integers() | st.text(max_size=3), min_size=2, max_size=20))
def test_labels_lead_back_to_what_was_given(y):
    kinds = {type(value) for value in y}
    if len(kinds) == 2 or any(not -(2**63) <= value < 2**63 for value in y if isinstance(value, int)):
        refusal(split, np.array(y, object))
        return
    data = split(np.array(y, object))
    labels = data.labels or tuple(range(data.num_outputs))
    assert [labels[k] for k in data.y_train] == y
    assert list(labels) == sorted(set(y))


# Labels, and numbers


def test_rows_of_0_and_1_are_labels():
    for dtype in (np.int32, bool):
        data = split(np.array([[1, 0, 1], [0, 0, 0]], dtype))
        assert data.task == "multilabel"
        assert data.y_train.dtype == np.uint8
        assert data.y_train.tolist() == [[1, 0, 1], [0, 0, 0]]
        assert (data.labels, data.class_names, data.num_outputs) == (None, ("0", "1", "2"), 3)


def test_one_hot_rows_are_a_slip_unless_said_not_to_be():
    for y in (np.eye(3, dtype=int), np.eye(3)):
        message = refusal(split, y)
        assert "y of shape (3, 3) has one 1 in each row: give y.argmax(axis=1)" in message
        assert split(y, task="multilabel").y_train.tolist() == np.eye(3).tolist()
    assert split(np.eye(3), task="regression").task == "regression"
    assert split([0, 1], task="multilabel").y_train.tolist() == [[0], [1]]


def test_floats_are_numbers_to_predict():
    data = split(np.array([1, 0.5, -2], np.float32))
    assert (data.task, data.labels, data.class_names) == ("regression", None, ("0",))
    assert data.y_train.dtype == np.float64
    assert data.y_train.tolist() == [[1], [0.5], [-2]]
    data = split([[1.5, 2], [3, 4]])
    assert data.y_val.tolist() == [[1.5, 2], [3, 4]]
    assert data.num_outputs == 2
    assert split([3, 8], task="regression").y_train.tolist() == [[3], [8]]
    assert split(np.array([1, 2.5], object)[1:]).task == "regression"


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_floats_of_0_and_1_are_classes_as_integers_are(shape):
    notes = []
    y = np.array([0.0, 1, 1, 0, 1, 0], np.float32).reshape(shape)
    data, of_integers = split(y, note=notes.append), split(y.astype(int))
    assert (data.task, data.labels, data.class_names) == ("classification", None, ("0", "1"))
    np.testing.assert_array_equal(data.y_train, of_integers.y_train)
    assert data.y_train.dtype == np.int64
    assert len(notes) == 1
    assert "y holds only 0.0 and 1.0, read as two classes: use --task regression for numbers" in notes[0]
    for task in ("regression", "classification"):
        assert split(y, task=task, note=notes.append).task == task
    for other in ([0.0, 0, 0, 0], [1.0, 1, 1, 1], [0.5, 1, 0, 1], [0.0, -1, 1, 0.5]):
        assert split(other, note=notes.append).task == "regression"
    assert len(notes) == 1


def test_several_columns_of_floats_of_0_and_1_are_labels():
    notes = []
    data = split([[0.0, 1], [1, 1], [0, 0], [1, 0]], note=notes.append)
    assert (data.task, data.y_train.dtype) == ("multilabel", np.uint8)
    assert "read as several labels per row: use --task regression for numbers" in notes[0]
    with pytest.raises(InputError, match=r"one 1 in each row: give y.argmax"):
        split([[0.0, 1], [1, 0]])
    assert split([[0.0, 1], [1, 2]], note=notes.append).task == "regression"
    assert len(notes) == 1


def test_a_few_whole_floats_may_be_classes():
    notes = []
    assert split([3.0, 4, 5] * 4, note=notes.append).task == "regression"
    assert len(notes) == 1
    assert (
        "y holds a few whole numbers as floats, read as numbers to predict: use --task classification"
        in notes[0]
    )
    for y in (
        [3.0, 4, 5.5] * 4,
        np.arange(20.0) % 11,
        [3.0, 4],
        [3.0] * 6,
        [[3.0, 4]] * 6,
        [1e300, 2] * 4,
    ):
        assert split(y, note=notes.append).task == "regression"
    assert len(notes) == 1


# What is refused


@pytest.mark.parametrize(
    ("y", "task", "words"),
    [
        (["a", None, "b"], None, "y holds None in row 1, after 'a': drop rows without a target"),
        (["a", float("nan"), "b"], None, "y holds nan in row 1, after 'a'"),
        (["a", "b", 3], None, "y holds 3 in row 2, after 'a'"),
        (np.array([1, 2.5], object), None, "y holds 2.5 in row 1, after 1"),
        (np.array([[1, 2], [3, "a"]], object), None, "y holds 'a' in row 1, after 1"),
        (np.array([1, {"a\n": 1}], object), None, "y holds a dict in row 1, after 1"),
        (np.array([2**70, 1], object), None, "y holds an integer of more than 64 bits in row 0"),
        ([1.0, np.nan], None, "y holds NaN or infinity in row 1"),
        ([[1.0, 2], [3, -np.inf]], None, "y holds NaN or infinity in row 1"),
        (np.array([1, "1e400"]).astype(np.longdouble), None, "y holds NaN or infinity in row 1"),
        ([1, 2.5], "classification", "y holds 2.5 in row 1: give whole numbers or text for classes"),
        ([1, np.nan], "classification", "y holds nan in row 1: give whole"),
        ([[1, 2], [3, 4]], None, "y has shape (2, 2): give one label for each row, as y.argmax(axis=1)"),
        ([["a", "b"], ["c", "d"]], None, "y has shape (2, 2): give one label for each row"),
        ([[0, 1], [1, 1]], "classification", "y has shape (2, 2): give one label for each row"),
        ([[0, 1], [1, 256]], "multilabel", "y holds 256 in row 1: give 1 for a label that is set, else 0"),
        (["a", "b"], "multilabel", "y holds text: give numbers for multilabel"),
        (["a", "b"], "regression", "y holds text: give numbers for regression"),
        ([1, 2], "ranking", "unknown task 'ranking': use classification, multilabel, regression"),
        (np.zeros((2, 2, 2)), None, "y has shape (2, 2, 2): give one label"),
        (np.zeros((2, 0)), None, "y has shape (2, 0): give one label"),
        (np.array(3), None, "y has shape (): give one label"),
        ([[1, 2], [3]], None, "y cannot become a NumPy array ("),
        (np.array([1, 2], "M8[s]"), None, "y has dtype datetime64[s]: give integers, text, or floats"),
        (np.array([b"a", b"b"]), None, "y has dtype |S1: give integers, text, or floats"),
        ([1j, 2], None, "y has dtype complex128"),
    ],
)
def test_targets_that_are_none(y, task, words):
    assert refusal(from_arrays, X[:2], y, task=task, name="mine").startswith(f"mine: {words}")


@pytest.mark.parametrize(
    ("y", "y_val", "words"),
    [
        (["a", "b"], ["b", "c"], "y_val holds 'c' in row 1, which y lacks: give rows of that class"),
        ([0, 1], [1, 2], "y_val holds 2 in row 1, which y lacks"),
        (["a", "b"], [0, 1], "y_val holds numbers and data: y text: give labels of one kind"),
        ([0, 1], ["a", "b"], "y_val holds text and data: y numbers: give labels of one kind"),
        ([0, 1], [0, 0.5], "y_val holds 0.5 in row 1: give whole numbers"),
        (
            [[0.5], [2]],
            [[1.0, 2], [3, 4]],
            "y_val has shape (2, 2): give (rows, 1), a column for each",
        ),
        ([[0, 1], [1, 1]], [[0], [1]], "y_val has shape (2, 1): give (rows, 2), a column for each label"),
    ],
)
def test_validation_targets_unlike_the_others(y, y_val, words):
    message = refusal(from_arrays, X[:2], y, X_val=X[:2], y_val=y_val)
    assert message.startswith(f"data: {words}")


def test_samples_that_are_none():
    class Sparse:
        def toarray(self):
            raise NotImplementedError

    class OnDevice:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("Implicit conversion is not allowed.\nUse .get()")

    y = [0, 1]
    assert "X is a sparse matrix: give its toarray()" in refusal(from_arrays, Sparse(), y)
    assert "X cannot become a NumPy array (Implicit conversion is not allowed. Use .get())" in refusal(
        from_arrays, OnDevice(), y
    )
    assert "X has shape (): give at least two" in refusal(from_arrays, None, y)
    assert "X has dtype object: give real numbers" in refusal(from_arrays, [["a"], [None]], y)
    assert "X holds infinity in row 1" in refusal(from_arrays, [[np.nan], [np.inf]], y)
    assert "X has 3 rows and y 2" in refusal(from_arrays, X[:3], y)
    assert "only one of X_val and y_val" in refusal(from_arrays, X[:2], y, X_val=X)
    assert "only one of X_test and y_test" in refusal(from_arrays, X[:2], y, y_test=y)


# Samples


def test_frames_and_lists_are_taken():
    class Frame:
        def __array__(self, dtype=None, copy=None):
            return np.asarray(X, dtype)

    for given_X in (Frame(), X.tolist()):
        data = from_arrays(given_X, np.arange(20) % 2, X_test=given_X, y_test=np.zeros(20, int))
        np.testing.assert_array_equal(data.X_test, X)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_come_last(channels):
    X = np.random.default_rng(3).normal(size=(20, channels, 6, 5)).astype(np.float32)
    message = refusal(from_arrays, X, np.arange(20) % 2)
    assert "channels must come last: give np.moveaxis(X, 1, -1), or X.reshape(len(X), -1)" in message
    assert from_arrays(np.moveaxis(X, 1, -1), np.arange(20) % 2).image_shape == (6, 5, channels)
    assert from_arrays(X.reshape(20, -1), np.arange(20) % 2).image_shape is None
    assert from_arrays(X[:, :, :1], np.arange(20) % 2).image_shape is None


def test_images_become_rows():
    images = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    data = from_arrays(images, [0, 1])
    assert data.image_shape == (4, 5, 3)
    assert (data.X_train.shape, data.X_train.dtype) == ((1, 60), np.uint8)


@pytest.mark.parametrize("y", [np.arange(20) % 3, np.arange(20.0), np.arange(40).reshape(20, 2) % 2])
def test_the_callers_arrays_are_not_written_to(y):
    weight = np.arange(1.0, 21.0)
    given_arrays = [X.copy(), y.copy(), weight]
    for array in given_arrays:
        array.flags.writeable = False
    task = "multilabel" if y.ndim == 2 else None
    data = from_arrays(*given_arrays[:2], sample_weight=weight, task=task)
    rows = (np.concatenate([data.X_train, data.X_val])[:, 0] / 3).astype(int)
    np.testing.assert_array_equal(np.concatenate([data.y_train, data.y_val]), split(y, task=task).y_val[rows])
    np.testing.assert_array_equal(np.concatenate([data.weight_train, data.weight_val]), rows + 1)
    assert sorted(rows) == list(range(20))


def test_given_validation_rows_cost_no_copy():
    y = np.arange(20.0)
    data = from_arrays(X, y, X_val=X, y_val=y)
    assert np.shares_memory(data.X_train, X)
    assert np.shares_memory(data.y_train, y)


@pytest.mark.parametrize(("fraction", "num_val"), [(0.1, 2), (0.01, 1), (0.5, 10), (0.999, 19)])
def test_a_fraction_is_held_out(fraction, num_val):
    data = from_arrays(X, np.arange(20.0), validation_fraction=fraction, seed=3)
    # The last of a permutation, as a set: they may stand in another order.
    chosen = np.random.RandomState(3).permutation(20)[20 - num_val :]
    assert sorted(data.X_val[:, 0] / 3) == sorted(chosen)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 0.999])
def test_the_last_row_of_a_class_is_trained_on(fraction):
    y = np.array(["common"] * 17 + ["rare", "few", "few"])
    data = from_arrays(X, y, validation_fraction=fraction)
    assert set(data.y_train.tolist()) == {0, 1, 2}
    held_out = sorted(data.X_val[:, 0] / 3)
    count = int(20 * fraction)
    chosen = np.random.RandomState(0).permutation(20)[20 - count :]
    assert set(held_out) <= set(chosen)
    assert len(held_out) >= count - 3
    assert 17 not in held_out


def test_gaps_make_columns_of_numbers():
    gappy = X.astype(float)
    gappy[3, 1] = np.nan
    data = from_arrays(gappy, np.arange(20) % 2)
    assert [(column.name, column.kind) for column in data.columns.columns] == [
        (str(k), "number") for k in range(X.shape[1])
    ]
    assert np.isnan(np.concatenate([data.X_train, data.X_val])).sum() == 1
    assert from_arrays(X, np.arange(20) % 2).columns is None
    only_there = from_arrays(X, np.arange(20) % 2, X_val=gappy, y_val=np.arange(20) % 2)
    assert only_there.columns is not None


@given(st.integers(2, 10**6))
def test_a_tenth_is_the_tenth_of_before(num_rows):
    """As `from_npz` had it, so that runs of then and now compare."""
    assert int(num_rows * 0.1) == num_rows // 10


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"validation_fraction": 0}, "validation_fraction must be between 0 and 1, not 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1, not 1.0"),
        ({"validation_fraction": float("nan")}, "validation_fraction must be between 0 and 1, not nan"),
        ({"seed": -1}, "seed must be from 0 to 2**32 - 1, not -1"),
        ({"sample_weight": [1, 2, 3]}, "sample_weight has shape (3,): give (2,), one weight for each row"),
        ({"sample_weight": [1, -2]}, "sample_weight holds -2.0 in row 1: give finite weights, 0 or above"),
        ({"sample_weight": [np.inf, 1]}, "sample_weight holds inf in row 0"),
        ({"sample_weight": [0, 0]}, "sample_weight is 0 in every row"),
        ({"sample_weight": ["1", "2"]}, "sample_weight has dtype <U1: give numbers"),
    ],
)
def test_settings_that_make_no_sense(more, words):
    assert refusal(from_arrays, X[:2], [0, 1], **more).startswith(f"data: {words}")


def test_one_row_cannot_be_divided():
    assert "X has only one row, which leaves none to train on" in refusal(from_arrays, X[:1], [0])


def test_weights_stay_with_training_rows():
    data = split(["a", "b", "a"], sample_weight=[3, 1, 2])
    assert data.weight_train.dtype == np.float64
    assert data.weight_train.tolist() == [3, 1, 2]
    assert data.weight_val is None


@pytest.mark.parametrize("y", [["a", "b"] * 10, np.arange(20.0), np.arange(40).reshape(20, 2) % 2], ids=str)
def test_rows_of_weight_nothing_are_left_out_before_others_are_held_out(y):
    """So that the rest is parted as it would be without them, and what they hold is no matter."""
    task = "multilabel" if np.ndim(y) == 2 else None
    weight = np.where(np.arange(20) % 4 == 1, 0.0, np.arange(20) + 1)
    spoilt = np.where(weight[:, None] > 0, X, np.inf)
    found = from_arrays(spoilt, y, sample_weight=weight, task=task)
    kept = weight > 0
    expected = from_arrays(X[kept], np.asarray(y)[kept], sample_weight=weight[kept], task=task)
    for name in ("X_train", "y_train", "X_val", "y_val", "weight_train", "weight_val", "class_names"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert len(found.X_train) + len(found.X_val) == 15


# New targets


@pytest.mark.parametrize(
    ("y", "task", "labels", "num_outputs", "stored"),
    [
        (["b", "a"], "classification", ("a", "b"), 2, [1, 0]),
        ([3, 1], "classification", (1, 2, 3), 3, [2, 0]),
        (np.array([[2], [0]], np.uint8), "classification", None, 3, [2, 0]),
        ([2.0, 0.0], "classification", None, 3, [2, 0]),
        ([True, False], "classification", (False, True), 2, [1, 0]),
        ([], "classification", None, 3, []),
        ([[1.0, 0.0]], "multilabel", None, 2, [[1, 0]]),
        ([[0, 1]], "multilabel", None, 2, [[0, 1]]),
        ([1, 2], "regression", None, 1, [[1], [2]]),
    ],
)
def test_new_targets(y, task, labels, num_outputs, stored):
    encoded = encode_targets(y, task, labels, num_outputs)
    assert encoded.tolist() == stored
    assert encoded.dtype == {"classification": "i8", "multilabel": "u1", "regression": "f8"}[task]


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [(2, np.int8), (128, np.int8), (129, np.int16), (2**15, np.int16), (2**15 + 1, np.int32)],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_classes_of_many_rows_take_few_bytes(classes, dtype, as_text):
    y, labels = np.array([0, classes - 1, 1]), None
    if as_text:
        y, labels = y.astype(str), [str(number) for number in range(classes)]
    encoded = encode_targets(y, "classification", labels, classes, many=True)
    assert encoded.dtype == dtype
    assert encoded.tolist() == [0, classes - 1, 1]
    with pytest.raises(InputError, match="row 1, which is not a class"):
        encode_targets(y, "classification", labels and labels[:-1], classes - 1, many=True)


@pytest.mark.parametrize(
    ("y", "task", "labels", "num_outputs", "words"),
    [
        (["a", "c"], "classification", ("a", "b"), 2, "holds 'c' in row 1, which is not a class: give one"),
        ([0, 12], "classification", None, 12, "holds 12 in row 1, which is not a class: give one of 0, 1"),
        ([0.5], "classification", None, 2, "holds 0.5 in row 0, which is not a class"),
        (["a"], "classification", None, 2, "holds 'a' in row 0, which is not a class"),
        ([1], "classification", ("a", "b"), 2, "holds 1 in row 0, which is not a class"),
        ([[1, 0]], "multilabel", None, 3, "has shape (1, 2): give (rows, 3)"),
        ([1, 2], "regression", None, 2, "has shape (2, 1): give (rows, 2)"),
    ],
)  # fmt: skip
def test_new_targets_that_are_none(y, task, labels, num_outputs, words):
    message = refusal(encode_targets, y, task, labels, num_outputs, "y of today")
    assert message.startswith(f"y of today {words}")


def test_names_of_rows_are_no_classes():
    """A network with an output for each of many rows would take all memory, and could learn nothing."""
    rows, ids = np.zeros((202, 1)), [f"k{i}" for i in range(101)]
    assert refusal(from_arrays, rows[:201], [*ids, *ids[:-1]]).endswith(
        "too few of each to learn from: give another target"
    )
    assert refusal(from_arrays, rows[:201], np.arange(201) % 101).endswith(
        "give another target, or predict numbers with --task regression"
    )
    assert from_arrays(rows, ids * 2).num_classes == 101
    assert from_arrays(rows[:200], ids[:100] * 2).num_classes == 100
    assert from_arrays(rows[:100], np.arange(100), X_val=rows[:1], y_val=[3]).num_classes == 100


def test_labels_are_not_those_that_the_user_changes_later():
    X, y = np.zeros((30, 2)), np.arange(30) % 3
    data = from_arrays(X, y, X_val=X[:3], y_val=y[:3])
    y[:] = 0
    np.testing.assert_array_equal(data.y_train, np.arange(30) % 3)
    np.testing.assert_array_equal(data.y_val, [0, 1, 2])


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize(
    "kind", ["arrays", "own arrays", "on disk", "frame", "frame with target", "table of an array"]
)
def test_rows_held_out_keep_their_numbers(tmp_path, kind, task, gaps, weights):
    X, y = np.arange(120.0).reshape(60, 2), np.arange(60) % 3 + 0.25 * (task == "regression")
    y[::7] = np.nan if gaps else y[::7]
    given = {"X": X, "y": y} | ({"sample_weight": (np.arange(60) % 5 > 0) * 1.0} if weights else {})
    reading = Reading(task)
    if kind == "on disk":
        np.save(tmp_path / "X.npy", X)
        given["X"] = NpyRows(tmp_path / "X.npy")
    if kind.startswith("frame"):
        given["X"] = {"a": X[:, 0], "b": X[:, 1]}
    if kind == "frame with target":
        given["X"]["y"], reading = given.pop("y"), Reading(task, target=("y",))
    given = labelled(given, "data", silent, task)
    if "frame" in kind or "table" in kind:
        data = from_frame(given.pop("X"), given, "data", reading)
    else:
        data = assemble(given, "data", reading, own=tuple(given) if kind == "own arrays" else ())
    assert len(data.held_out) == len(data.y_val) > 2
    np.testing.assert_array_equal(data.X_val[:][:, 0], 2 * data.held_out)


def test_rows_held_out_of_row_groups_keep_their_numbers(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    y = [None if k % 7 == 0 else ("a", "b")[k % 2] for k in range(60)]
    parquet.write_table(pa.table({"x": np.arange(60.0), "y": y}), tmp_path / "t.parquet", row_group_size=4)
    for where in ("disk", "memory"):
        data = load(tmp_path / "t.parquet", reading=Reading(target=("y",), rows_in=where))
        assert len(data.held_out) > 3
        np.testing.assert_array_equal(data.X_val[:][:, 0], data.held_out)


def test_rows_to_validate_on_have_no_numbers_among_others():
    assert from_arrays(np.eye(6), [0, 1] * 3, X_val=np.eye(6), y_val=[0, 1] * 3).held_out is None
