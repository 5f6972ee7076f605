"""What the estimators refuse, in one line with the fix; and what importing them needs."""

import inspect
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import scipy.sparse
from estimators import classes, fitted, numbers
from sklearn.exceptions import NotFittedError

import xpnet
from xpnet import InputError, MLPClassifier, MLPRegressor, TableClassifier
from xpnet.estimator import splitting


def refused(message, act):
    with pytest.raises(InputError, match=message) as caught:
        act()
    assert "\n" not in str(caught.value)


DAYS = np.array(["2021-03-01", "2021-03-02"] * 3, "M8[D]")
ROWS = np.arange(18.0).reshape(6, 3)
TARGETS = np.array([0, 1] * 3)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            np.ma.array(ROWS, mask=ROWS > 16),
            "^{} masks .* values, but masks are not supported: fill them in, or drop such rows",
        ),
        (ROWS + 1j, "^Complex data not supported: give {} as finite real numbers .rows, features."),
        (scipy.sparse.csr_matrix(ROWS + 1j), "^Complex data not supported: give {} as finite real"),
        (
            np.stack([DAYS, DAYS, DAYS], axis=1),
            r"^{} has dtype datetime64\[D\]: give numbers, or use TableCl",
        ),
        (np.stack([DAYS - DAYS[0]] * 3, axis=1), r"^{} has dtype timedelta64\[D\]: give numbers"),
        (np.full((6, 3), "a"), "^could not convert string to float: .*: give {} as finite real numbers"),
        (np.where(ROWS > 16, None, ROWS), "^Input .* contains NaN: give {} as finite real numbers"),
        (ROWS[:, 0], "^Expected 2D array, got 1D array instead, Reshape your data: give {} as finite real"),
        (ROWS[None], "^Found array with dim 3, .*: give {} as finite real numbers"),
        ([[1.0], [1.0, 2.0]], "^setting an array element .*: give {} as finite real numbers"),
    ],
)
def test_rows_of_other_kinds_are_one_line_at_each_door(kind, rows, message):
    model = kind(max_iter=1, n_iter_no_change=np.inf).fit(ROWS, TARGETS)
    refused(message.format("X"), lambda: kind(max_iter=1).fit(rows, TARGETS))
    refused(message.format("X"), lambda: model.predict(rows))
    refused(message.format("X_val"), lambda: kind().fit(ROWS, TARGETS, X_val=rows, y_val=TARGETS))
    if kind is MLPClassifier:
        refused(message.format("X"), lambda: kind().partial_fit(rows, TARGETS, classes=[0, 1]))


def test_a_frame_of_days_or_with_two_columns_of_one_name():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": DAYS, "b": DAYS})
    refused(
        "^X has dtype datetime64.*: give numbers, or use Table", lambda: MLPClassifier().fit(frame, TARGETS)
    )
    frame = pandas.DataFrame(ROWS, columns=["a", "b", "a"])
    refused("^columns of X have the same name: rename", lambda: MLPClassifier().fit(frame, TARGETS))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            np.ma.array(TARGETS, mask=ROWS[:, 0] > 10),
            "masks . values, but masks are not supported: fill them in, or drop",
        ),
        (DAYS, r"has dtype datetime64\[D\]: give numbers$"),
        (scipy.sparse.csr_matrix(ROWS), "is a sparse matrix: give a dense array$"),
    ],
)
def test_targets_of_other_kinds(y, message):
    refused(f"^y {message}", lambda: MLPRegressor().fit(ROWS, y))
    refused(f"^y_val {message}", lambda: MLPRegressor().fit(ROWS, TARGETS, X_val=ROWS, y_val=y))


