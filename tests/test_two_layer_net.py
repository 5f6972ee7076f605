"""The original class: the course's numbers, its conventions, and what it says to bad input."""

# ruff: noqa: NPY002 -- the course's notebook uses NumPy's global random state
import copy
import math
import multiprocessing
import operator
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import original
import pytest
from gradcheck import check_gradient

from xpnet import InputError, TwoLayerNet, XpnetError, two_layer_net
from xpnet.device import get_device

# The course's notebook


@pytest.fixture
def toy():
    """The notebook's ``init_toy_data`` and ``init_toy_model``, in its order; the network, X and y."""
    state = np.random.get_state()
    np.random.seed(1)
    X = 10 * np.random.randn(5, 4)
    np.random.seed(0)
    net = TwoLayerNet(4, 10, 3, std=1e-1)
    yield net, X, np.array([0, 1, 2, 2, 1])
    np.random.set_state(state)


def test_scores_of_the_notebook(toy):
    net, X, _ = toy
    published = [
        [-0.81233741, -1.27654624, -0.70335995],
        [-0.17129677, -1.18803311, -0.47310444],
        [-0.51590475, -1.01354314, -0.8504215],
        [-0.15419291, -0.48629638, -0.52901952],
        [-0.00618733, -0.12435261, -0.15226949],
    ]
    assert np.sum(np.abs(net.loss(X) - published)) < 1e-7


def test_loss_of_the_notebook(toy):
    net, X, y = toy
    assert abs(net.loss(X, y, reg=0.1)[0] - 1.30378789133) < 1e-12


def test_training_of_the_notebook(toy, capsys):
    """With its default batch of 200 drawn from five rows."""
    net, X, y = toy
    history = net.train(X, y, X, y, learning_rate=1e-1, reg=1e-5, num_iters=100, verbose=True)
    assert capsys.readouterr().out == "iteration 0 / 100: loss 1.241994\n"
    assert abs(history["loss_history"][-1] - 0.017149607938732093) < 1e-12
    assert {name: len(values) for name, values in history.items()} == {
        "loss_history": 100,
        "train_acc_history": 100,
        "val_acc_history": 100,
    }
    assert history["val_acc_history"][-1] == (net.predict(X) == y).mean() == 1.0


def test_gradient_check_of_the_notebook(toy):
    """``eval_numerical_gradient`` changes ``net.params`` in place and asks for the loss again."""
    net, X, y = toy
    grads = net.loss(X, y, reg=0.1)[1]
    for name, W in net.params.items():
        numerical = np.zeros_like(W)
        for i in np.ndindex(W.shape):
            value = W[i]
            W[i] = value + 1e-5
            above = net.loss(X, y, reg=0.1)[0]
            W[i] = value - 1e-5
            below = net.loss(X, y, reg=0.1)[0]
            W[i] = value
            numerical[i] = (above - below) / 2e-5
        np.testing.assert_allclose(grads[name], numerical, rtol=0, atol=1e-9, err_msg=name)


def test_gradient_along_random_directions(toy):
    net, X, y = toy
    params = {name: value + 0.05 for name, value in net.params.items()}
    net.params = params

    def loss(p):
        net.params = p
        return net.loss(X, y, reg=0.1)[0]

    grads = net.loss(X, y, reg=0.1)[1]
    rng = np.random.default_rng(0)
    check_gradient(loss, params, grads, rng, pattern=lambda p: [X @ p["W1"] + p["b1"] > 0])


# The original, run beside it