def test_days_are_classes():
    assert (
        MLPClassifier(max_iter=1, n_iter_no_change=np.inf).fit(ROWS, DAYS).predict(ROWS).dtype == DAYS.dtype
    )


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ma.array(np.ones(6), mask=TARGETS), "masks 3 values"),
        (np.ones(6) + 1j, "has dtype complex128: give one number for each row$"),
        (DAYS, r"has dtype datetime64\[D\]: give one number for each row$"),
    ],
)
def test_weights_of_other_kinds(weight, message):
    refused(f"^sample_weight {message}", lambda: MLPClassifier().fit(ROWS, TARGETS, weight))


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("gap", [None, np.nan])
def test_rows_without_a_target(kind, gap):
    y = [1.5, 2.5, gap, 1.5] if kind is MLPRegressor else ["a", "b", gap, "a"]
    text = "^y contains NaN or None in row 2: drop rows without a target, also from X$"
    refused(text, lambda: kind(max_iter=1).fit(np.eye(4), y))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        *(
            (
                {"solver": "lbfgs", name: value},
                f"^solver 'lbfgs' does not support this setting: set {name}={neutral}, or use 'adam'$",
            )
            for name, value, neutral in (
                ("ensemble", 2, "1"),
                ("dropout", 0.1, "0.0"),
                ("input_dropout", 0.1, "0.0"),
                ("mixup", 0.4, "0.0"),
                ("label_smoothing", 0.1, "0.0"),
                ("ema", 0.9, "0.0"),
                ("weight_decay", 0.1, "0.0"),
                ("warmup", 0.1, "0.0"),
                ("clip_norm", 1.0, "None"),
                ("callbacks", print, "None"),
            )
        ),
        ({"solver": "lbfgs", "norm": "batch"}, "no batches to normalise over: set norm='layer'"),
        ({"max_fun": 0}, "max_fun must be 1 or more, not 0"),
        ({"solver": "newton"}, "solver must be one of 'sgd', .*'adam'.* not 'newton'"),
        ({"activation": "softmax"}, "activation must be one of 'relu', .*not 'softmax'"),
        ({"learning_rate": 0.1}, "learning_rate must be one of 'constant', .* not 0.1"),
        ({"dtype": "float16"}, "dtype must be 'float32' or 'float64', or None, not 'float16'; did you mean"),
        ({"hidden_layer_sizes": (10, 0)}, r"hidden_layer_sizes must be from 1 to 10000000, not 0"),
        ({"hidden_layer_sizes": "100"}, "hidden_layer_sizes must be an integer or a list of them, not '100'"),
        ({"hidden_layer_sizes": 1.5}, "hidden_layer_sizes must be an integer or a list of them, not 1.5"),
        ({"alpha": -1}, "alpha must be a finite number, 0 or more, not -1"),
        ({"alpha": float("nan")}, "alpha must be a finite number, 0 or more, not nan"),
        ({"alpha": float("inf")}, "alpha must be a finite number, 0 or more, not inf"),
        ({"alpha": "1"}, "alpha must be a number, not '1'"),
        ({"learning_rate_init": 0.0}, "learning_rate_init must be a finite number above 0, not 0.0"),
        ({"momentum": 1.1}, "momentum must be from 0 to 1, not 1.1"),
        ({"beta_1": 1.0}, "beta_1 must be 0 or more and below 1, not 1.0"),
        ({"dropout": 1}, "dropout must be 0 or more and below 1, not 1"),
        ({"max_iter": 0}, "max_iter must be 1 or more, not 0"),
        ({"max_iter": 1.5}, "max_iter must be an integer, not 1.5"),
        ({"batch_size": 0}, "batch_size must be 1 or more, or 'auto', not 0"),
        ({"batch_size": "all"}, "batch_size must be an integer, or 'auto', not 'all'"),
        ({"n_iter_no_change": 0.5}, "n_iter_no_change must be an integer, or inf, not 0.5"),
        ({"max_time": 0}, "max_time must be a finite number above 0, or None, not 0"),
        ({"class_weight": "even"}, "class_weight must be a dict by label, 'balanced' or None, not 'even'"),
        ({"class_weight": {7: 1.0}}, r"class_weight has 7: 1.0; give a number.* labels \[0, 1, 2\]"),
        ({"class_weight": {0: -1.0}}, "class_weight has 0: -1.0; give a number, 0 or more"),
        (
            {"class_weight": {0: 0, 1: 0, 2: 0}},
            "class_weight leaves all rows with weight 0: raise the weight",
        ),
        ({"early_stopping": "yes"}, "early_stopping must be true or false, not 'yes'"),
        ({"shuffle": 1}, "shuffle must be true or false, not 1"),
        ({"warm_start": None}, "warm_start must be true or false, not None"),
        ({"nesterovs_momentum": "no"}, "nesterovs_momentum must be true or false, not 'no'"),
        ({"callbacks": "log"}, "callbacks must be a function or a list of functions, not 'log'"),
        ({"callbacks": 3}, "callbacks must be a function or a list of functions, not 3"),
        ({"callbacks": iter([print])}, "callbacks must be a function or a list of functions"),
        ({"hidden_layer_sizes": np.array(1.5)}, r"hidden_layer_sizes must be an integer .*not array\(1.5\)"),
        (
            {"hidden_layer_sizes": np.ones((2, 2))},
            "hidden_layer_sizes must be an integer or a list",
        ),
        ({"activation": np.array("relu")}, r"activation must be one of 'relu', .*not array\('relu'"),
        ({"hidden_layer_sizes": 10**8}, "hidden_layer_sizes must be from 1 to 10000000, not 100000000"),
        ({"init": "he", "init_std": 1e300}, "init_std must be a finite number, 0 or more, at most 1e30"),
        ({"beta_2": 1 - 1e-9, "dtype": "float32"}, "beta_2 must be 0 or more and below 1 in float32"),
        ({"alpha": np.array(0.1)}, r"alpha must be a number, not array\(0.1\)"),
        ({"dtype": "float15"}, "dtype must be 'float32' or 'float64', or None, not 'float15'"),
        ({"activation": np.array(["relu", "tanh"])}, "activation must be one of 'relu', .*not array"),
        ({"solver": np.array(["adam", "sgd"])}, "solver must be one of .*not array"),
        ({"alpha": np.ones((2, 2))}, "alpha must be a number, not array"),
        ({"early_stopping": True, "validation_fraction": 0.01}, "leaves too few to train or validate on"),
        ({"early_stopping": True, "validation_fraction": 0.999}, "leaves too few to train or validate on"),
    ],
    ids=lambda value: str(value).partition(" object at")[0],  # the same in every process
)
def test_parameters_that_mean_nothing(how, message):
    X, y = classes("multiclass")
    refused(message, lambda: MLPClassifier(**how).fit(X, y))


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("epochs", "did you mean max_iter?"),
        ("lr", "did you mean learning_rate_init?"),
        ("optimizer", "did you mean solver?"),
        ("hidden_units", "did you mean hidden_layer_sizes?"),
        ("seed", "did you mean random_state?"),
        ("early_stop", "did you mean early_stopping?"),
        ("n_jobs", "training uses the cores it needs; set the variable OMP_NUM_THREADS to limit them"),
        ("zzz", "help(xpnet.{}) lists them all"),
    ],
)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_parameters_that_are_none(kind, word, text):
    expected = f"^{kind.__name__} has no parameter {word!r}: {text.format(kind.__name__)}$"
    expected = expected.replace("?", r"\?").replace("(", r"\(").replace(")", r"\)")
    refused(expected, lambda: kind(**{word: 1}))
    refused(expected, lambda: kind().set_params(**{word: 1}))


def test_a_signature_is_that_of_the_parameters():
    """Which scikit-learn reads, and people's editors."""
    names = list(inspect.signature(MLPClassifier).parameters)
    assert names[:3] == ["hidden_layer_sizes", "activation", "class_weight"]
    assert sorted(names) == sorted(MLPClassifier().get_params())
    assert MLPClassifier(7, "tanh").get_params()["activation"] == "tanh"


@pytest.mark.parametrize(("loss", "ours"), [("mae", "absolute_error"), ("mse", "squared_error")])
def test_losses_by_the_names_of_other_tools(loss, ours):
    X, y = numbers()
    refused(f"not '{loss}'; did you mean '{ours}'.$", lambda: MLPRegressor(loss=loss).fit(X, y))


def test_a_generator_is_no_seed():
    X, y = classes("binary")
    text = r"^random_state must be an integer, .*, not Generator.*: give a seed, as random_state=0$"
    for kind in (MLPClassifier, TableClassifier):
        refused(text, lambda kind=kind: kind(random_state=np.random.default_rng(0)).fit(X, y))


@pytest.mark.parametrize(
    "allowed",
    [
        {"n_iter_no_change": np.inf},
        {"alpha": 0},
        {"hidden_layer_sizes": [4, 3]},
        {"hidden_layer_sizes": {5: None}.keys()},
        {"max_iter": np.int64(2), "alpha": np.float32(0.1)},
    ],
)
def test_parameters_at_the_edge(allowed):
    X, y = classes("multiclass")
    fitted(MLPClassifier(**{"max_iter": 2} | allowed), X, y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(5), r"Sample weights must be 1D array or scalar, \(90,\) here, not \(5,\)"),
        (np.ones((90, 1)), "Sample weights must be 1D array or scalar"),
        (-np.ones(90), "no weight negative"),
        (np.full(90, np.nan), "finite numbers"),
        (np.zeros(90), "not all zero"),
        (["heavy"] * 90, "sample_weight must be one number for each row"),
        (np.full(90, 1 + 2j), "sample_weight has dtype complex128: give one number for each row"),
    ],
)
def test_weights_that_mean_nothing(weight, message):
    X, y = classes("multiclass")
    refused(message, lambda: MLPClassifier().fit(X, y, weight))


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor, TableClassifier])
def test_masks_are_not_read(kind):
    """What lies under one would be trained on."""
    X, y = classes("binary")
    masked, labels = np.ma.masked_greater(X, 2.0), np.ma.masked_array(y, np.arange(90) == 7)
    count = int(masked.mask.sum())
    text = f"^X masks {count} values, but masks are not supported: .* X.astype.float..filled.numpy.nan. whe"
    refused(text, lambda: kind().fit(masked, y))
    text = "^{} masks 1 values, but masks are not supported: fill them in, or drop such rows$"
    refused(text.format("y"), lambda: kind().fit(X, labels))
    refused(text.format("sample_weight"), lambda: kind().fit(X, y, labels))
    if kind is not TableClassifier:
        whole = fitted(kind(max_iter=1), np.ma.masked_greater(X, 1e9), y)
        refused("^X masks ", lambda: whole.predict(masked))