@pytest.fixture
def data():
    """61 training and 13 validation rows of 6 features in 4 classes, with something to learn."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((74, 6))
    y = np.argmax(X @ rng.standard_normal((6, 4)), axis=1)
    return X[:61], y[:61], X[61:], y[61:]


SOURCES = {
    "RandomState": lambda: np.random.RandomState(3),
    "Generator": lambda: np.random.default_rng(3),
}
SETTINGS = [
    {
        "learning_rate": 0.3,
        "learning_rate_decay": 0.9,
        "reg": 0.02,
        "num_iters": 1,
        "batch_size": 7,
    },
    {
        "learning_rate": 0.3,
        "learning_rate_decay": 0.9,
        "reg": 0.02,
        "num_iters": 50,
        "batch_size": 7,
    },
    {"learning_rate": 0.3, "reg": 0.0, "num_iters": 25, "batch_size": 30},  # epochs of two
    {"learning_rate": 0.3, "num_iters": 9},  # a batch of 200, larger than the data
    {},  # all defaults: 100 iterations of 200, rate 1e-3, reg 1e-5, decay 0.95
]


def assert_as_original(net, theirs, history, expected):
    assert list(history) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=0, atol=1e-10, err_msg=name)
        assert {type(value) for value in history[name]} == {float}
    assert list(net.params) == list(theirs.params)
    for name, value in theirs.params.items():
        np.testing.assert_allclose(net.params[name], value, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("settings", SETTINGS)
def test_trains_as_the_original(data, source, settings):
    net = TwoLayerNet(6, 8, 4, std=0.3, rng=SOURCES[source]())
    theirs = original.TwoLayerNet(6, 8, 4, std=0.3, rng=SOURCES[source]())
    history, expected = net.train(*data, **settings), theirs.train(*data, **settings)
    assert_as_original(net, theirs, history, expected)
    np.testing.assert_array_equal(net.predict(data[2]), theirs.predict(data[2]))
    # Training goes on from where both are, with the draws that follow.
    history, expected = net.train(*data, **settings), theirs.train(*data, **settings)
    assert_as_original(net, theirs, history, expected)


def test_trains_as_the_original_on_the_global_random_state(data):
    state = np.random.get_state()
    np.random.seed(4)
    theirs = original.TwoLayerNet(6, 8, 4)
    expected = theirs.train(*data, **SETTINGS[1])
    np.random.seed(4)
    net = TwoLayerNet(6, 8, 4)
    history = net.train(*data, **SETTINGS[1])
    np.random.set_state(state)
    assert_as_original(net, theirs, history, expected)


def test_a_seed_is_that_of_a_generator():
    ours = TwoLayerNet(6, 8, 4, rng=5)
    theirs = original.TwoLayerNet(6, 8, 4, rng=np.random.default_rng(5))
    for name, value in theirs.params.items():
        np.testing.assert_array_equal(ours.params[name], value)


@pytest.mark.parametrize("reg", [0, 0.0, 0.3, np.float32(0.25)])
def test_loss_and_gradients_of_the_original(data, reg):
    net = TwoLayerNet(6, 8, 4, std=0.3, rng=6)
    theirs = original.TwoLayerNet(6, 8, 4, std=0.3, rng=np.random.default_rng(6))
    loss, grads = net.loss(data[0], data[1], reg)
    expected, expected_grads = theirs.loss(data[0], data[1], reg)
    assert type(loss) is float
    assert abs(loss - expected) < 1e-12
    for name, value in expected_grads.items():
        np.testing.assert_allclose(grads[name], value, rtol=0, atol=1e-13)
    np.testing.assert_allclose(net.loss(data[0]), theirs.loss(data[0]), rtol=0, atol=1e-13)


def test_trains_as_the_original_in_float32(data):
    X, y, X_val, y_val = data
    data = X.astype(np.float32), y, X_val.astype(np.float32), y_val
    net = TwoLayerNet(6, 8, 4, std=0.3, rng=7)
    rng = np.random.default_rng(7)
    theirs = original.TwoLayerNet(6, 8, 4, std=0.3, dtype=np.float32, rng=rng)
    history, expected = net.train(*data, **SETTINGS[1]), theirs.train(*data, **SETTINGS[1])
    np.testing.assert_allclose(history["loss_history"], expected["loss_history"], rtol=1e-4)
    for name, value in theirs.params.items():
        assert net.params[name].dtype == value.dtype == np.float32
        np.testing.assert_allclose(net.params[name], value, rtol=0, atol=1e-4)


def test_prediction_adds_the_second_bias():
    """The original forgot it."""
    net = TwoLayerNet(2, 3, 4, rng=0)
    net.params["b2"][:] = [0.0, 0.0, 1.0, 0.0]
    np.testing.assert_array_equal(net.predict(np.ones((5, 2))), [2] * 5)


def test_the_port_differs_from_the_original_only_in_its_slips():
    """Its bias gradient sums over the batch, its prediction adds the bias: what xpnet is held to."""
    net = original.TwoLayerNet(2, 3, 4, rng=np.random.default_rng(0))
    net.params["b2"][:] = [0.0, 0.0, 1.0, 0.0]
    np.testing.assert_array_equal(net.predict(np.ones((5, 2))), [2] * 5)
    net.params["b2"][:] = 0.0
    X = np.zeros((5, 2))
    grads = net.loss(X, np.array([0, 0, 1, 1, 1]))[1]  # all classes even: P is 1/4
    np.testing.assert_allclose(grads["b2"], [0.25 - 0.4, 0.25 - 0.6, 0.25, 0.25], rtol=1e-14)


# Dtypes, kinds of input, devices


def dtypes_of(net):
    return {str(value.dtype) for value in net.params.values()}


def test_follows_the_dtype_of_its_data(data):
    X, y, X_val, y_val = data
    net = TwoLayerNet(6, 8, 4, rng=8)
    assert dtypes_of(net) == {"float64"}
    scores = net.loss(X.astype(np.float32))
    assert (scores.dtype, dtypes_of(net)) == (np.float32, {"float32"})
    grads = net.loss(X.astype(np.float32), y)[1]
    assert {g.dtype for g in grads.values()} == {np.dtype("float32")}
    net.train(X.astype(np.float32), y, X_val.astype(np.float32), y_val, num_iters=3)
    assert dtypes_of(net) == {"float32"}
    scores = net.loss(X)
    assert (scores.dtype, dtypes_of(net)) == (np.float64, {"float64"})


def test_validation_rows_of_another_dtype_do_not_change_the_training(data):
    X, y, X_val, y_val = data
    net, alike = (TwoLayerNet(6, 8, 4, std=0.3, rng=9) for _ in range(2))
    history = net.train(X, y, X_val.astype(np.float32), y_val, num_iters=20)
    expected = alike.train(X, y, X_val, y_val, num_iters=20)
    assert history["loss_history"] == expected["loss_history"]
    assert dtypes_of(net) == {"float64"}


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("given", [np.uint8, np.int64, np.float32, np.float64])
def test_a_dtype_asked_for_is_kept_whatever_comes_in(name, given):
    X = np.arange(12).reshape(4, 3).astype(given)
    net = TwoLayerNet(3, 5, 2, dtype=name, rng=10)
    assert net.loss(X).dtype == name
    assert {g.dtype.name for g in net.loss(X, [0, 1, 1, 0])[1].values()} == {name}
    net.train(X, [0, 1, 1, 0], X, [0, 1, 1, 0], num_iters=3)
    assert dtypes_of(net) == {name}


def test_integers_are_computed_in_float64():
    net = TwoLayerNet(3, 5, 2, rng=11)
    assert net.loss(np.arange(6, dtype=np.uint8).reshape(2, 3)).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, "float32", np.dtype("float32"), "f4"])
def test_ways_to_name_a_dtype(dtype):
    assert dtypes_of(TwoLayerNet(3, 5, 2, dtype=dtype, rng=0)) == {"float32"}


def test_lists_in_the_place_of_arrays(data):
    net, alike = (TwoLayerNet(6, 8, 4, std=0.3, rng=12) for _ in range(2))
    lists = [a.tolist() for a in data]
    assert net.loss(lists[0], lists[1], 0.1)[0] == alike.loss(data[0], data[1], 0.1)[0]
    history, expected = net.train(*lists, num_iters=9), alike.train(*data, num_iters=9)
    assert history == expected
    np.testing.assert_array_equal(net.predict(lists[2]), alike.predict(data[2]))


def test_arrays_given_are_not_written_to(data):
    for array in data:
        array.flags.writeable = False
    before = [array.copy() for array in data]
    net = TwoLayerNet(6, 8, 4, rng=13)
    net.loss(data[0], data[1], 0.1)
    net.train(*data, num_iters=9)
    net.predict(data[0])
    for array, values in zip(data, before, strict=True):
        np.testing.assert_array_equal(array, values)


def test_results_are_numpy_and_the_same_on_every_device(device, dtype, data):
    """Up to rounding; the parameters stay on the device."""
    net = TwoLayerNet(6, 8, 4, std=0.3, device=device, dtype=dtype, rng=14)
    # Training consumes them, and `numpy-read-only` puts nothing that can be written to.
    net.params = {k: device.xp.asarray(value, copy=True) for k, value in net.params.items()}
    theirs = original.TwoLayerNet(6, 8, 4, std=0.3, rng=np.random.default_rng(14))
    loss, grads = net.loss(data[0], data[1], 0.1)
    history, predicted, scores = (
        net.train(*data, **SETTINGS[1]),
        net.predict(data[2]),
        net.loss(data[2]),
    )

    assert type(loss) is float
    results = [scores, predicted, *grads.values()]
    assert {type(value) for value in results} == {np.ndarray}
    assert {g.dtype.name for g in [scores, *grads.values()]} == {dtype}
    assert predicted.dtype.kind == "i"
    assert {type(value) for values in history.values() for value in values} == {float}
    assert {type(value) for value in net.params.values()} == {type(device.put(np.ones(1), dtype))}

    rtol = {"float32": 1e-4, "float64": 1e-10}[dtype]
    expected_loss, expected_grads = theirs.loss(data[0], data[1], 0.1)
    np.testing.assert_allclose(loss, expected_loss, rtol=rtol)
    for name, value in expected_grads.items():
        np.testing.assert_allclose(grads[name], value, rtol=0, atol=rtol)
    expected = theirs.train(*data, **SETTINGS[1])
    np.testing.assert_allclose(history["loss_history"], expected["loss_history"], rtol=rtol)
    np.testing.assert_allclose(scores, theirs.loss(data[2]), rtol=0, atol=10 * rtol)


def test_a_device_is_looked_up_by_name(data):
    net = TwoLayerNet(6, 8, 4, device="cpu", rng=15)
    alike = TwoLayerNet(6, 8, 4, device=get_device("cpu"), rng=15)
    np.testing.assert_array_equal(net.loss(data[0]), alike.loss(data[0]))


# Progress, divergence


def test_prints_every_hundredth_loss(data, capsys):
    net = TwoLayerNet(6, 8, 4, rng=16)
    history = net.train(*data, num_iters=250, batch_size=7, verbose=True)
    losses = history["loss_history"]
    expected = [f"iteration {it} / 250: loss {losses[it]:f}" for it in (0, 100, 200)]
    assert capsys.readouterr().out.splitlines() == expected


def test_prints_nothing_unasked(data, capsys):
    TwoLayerNet(6, 8, 4, rng=17).train(*data, num_iters=250, batch_size=7)
    assert capsys.readouterr() == ("", "")


def test_divergence_warns_once_and_keeps_finite_parameters(data):
    net = TwoLayerNet(6, 8, 4, std=0.3, rng=18)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = net.train(*data, learning_rate=1e3, learning_rate_decay=1, reg=0.1, num_iters=400)
    assert [w.category for w in caught] == [RuntimeWarning]
    message = str(caught[0].message)
    assert "\n" not in message
    assert caught[0].filename == __file__
    losses = history["loss_history"]
    finite = int(np.isfinite(losses).sum())
    assert f"diverged at iteration {finite} " in message  # counted from 0, as its prints are
    assert np.isfinite(losses[:finite]).all()
    assert len(losses) <= finite + 1 < 400
    assert all(np.isfinite(value).all() for value in net.params.values())
    assert np.isfinite(net.loss(data[0], data[1], 0.1)[0])


def test_training_that_converges_warns_of_nothing(data):
    TwoLayerNet(6, 8, 4, rng=19).train(*data, num_iters=9)  # a warning would be an error


# Bad input


def message_of(call, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert isinstance(caught.value, XpnetError)
    assert isinstance(caught.value, ValueError)
    return message


@pytest.mark.parametrize("shape", [(5,), (5, 7), (0, 6), (2, 5, 6), ()])
def test_rows_of_a_wrong_shape(data, shape):
    net, X = TwoLayerNet(6, 8, 4, rng=0), np.ones(shape)
    expected = f"X has shape {shape}; it must be (rows, 6)"
    assert message_of(net.loss, X) == expected
    assert message_of(net.predict, X) == expected
    assert message_of(net.loss, X, [0]) == expected
    assert message_of(net.train, X, [0], *data[2:]) == expected
    assert message_of(net.train, *data[:2], X, [0]) == expected.replace("X has", "X_val has")


@pytest.mark.parametrize("dtype", [None, "float32"])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.nan, "holds NaN or infinity: drop such rows"),
        (-np.inf, "holds NaN or infinity: drop such rows"),
        (1e300, "holds values too large for float32: divide them"),
    ],
)
def test_rows_that_hold_no_numbers(data, dtype, value, says):
    if value == 1e300 and dtype is None:
        return
    net, X = TwoLayerNet(6, 8, 4, rng=0, dtype=dtype), data[0].astype(float)
    X[17, 3] = value
    for name, call in {
        "X": [(net.predict, X), (net.loss, X), (net.loss, X.tolist(), data[1]), (net.train, X, *data[1:])],
        "X_val": [(net.train, *data[:2], X, data[1])],
    }.items():
        for function, *given in call:
            assert message_of(function, *given).startswith(f"row 17 of {name} {says}")


def test_rows_of_other_kinds(data):
    net, X = TwoLayerNet(6, 8, 4, rng=0), data[0].astype(float)
    masked = np.ma.masked_greater(X, np.sort(X, axis=None)[-3])
    for call in (net.predict, net.loss):
        for kind in ("datetime64[s]", "timedelta64[s]"):
            assert message_of(call, X.astype(kind)) == f"X holds {kind}: give real numbers"
        assert message_of(call, masked).startswith(
            "X masks 2 values, but masks are not supported: fill them in, or"
        )
    labels = np.ma.masked_array(data[1], np.arange(len(X)) == 1)
    assert message_of(net.loss, X, labels).startswith("y masks 1 values, but masks are not supported: fill")
    np.testing.assert_array_equal(net.predict(np.ma.masked_invalid(X)), net.predict(X))


def test_sparse_rows_are_refused(data):
    sparse = pytest.importorskip("scipy.sparse")
    net = TwoLayerNet(6, 8, 4, rng=0)
    for given in (sparse.csr_matrix(data[0]), sparse.coo_array(data[0])):
        assert message_of(net.predict, given) == "X is a sparse matrix: give X.toarray()"


def test_frames(data):
    pd = pytest.importorskip("pandas")
    net, X = TwoLayerNet(6, 8, 4, rng=0), pd.DataFrame(data[0].astype(float), columns=list("abcdef"))
    for frame in (X, X.convert_dtypes(), X.astype("Float64")):
        np.testing.assert_array_equal(net.predict(frame), net.predict(X.to_numpy()))
    lacking = X.astype("Float64")
    lacking.iloc[2, 1] = pd.NA
    for frame in (lacking, X.assign(b="much"), X.assign(b=pd.Timestamp("2001-02-03"))):
        assert (
            message_of(net.predict, frame)
            == "X has missing values, or values that are not numbers: give real numbers"
        )


def test_predictions_hold_few_hidden_units_at_once(monkeypatch):
    net, X = TwoLayerNet(3, 50, 4, std=1.0, rng=0), np.random.default_rng(1).standard_normal((1001, 3))
    whole = net.predict(X)
    monkeypatch.setattr(two_layer_net, "PART", 5000)
    rows, predict = [], two_layer_net.backprop.predict

    def recorded(xp, mlp, params, x):
        rows.append(len(x))
        return predict(xp, mlp, params, x)

    monkeypatch.setattr(two_layer_net.backprop, "predict", recorded)
    np.testing.assert_array_equal(net.predict(X), whole)
    assert rows == [*([100] * 10), 1]


def test_rows_and_labels_that_are_no_arrays(data):
    net = TwoLayerNet(6, 8, 4, rng=0)
    assert "X is not an array: give rows of 6 numbers each" in message_of(net.predict, [[1.0] * 6, [1.0] * 5])
    assert "X holds <U1: give real numbers" in message_of(net.predict, [["a"] * 6])
    assert "y is not an array: give one label for each row" in message_of(net.loss, data[0], [[1], [1, 2]])


@pytest.mark.parametrize("y", [np.zeros(60, int), np.zeros((61, 1), int), np.zeros((61, 4), int)])
def test_labels_of_a_wrong_shape(data, y):
    net = TwoLayerNet(6, 8, 4, rng=0)
    for message in (
        message_of(net.loss, data[0], y),
        message_of(net.train, data[0], y, *data[2:]),
        message_of(net.train, *data[2:], data[0], y).replace("y_val", "y"),
    ):
        assert message == f"y has shape {y.shape}; it must be (61,), one label for each row of X"


def test_labels_that_are_no_integers(data):
    net = TwoLayerNet(6, 8, 4, rng=0)
    message = message_of(net.loss, data[0], data[1].astype(float))
    assert "labels must be integers, not float64" in message
    assert "astype(int)" in message
    message = message_of(net.loss, data[0], data[1] + 0.5)
    assert "labels must be integers, not float64: number the 4 classes from 0" in message
    for y in (data[1].astype(str), np.where(data[1] == 0, np.nan, data[1])):
        assert message_of(net.loss, data[0], y).endswith(": number the 4 classes from 0")


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        (-1, np.int8),
        (4, np.int8),
        (4, np.uint8),
        (-1, np.int64),
        (1000, np.int16),
        (2**63, np.uint64),
    ],
)
def test_labels_out_of_range(data, label, kind):
    net, y = TwoLayerNet(6, 8, 4, rng=0), data[1].astype(kind)
    y[17] = label
    for message in (
        message_of(net.loss, data[0], y),
        message_of(net.train, data[0], y, *data[2:]),
        message_of(net.train, *data[2:], data[0], y),
    ):
        assert f"label {label} in row 17 is outside 0 … 3" in message


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_integer_dtype(data, kind):
    net = TwoLayerNet(6, 8, 4, std=0.3, rng=20)
    expected = net.loss(data[0], data[1], 0.1)[0]
    assert net.loss(data[0], data[1].astype(kind), 0.1)[0] == expected


def test_more_classes_than_a_label_byte_can_count():
    """300 classes, labels as bytes."""
    net = TwoLayerNet(3, 5, 300, std=0.3, rng=21)
    X, y = np.random.default_rng(0).standard_normal((4, 3)), np.array([0, 1, 200, 255])
    assert net.loss(X, y.astype(np.uint8))[0] == net.loss(X, y)[0]


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex128"])
def test_a_dtype_it_cannot_compute_in(dtype):
    message = message_of(TwoLayerNet, 3, 5, 2, dtype=dtype)
    assert message == f"dtype must be float32 or float64, not {dtype}"


@pytest.mark.parametrize("sizes", [(0, 5, 2), (3, 0, 2), (3, 5, 0), (-1, 5, 2)])
def test_sizes_that_make_no_network(sizes):
    assert str(sizes) in message_of(TwoLayerNet, *sizes)


def test_a_failed_call_changes_nothing(data):
    net, alike = (TwoLayerNet(6, 8, 4, std=0.3, rng=22) for _ in range(2))
    message_of(net.train, data[0], data[1] + 9, *data[2:])
    message_of(net.train, *data[:2], data[2], data[3] + 9)
    assert net.train(*data, num_iters=9) == alike.train(*data, num_iters=9)


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"dtype": "foo"}, {}, "dtype must be float32 or float64, not foo"),
        ({"rng": "a"}, {}, "rng must be a seed"),
        ({"std": -1.0}, {}, "std must be a finite number, 0 or more"),
        ({}, {"batch_size": 0}, "batch_size must be 1 or more, not 0"),
        ({}, {"batch_size": 2.5}, "batch_size must be an integer, not 2.5"),
        ({}, {"num_iters": -1}, "num_iters must be a finite number, 0 or more, not -1"),
        ({}, {"learning_rate": -1e-3}, "learning_rate must be a finite number, 0 or more"),
        ({}, {"learning_rate_decay": "a"}, "learning_rate_decay must be a number, not 'a'"),
        ({}, {"reg": math.nan}, "reg must be a finite number"),
        ({}, {"verbose": "no"}, "verbose must be true or false, not 'no'"),
        ({}, {"verbose": np.array([1, 0])}, "verbose must be true or false, not "),
    ],
)
def test_settings_that_make_no_sense(data, changes, settings, message):
    with pytest.raises(InputError, match=message):
        TwoLayerNet(6, 8, 4, **changes).train(*data, **settings)


def test_a_strength_that_is_none(data):
    for reg in ("a", -1.0, math.inf, None):
        assert message_of(TwoLayerNet(6, 8, 4).loss, *data[:2], reg=reg).startswith("reg must be a ")


def test_no_iterations(data):
    net = TwoLayerNet(6, 8, 4, rng=0)
    assert net.train(*data, num_iters=0) == {
        "loss_history": [],
        "train_acc_history": [],
        "val_acc_history": [],
    }


# As text, and in a pickle


def test_it_prints_its_sizes():
    assert repr(TwoLayerNet(3072, 300, 10)) == "TwoLayerNet(3072, 300, 10, dtype=float64, device=cpu)"
    assert repr(TwoLayerNet(4, 3, 2, dtype=np.float32)) == "TwoLayerNet(4, 3, 2, dtype=float32, device=cpu)"


@pytest.mark.parametrize("make", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
@pytest.mark.parametrize("num_iters", [0, 7])
def test_a_copy_goes_on_as_the_original(device, dtype, data, make, num_iters):
    def writable(net):  # one of the devices of the tests puts arrays that can only be read
        net.params = {k: device.xp.asarray(value, copy=True) for k, value in net.params.items()}
        return net

    net = writable(TwoLayerNet(6, 8, 4, std=0.3, device=device, dtype=dtype, rng=5))
    net.train(*data, num_iters=num_iters)
    other = make(net)
    assert {type(value) for value in other.params.values()} == {type(device.put(np.ones(1), dtype))}
    other = writable(other)
    assert repr(other) == repr(net)
    assert other.params is not net.params
    before = {name: np.array(device.to_host(value)) for name, value in net.params.items()}
    history = other.train(*data, num_iters=9)
    for name, value in net.params.items():  # that of the copy is its own
        np.testing.assert_array_equal(device.to_host(value), before[name])
    assert history == net.train(*data, num_iters=9)
    np.testing.assert_array_equal(other.predict(data[0]), net.predict(data[0]))


def test_a_pickle_holds_no_array_but_numpys():
    torch = pytest.importorskip("torch", exc_type=ImportError)
    net = TwoLayerNet(6, 8, 4, device=get_device("cpu", "torch"), rng=5)
    state = net.__getstate__()
    assert {type(value) for value in state["params"].values()} == {np.ndarray}
    assert isinstance(pickle.loads(pickle.dumps(net)).params["W1"], torch.Tensor)


@pytest.mark.parametrize("rng", [np.random.RandomState(3), np.random.default_rng(3)])
def test_the_source_of_randomness_goes_along(data, rng):
    net = TwoLayerNet(6, 8, 4, rng=rng)
    other = copy.deepcopy(net)
    assert other.train(*data, num_iters=5) == net.train(*data, num_iters=5)


def test_the_source_of_the_process_stays_that():
    state = np.random.get_state()
    try:
        other = pickle.loads(pickle.dumps(TwoLayerNet(6, 8, 4)))
        X, y = np.ones((9, 6)), np.zeros(9, int)
        np.random.seed(3)
        other.train(X, y, X, y, num_iters=2)
        drawn = np.random.random()
        np.random.seed(3)
        for _ in range(2):
            np.random.choice(9, 200)
        assert np.random.random() == drawn
    finally:
        np.random.set_state(state)


def test_another_process_predicts_the_same(data):
    net = TwoLayerNet(6, 8, 4, std=0.3, rng=5)
    net.train(*data, num_iters=9)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(operator.methodcaller("predict", data[0]), net).result()
        trained = pool.submit(operator.methodcaller("train", *data, num_iters=9), net).result()
    np.testing.assert_array_equal(there, net.predict(data[0]))
    assert trained == net.train(*data, num_iters=9)