@pytest.mark.parametrize("kind", [MLPClassifier, TableClassifier])
def test_labels_of_several_kinds(kind):
    X = np.eye(4)
    text = "^y holds {} and '{}': give labels of one kind, all text or all integers$"
    refused(text.format(1, "a"), lambda: kind().fit(X, [1, "a", 1, "a"]))
    refused(text.format("True", "no"), lambda: kind().fit(X, np.array([True, "no", True, "no"], object)))
    refused(text.format("'b'", 2).replace("'2'", "2"), lambda: kind().fit(X, ["b", None, 2, 2]))
    refused(
        r"^Unknown label type: y holds int as an object: give y.astype\(int\), or text$",
        lambda: kind().fit(X, np.array([1, 2, 1, 2], object)),
    )
    refused("^y contains NaN or None in row 1: ", lambda: kind().fit(X, np.array([1, None, 1, 2], object)))
    if kind is MLPClassifier:
        text = text.replace("y holds", "classes holds")
        refused(text.format(1, "a"), lambda: kind().partial_fit(X, list("abab"), classes=[1, "a"]))


def test_classes_are_not_for_several_labels_a_row():
    X, Y = classes("multilabel")
    text = "^classes needs one label per row, but y has a column of 0 and 1 for each label: leave it out$"
    parts = MLPClassifier()
    refused(text, lambda: parts.partial_fit(X, Y, classes=[0, 1]))
    refused(text, lambda: parts.partial_fit(X, Y).partial_fit(X, Y, classes=["a", "b", "c"]))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"spam": 1, "Spam_": 9}, "class_weight has 'Spam_', which no row has: did you mean 'spam'?"),
        ({"spam": 1, "hamm": 9}, "class_weight has 'hamm', which no row has: did you mean 'ham'?"),
        ({"spam": 1, "ham": 2, "hamm": 9}, None),  # a class of its own, which a fold may lack
        ({"spam": 1, "offer": 9}, None),
    ],
)
@pytest.mark.parametrize("kind", [MLPClassifier, TableClassifier])
def test_weights_that_are_likely_misspelt(kind, weights, said):
    X, y = classes("binary")
    y = np.where(y == 1, "spam", "ham")
    how = {"class_weight": weights, "max_iter": 1} if kind is MLPClassifier else {"epochs": 1}
    if kind is TableClassifier:
        how |= {"settings": {"class_weight": weights, "hidden": 4}, "recipe": "table-fast"}
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        kind(**how).fit(X, y)
    about = [(str(one.message), one.filename) for one in found if "class_weight" in str(one.message)]
    assert about == ([(said, __file__)] if said else [])


def test_a_weight_by_the_text_of_a_number_is_likely_misspelt():
    X, y = classes("binary")
    with pytest.warns(UserWarning, match="^class_weight has '1', which no row has: did you mean 1.$"):
        fitted(MLPClassifier(max_iter=1, class_weight={0: 1, "1": 5}), X, y)


@pytest.mark.parametrize("how", [{"warm_start": True}, {}])
def test_weights_set_by_hand_are_no_network(how):
    """What was never fitted begins anew, as without them."""
    X, y = classes("binary")
    ours, plain = (MLPClassifier(**how, max_iter=2, random_state=0) for _ in range(2))
    ours.coefs_ = [np.ones((6, 1))]
    with pytest.raises(NotFittedError):
        ours.predict(X)
    np.testing.assert_array_equal(fitted(ours, X, y).coefs_[0], fitted(plain, X, y).coefs_[0])
    parts = MLPClassifier()
    parts.coefs_ = [np.ones((6, 1))]
    refused("classes must be passed on the first call", lambda: parts.partial_fit(X, y))


def test_an_output_set_by_hand_is_refused():
    """scikit-learn applies it; ours may have units to undo."""
    X, y = classes("binary")
    for kind, left in ((MLPRegressor, "'identity' or 'exp'"), (MLPClassifier, "'logistic' or 'softmax'")):
        model = fitted(kind(max_iter=1), X, y)
        model.out_activation_ = "tanh"
        refused(
            f"^out_activation_ is 'tanh', and fit leaves {left}: set it back, and",
            lambda m=model: m.predict(X),
        )


def test_targets_that_mean_nothing():
    X, y = classes("multiclass")
    refused("two values.*MultiOutputClassifier", lambda: MLPClassifier().fit(X, np.c_[y, y]))
    with pytest.raises(ValueError, match="Unknown label type"):
        MLPClassifier().fit(X, X[:, 0])
    X, Y = classes("multilabel")
    refused("class_weight needs one label per row", lambda: MLPClassifier(class_weight="balanced").fit(X, Y))
    X, y = numbers()
    refused(
        "loss must be one of 'squared_error', 'poisson', 'absolute_error', 'huber', not 'squared-error'; did",
        lambda: MLPRegressor(loss="squared-error").fit(X, y),
    )
    refused("standardize_target must be", lambda: MLPRegressor(standardize_target="yes").fit(X, y))


def test_targets_that_have_no_logarithm():
    """Below 0 nowhere, not even to validate on; all 0 not in a whole `fit`, but in a part of the rows."""
    X, y = numbers()
    model = MLPRegressor(4, loss="poisson", max_iter=1)
    text = "but the loss poisson needs numbers of at least 0: use 'squared_error'$"
    y = np.abs(y)
    wrong = np.where(np.arange(90) == 3, -1.5, y)
    refused(f"^y holds -1.5 in row 3, {text}", lambda: model.fit(X, wrong))
    refused(f"^y holds -1.5 in row 3, {text}", lambda: model.partial_fit(X, wrong))
    refused(f"^y_val holds -1.5 in row 3, {text}", lambda: model.fit(X, y, X_val=X, y_val=wrong))
    refused("^y is 0 in all rows, .* use 'squared_error'$", lambda: model.fit(X, 0 * y))
    refused("^y is 0 in all rows", lambda: model.fit(X, np.c_[y, 0 * y]))
    refused("^y is 0 in all rows", lambda: model.fit(X, y * (y > 1), y <= 1))
    assert np.isfinite(model.partial_fit(X, 0 * y).predict(X)).all()


def test_what_a_network_that_goes_on_cannot_change():
    X, y = numbers()
    model = fitted(MLPRegressor(4, max_iter=2, warm_start=True), X, np.abs(y))
    refused(
        "^standardize_target was False in the first fit: leave it unchanged, or fit a new estimator$",
        lambda: model.set_params(standardize_target=True).fit(X, np.abs(y)),
    )
    refused("other units, output", lambda: model.set_params(loss="poisson").fit(X, np.abs(y)))


def test_lbfgs_knows_no_parts_and_no_epochs():
    X, y = classes("binary")
    model = MLPClassifier(solver="lbfgs")
    assert not hasattr(model, "partial_fit")
    assert hasattr(model.set_params(solver="adam"), "partial_fit")
    model.set_params(solver="lbfgs")
    refused("does not use validation data: leave out X_val", lambda: model.fit(X, y, X_val=X, y_val=y))


def test_validation_rows_that_mean_nothing():
    X, y = classes("multiclass")
    refused("give both, or neither", lambda: MLPClassifier().fit(X, y, X_val=X))
    refused(
        r"y has the labels \[5\], but the classes are \[0, 1, 2\]",
        lambda: MLPClassifier().fit(X, y, X_val=X, y_val=np.full(90, 5)),
    )
    with pytest.raises(ValueError, match="features"):
        MLPClassifier().fit(X, y, X_val=X[:, :3], y_val=y)


def test_a_split_that_leaves_no_weight():
    """To the validation rows, or to those left."""
    X, y = classes("multiclass")
    ours = MLPClassifier(early_stopping=True, random_state=0)
    order, kept = splitting.split(90, 0.1, y, np.random.RandomState(0))
    for rows, message in ((order, "drawn for validation"), (kept, "left to train on")):
        weight = np.isin(np.arange(90), rows).astype(float)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(splitting, "split", lambda *_: (order, kept))
            refused(f"{message} all have weight 0: give X_val", lambda weight=weight: ours.fit(X, y, weight))


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array])
def test_rows_too_large_for_the_network(kind):
    X, y = classes("multiclass")
    ours = fitted(MLPClassifier(max_iter=1), X.astype(np.float32), y)
    for sign in (1, -1):
        large = np.where(np.arange(6) == 2, sign * 1e300, X)
        for predict in (ours.predict, ours.predict_proba):
            refused("X has values too large for float32: scale them", lambda p=predict, X=large: p(kind(X)))
    assert ours.predict(kind(X)).shape == (90,)


def test_going_on_with_something_else():
    X, y = classes("multiclass")
    ours = fitted(MLPClassifier(warm_start=True, max_iter=2), X, y)
    refused(
        "the fitted layers are.*set warm_start=False", lambda: ours.set_params(hidden_layer_sizes=7).fit(X, y)
    )
    ours.set_params(hidden_layer_sizes=(100,))
    refused("labels.*name all labels in the first call", lambda: ours.fit(X, y + 1))
    fitted(ours.set_params(warm_start=False), X, y + 1)


def test_training_in_parts_of_what_has_no_parts():
    X, y = classes("multiclass")
    refused("classes must be passed on the first call", lambda: MLPClassifier().partial_fit(X, y))
    refused(
        "does not support early_stopping=True",
        lambda: MLPClassifier(early_stopping=True).partial_fit(X, y, classes=[0, 1, 2]),
    )
    refused(
        "'cosine' depends on the total number of steps.*use 'constant'",
        lambda: MLPClassifier(learning_rate="cosine").partial_fit(X, y, classes=[0, 1, 2]),
    )
    ours = MLPClassifier().partial_fit(X[:10], y[:10], classes=[0, 1, 2])
    refused("is not the same as on the last call", lambda: ours.partial_fit(X, y, classes=[0, 1]))


def test_a_batch_larger_than_the_data_is_clipped():
    X, y = classes("multiclass")
    with pytest.warns(UserWarning, match="batch_size 1000 is more than the 90 training rows and was clipped"):
        MLPClassifier(batch_size=1000, max_iter=1, n_iter_no_change=np.inf).fit(X, y)


def test_a_device_that_is_not_there_is_an_error_of_training():
    X, y = classes("multiclass")
    with pytest.raises(xpnet.DeviceError):
        MLPClassifier(device="cuda:99").fit(X, y)
    with pytest.raises(xpnet.DeviceError, match="unknown device"):
        MLPClassifier(device="tpu").fit(X, y)


def test_a_fit_that_is_refused_leaves_nothing_half_done():
    from sklearn.exceptions import NotFittedError

    X, y = classes("multiclass")
    ours = MLPClassifier(class_weight="even")
    refused("class_weight", lambda: ours.fit(X, y))
    with pytest.raises(NotFittedError):
        ours.predict(X)


def test_the_estimators_are_listed():
    assert {"MLPClassifier", "MLPRegressor", "MLP", "__version__"} <= set(dir(xpnet))


def process(code, **environment):
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def test_scikit_learn_is_loaded_by_asking_for_an_estimator_only():
    code = (
        "import sys; from xpnet import *; print('MLPClassifier' in dir()); import xpnet as x\n"
        "f = lambda: print('sklearn' in sys.modules); f(); x.MLPClassifier; f()"
    )
    assert process(code).split() == ["False", "False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'MLPCLassifier'"):
        _ = xpnet.MLPCLassifier


def test_without_scikit_learn():
    code = (
        "import sys; sys.modules['sklearn'] = None; import xpnet\n"
        "try: xpnet.MLPClassifier\nexcept ImportError as error: print(error)"
    )
    assert process(code) == ('the estimators of xpnet need scikit-learn: run `pip install "xpnet[sklearn]"`')
